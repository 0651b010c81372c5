"""A copy of a run to give away, without people."""
