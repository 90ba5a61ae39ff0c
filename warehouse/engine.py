"""The only place that opens DuckDB connections, restricts them and translates their errors.

So the settings of the home apply to every connection.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TypeVar

import duckdb

from warehouse.errors import (
    BUILD,
    MORE_MEMORY,
    REPAIR,
    ROOM_OR_RIGHTS,
    DamagedError,
    DiskError,
    LockedError,
    MemoryLimitError,
    NewerHomeError,
    QueryError,
    WarehouseError,
)
from warehouse.interrupts import Interruptible
from warehouse.sql import literal

T = TypeVar("T")

# For ``config``: no query or file can make DuckDB download extensions.
NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}

# In DuckDB 2.0 the first attached database replaces a default database that is detached; in 1.5 a
# cursor then has no default: after "attach ':memory:' as w; use w; detach memory" its "select
# current_database()" fails. Remove this, and the branches for 1.5 below, when 2.0 is the oldest
# supported version.
_DEFAULT_MOVES = int(duckdb.__version__.split(".")[0]) >= 2

_MEMORY_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")

# Folders of a home with the parquet files that a catalog reads.
_DATA_FOLDERS = ("objects", "marts")

_ABANDONED_S = 86_400
_numbers = itertools.count(1)
_here = threading.local()


class Opened:
    """The connections that :meth:`during` opens, which another thread can interrupt together."""

    def __init__(self) -> None:
        self._opened: list[weakref.ref[Interruptible]] = []

    def during(self, act: Callable[[], T]) -> T:
        """The result of ``act``, which runs in this thread."""
        _here.opened = self
        try:
            return act()
        finally:
            _here.opened = None

    def add(self, opened: Interruptible) -> None:
        self._opened.append(weakref.ref(opened))

    def interrupt(self) -> None:
        for reference in tuple(self._opened):
            opened = reference()
            if opened is not None:
                with suppress(duckdb.Error):  # it may have been closed
                    opened.interrupt()


def interrupted_too(opened: Interruptible) -> None:
    """Interrupt this engine together with the connections that this thread opens."""
    if (together := getattr(_here, "opened", None)) is not None:
        together.add(opened)


def connect(
    session: Mapping[str, str],
    catalog: Path | None = None,
    *,
    options: str = "read_only",
    config: Mapping[str, str] | None = None,
    for_cursors: bool = False,
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with a session's settings, including time zone and limits.

    Parameters
    ----------
    session
        Settings by name, as ``Settings.session`` or ``Home.session`` has them.
    catalog
        Attached as the database ``warehouse`` with ``options``.
    config
        Settings that can only be set before DuckDB starts.
    for_cursors
        Whether :func:`use_catalog` will be called.
    """
    connection = _start(config or {}, for_cursors=for_cursors)
    interrupted_too(connection)
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


