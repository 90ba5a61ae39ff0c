"""A query before it runs: its text, checked and rendered, its parameters, and the user's frames."""
