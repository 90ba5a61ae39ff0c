"""The only place that opens DuckDB connections, so the settings apply to all of them."""

from __future__ import annotations

import itertools
import os
import secrets
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import duckdb

from warehouse.errors import BUILD, DamagedError
from warehouse.sql import literal

T = TypeVar("T")

# For ``config``: no query or file can make DuckDB download extensions.
NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}

# From 2.0 on the first attached database takes the place of the default one that is detached.
_DEFAULT_MOVES = int(duckdb.__version__.split(".")[0]) >= 2

_ABANDONED_S = 86_400
_numbers = itertools.count(1)
_here = threading.local()


class Opened:
    """The connections that :meth:`during` opens, to be interrupted together from another thread."""

    def __init__(self) -> None:
        self._connections: list[weakref.ref[duckdb.DuckDBPyConnection]] = []

    def during(self, act: Callable[[], T]) -> T:
        """What ``act`` gives, in this thread."""
        _here.opened = self
        try:
            return act()
        finally:
            _here.opened = None

    def add(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connections.append(weakref.ref(connection))

    def interrupt(self) -> None:
        for reference in tuple(self._connections):
            connection = reference()
            if connection is not None:
                with suppress(duckdb.Error):  # it may be closed
                    connection.interrupt()


def connect(
    session: Mapping[str, str],
    catalog: Path | None = None,
    *,
    options: str = "read_only",
    config: Mapping[str, str] | None = None,
    for_cursors: bool = False,
) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with a session's settings, its time zone and limits among them.

    Parameters
    ----------
    session
        Settings by name, as ``Settings.session`` or ``Home.session`` has them.
    catalog
        Attached as the database ``warehouse`` with ``options``.
    config
        What can be set only before DuckDB starts.
    for_cursors
        Whether :func:`use_catalog` will be called.
    """
    connection = _start(config or {}, for_cursors=for_cursors)
    if (opened := getattr(_here, "opened", None)) is not None:
        opened.add(connection)
    try:
        for name, value in session.items():
            chosen = _spill_folder(Path(value)) if name == "temp_directory" and value else value
            connection.execute(f"set global {name} = {literal(str(chosen))}")
        if catalog is not None:
            attach(connection, catalog, options=options)
    except BaseException:
        connection.close()
        raise
    return connection


def attach(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    name: str = "warehouse",
    *,
    options: str = "read_only",
) -> None:
    """Attach a database file; without options it is writable."""
    given = f" ({options})" if options else ""
    connection.execute(f"attach {literal(str(path))} as {name}{given}")


@contextmanager
def reading_catalog(catalog: Path) -> Iterator[None]:
    """Translate DuckDB's errors on a catalog file into DamagedError."""
    try:
        yield
    except duckdb.Error as error:
        raise DamagedError(
            f"{catalog}: cannot be read as a catalog ({str(error).splitlines()[0]})",
            next_step=BUILD,
        ) from error


def use_catalog(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``warehouse`` the database of a connection and of every cursor of it.

    A cursor does not inherit ``use``: it begins on the default database, which cannot be chosen.
    But as soon as that is detached, ``warehouse`` takes its place: from DuckDB 2.0 on if no other
    was attached before, earlier because it has the name of the one that :func:`_start` began with.
    """
    connection.execute("use warehouse")
    if _DEFAULT_MOVES:
        connection.execute("detach memory")
        connection.execute("attach ':memory:' as memory")


def lock(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Restrict a session to the data files of its home."""
    row = connection.execute("select home from meta.build").fetchone()
    homes = {str(home), str(row[0]) if row else ""}
    folders = [str(Path(h, part)) + "/" for h in homes if h for part in ("objects", "marts")]
    listed = ", ".join(literal(folder) for folder in folders)
    connection.execute(f"set allowed_directories = [{listed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def _start(config: Mapping[str, str], *, for_cursors: bool) -> duckdb.DuckDBPyConnection:
    if not for_cursors or _DEFAULT_MOVES:
        return duckdb.connect(config={**config})
    with tempfile.TemporaryDirectory(prefix="warehouse-") as folder:
        connection = duckdb.connect(str(Path(folder, "warehouse.duckdb")), config={**config})
        connection.execute("attach ':memory:' as memory")
        connection.execute("use memory")
        connection.execute("detach warehouse")
    return connection


def _spill_folder(wanted: Path) -> Path:
    """A folder of this connection's own beside ``wanted``; it appears when something is spilled.

    Two processes that spill into one folder overwrite each other's blocks under DuckDB 1.5. Where
    the home cannot be written to, as a colleague's, the user's temporary folder takes its place.
    """
    if os.access(wanted.parent, os.W_OK | os.X_OK):
        return wanted.with_name(f"{wanted.name}-{os.getpid()}-{next(_numbers)}")
    return Path(tempfile.gettempdir(), f"warehouse-{wanted.name}-{secrets.token_hex(8)}")


def abandoned_spills(build: Path) -> list[Path]:
    """Folders of spilled data that a killed process left a day ago or earlier."""
    oldest = time.time() - _ABANDONED_S
    return [path for path in build.glob("spill-*") if path.stat().st_mtime < oldest]
