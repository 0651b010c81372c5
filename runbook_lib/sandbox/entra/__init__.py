"""Entra ID: sign-in, consent and tokens."""
