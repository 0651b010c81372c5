"""What the sandbox's tenants hold, and the one state that all services share."""
