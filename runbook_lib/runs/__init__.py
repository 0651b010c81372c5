"""A run's folder on disk: its records, who works in it, and its lock."""
