"""Months of the lake, the stored months, and the processes that compute missing ones."""
