"""The ways to a token: authorization code, admin consent, device code, and their pages."""
