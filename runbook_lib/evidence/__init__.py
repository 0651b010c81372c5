"""A run closed so that every later change shows, and proved again."""
