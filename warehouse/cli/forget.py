"""``warehouse forget``."""

from __future__ import annotations

import click

from warehouse.cli.common import home_option, json_option, put_json, put_table, say
from warehouse.config import Settings
from warehouse.display import counted, render_size
from warehouse.errors import ExitCode, UsageError
from warehouse.home import Home
from warehouse.upkeep import Selection, find_files
from warehouse.upkeep import forget_files as forget_files

_SHOWN = 40


@click.command(
    epilog="\b\nExamples:\n"
    "  warehouse forget --symbol 'perpetual-BTC-USTD:*'         what would go\n"
    "  warehouse forget --symbol 'perpetual-BTC-USTD:*' --yes   and let it go",
    short_help="Take series out of the lake again.",
)
@click.argument("dataset", required=False)
@click.option("--exchange", metavar="TEXT", help="Name or pattern with * and ?.")
@click.option("--symbol", metavar="TEXT", help="Name or pattern.")
@click.option("--interval", metavar="TEXT", help="Name or pattern.")
@click.option("--clock", metavar="TEXT", help="true or exchange.")
@click.option("--period", metavar="TEXT", help="2025-09, 2025-09-11, or a pattern such as 2025-*.")
@click.option("--yes", is_flag=True, help="Do it; without this the files are only listed.")
@json_option
@home_option
def forget(
    settings: Settings,
    dataset: str | None,
    exchange: str | None,
    symbol: str | None,
    interval: str | None,
    clock: str | None,
    period: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Take the selected vendor files out of the lake, such as those of a mistyped symbol.

    The next build shows them no more. Generations and snapshots that are kept still do, and a later
    sync may bring the files in again. Their bytes stay until `warehouse prune` removes them.
    """
    selection = Selection(dataset, exchange, symbol, interval, clock, period)
    if selection == Selection():
        raise UsageError(
            "nothing is selected", next_step="name a DATASET, --exchange, --symbol or --period"
        )
    home = Home.of(settings)
    files = forget_files(home, selection) if yes else find_files(home, selection)
    if as_json:
        put_json({"forgotten": yes, "files": [str(file.key) for file in files]})
        return ExitCode.DONE
    rows = [(f.key.dataset, str(f.key.series), f.key.period.text, f.size_bytes) for f in files]
    put_table(["dataset", "series", "period", "bytes"], rows[:_SHOWN])
    if len(rows) > _SHOWN:
        say(f"and {len(rows) - _SHOWN:,} more, see --json")
    size = render_size(sum(file.size_bytes for file in files))
    if yes:
        say(f"{counted(len(files), 'file')} taken out of the lake ({size})")
        say("  next: warehouse build")
    else:
        say(f"would take {counted(len(files), 'file')} out of the lake ({size}); nothing is done")
        say("  next: the same command with --yes")
    return ExitCode.DONE
