"""``warehouse sql``, ``queries``, ``shell``."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from warehouse.cli.common import (
    grouped,
    home_option,
    json_option,
    past_options,
    put,
    put_json,
    put_table,
    say,
    timeout_option,
)
from warehouse.cli.completion import completed
from warehouse.cli.output import FORMATS, format_of, put_result, require_place, write_result
from warehouse.config import Settings
from warehouse.errors import ExitCode, NotFoundError, UsageError
from warehouse.home import Home, generation_path
from warehouse.progress import phase
from warehouse.query import (
    Result,
    Warehouse,
    decode_sql,
    find_query,
    one_clock,
    session_of,
    texts_among_parameters,
)
from warehouse.sql import HOME_VARIABLE, literal


class _Sql(click.Command):
    """A command whose SQL may begin with ``--``, which is a comment and not an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        begins = re.compile(r"--(\s|[^\n=]*\n)")
        return super().parse_args(ctx, [f"\n{a}" if begins.match(a) else a for a in args])


@dataclass(frozen=True, slots=True)
class _Output:
    """Destination and format of a result."""

    form: str | None
    as_json: bool
    target: Path | None
    limit: int
    receipt: Path | None

    def checked_format(self, home: Home) -> str:
        """The format; raises UsageError if the options contradict each other."""
        for place in (self.target, self.receipt):
            require_place(home, place)
        if self.target is not None and self.target == self.receipt:
            raise UsageError(f"{self.target}: the result and its receipt need two files")
        if self.as_json and self.form not in (None, "json"):
            raise UsageError(
                f"--json and --format {self.form} cannot be combined", next_step="give one of them"
            )
        return format_of(self.target, "json" if self.as_json else self.form)


@click.command(
    cls=_Sql,
    epilog="""\b
Examples:
  warehouse sql 'select * from flow_features where symbol = $s limit 5' \\
      -p s=perpetual-BTC-USDT:USDT
  warehouse sql -q large_trade_share -p start=2025-09-01 -p end=2025-10-01
  warehouse sql "from l1_features" -o l1.parquet
  warehouse sql --explain "select time, rolling_net_delta_1d from flow_features"
  warehouse sql "from l1_features" --as-of 2026-01-31T12:00
  warehouse sql "from ticks('flow', '45m', symbol := 'perpetual-BTC-USDT:USDT')"
  echo "from help()" | warehouse sql -""",
)
@click.argument("text", metavar="[SQL]", required=False)
@click.option(
    "-q",
    "--query",
    "name",
    shell_complete=completed("query"),
    help="Run a named query instead of SQL.",
)
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Value of $NAME.")
@grouped(
    "output",
    _Output,
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        help="Output format [by the suffix of -o, else table].",
    ),
    click.option("--json", "as_json", is_flag=True, help="Same as --format json."),
    click.option(
        "-o",
        "target",
        type=click.Path(path_type=Path),
        help="Write to this file instead of stdout.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(0),
        default=40,
        show_default=True,
        help="Maximum number of rows in a table.",
    ),
    click.option(
        "--receipt",
        type=click.Path(path_type=Path),
        help="Also write a receipt of the result.",
    ),
)
@timeout_option
@click.option(
    "--memory", metavar="SIZE", help="Memory limit, such as 2GB; DuckDB uses the disk beyond it."
)
@click.option(
    "--strict",
    is_flag=True,
    help="Fail if the result has warnings, such as missing bars or look-ahead.",
)
@click.option(
    "--explain", is_flag=True, help="Show which tables and columns the query reads; do not run it."
)
@past_options
@home_option
def sql(
    settings: Settings,
    past: dict[str, Any],
    text: str | None,
    name: str | None,
    parameters: tuple[str, ...],
    output: _Output,
    explain: bool,
    **limits: Any,
) -> int:
    """Run one SELECT and print the result. SQL is a statement, a file (*.sql), or - for stdin.

    The values of -p are read as ISO dates and datetimes (UTC), numbers, true or false, and
    otherwise as text. A value that is compared with a text column stays text. Write NAME:=JSON for
    lists and structs. --limit applies to tables; other formats have all rows.
    """
    if name is not None and text is not None and "=" in text:
        raise UsageError(
            f"{text}: values for a named query are given with -p",
            next_step=f"run: warehouse sql -q {name} -p {shlex.quote(text)}",
        )
    if (text is None) == (name is None):
        raise UsageError(
            "give SQL, or the name of a query with -q",
            next_step='try: warehouse sql "from help()", or: warehouse queries',
        )
    form = output.checked_format(Home.of(settings))
    values = _parsed(parameters)
    question = name or _sql_text(text or "", values)
    with _opened(settings, past) as warehouse, one_clock(limits["timeout"]):
        with phase("parse and check the SQL"):
            ask = warehouse.sql if name is None else warehouse.query
            result = ask(question, values, **limits)
            texts = _typed_for_text(result, parameters)
            if texts:
                result = ask(question, values | texts, **limits)
        if explain:
            _put_trace(result, form == "json")
            return ExitCode.DONE
        with phase("run the query and write the result"):
            write_result(result, form, output.target, output.limit)
        if output.receipt is not None:
            with phase("write the receipt"):
                result.receipt.save(output.receipt)
    return ExitCode.DONE


