"""One read-only DuckDB session on a published catalog: opened, locked, kept between queries.

Importing this module loads DuckDB and nothing else.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from warehouse import interrupts
from warehouse.config import Settings
from warehouse.engine import (
    NO_EXTENSIONS,
    attach,
    connect,
    limit_memory,
    lock_session,
    memory_limit,
    reading_catalog,
    use_catalog,
)
from warehouse.errors import (
    BUILD,
    ROOM_OR_RIGHTS,
    DamagedError,
    DiskError,
    LockedError,
    MemoryLimitError,
    UsageError,
)
from warehouse.home import (
    COPY_DATABASES,
    Home,
    NativeCopy,
    generation_path,
    native_copy,
    published_copies,
)
from warehouse.interrupts import Limits, run
from warehouse.query.python_rows import may_be_infinite, python_rows
from warehouse.query.sql_text.guard import Statement, check
from warehouse.sql import HOME_VARIABLE, literal, user_agent

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.analysis import Names

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A query with its values on a cursor of its own, which runs on each reading.

    Attributes
    ----------
    stream
        Runs the query and returns batches of at most that many rows.
    table
        Runs the query and returns one table, which is faster.
    types
        Name and type of each column; empty if the query was not bound.
    """

    cursor: duckdb.DuckDBPyConnection
    stream: Callable[[int], pa.RecordBatchReader]
    table: Callable[[], pa.Table]
    types: dict[str, str] = field(default_factory=dict)


# In DuckDB 2.0 a relation with parameters runs when it is read, in 1.5 when it is created, as shown
# by connection.sql("select error($a)", params={"a": "ran"}). When 2.0 is the oldest supported
# version, remove the branches for 1.5 and fetch().
_IS_LAZY = int(duckdb.__version__.split(".")[0]) >= 2

# Maximum number of checked SQL texts to cache.
_MAX_STATEMENTS = 256

_CLOSING_S = 30
_MAX_IDLE = 8

# Attempts to open a catalog while others are published: DuckDB opens the path more than once, so it
# may read parts of two catalogs.
_OPEN_ATTEMPTS = 5

_CONFIG = {**NO_EXTENSIONS, "python_enable_replacements": "false"}

# Allocate and free a block once, so that glibc keeps up to 32 MB of freed memory per heap for the
# next query: twice the largest block so far (M_MMAP_THRESHOLD in mallopt(3)). At first it keeps
# 128 kB, and new pages for each result take a third of the time of some megabytes.
bytes(16 << 20)


def _search_path(connection: duckdb.DuckDBPyConnection) -> str:
    """The search path: the marts, then the user's models, which never have the name of a mart.

    Catalogs of earlier versions may lack the schema ``user``; DuckDB refuses a missing
    schema.
    """
    rows = connection.execute(
        "select schema_name from duckdb_schemas()"
        " where database_name = 'warehouse' and schema_name in ('main', 'user') order by 1"
    )
    return ",".join(f"warehouse.{name}" for (name,) in rows.fetchall())


