"""Shared by tests of several folders: the command line, tables in the vendor's shape, homes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.commands import run_forked
from warehouse.times import date_us
from warehouse.vendor.contracts import load_contracts
from warehouse.vendor.keys import FileKey, Period, SeriesKey, interval_us

ROOT = Path(__file__).parent.parent
BTC = "perpetual-BTC-USDT:USDT"
VENUE = "binance-futures"

_ARROW_TYPES = {
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "VARCHAR": pa.string(),
}


# -- the command line ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """The exit code and output of a command."""

    exit_code: int
    stdout: str
    stderr: str


def run_warehouse(
    *arguments: object,
    cwd: Path,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    checkout: Path | None = None,
    audits: bool = True,
) -> Run:
    """``warehouse …`` in a separate process, with the code of ``checkout`` if it is given.

    Without ``audits`` a build audits no built-in model, which saves seconds.
    """
    environ = os.environ | {"COLUMNS": "100", **(environment or {})}
    line = [*map(str, arguments)]
    if checkout is None and sys.platform == "linux":
        return Run(
            *run_forked(line, cwd=cwd, stdin=stdin or "", environment=environ, audits=audits)
        )
    finished = subprocess.run(
        [sys.executable, "-P", "-m", "warehouse", *line],
        cwd=cwd,
        env=environ | ({"PYTHONPATH": str(checkout)} if checkout else {}),
        input=stdin or "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return Run(finished.returncode, finished.stdout, finished.stderr)


def once(note: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of ``make``, which the first worker calls, stored for all in ``note``.

    If it failed for the first worker, it fails for all without another try.
    """
    with note.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.is_file():
            try:
                made = {"made": make()}
            except Exception:
                made = {"failed": traceback.format_exc()}
            note.write_text(json.dumps(made), "utf-8")
    kept: dict[str, Any] = json.loads(note.read_text("utf-8"))
    assert "failed" not in kept, kept["failed"]
    found: dict[str, Any] = kept["made"]
    return found


# -- builds --------------------------------------------------------------------------------------


