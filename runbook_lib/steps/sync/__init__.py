"""Step 7: the rooms, from where each is known, and a booking both ways."""
