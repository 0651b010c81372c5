"""Stories of tenants in YAML, and how they become directories, rooms and spaces."""