def _opened(settings: Settings, past: dict[str, Any]) -> Warehouse:
    """Open the selected generation."""
    with phase("open the catalog") as opening:
        warehouse = Warehouse(settings, **past)
        opening.detail = "native copy" if session_of(warehouse).reads_copy else "parquet"
    return warehouse


@click.command(epilog="Example: warehouse queries large_trade_share")
@click.argument("name", required=False, shell_complete=completed("query"))
@json_option
@home_option
def queries(settings: Settings, name: str | None, as_json: bool) -> int:
    """List the named queries, or show one with its purpose, parameters and SQL.

    To add a named query, put a file NAME.sql into the home's queries/ folder.
    """
    with Warehouse(settings) as warehouse:
        if name is None:
            _list_queries(warehouse.queries(), as_json)
            return ExitCode.DONE
    query = find_query(name, Home.of(settings).queries)
    if as_json:
        put_json(
            {
                "name": query.name,
                "purpose": query.purpose,
                "parameters": [
                    {"name": p.name, "type": p.type, "default": p.default, "meaning": p.meaning}
                    for p in query.parameters
                ],
                "sql": query.text,
            }
        )
        return ExitCode.DONE
    put(f"{query.purpose}\n")
    for parameter in query.parameters:
        put(f"  {parameter}\n      {parameter.meaning}")
    put(f"\n{query.text.strip()}")
    return ExitCode.DONE


def _list_queries(listed: Result, as_json: bool) -> None:
    """Print names and purposes; parameters are shown for a single query or as JSON."""
    if as_json:
        put_result(listed, as_json)
        return
    rows = [(name, source, purpose) for name, purpose, _, source in listed.fetchall()]
    put_table(["name", "source", "purpose"], rows, wrap=True)
    say("show one with its parameters and SQL: warehouse queries NAME")


@click.command(epilog="Example: warehouse shell")
@past_options
@home_option
def shell(settings: Settings, past: dict[str, Any]) -> int:
    """Open the DuckDB shell on the published catalog, read-only."""
    with Warehouse(settings, **past) as warehouse:
        home, is_past = Home.of(settings), any(value is not None for value in past.values())
        catalog = generation_path(home, warehouse.generation) if is_past else home.catalog
        theirs = "select 1 from information_schema.schemata where schema_name = 'user'"
        searched = "main,user" if len(warehouse.sql(theirs)) else "main"
    beside = Path(sys.executable).parent / "duckdb"
    program = str(beside) if beside.is_file() else shutil.which("duckdb")
    if program is None:
        raise NotFoundError(
            f"no DuckDB shell: there is no {beside}, and no duckdb on PATH",
            next_step=f"run: {sys.executable} -m pip install duckdb-cli, then: warehouse shell;"
            f" or use your own DuckDB shell, 1.4 or newer: duckdb -readonly {catalog}",
        )
    zone = f"set TimeZone = '{settings.session['TimeZone']}'"
    here = f"set variable {HOME_VARIABLE} = {literal(str(home.root))}"
    bare = f"set search_path = '{searched}'"
    os.execv(program, [program, "-readonly", "-cmd", f"{zone}; {here}; {bare}", str(catalog)])


