"""Checks of a vendor file before it is admitted: columns, values and bad rows."""
