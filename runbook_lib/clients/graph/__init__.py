"""Microsoft Graph: asked, paged, batched, waited for."""
