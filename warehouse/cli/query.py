"""``warehouse sql``, ``describe``, ``symbols``, ``shell``."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warehouse.cli.common import home_option, json_option, put, put_json, say
from warehouse.config import Settings
from warehouse.display import render_arrow
from warehouse.errors import ExitCode, NotFoundError, UsageError
from warehouse.home import Home
from warehouse.query import Result, Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "csv", "json", "parquet")


@click.command(
    epilog="""\b
Examples:
  warehouse sql "select * from flow_features where symbol = $s limit 5" \\
      -p s=perpetual-BTC-USDT:USDT
  warehouse sql "from l1_features" --format parquet -o l1.parquet
  echo "from help()" | warehouse sql -"""
)
@click.argument("text", metavar="SQL")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value of $NAME.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("-o", "target", type=click.Path(path_type=Path), help="Write to a file, not stdout.")
@click.option("--limit", type=int, default=40, show_default=True, help="Rows of a printed table.")
@home_option
def sql(
    settings: Settings,
    text: str,
    parameters: tuple[str, ...],
    form: str,
    target: Path | None,
    limit: int,
) -> int:
    """Run one SELECT and print the answer; SQL is a text, a file's name (*.sql) or - for stdin.

    Values are typed: ISO dates and datetimes (UTC), numbers, true and false; the rest is text.
    NAME:=JSON gives lists and the like.
    """
    values = dict(parse_parameter(parameter) for parameter in parameters)
    with Warehouse(settings) as warehouse:
        _write(warehouse.sql(_sql_text(text), values), form, target, limit)
    return ExitCode.DONE


@click.command(epilog="Example: warehouse describe flow_features")
@click.argument("name", required=False)
@json_option
@home_option
def describe(settings: Settings, name: str | None, as_json: bool) -> int:
    """Columns of a table or view with meaning and unit; without NAME, what there is."""
    with Warehouse(settings) as warehouse:
        _show(warehouse.tables() if name is None else warehouse.describe(name), as_json)
    return ExitCode.DONE


@click.command(epilog="Example: warehouse symbols --json")
@json_option
@home_option
def symbols(settings: Settings, as_json: bool) -> int:
    """What is in the lake, by exchange and symbol."""
    with Warehouse(settings) as warehouse:
        found = warehouse.sql(
            "select exchange, symbol,"
            " string_agg(distinct interval, ' ' order by interval) as intervals,"
            " string_agg(distinct clock, ' ' order by clock) as clocks,"
            ' min(first_time)::date as "from", max(last_time)::date as "until",'
            " string_agg(distinct dataset, ' ' order by dataset) as datasets"
            " from meta.coverage group by exchange, symbol order by exchange, symbol"
        )
        _show(found, as_json)
    return ExitCode.DONE


@click.command(epilog="Example: warehouse shell")
@home_option
def shell(settings: Settings) -> int:
    """The DuckDB shell on the published catalog, read-only."""
    home = Home(settings.home)
    if not home.catalog.is_file():
        raise NotFoundError(f"{home.root}: no catalog yet", next_step="run: warehouse build")
    beside = Path(sys.executable).parent / "duckdb"
    program = str(beside) if beside.is_file() else shutil.which("duckdb")
    if program is None:
        raise NotFoundError(
            "no DuckDB shell is installed",
            next_step=f"run: pip install duckdb-cli, then: duckdb -readonly {home.catalog}",
        )
    zone = f"set TimeZone = '{settings.session['TimeZone']}'"
    os.execv(program, [program, "-readonly", "-cmd", zone, str(home.catalog)])


def parse_parameter(text: str) -> tuple[str, Any]:
    """``name=value`` typed by its looks, ``name:=JSON`` as JSON.

    Examples
    --------
    >>> parse_parameter("start=2025-09-01"), parse_parameter("n=3"), parse_parameter("x:=[1, 2]")
    (('start', datetime.date(2025, 9, 1)), ('n', 3), ('x', [1, 2]))
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"-p {text}: write NAME=VALUE")
    if name.endswith(":"):
        try:
            return name[:-1], json.loads(value)
        except json.JSONDecodeError as error:
            raise UsageError(f"-p {text}: not JSON ({error})") from error
    return name, _typed(value)


def _typed(value: str) -> Any:
    import datetime as dt

    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        return float(value)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return dt.date.fromisoformat(value)
    if re.match(r"\d{4}-\d{2}-\d{2}[T ]\d", value):
        return dt.datetime.fromisoformat(value)
    return value


def _sql_text(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    if text.endswith(".sql") and Path(text).is_file():
        return Path(text).read_text("utf-8")
    return text


def _show(result: Result, as_json: bool) -> None:
    if as_json:
        put_json(result.arrow().to_pylist())
    else:
        put(render_arrow(result.arrow(), limit=10_000, wrap=True))


def _write(result: Result, form: str, target: Path | None, limit: int) -> None:
    if form == "parquet" and target is None:
        raise UsageError("parquet is not for the terminal", next_step="say -o FILE.parquet")
    if target is None:
        put(_as_text(result.arrow(), form, limit))
        return
    temporary = target.with_name(f".{target.name}.new")
    try:
        if form == "parquet":
            _write_parquet(result, temporary)
        else:
            temporary.write_text(_as_text(result.arrow(), form, limit) + "\n", "utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    say(f"wrote {target}")


def _as_text(table: pa.Table, form: str, limit: int) -> str:
    if form == "table":
        return render_arrow(table, limit=limit)
    if form == "json":
        return json.dumps(table.to_pylist(), indent=1, default=str)
    import pyarrow as pa
    import pyarrow.csv

    buffer = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, buffer)
    return str(buffer.getvalue().to_pybytes().decode()).removesuffix("\n")


def _write_parquet(result: Result, path: Path) -> None:
    """Stream the answer to a file; a result without rows gives a file without rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    batches = result.batches()
    first = next(batches, None)
    if first is None:
        pq.write_table(result.arrow(), path)
        return
    with pq.ParquetWriter(path, first.schema) as writer:
        for batch in (first, *batches):
            writer.write_table(pa.Table.from_batches([batch]))
