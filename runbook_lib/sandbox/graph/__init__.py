"""Microsoft Graph: its door, its routes and its wire."""
