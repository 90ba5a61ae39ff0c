"""The schema ``meta``: its tables and rows, and changes of the rows in a copy."""
