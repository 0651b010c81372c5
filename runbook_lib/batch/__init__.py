"""Many tenants: what comes when, in which process, and one tenant from its first notebook to its seal."""