def use_catalog(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``warehouse`` the database of a connection and of every cursor of it.

    A cursor does not inherit ``use``: it begins on the default database, which cannot be chosen
    (https://github.com/duckdb/duckdb-python/issues/162; remove all this when it does).
    When that is detached, ``warehouse`` replaces it: in DuckDB 2.0 if it was attached first, before
    2.0 because it has the name of the database that :func:`_start` opened.
    """
    connection.execute("use warehouse")
    if _DEFAULT_MOVES:
        connection.execute("detach memory")
        connection.execute("attach ':memory:' as memory")


def lock_session(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Restrict a session to the data files of its home."""
    row = connection.execute("select home from meta.build").fetchone()
    homes = {str(home), str(row[0]) if row else ""}
    folders = [str(Path(h, part)) + "/" for h in homes if h for part in _DATA_FOLDERS]
    restrict(connection, folders=folders)


def restrict(
    connection: duckdb.DuckDBPyConnection,
    *,
    folders: Iterable[str],
    files: Iterable[Path] = (),
) -> None:
    """Restrict a connection to these folders, which end in ``/``, and files."""
    for name, paths in (("directories", folders), ("paths", map(str, files))):
        listed = ", ".join(map(literal, paths))
        connection.execute(f"set allowed_{name} = [{listed}]")
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
    """A spill folder for this connection only, next to ``wanted``; DuckDB creates it when needed.

    Two processes that spill into one folder overwrite each other's blocks under DuckDB 1.5
    (https://github.com/duckdb/duckdb/issues/15173; from 2.0 on they do not). If the home cannot be
    written to, such as a colleague's, the user's temporary folder is used.
    """
    if os.access(wanted.parent, os.W_OK | os.X_OK):
        return wanted.with_name(f"{wanted.name}-{os.getpid()}-{next(_numbers)}")
    return Path(tempfile.gettempdir(), f"warehouse-{wanted.name}-{secrets.token_hex(8)}")


def abandoned_spills(build: Path) -> list[Path]:
    """Folders of spilled data that killed processes left at least a day ago."""
    oldest = time.time() - _ABANDONED_S
    return [path for path in build.glob("spill-*") if path.stat().st_mtime < oldest]


def limit_memory(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    """Set the memory limit from a size that the user wrote."""
    try:
        connection.execute(f"set memory_limit = {literal(memory)}")
    except duckdb.Error as error:
        raise QueryError(
            f"memory: {memory!r} is not a memory size", next_step="write it as 500MB or 2GB"
        ) from error


def memory_limit(connection: duckdb.DuckDBPyConnection) -> int:
    """The memory limit in bytes; DuckDB formats it as ``"1.8 GiB"``."""
    row = connection.execute("select current_setting('memory_limit')").fetchone()
    amount, unit = str(row[0]).split() if row else ("0", "bytes")
    return int(float(amount) * 1024 ** _MEMORY_UNITS.index(unit))


# -- errors --------------------------------------------------------------------------------------


class Fault(Enum):
    """The cause of an error of DuckDB, if it is not the SQL."""

    DISK = "the disk is full or not writable"
    MEMORY = "the memory limit is too low"
    LOCKED = "another process has the file open for writing"
    NEWER = "a newer DuckDB wrote the file"
    DAMAGE = "a file is damaged or missing"


# The first pattern that a message matches decides. DuckDB's exception classes do not: they differ
# between versions, pyarrow replaces them while it reads, and dbt passes on the text only. Messages
# may quote the user's values, so a pattern begins where a message does, or with a kind of error.
_FAULTS = {
    Fault.DISK: r"^\s*(IO|TransactionContext|FATAL|INTERNAL) Error: .*\n?.*(Could not write"
    r"|No space left|File too large|Read-only file system|[Qq]uota exceeded|Permission denied)"
    r"|^\s*Out of Memory Error: failed to offload",
    Fault.MEMORY: r"^\s*Out of Memory Error: ",
    Fault.LOCKED: r"^\s*IO Error: Could not set lock on file",
    Fault.NEWER: r"^\s*IO Error: .*\n?.*newer version of DuckDB",
    Fault.DAMAGE: r"(\A|^\s*(IO|Data Corruption|FATAL|INTERNAL) Error: )"
    r"(Corrupt database file|Could not read (enough|all) bytes|don't know what type"
    r"|TProtocolException)|^\s*IO Error: .* is not a valid DuckDB database",
}
_ABOUT_DATA = r"(\A(?![\w ]+ Error: )|^\s*(IO|Data Corruption|Invalid Input) Error: ).*({}/)"


def fault_of(error: Exception | str, home: Path | None = None) -> Fault | None:
    """The cause of an error of DuckDB, by its message; None if the SQL is wrong or it is unknown.

    Errors about the parquet files of ``home`` are :attr:`Fault.DAMAGE`.

    Examples
    --------
    >>> fault_of('IO Error: Could not write file "x.wal": No space left on device')
    <Fault.DISK: 'the disk is full or not writable'>
    >>> fault_of("Invalid Input Error: No space left on device")  # of a user's error('...')
    """
    message = str(error).partition("\nLINE ")[0]
    patterns = dict(_FAULTS)
    if home is not None:
        folders = "/|".join(re.escape(str(home / folder)) for folder in _DATA_FOLDERS)
        patterns[Fault.DAMAGE] += "|" + _ABOUT_DATA.format(folders)
    matches = (f for f, text in patterns.items() if re.search(text, message, re.MULTILINE))
    return next(matches, None)


# Our error for each fault, and its next step.
_ERRORS: dict[Fault, tuple[type[WarehouseError], str]] = {
    Fault.DISK: (DiskError, ROOM_OR_RIGHTS),
    Fault.MEMORY: (MemoryLimitError, MORE_MEMORY),
    Fault.LOCKED: (LockedError, "close it there, or open it read-only there"),
    Fault.NEWER: (NewerHomeError, "run: pip install --upgrade duckdb"),
    Fault.DAMAGE: (DamagedError, REPAIR),
}


def translated(
    error: Exception | str, home: Path | None = None, *, context: str = ""
) -> WarehouseError | None:
    """The error of this package for a :class:`Fault` that DuckDB reports; None for others.

    ``home`` is as in :func:`fault_of`; ``context``, what failed, is the first line of the message.
    """
    message = str(error).partition("\nLINE ")[0].strip()
    if message.startswith("Out of Memory"):  # DuckDB's advice that follows is about locked settings
        message = message.splitlines()[0]
    if (fault := fault_of(error, home)) is None:
        return None
    import json  # imported here, because sessions start without it

    # DuckDB 2.0 reports a failed write of parquet as JSON within its message
    message = re.sub(
        r'Async write failed for range .*?"exception_message": ?("(?:[^"\\]|\\.)*").*',
        lambda found: str(json.loads(found[1])),
        message,
    )
    kind, next_step = _ERRORS[fault]
    return kind(f"{context}\n{message}" if context else message, next_step=next_step)


@contextmanager
def translating(
    home: Path | None = None,
    *,
    context: str = "",
    but: Fault | None = None,
    blaming: Callable[[duckdb.Error], Exception] | None = None,
) -> Iterator[None]:
    """Raise an error of this package if DuckDB reports a :class:`Fault`.

    Parameters
    ----------
    home, context
        As in :func:`translated`.
    but
        A fault that counts as a mistake in the SQL.
    blaming
        Makes the error for mistakes in the SQL; by default DuckDB's own is raised.
    """
    try:
        yield
    except duckdb.Error as error:
        ours = translated(error, home, context=context)
        if ours is not None and fault_of(error, home) is not but:
            raise ours from error
        if blaming is not None:
            raise blaming(error) from error
        raise


def reading_catalog(catalog: Path) -> AbstractContextManager[None]:
    """Translate DuckDB's errors on a catalog file; what no other fault explains is its damage."""

    def damage(error: duckdb.Error) -> DamagedError:
        reason = str(error).splitlines()[0]
        return DamagedError(f"{catalog}: cannot be read as a catalog ({reason})", next_step=BUILD)

    return translating(but=Fault.DAMAGE, blaming=damage)
