"""A query before it runs: checks, templates, parameters and the user's frames."""
