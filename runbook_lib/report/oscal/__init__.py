"""A run as OSCAL documents."""
