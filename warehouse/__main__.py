"""The command ``warehouse``, also ``python -m warehouse``."""

from __future__ import annotations

from warehouse.interrupts import delay_interrupts, exit_process


def main() -> None:
    """Load the command line and run it; Ctrl-C ends the command even while it loads."""
    try:
        with delay_interrupts():
            from warehouse import cli
    except KeyboardInterrupt:
        exit_process(cli.report_interrupt())
    cli.main()


if __name__ == "__main__":
    main()
