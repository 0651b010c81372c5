"""Sealed runs copied to where nobody can rewrite them."""