def parse_parameter(text: str) -> tuple[str, Any]:
    """Parse ``name=value`` with a type guessed from the text, and ``name:=JSON`` as JSON.

    Examples
    --------
    >>> parse_parameter("start=2025-09-01"), parse_parameter("n=3"), parse_parameter("x:=[1, 2]")
    (('start', datetime.date(2025, 9, 1)), ('n', 3), ('x', [1, 2]))
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"-p {text}: a value without a name", next_step="write -p NAME=VALUE")
    if name.endswith(":"):
        try:
            return name[:-1], json.loads(value)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"-p {name[:-1]}: not JSON ({error})",
                next_step="write it like -p 'NAME:=[1, 2]', or -p NAME=VALUE for a plain value",
            ) from error
    return name, _typed(name, value)


def _parsed(parameters: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in map(parse_parameter, parameters):
        if name in values:
            raise UsageError(
                f"-p {name} is given twice", next_step=f"write a list as -p '{name}:=[1, 2]'"
            )
        values[name] = value
    return values


def _typed_for_text(result: Result, parameters: Sequence[str]) -> dict[str, str]:
    """Keep values as they were typed if the query compares them with text columns, such as ids."""
    pairs = [parameter.split("=", 1) for parameter in parameters]
    looks = {name: value for name, value in pairs if not isinstance(_typed(name, value), str)}
    met = texts_among_parameters(result) if looks else frozenset()
    return {name: value for name, value in looks.items() if name.lower() in met}


def _typed(name: str, value: str) -> Any:
    """Guess the type of a value. Digits after a leading 0 stay text; DuckDB casts text itself."""
    import datetime as dt

    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"[+-]?(0|[1-9][0-9]{0,38})", value):
        return int(value)
    if re.fullmatch(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?", value):
        number = float(value)
        if math.isinf(number):
            raise UsageError(f"-p {name}={value} is too large for DOUBLE")
        return number
    if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):  # text that only looks like a date or time
            return dt.date.fromisoformat(value)
        with suppress(ValueError):
            return dt.datetime.fromisoformat(value)
    return value


def _sql_text(text: str, values: Mapping[str, Any]) -> str:
    if values and text != "-" and not text.endswith(".sql") and not re.search(r"\$|{{", text):
        names = ", ".join(values)
        raise UsageError(
            f"-p {names}: the SQL has no parameters",
            next_step=f"leave out {names}, or write the SQL in single quotes, because in double"
            f" quotes the shell replaces ${next(iter(values))}",
        )
    is_file = text.endswith(".sql") and Path(text).is_file()
    if not is_file and text != "-":
        if text.endswith(".sql") and not text[:-4].strip().count(" "):
            raise UsageError(
                f"{text}: there is no such file", next_step="name a file *.sql, or give the SQL"
            )
        return text
    if is_file:
        return decode_sql(Path(text).read_bytes(), text)
    return decode_sql(sys.stdin.buffer.read(), "stdin")


def _put_trace(result: Result, as_json: bool) -> None:
    """Print the tables and filters of a query, and its columns with their origins."""
    from dataclasses import asdict

    trace = result.trace()
    if as_json:
        put_json(asdict(trace))
        return
    rows = [
        (
            str(one.relation),
            " ".join(one.datasets),
            "; ".join(f"{key} {' '.join(map(str, v))}" for key, v in one.keys.items()) or "all",
            f"{one.start or ''} .. {one.end or ''}" if one.start or one.end else "all",
        )
        for one in trace.scope
    ]
    put_table(["table", "vendor's datasets", "series", "span"], rows, wrap=True)
    put("")
    columns = [
        (c.name, c.type, c.unit or "", " ".join(c.tables), " ".join(c.vendor))
        for c in trace.columns
    ]
    head = ["column", "type", "unit", "computed from", "vendor columns"]
    put_table(head, columns, wrap=True)
