"""What each step asks the tenant, how it reads the answers, and how it judges them."""
