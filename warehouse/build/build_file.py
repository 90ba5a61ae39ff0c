"""The private build file and the published catalog, open in one DuckDB for all steps of a build.

Starting DuckDB, opening a catalog, parsing its functions and writing it back takes a tenth of a
second of processor time. A build of an hour of new data takes one or two seconds in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import duckdb

from warehouse.config import Settings
from warehouse.engine import attach, connect, interrupted_too, reading_catalog
from warehouse.home import Home
from warehouse.interrupts import is_abandoned

_PUBLISHED = "published"


class BuildFile:
    """The context manager of both files; it closes whatever it opened.

    The caller holds the home's lock.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.home = settings, Home.of(settings)
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._of_published: duckdb.DuckDBPyConnection | None = None
        self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if is_abandoned():
            return  # a step still runs, which only the end of the process can stop
        for connection in (self._of_published, self._engine):
            if connection is not None:
                connection.close()

    @property
    def engine(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB instance."""
        if self._engine is None:
            self._engine = connect(self.settings.session)
        return self._engine

    def open(self, *, options: str = "") -> duckdb.DuckDBPyConnection:
        """A connection that uses the build file, which is ``warehouse``.

        ``options`` are those of a file that does not exist yet.
        """
        connection = self.engine
        if not self._is_open:
            new = nullcontext() if options else reading_catalog(self.home.build_catalog)
            with new:
                attach(connection, self.home.build_catalog, options=options)
            self._is_open = True
            connection.execute("use warehouse")
        return connection

    @contextmanager
    def beside(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Another connection that uses the build file, for another thread."""
        with self.open().cursor() as connection:
            interrupted_too(connection)
            connection.execute("use warehouse")
            yield connection

    def close(self) -> None:
        """Close the file, so that another process can open it; :meth:`open` opens it again."""
        if self._is_open:
            self.engine.execute("use memory")
            self.engine.execute("detach warehouse")
            self._is_open = False

    def built(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """The rows of some queries on the build file.

        Raises
        ------
        DamagedError
            It cannot be read as a catalog of this version.
        """
        with reading_catalog(self.home.build_catalog):
            return [self.open().execute(query).fetchall() for query in queries]

    def published(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """The rows of some queries on the published catalog.

        Raises
        ------
        DamagedError
            Nothing was published, or it cannot be read as a catalog.
        """
        with reading_catalog(self.home.catalog):
            if self._of_published is None:
                attach(self.engine, self.home.catalog, _PUBLISHED)
                cursor = self.engine.cursor()
                interrupted_too(cursor)
                cursor.execute(f"use {_PUBLISHED}")
                self._of_published = cursor
            return [self._of_published.execute(query).fetchall() for query in queries]

    def interrupt(self) -> None:
        """Interrupt running statements, from another thread."""
        for connection in (self._engine, self._of_published):
            if connection is not None:
                connection.interrupt()
