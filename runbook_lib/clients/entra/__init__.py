"""Signing in, and what keeps a sign-in."""