@contextmanager
def attached(path: Path, name: str, options: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of a database that all tests share, with the file; a new one costs 15 ms."""
    connection = _engine().cursor()
    connection.execute(f"attach '{quoted(path)}' as {name} {options}")
    try:
        yield connection
    finally:
        connection.execute(f"detach {name}")
        connection.close()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@contextmanager
def without_comments() -> Iterator[None]:
    """Catalogs prepared inside have no comments, which take a third of the time of a small one."""
    with (
        patch("warehouse.build.meta.rows.comment_all", lambda *_: None),
        patch("warehouse.build.vendor_views.comment_all", lambda *_: None),
    ):
        yield


# -- files in the vendor's shape -----------------------------------------------------------------


def series(interval: str = "1h", *, symbol: str = BTC, clock: str = "true") -> SeriesKey:
    return SeriesKey(VENUE, symbol, interval, clock)


def file_key(dataset: str, period: str, interval: str = "1h", **parts: str) -> FileKey:
    """Key of a metric or raw file of the one series that most tests use."""
    if dataset.startswith("raw_"):
        return FileKey(dataset, SeriesKey(VENUE, parts.get("symbol", BTC)), Period(period))
    return FileKey(dataset, series(interval, **parts), Period(period))


def grid(start: date, bars: int, interval: str = "1h") -> np.ndarray:
    """Starts of consecutive bars in microseconds."""
    return date_us(start) + np.arange(bars, dtype=np.int64) * interval_us(interval)


def times(microseconds: Sequence[int] | np.ndarray, unit: str = "us", tz: str | None = None) -> Any:
    """Microseconds since the epoch as a timestamp column."""
    return (
        pa.array(np.asarray(microseconds, np.int64))
        .cast(pa.timestamp("us", tz=tz))
        .cast(pa.timestamp(unit, tz=tz))
    )


def utc(text: str) -> datetime:
    """``"2025-09-01 05:00"`` as a naive UTC datetime, as in results."""
    return datetime.fromisoformat(text)


def bar_table(dataset: str, starts: Sequence[int] | np.ndarray, **columns: Any) -> pa.Table:
    """A table with every column that the vendor serves today, filled with 1; ``columns`` replace.

    Raw datasets get ``starts`` as the venue's time and a tenth of a second more as the local one.
    """
    filled: dict[str, Any] = {}
    for column in load_contracts()[dataset].columns:
        kind = _ARROW_TYPES[column.type]
        if column.name in ("time", "exchange_timestamp", "local_timestamp"):
            shift = 100_000 if column.name == "local_timestamp" else 0
            zone = kind.tz
            filled[column.name] = times(np.asarray(starts, np.int64) + shift, tz=zone)
        elif column.expected:
            one = "1" if column.type == "VARCHAR" else 1
            filled[column.name] = pa.array([one] * len(starts), kind)
    return pa.table({**filled, **columns})


def write_file(folder: Path, key: FileKey, table: pa.Table) -> Path:
    """Write a table under the lake's layout below ``folder``."""
    path = folder / key.path
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def reads_native_copy(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a session's connection has the native copy, which no list of databases shows."""
    try:
        connection.execute("show tables from native.main")
    except duckdb.CatalogException:
        return False
    return True


# -- homes ---------------------------------------------------------------------------------------


def copy_home(home: Path, target: Path) -> Path:
    """A writable copy of a home: immutable files as hard links, others as copies.

    Its published catalog is the original's, and so reads the original's objects.
    """

    def link_or_copy(source: str, destination: str) -> str:
        parts = Path(source).relative_to(home).parts
        if parts[0] in ("objects", "lake", "marts", "generations", "warehouse.duckdb"):
            os.link(source, destination)
            return destination
        return shutil.copy2(source, destination)

    shutil.copytree(home, target, symlinks=True, copy_function=link_or_copy)
    return target


# -- catalogs ------------------------------------------------------------------------------------

CATALOG = {
    "view": "select schema_name, view_name, comment, sql from duckdb_views()"
    " where database_name = 'warehouse'",
    "table": "select schema_name, table_name, comment from duckdb_tables()"
    " where database_name = 'warehouse'",
    "column": "select schema_name, table_name, column_index, column_name, data_type, comment"
    " from duckdb_columns() where database_name = 'warehouse'",
    "macro": "select function_name, parameters, comment,"
    " list_sort(regexp_extract_all(macro_definition, '\\w+|\\W')) from duckdb_functions()"
    " where database_name = 'warehouse' and not internal",
    "result": "select * replace (if(resource_type = 'audit', '', message) as message)"
    " from warehouse.meta.results where resource_type <> 'unit_test'",
    "model": "from warehouse.meta.models",
    "stored": "select * exclude (reused) from warehouse.meta.stored",
    "seed": "from warehouse.staging.funding_schedules",
    "notional": "from warehouse.staging.order_notionals",
}
"""All of a catalog but the rows that its views read, and when it was built."""


def quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def in_order(sql: str) -> str:
    """SQL with the names of each EXCLUDE sorted, because DuckDB writes them in no order."""
    return re.sub(
        r"EXCLUDE \(([^()]*)\)",
        lambda found: f"EXCLUDE ({', '.join(sorted(found[1].split(', ')))})",
        sql,
    )


def catalog_differences(
    one: Path, other: Path, more: Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Rows of ``CATALOG`` and further queries that only one of two homes has."""
    found = []
    for home in (one, other):
        with attached(home / "warehouse.duckdb", "warehouse", "(read_only)") as connection:
            found.append(
                {
                    str(
                        (
                            kind,
                            *(in_order(str(value).replace(quoted(home), "HOME")) for value in row),
                        )
                    )
                    for kind, query in {**CATALOG, **(more or {})}.items()
                    for row in connection.execute(query).fetchall()
                }
            )
    return sorted(found[0] - found[1]), sorted(found[1] - found[0])
