"""``warehouse forget``."""

from __future__ import annotations

import click

from warehouse.cli.bucket import published
from warehouse.cli.common import (
    grouped,
    home_option,
    json_option,
    key_option,
    put_json,
    put_table,
    say,
)
from warehouse.cli.completion import completed
from warehouse.config import Settings
from warehouse.display import counted, render_size
from warehouse.errors import ExitCode, UsageError
from warehouse.home import Home
from warehouse.upkeep import Selection, find_files, forget_files

_SHOWN = 40


@click.command(
    epilog="\b\nExamples:\n"
    "  warehouse forget --symbol 'perpetual-BTC-USTD:*'         list the files\n"
    "  warehouse forget --symbol 'perpetual-BTC-USTD:*' --yes   remove them",
)
@grouped(
    "selection",
    Selection,
    click.argument("dataset", required=False, shell_complete=completed("dataset")),
    key_option("exchange", "Exchange: name, or pattern with * and ?."),
    key_option("symbol", "Symbol: name or pattern."),
    key_option("interval", "Interval: name or pattern."),
    click.option("--clock", help="Clock: true or exchange."),
    click.option(
        "--period", help="Month or day, such as 2025-09 or 2025-09-11, or a pattern such as 2025-*."
    ),
)
@click.option("--yes", is_flag=True, help="Remove the files; without it they are only listed.")
@json_option
@home_option
@published(lambda v: bool(v["yes"]))
def forget(
    settings: Settings,
    selection: Selection,
    yes: bool,
    as_json: bool,
) -> int:
    """Remove the selected vendor files from the lake, such as those of a mistyped symbol.

    They disappear from the catalog with the next build. Generations and snapshots that are kept
    still contain them, and a later sync may download them again. Their bytes stay on disk until
    `warehouse prune` removes them.
    """
    if selection == Selection():
        raise UsageError(
            "no series are selected", next_step="name a DATASET, --exchange, --symbol or --period"
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
        say(f"{counted(len(files), 'file')} removed from the lake ({size})")
        say("  next: warehouse build")
    else:
        say(f"would remove {counted(len(files), 'file')} from the lake ({size})")
        say("  next: the same command with --yes")
    return ExitCode.DONE