class Session:
    """A connection to one generation, with its names and caches.

    Attributes
    ----------
    settings, home
        Settings and home of the warehouse.
    memory
        The session's own memory limit; None for that of the settings.
    memory_bytes
        The memory limit in bytes.
    reads_copy
        Whether it reads the native copy of the marts, not their parquet files.
    generation
        Number of the generation.
    """

    def __init__(
        self,
        settings: Settings,
        connection: duckdb.DuckDBPyConnection,
        pin: int,
        *,
        memory: str | None = None,
        reads_copy: bool = False,
    ) -> None:
        self.settings, self.home = settings, Home.of(settings)
        self.memory, self.reads_copy = memory, reads_copy
        self._root: Session | None = None
        self.connection = connection
        self._searched = _search_path(connection)
        self.memory_bytes = None if memory is None else memory_limit(connection)
        row = connection.execute("select generation from meta.build").fetchone()
        self.generation = int(row[0]) if row else 0
        self._lock = threading.Lock()
        self._without_copy: Session | None = None
        self._statements: dict[str, Statement] = {}
        self._names: Names | None = None
        self._macros: frozenset[str] | None = None
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._is_closed = False
        self._unpin = weakref.finalize(self, os.close, pin)

    def limited(self, memory: str) -> Session:
        """A session on the same generation with another memory limit."""
        catalog = generation_path(self.home, self.generation)
        found = open_session(self.settings, catalog, memory=memory, copies=self.reads_copy)
        found._root = self.root
        return found

    @property
    def root(self) -> Session:
        """The session without its own memory limit, which reads descriptions of results."""
        return self._root or self

    @property
    def current(self) -> Session:
        """The session for the next query: this one, or another if its native copy is damaged."""
        return self._without_copy or self

    def without_copy(self) -> Session:
        """The session on the same generation that reads the stored months, not the native copy."""
        if not self.reads_copy:
            return self
        with self._lock:
            if self._without_copy is None:
                catalog = generation_path(self.home, self.generation)
                found = open_session(self.settings, catalog, memory=self.memory, copies=False)
                if self._root is None:
                    warn_of_copy(self.home.root)
                else:
                    found._root = self._root.without_copy()
                self._without_copy = found
            return self._without_copy

    @property
    def names(self) -> Names:
        """The catalog's names, read once."""
        if self._root is not None:
            return self._root.names
        if self._names is None:
            from warehouse.analysis import Names

            self._names = run(None, lambda: Names(self.new_cursor(), self.home.models))
        return self._names

    def checked(self, text: str, timeout_s: float | None) -> Statement:
        """The checked statement of a query; parsing a long one may take long."""
        statement = self._statements.get(text)
        if statement is None:
            cursor = self.cursor()
            limits = Limits(timeout_s)
            statement = run(cursor, lambda: check(text, cursor, self._is_macro), limits)
            self.give_back(cursor)
            if len(self._statements) >= _MAX_STATEMENTS:
                self._statements.clear()
            self._statements[text] = statement
        return statement

    def _is_macro(self, name: str) -> bool:
        """Whether the catalog has a table macro of that name."""
        if self._macros is None:
            rows = self.new_cursor().execute(
                "select lower(function_name) from duckdb_functions()"
                " where function_type = 'table_macro' and database_name = 'warehouse'"
            )
            self._macros = frozenset(row[0] for row in rows.fetchall())
        return name.lower() in self._macros

    def cursor(self, frames: Mapping[str, pa.Table] | None = None) -> duckdb.DuckDBPyConnection:
        """A cursor for one query: an idle one if there are no frames, else a new one."""
        if not frames:
            with suppress(IndexError):
                return self._idle.pop()
        return self.new_cursor(frames)

    def bind(
        self, text: str, params: dict[str, object], frames: Mapping[str, pa.Table]
    ) -> BoundQuery:
        """A query that passed :func:`warehouse.query.sql_text.guard.check`, bound but not run."""
        cursor = self.cursor(frames)
        if not _IS_LAZY:
            return replace(bind_late(cursor, text, params), types=describe(cursor, text, params))
        relation = cursor.sql(text, params=params)
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        return BoundQuery(cursor, relation.to_arrow_reader, relation.to_arrow_table, types)

    def new_cursor(self, frames: Mapping[str, pa.Table] | None = None) -> duckdb.DuckDBPyConnection:
        """A new cursor that is not shared, with the catalog as its default database.

        It can read the user's ``frames`` by their names.

        Raises
        ------
        UsageError
            The session was closed.
        """
        self.require_open()
        try:
            cursor = self.connection.cursor()
            cursor.execute(f"set search_path = {literal(self._searched)}")
            cursor.execute(f"set variable {HOME_VARIABLE} = {literal(str(self.home.root))}")
            for name, table in (frames or {}).items():
                cursor.register(name, table)
        except duckdb.ConnectionException:
            self.require_open()
            raise
        return cursor

    def give_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Keep a cursor for reuse after its result was read to the end."""
        if not self._is_closed and len(self._idle) < _MAX_IDLE:
            self._idle.append(cursor)

    def require_open(self) -> None:
        """Raise UsageError if the session was closed."""
        if self._is_closed:
            raise UsageError(
                f"{self.home.root}: this warehouse was closed, or refreshed after the query",
                next_step="open it or run the query again",
            )

    def close(self) -> None:
        """Close the generation, even if another thread is using it.

        Abandoned work, which ignores interrupts (https://github.com/duckdb/duckdb/issues/15925),
        keeps the connection until it ends: DuckDB 1.5 would wait for it here, 2.0 would refuse.
        """
        if self._without_copy is not None:
            self._without_copy.close()
        self._is_closed = True
        self._idle.clear()
        give_up = time.monotonic() + _CLOSING_S
        while not interrupts.is_abandoned():
            try:
                self.connection.close()
                break
            except duckdb.Error:  # that thread is making a cursor, or runs a query under 2.0
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        self._unpin()


def one_clock(timeout_s: float | None) -> AbstractContextManager[None]:
    """Count all work inside against one time limit; see ``interrupts.one_clock``."""
    # DuckDB before 2.0 imports pandas, if it is there, for the first value that it binds
    # (https://github.com/duckdb/duckdb/pull/18658); remove when 2.0 is the oldest supported version
    if timeout_s is not None and not _IS_LAZY and find_spec("pandas") is not None:
        run(None, lambda: import_module("pandas"))
    return interrupts.one_clock()


def open_session(
    settings: Settings, catalog: Path, *, memory: str | None = None, copies: bool = True
) -> Session:
    """A connection in memory with ``catalog`` attached read-only as ``warehouse``.

    If the catalog has a native copy, the copy is attached instead.
    ``memory`` is DuckDB's limit for this session, such as ``"500MB"``; the settings' by default.
    With ``copies`` the native copy may be used.

    Raises
    ------
    DamagedError
        The catalog cannot be opened.
    QueryError
        ``memory`` is not a memory size.
    """
    return run(None, lambda: _open_session(settings, catalog, memory, copies=copies))


def _open_session(
    settings: Settings, catalog: Path, memory: str | None, *, copies: bool
) -> Session:
    for _ in range(_OPEN_ATTEMPTS):
        with ExitStack() as opened:
            pin = _open_pin(catalog)
            opened.callback(os.close, pin)
            try:
                connection, reads_copy = _open_fastest(settings, catalog, memory, copies=copies)
            except DamagedError:
                if _is_same_file(catalog, pin):
                    raise
                continue
            opened.callback(connection.close)
            if _is_same_file(catalog, pin):
                opened.pop_all()
                return Session(settings, connection, pin, memory=memory, reads_copy=reads_copy)
    raise DamagedError(f"{catalog}: was replaced on each attempt to open it", next_step="try again")


def _open_pin(catalog: Path) -> int:
    """A locked descriptor, by which ``prune`` in any process sees that the generation is in use."""
    try:
        pin = os.open(catalog, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise DiskError(f"{catalog}: {error.strerror}", next_step=ROOM_OR_RIGHTS) from error
    except OSError as error:
        raise DamagedError(
            f"{catalog}: cannot be opened ({error.strerror})", next_step=BUILD
        ) from error
    with suppress(OSError):  # the file system has no locks
        fcntl.flock(pin, fcntl.LOCK_SH)
    return pin


def _is_same_file(catalog: Path, pin: int) -> bool:
    """Whether the catalog is still the file of the descriptor."""
    try:
        return os.path.samestat(catalog.stat(), os.fstat(pin))
    except OSError:
        return False


def _open_fastest(
    settings: Settings, catalog: Path, memory: str | None, *, copies: bool
) -> tuple[duckdb.DuckDBPyConnection, bool]:
    """The catalog's native copy, and True; the catalog itself if no copy can be opened."""
    copy = find_native_copy(Home.of(settings), catalog) if copies else None
    if copy is not None:
        try:
            return _open(settings, copy.catalog, memory, tables=(copy.closed, copy.recent)), True
        except (DamagedError, LockedError) as error:  # or a build has just replaced it
            if copy.is_complete() and type(error) is DamagedError:
                warn_of_copy(settings.home)
    return _open(settings, catalog, memory), False


def warn_of_copy(home: Path) -> None:
    """Warn that the native copy is not used."""
    log.warning(
        "warning: the native copy of %s is damaged; queries read its parquet files\n"
        "  next: warehouse verify --repair",
        home,
    )


def find_native_copy(home: Home, catalog: Path) -> NativeCopy | None:
    """The native copy of the generation of a catalog file; None if it has none.

    In a copied home the catalog is not a link to its generation, so its content is compared.
    """
    for number in published_copies(home):
        with suppress(OSError):  # pruned meanwhile
            if generation_path(home, number).samefile(catalog):
                return native_copy(home, number)
    if catalog != home.catalog or catalog.stat().st_nlink > 1:
        return None
    for number in published_copies(home):
        copy = native_copy(home, number)
        with suppress(duckdb.Error), connect(home.session, catalog) as connection:
            attach(connection, copy.catalog, "other")
            same = "from warehouse.meta.build intersect from other.meta.build"
            if connection.execute(same).fetchall():
                return copy
    return None


def _open(
    settings: Settings, catalog: Path, memory: str | None, *, tables: Iterable[Path] = ()
) -> duckdb.DuckDBPyConnection:
    config = {**_CONFIG, "custom_user_agent": user_agent(settings.home)}
    with ExitStack() as opened:
        try:
            with reading_catalog(catalog):
                connection = connect(settings.session, config=config, for_cursors=True)
                opened.callback(connection.close)
                # footers are read once per session, because files of a catalog never change
                connection.execute("set global parquet_metadata_cache = true")
                attach(connection, catalog)
                use_catalog(connection)
                for name, path in zip(COPY_DATABASES, tables, strict=False):
                    attach(connection, path, name, options="read_only, hidden")
                if memory is not None:
                    limit_memory(connection, memory)
                lock_session(connection, settings.home)
        except MemoryLimitError as error:
            raise MemoryLimitError(
                f"{memory or settings.session.get('memory_limit')} of memory is too little",
                next_step="raise it, for example to 500MB",
            ) from error
        opened.pop_all()
        return connection


def bind_late(
    cursor: duckdb.DuckDBPyConnection, text: str, params: dict[str, object]
) -> BoundQuery:
    """A query that is bound again on each reading."""
    if _IS_LAZY:
        return BoundQuery(
            cursor,
            lambda rows: cursor.sql(text, params=params).to_arrow_reader(rows),
            lambda: cursor.sql(text, params=params).to_arrow_table(),
        )

    def stream(rows: int) -> pa.RecordBatchReader:
        return cursor.execute(text, params).to_arrow_reader(rows)

    return BoundQuery(cursor, stream, lambda: stream(1_000_000).read_all())


def describe(
    cursor: duckdb.DuckDBPyConnection, text: str, params: dict[str, object]
) -> dict[str, str]:
    """Name and type of each column of a query, which is bound but not run."""
    asked = f"describe {text}"
    # DuckDB 1.5 binds the text while it is read, and would hold Python's lock, as in fetch()
    rows = cursor.execute(asked, params).fetchall() if _IS_LAZY else fetch(cursor, asked, params)
    return {str(row[0]): str(row[1]) for row in rows}


def fetch(
    cursor: duckdb.DuckDBPyConnection, text: str, params: dict[str, object]
) -> list[tuple[Any, ...]]:
    """Every row of a query, for small results.

    DuckDB 1.5 holds Python's lock while it fetches rows, and could not be interrupted; it releases
    it only while Arrow reads.
    """
    if _IS_LAZY:
        rows = list(cursor.sql(text, params=params).fetchall())
        if not may_be_infinite(rows):
            return rows
    return python_rows(bind_late(cursor, text, params).table())
