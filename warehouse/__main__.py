"""``python -m warehouse`` is the command ``warehouse``."""

from __future__ import annotations

from warehouse.cli import main

if __name__ == "__main__":
    main()
