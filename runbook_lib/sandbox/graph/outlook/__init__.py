"""Graph's calendars and mailboxes."""
