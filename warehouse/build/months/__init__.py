"""Months of the lake, the stored months, and the jobs that compute missing ones."""
