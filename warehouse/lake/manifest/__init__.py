"""The manifest: the SQLite file that lists what the lake has, its tables, rows and queries."""
