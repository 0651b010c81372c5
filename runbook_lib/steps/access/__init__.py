"""Step 6: what Cronofy may do in the tenant, how far it reaches, and who granted it."""
