"""SpaceIQ's API."""
