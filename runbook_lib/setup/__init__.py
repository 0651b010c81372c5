"""Before the first run: the tenant file, the app registration, what this machine and tenant lack."""
