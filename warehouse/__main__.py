"""The command ``warehouse``, also ``python -m warehouse``."""

from __future__ import annotations

from warehouse.interrupts import held_back, leave


def main() -> None:
    """Load the command line and run it; Ctrl-C ends the command even while it loads."""
    try:
        with held_back():
            from warehouse import cli
    except KeyboardInterrupt:
        leave(cli.report_interrupt())
    cli.main()


if __name__ == "__main__":
    main()
