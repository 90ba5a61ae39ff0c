"""What a query returns: the result, its forms as tables and files, and its receipt."""
