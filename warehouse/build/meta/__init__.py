"""The schema ``meta``: its tables, their rows, and how the rows of a copy are changed."""
