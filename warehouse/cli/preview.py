"""``warehouse preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from warehouse.cli.common import home_option, key_option, say, timeout_option
from warehouse.cli.completion import completed
from warehouse.cli.output import FORMATS, write_result
from warehouse.config import Settings
from warehouse.display import counted, first_few
from warehouse.errors import ExitCode
from warehouse.query import Warehouse


@click.command(
    epilog="""\b
Examples:
  warehouse preview my_feature.sql --symbol perpetual-BTC-USDT:USDT --interval 5m
  warehouse preview data/models/my_feature.sql --limit 1000000 --format csv > rows.csv"""
)
@click.argument("file", type=click.Path(path_type=Path), shell_complete=completed("file"))
@key_option("symbol", "Only rows of this symbol.")
@key_option("interval", "Only bars of this length, such as 5m.")
@click.option("--clock", help="Only bars of this clock: exchange or true.")
@click.option(
    "--limit", type=click.IntRange(0), default=40, show_default=True, help="Maximum number of rows."
)
@timeout_option
@click.option(
    "--format",
    "form",
    type=click.Choice([form for form in FORMATS if form not in ("parquet", "arrow")]),
    default="table",
    show_default=True,
)
@home_option
def preview(settings: Settings, file: Path, limit: int, form: str, **options: Any) -> int:
    """Show the rows of one of your models, computed from its file without a build.

    FILE is a path, or the name of a file in the home's models/ folder. Your other models that it
    reads are computed from their files too; everything else is read from the catalog.
    """
    with Warehouse(settings) as warehouse:
        result = warehouse.preview(file, limit=limit, **options)
        write_result(result, form, None, limit)
        if len(result) == limit:
            rows = result.arrow()
            null = [name for name in rows.column_names if rows[name].null_count == limit > 0]
            among = (
                f", in which {first_few(null)} {'is' if len(null) == 1 else 'are'} NULL"
                if null
                else ""
            )
            say(f"only the first {counted(limit, 'row')}{among}; for more, add --limit N")
    return ExitCode.DONE
