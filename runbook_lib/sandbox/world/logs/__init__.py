"""What the directory's logs hold of consents and sign-ins."""
