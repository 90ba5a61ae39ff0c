"""One read-only DuckDB session on a published catalog: opened, locked, and run so that it stops.

A query runs on another thread while the caller waits: so Ctrl-C and a time limit reach the engine
at once in every version, and the session is good for the next query.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from warehouse.config import Settings
from warehouse.errors import DamagedError, QueryError
from warehouse.home import Home, find_native_copy
from warehouse.sqltext import HOME_VARIABLE, literal

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

Source = Callable[[int], "pa.RecordBatchReader"]
"""Runs a query and streams its answer in batches of at most so many rows."""

_IS_LAZY = int(duckdb.__version__.split(".")[0]) >= 2
"""From 2.0 on a relation with parameters runs when it is read; before, when it is made."""

_STOPPING_S = 30

_SWAPS = 5
"""How often a catalog is opened anew because another was published while DuckDB opened it, which
does so by name and more than once: it may have met parts of two."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


def open_session(
    settings: Settings, catalog: Path, *, memory: str | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection in memory with ``catalog`` attached read-only as ``warehouse``.

    Where the catalog has a native copy, that is attached instead.

    Parameters
    ----------
    memory
        DuckDB's memory limit for this session, such as ``"500MB"``; the settings' by default.

    Raises
    ------
    DamagedError
        The catalog cannot be opened.
    QueryError
        ``memory`` is no amount of memory.
    """
    for _ in range(_SWAPS):
        found = _identity(catalog)
        try:
            connection = _open_fastest(settings, catalog, memory)
        except DamagedError:
            if _identity(catalog) == found:
                raise
            continue
        if _identity(catalog) == found:
            return connection
        connection.close()
    return _open(settings, catalog, memory)


def _open_fastest(
    settings: Settings, catalog: Path, memory: str | None
) -> duckdb.DuckDBPyConnection:
    """The catalog's native copy; the catalog itself where there is none that can be opened."""
    copy = find_native_copy(Home(settings.home), catalog)
    if copy is not None:
        with suppress(DamagedError):
            return _open(settings, copy.catalog, memory, tables=copy.tables)
    return _open(settings, catalog, memory)


def _identity(catalog: Path) -> tuple[int, ...] | None:
    """Which file a path leads to now."""
    try:
        facts = catalog.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _open(
    settings: Settings, catalog: Path, memory: str | None, *, tables: Path | None = None
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_CONFIG)
    try:
        for name, value in settings.session.items():
            connection.execute(f"set global {name} = {literal(value)}")
        # footers are read once a session: no file that a catalog lists ever changes
        connection.execute("set global parquet_metadata_cache = true")
        if tables is not None:
            connection.execute(f"attach {literal(str(tables))} as native (read_only)")
        connection.execute(f"attach {literal(str(catalog))} as warehouse (read_only)")
        connection.execute("use warehouse")
        if memory is not None:
            _limit_memory(connection, memory)
        _lock(connection, settings)
    except QueryError:
        connection.close()
        raise
    except duckdb.Error as error:
        connection.close()
        raise DamagedError(
            f"{catalog}: cannot be opened ({str(error).splitlines()[0]})",
            next_step="run: warehouse build",
        ) from error
    return connection


def cursor_of(connection: duckdb.DuckDBPyConnection, home: Path) -> duckdb.DuckDBPyConnection:
    """A connection of its own on the same session: the catalog is the default, ``home`` is here."""
    cursor = connection.cursor()
    cursor.execute("use warehouse")
    cursor.execute(f"set variable {HOME_VARIABLE} = {literal(str(home))}")
    return cursor


def bind(
    cursor: duckdb.DuckDBPyConnection, text: str, params: dict[str, object]
) -> tuple[dict[str, str], Source | None]:
    """As :func:`describe`; and a reader of the query where what was bound can be read later."""
    if not _IS_LAZY:
        return describe(cursor, text, params), None
    relation = cursor.sql(text, params=params)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    return types, relation.to_arrow_reader


def describe(
    cursor: duckdb.DuckDBPyConnection, text: str, params: dict[str, object]
) -> dict[str, str]:
    """Name and type of each column of a query, which is bound but not run."""
    rows = cursor.execute(f"describe {text}", params).fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def fetch(
    cursor: duckdb.DuckDBPyConnection, text: str, params: dict[str, object]
) -> list[tuple[Any, ...]]:
    """Every row of a query, for small answers.

    DuckDB 1.5 holds Python's lock while it fetches rows, and so could not be interrupted; it lets
    go of it only while Arrow reads.
    """
    if _IS_LAZY:
        return list(cursor.sql(text, params=params).fetchall())
    columns = reader(cursor, text, params, 100_000).read_all().columns
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def reader(
    cursor: duckdb.DuckDBPyConnection, text: str, params: dict[str, object], rows: int
) -> pa.RecordBatchReader:
    """A reader that runs the query and streams its answer in batches of at most ``rows``."""
    if _IS_LAZY:
        return cursor.sql(text, params=params).to_arrow_reader(rows)
    return cursor.execute(text, params).to_arrow_reader(rows)


def run(
    cursor: duckdb.DuckDBPyConnection, act: Callable[[], T], *, timeout_s: float | None = None
) -> T:
    """What ``act`` gives, which uses ``cursor``; stopped by Ctrl-C and after ``timeout_s``.

    Raises
    ------
    TimeoutError
        It took longer than ``timeout_s``.
    """
    future = _workers.submit(act)
    try:
        wait([future], timeout_s)
    except BaseException:
        _stop(cursor, future)
        raise
    if not future.done():
        _stop(cursor, future)
        if not future.done() or future.exception() is not None:
            raise TimeoutError(f"stopped after {timeout_s} s")
    return future.result()


_workers = ThreadPoolExecutor(64, thread_name_prefix="warehouse-query")
"""Threads that are kept: the first query on a new one takes milliseconds longer."""


def _stop(cursor: duckdb.DuckDBPyConnection, future: Future[T]) -> None:
    """Interrupt until the work has ended: it may not have begun when the first one comes."""
    give_up = time.monotonic() + _STOPPING_S
    while not future.done() and time.monotonic() < give_up:
        cursor.interrupt()
        wait([future], 0.05)


def _limit_memory(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    try:
        connection.execute(f"set memory_limit = {literal(memory)}")
    except duckdb.Error as error:
        raise QueryError(
            f"memory={memory!r}: no amount of memory", next_step="write it as '500MB' or '2GB'"
        ) from error


def _lock(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """From here on the session reads the home's data files and no others."""
    row = connection.execute("select home from meta.build").fetchone()
    homes = {str(settings.home), str(row[0]) if row else ""}
    folders = [str(Path(h, part)) + "/" for h in homes if h for part in ("objects", "marts")]
    listed = ", ".join(literal(folder) for folder in folders)
    connection.execute(f"set allowed_directories = [{listed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
