"""The result of a query, its conversions to tables and files, and its receipt."""
