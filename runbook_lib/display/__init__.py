"""Values turned into cards, tables and charts."""
