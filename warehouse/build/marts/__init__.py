"""The marts of a build: stored months and the views of them, running columns, and copies."""
