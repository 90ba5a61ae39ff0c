"""Asking: open the published catalog read-only and run one SELECT at a time.

Importing this module loads DuckDB only. Every connection is in memory with the catalog attached
read-only under the name ``warehouse``, in UTC, its files locked to the home's objects and marts.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import duckdb

from warehouse.config import Settings, load_settings
from warehouse.errors import DamagedError, NotFoundError, QueryError, UsageError
from warehouse.home import Home

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

T = TypeVar("T")

_READING = frozenset({"SELECT", "MULTI"})
"""Kinds of statements, in the engine's words, that can be a query; PIVOT is MULTI."""


def open(home: str | os.PathLike[str] | None = None, *, generation: int | None = None) -> Warehouse:
    """Open a home's published catalog, read-only.

    Parameters
    ----------
    home
        The home's folder; ``$WAREHOUSE_HOME``, else ``./data``, by default.
    generation
        An earlier generation by its number; the current one by default.

    Raises
    ------
    NotFoundError
        The home, its catalog or that generation is not there.

    Examples
    --------
    >>> import warehouse
    >>> with warehouse.open(demo_home) as wh:
    ...     wh.sql("select count(*) from flow_features where interval = $i", i="1h").fetchall()
    [(8688,)]
    """
    return Warehouse(load_settings(home), generation=generation)


class Warehouse:
    """One published generation, open for reading; a context manager.

    It keeps its generation, whatever is published meanwhile, until :meth:`refresh`.
    """

    def __init__(self, settings: Settings, *, generation: int | None = None) -> None:
        self.settings = settings
        self.home = Home(settings.home)
        self._wanted = generation
        self._connection = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Warehouse({str(self.home.root)!r}, generation={self.generation})"

    def close(self) -> None:
        """Let go of the catalog."""
        self._connection.close()

    @property
    def generation(self) -> int:
        """Number of the generation that answers."""
        row = self._cursor().execute("select generation from meta.build").fetchone()
        return int(row[0]) if row else 0

    def refresh(self) -> None:
        """Go over to the generation that is published now."""
        fresh = self._connect()
        self._connection.close()
        self._connection = fresh

    def sql(
        self, text: str, params: Mapping[str, object] | None = None, /, **named: object
    ) -> Result:
        """Prepare one SELECT with named parameters (``$name``); it runs when it is read.

        Parameters
        ----------
        text
            One statement that only reads: SELECT, WITH, FROM, VALUES, PIVOT, DESCRIBE, SUMMARIZE.
        params, **named
            Values by name. Dates are UTC days, naive datetimes UTC, aware ones are converted;
            numpy scalars, pandas timestamps and lists are taken as they are meant.

        Raises
        ------
        QueryError
            The text is no such statement, is wrong, or a name is missing or unknown.
        """
        values = {name: _bound(value) for name, value in {**(params or {}), **named}.items()}
        return Result(self, _single_statement(text), _check_names(text, values))

    def connection(self) -> duckdb.DuckDBPyConnection:
        """The raw DuckDB connection, for who wants it."""
        return self._cursor()

    def tables(self) -> Result:
        """Every table and view with its meaning: columns schema, name, meaning."""
        return self.sql("from help()")

    def describe(self, name: str) -> Result:
        """Columns of a table or view: column, type, meaning with unit.

        Raises
        ------
        NotFoundError
            There is no such table; the message lists the nearest names.
        """
        schema, _, table = name.rpartition(".")
        found = self.sql(
            'select column_name as "column", data_type as type, comment as meaning'
            " from duckdb_columns() where database_name = 'warehouse'"
            " and table_name = $table and ($schema = '' or schema_name = $schema)"
            " and schema_name = (select schema_name from duckdb_columns()"
            "   where database_name = 'warehouse' and table_name = $table"
            "   and ($schema = '' or schema_name = $schema)"
            "   order by position(schema_name in 'main user vendor meta staging') limit 1)"
            " order by column_index",
            table=table,
            schema=schema,
        )
        if not len(found):
            raise NotFoundError(
                f"{name}: no such table or view{_nearest(table, self._table_names())}",
                next_step="list them with: warehouse describe",
                name=name,
            )
        return found

    def coverage(self, dataset: str | None = None, symbol: str | None = None) -> Result:
        """What is here by dataset, series and month, and how many bars are missing."""
        return self.sql(
            "select * from meta.coverage where dataset = coalesce($dataset, dataset)"
            " and symbol = coalesce($symbol, symbol) order by all",
            dataset=dataset,
            symbol=symbol,
        )

    def _table_names(self) -> list[str]:
        return [name for _, name, _ in self.tables().fetchall()]

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._wanted is None:
            path, missing = self.home.catalog, "no catalog yet"
        else:
            path = self.home.generations / str(self._wanted) / "warehouse.duckdb"
            missing = f"no generation {self._wanted}"
        if not path.is_file():
            raise NotFoundError(
                f"{self.home.root}: {missing}",
                next_step="run: warehouse demo, or: warehouse sync and warehouse build",
                home=str(self.home.root),
            )
        connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            }
        )
        try:
            for name, value in self.settings.session.items():
                connection.execute(f"set {name} = '{_quoted(value)}'")
            connection.execute(f"attach '{_quoted(str(path))}' as warehouse (read_only)")
            connection.execute("use warehouse")
            self._lock_files(connection)
        except duckdb.Error as error:
            connection.close()
            raise DamagedError(
                f"{path}: cannot be opened ({str(error).splitlines()[0]})",
                next_step="run: warehouse build",
            ) from error
        return connection

    def _lock_files(self, connection: duckdb.DuckDBPyConnection) -> None:
        """From here on the connection reads the home's data files and no others."""
        row = connection.execute("select home from meta.build").fetchone()
        homes = {str(self.home.root), str(row[0]) if row else ""}
        folders = [str(Path(h, part)) + "/" for h in homes if h for part in ("objects", "marts")]
        listed = ", ".join(f"'{_quoted(folder)}'" for folder in folders)
        connection.execute(f"set allowed_directories = [{listed}]")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        try:
            cursor = self._connection.cursor()
        except duckdb.ConnectionException as error:
            raise UsageError(
                f"{self.home.root}: this warehouse was closed", next_step="open it again"
            ) from error
        cursor.execute("use warehouse")
        return cursor


