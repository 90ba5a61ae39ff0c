"""The manifest: the SQLite file that lists the lake's files; its tables, rows and queries."""
