"""The mailbox store, and what Exchange Online's cmdlets answer about it."""
