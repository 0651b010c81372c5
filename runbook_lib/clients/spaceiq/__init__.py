"""SpaceIQ's spaces, from its API or an export."""
