"""The search: a query, the events it makes, the final order."""
