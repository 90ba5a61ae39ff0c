"""Checks of a vendor file before it is admitted: its columns, its values, and rows that are bad."""