class Result:
    """The answer to one query; it runs on first reading and may be read again.

    ``df``, ``pl``, ``arrow`` and ``fetchall`` share one stored answer; ``batches`` streams.
    """

    def __init__(self, warehouse: Warehouse, text: str, params: dict[str, object]) -> None:
        self._warehouse = warehouse
        self._text = text
        self._params = params
        self._table: pa.Table | None = None
        self._lock = threading.Lock()
        self._prepared = self._prepare()

    def arrow(self) -> pa.Table:
        """The answer as a pyarrow Table."""
        with self._lock:
            if self._table is None:
                self._table = _reading(self._prepared.to_arrow_table, self._text)
            return self._table

    def df(self) -> pd.DataFrame:
        """The answer as a pandas DataFrame; times naive UTC."""
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def pl(self) -> pl.DataFrame:
        """The answer as a polars DataFrame; times naive UTC."""
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The answer as a list of tuples."""
        table = self.arrow()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def batches(self, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """Stream the answer in batches of at most ``rows``, without storing it."""
        reader = _reading(lambda: self._prepare().to_arrow_reader(rows), self._text)
        yield from reader

    @property
    def columns(self) -> dict[str, str]:
        """Name and DuckDB type of each column, in order."""
        names, types = self._prepared.columns, self._prepared.types
        return dict(zip(names, map(str, types), strict=True))

    def __len__(self) -> int:
        return len(self.arrow())

    def __repr__(self) -> str:
        from warehouse.display import render_arrow

        return render_arrow(self.arrow(), limit=20)

    def _prepare(self) -> duckdb.DuckDBPyRelation:
        cursor = self._warehouse._cursor()
        return _reading(lambda: cursor.sql(self._text, params=self._params), self._text)


def _single_statement(text: str) -> str:
    """The text wrapped as a subquery: the engine itself then refuses all that is no query."""
    if "\x00" in text:
        raise QueryError("the SQL holds a NUL byte")
    bare = text.strip().rstrip(";").rstrip()
    if not bare:
        raise QueryError("the SQL is empty", next_step='try: warehouse sql "from help()"')
    return f"select * from (\n{bare}\n)"


def _check_names(text: str, values: dict[str, object]) -> dict[str, object]:
    try:
        statements = duckdb.extract_statements(text)
    except (duckdb.Error, ValueError) as error:
        raise _query_error(error, text) from error
    if len(statements) != 1:
        raise QueryError(
            f"one statement at a time, please: this holds {len(statements)}",
            next_step="run them one by one",
        )
    kind = statements[0].type.name
    if kind not in _READING:
        raise QueryError(
            f"{kind} is no query: this connection only reads",
            next_step="write one SELECT (WITH, FROM, VALUES, PIVOT, DESCRIBE, SUMMARIZE, SHOW too)",
        )
    wanted = {str(name) for name in statements[0].named_parameters}
    missing, unknown = wanted - values.keys(), values.keys() - wanted
    if missing or unknown:
        what = [f"missing {name}" for name in sorted(missing)]
        what += [f"unknown {name}" for name in sorted(unknown)]
        accepted = ", ".join(f"${name}" for name in sorted(wanted)) or "none"
        raise QueryError(f"parameters: {', '.join(what)}; the query accepts {accepted}")
    return values


def _bound(value: Any) -> object:
    """A value as DuckDB binds it: numpy's and pandas' as Python's own, aware datetimes naive UTC.

    Times are taken to the microsecond, as the catalog holds them.
    """
    if isinstance(value, dt.datetime):
        if value != value:
            return None
        moment = value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_bound(item) for item in value]
    if type(value).__module__ == "numpy" and value.dtype.kind in "Mm":
        value = value.astype(f"{value.dtype.kind}8[us]")
    return _bound(value.tolist()) if hasattr(value, "tolist") else value


def _reading(act: Callable[[], T], text: str) -> T:
    """Run one step of a query; what DuckDB raises becomes a QueryError."""
    try:
        return act()
    except duckdb.Error as error:
        raise _query_error(error, text) from error


def _query_error(error: Exception, text: str) -> QueryError:
    said = str(error).partition("\nLINE ")[0].split("\n")
    what = "\n  ".join(line.strip() for line in said if line.strip())
    return QueryError(what or "the SQL is wrong", sql=text)


def _nearest(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _quoted(text: str) -> str:
    return text.replace("'", "''")
