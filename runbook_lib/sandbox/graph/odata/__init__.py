"""What OData asks of an answer: filters, selection, paging."""
