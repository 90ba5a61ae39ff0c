"""Results: conversion to frames, streaming, display, units, missing bars and receipts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from html import escape
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

import duckdb

from warehouse import analysis
from warehouse.display import counted, render_cells, render_table
from warehouse.engine import Fault, fault_of, translated
from warehouse.errors import REPAIR, CopyDamagedError, QueryError, UsageError, WarehouseError
from warehouse.interrupts import Limits, run, until_abandoned
from warehouse.query.python_rows import python_rows
from warehouse.query.results.tabular import Column, Tabular, as_pandas, as_polars
from warehouse.query.session import BoundQuery, Session, bind_late, describe, fetch
from warehouse.query.sql_text.guard import Statement, engine_message
from warehouse.query.sql_text.measure_hints import measure_hint
from warehouse.sql import Relation

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from warehouse.analysis import EmptyWindow, LookAhead, QueryScope, Trace
    from warehouse.query.results.receipt import Receipt

P = ParamSpec("P")
T = TypeVar("T")

_HTML_ROWS = 20


def _retry_without_copy(read: Callable[Concatenate[Result, P], T]) -> Callable[..., T]:
    """Repeat a reading from the stored months if the native copy is damaged."""

    @wraps(read)
    def reading(self: Result, *args: P.args, **named: P.kwargs) -> T:
        try:
            return read(self, *args, **named)
        except CopyDamagedError:
            self._leave_copy()
            return read(self, *args, **named)

    return reading


def _within_limits(look: Callable[[Result], T]) -> Callable[[Result], T]:
    """Run an analysis of the query on another thread, within the time limit of one reading."""

    @wraps(look)
    def looking(self: Result) -> T:
        return run(None, lambda: look(self), self._limits())

    return looking


class Result(Tabular):
    """The result of one query, which runs when it is first read and can be read again.

    ``df``, ``pl``, ``arrow`` and ``fetchall`` share one result in memory; ``batches`` and ``head``
    store nothing. Rows are in the order of the query's ORDER BY; without one their order is
    undefined and may differ between readings. Times without a zone are UTC.

    Every reading raises QueryError if DuckDB cannot compute the rows or a limit is reached,
    DamagedError if a file of the home is damaged, and UsageError if the warehouse was closed.
    """

    def __init__(
        self,
        session: Session,
        statement: Statement,
        params: dict[str, object],
        frames: Mapping[str, pa.Table] | None = None,
        *,
        timeout_s: float | None = None,
        template: str | None = None,
        held: object = None,
    ) -> None:
        self._session = session
        self._held = held  # keeps the files that it needs in the cache of a bucket
        self._template = template
        self._statement = statement
        self._params = params
        self._frames = frames or {}
        self._timeout_s = timeout_s
        self._table: pa.Table | None = None
        self._count: int | None = None
        self._head: tuple[int, list[tuple[Any, ...]]] | None = None
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._bound: BoundQuery | None = None
        self._described: Relation | None = None
        self._types = self._describe()

    @_retry_without_copy
    def arrow(self) -> pa.Table:
        """The result as a pyarrow Table; TIMESTAMP is ``timestamp[us]``, naive UTC."""
        with self._lock:
            if self._table is None:
                began = time.monotonic()
                query = self._next_query()
                spent_s = time.monotonic() - began
                self._table = self._run(lambda _: query.table(), query.cursor, spent_s)
                self._give_back(query.cursor)
            return self._table

    def df(self) -> pd.DataFrame:
        """The result as a pandas DataFrame with a plain index, 0 and up.

        TIMESTAMP is ``datetime64[us]``, naive UTC. As usual in pandas, integers with NULL become
        ``float64`` and booleans with NULL ``object``.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     frame = wh.sql("select time, close from bars where interval = '1h'").df()
        >>> frame.shape, frame["close"].dtype.name
        ((8688, 2), 'float64')
        """
        table = self.arrow()
        return run(None, lambda: as_pandas(table))

    def pl(self) -> pl.DataFrame:
        """The result as a polars DataFrame; TIMESTAMP is ``Datetime("us")``, naive UTC."""
        return run(None, lambda: as_polars(self.arrow()))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples; a TIMESTAMP is naive UTC, and an infinite one is an error."""
        return python_rows(self.arrow())

    @_retry_without_copy
    def head(self, rows: int = 20) -> list[tuple[Any, ...]]:
        """The first ``rows`` rows as tuples, as in :meth:`fetchall`; no others are read."""
        if self._table is not None:
            return python_rows(self._table.slice(0, rows))
        if self._head is not None and rows <= self._head[0]:
            return self._head[1][:rows]
        text = self._statement.text
        if not self._statement.explains:
            text = f"select * from (\n{text}\n) limit {int(rows)}"
        self._head = rows, self._run(lambda c: fetch(c, text, self._params))
        return list(self._head[1])

    def batches(self, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """Stream the result as Arrow record batches of 1 to ``rows`` rows, without storing it.

        The types are those of :meth:`arrow`. Each call runs the query again.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     r = wh.sql("select time from flow_features order by time")
        ...     sum(batch.num_rows for batch in r.batches(50_000))
        112944
        """
        has_begun = False
        try:
            for batch in self._stream(rows):
                has_begun = True
                yield batch
        except CopyDamagedError:
            if has_begun:
                raise
            self._leave_copy()
            yield from self._stream(rows)

    def _stream(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The result in batches, from the current session."""
        spent = 0.0
        with self._lock:
            query = self._next_query()

        def timed(act: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
            nonlocal spent
            began = time.monotonic()
            try:
                return self._run(act, query.cursor, spent)
            finally:
                spent += time.monotonic() - began

        reader = timed(lambda _: query.stream(rows))
        while True:
            try:
                batch = timed(lambda _: reader.read_next_batch())
            except StopIteration:
                return
            yield batch

    def cancel(self) -> None:
        """Stop the query permanently, from another thread; its readers get a QueryError.

        A result that is already stored can still be read.
        """
        self._cancelled.set()

    @property
    @_within_limits
    def columns(self) -> dict[str, Column]:
        """Each column's type, unit and meaning by its name, in order.

        A value is the type as text with the attributes ``unit`` and ``meaning``, which are None if
        the query itself computes the column.
        """
        facts = analysis.column_facts(self._statement.tree, list(self._types), self._session.names)
        return {
            name: Column(kind, *facts.get(name, (None, None))) for name, kind in self._types.items()
        }

    @property
    @_within_limits
    def warnings(self) -> tuple[analysis.Remark, ...]:
        """Models that look ahead, windows without values, missing columns and bars, refused files.

        In this order:

        - ``LookAhead``: one of the user's own models that did not pass the audit;
        - ``EmptyWindow``: a window over which measures are NULL, because its length is not a
          multiple of the selected bars, or exceeds their span;
        - ``AbsentColumn``: a column that some vendor files lack, so it is NULL in their rows;
        - ``Gap``: a span that is missing or was refused, by series and time.

        They are computed on access for the series and span that the query's conditions on key
        columns and ``time`` select; without such conditions for everything that its tables cover.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     r = wh.sql("from vendor.flow where time < '2026-03-02' and series_id = 1")
        ...     [(gap.reason, str(gap.start)) for gap in r.warnings]
        [('after its last file', '2026-03-01 00:00:00')]
        """
        scope = self._scope()
        cursor = self._session.root.new_cursor()
        session, tree = self._session, self._statement.tree
        absent = analysis.find_absent_columns(cursor, scope, tree, session.names)
        gaps = analysis.find_gaps(cursor, until_abandoned(scope), session.home, tree, session.names)
        return (*self._marks(scope), *self._empty_windows(scope), *absent, *gaps)

    @property
    @_within_limits
    def hint(self) -> str | None:
        """Why the result is empty, or has one row of only zeros and NULLs.

        One line: which selected clock, interval, symbol, exchange or time the home lacks; if it
        lacks none and there are no rows, the span that the tables cover. None if there is nothing
        to explain. It is computed on access.
        """
        if self._statement.explains:
            return None
        rows = self.head(2)
        if len(rows) > 1 or any(value for row in rows for value in row):
            return None
        cursor = self._session.root.new_cursor()
        return analysis.explain_empty(cursor, self._scope(), has_rows=bool(rows))

    @_within_limits
    def trace(self) -> Trace:
        """The origin of each column, down to the vendor's; as ``warehouse sql --explain``."""
        return analysis.trace(self._statement.tree, self._types, self._session.names, self._scope())

    @property
    @_within_limits
    def receipt(self) -> Receipt:
        """A record of what this result was computed from; see ``warehouse verify``.

        Each access runs the query again, without storing its rows, to compute their hash.
        """
        from warehouse.query.results import receipt

        scope, cursor = self._scope(), self._session.root.new_cursor()
        ordered = self._statement.is_ordered
        batches = self.batches(receipt.BATCH_ROWS)
        rows, content = receipt.content_hash(self._types, batches, ordered=ordered)
        ((version,),) = fetch(cursor, "select product_version from meta.build", {})
        return receipt.Receipt(
            sql=self._statement.bare,
            params=dict(self._params),
            generation=self._session.generation,
            product_version=version,
            duckdb_version=duckdb.__version__,
            files=receipt.files_behind(cursor, scope),
            rows=rows,
            columns=self._types,
            is_ordered=ordered,
            content=content,
            frames={name: receipt.frame_facts(frame) for name, frame in self._frames.items()},
            looks_ahead=tuple(map(str, self._marks(scope))),
            template=self._template or "",
        )

    def _scope(self) -> tuple[QueryScope, ...]:
        """The tables that the query reads, with the datasets, series and span behind each."""
        statement = self._statement
        names = self._session.names
        return analysis.query_scope(statement.tree, statement.bare, self._params, names)

    def _marks(self, scope: tuple[QueryScope, ...]) -> tuple[LookAhead, ...]:
        relations = [one.relation for one in scope]
        relations += [self._described] if self._described is not None else []
        return analysis.find_marks(self._session.root.new_cursor(), relations)

    def _empty_windows(self, scope: tuple[QueryScope, ...]) -> tuple[EmptyWindow, ...]:
        statement, cursor = self._statement, self._session.root.new_cursor()
        return analysis.find_empty_windows(
            cursor, statement.tree, statement.bare, self._params, scope, self._session.names
        )

    @_retry_without_copy
    def __len__(self) -> int:
        """The number of rows; DuckDB counts them if the result is not stored."""
        if self._table is not None or self._statement.explains:
            return len(self.arrow())
        if self._head is not None and len(self._head[1]) < self._head[0]:
            return len(self._head[1])
        if self._count is None:
            text = f"select count(*) from (\n{self._statement.text}\n)"
            self._count = int(self._run(lambda c: fetch(c, text, self._params))[0][0])
        return self._count

    def __reduce__(self) -> NoReturn:
        """Refuse to pickle: a result belongs to an open warehouse of this process."""
        raise UsageError(
            "a result cannot be pickled or deep-copied", next_step="use r.df() or r.arrow()"
        )

    def __repr__(self) -> str:
        text, hint = render(self, 20), self.hint
        lines = analysis.warning_lines(self.warnings, hint)
        return "\n".join([text, *([hint] if hint else []), *lines])

    def _repr_html_(self) -> str:
        """The first rows with types and units in the header, then a line on size and warnings."""
        head, columns, hint = self.head(_HTML_ROWS + 1), self.columns, self.hint
        names = "".join(
            f'<th title="{escape(column.meaning or column.type)}">{escape(name)}'
            f"<br><small>{escape(column.unit or column.type)}</small></th>"
            for name, column in columns.items()
        )
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in render_cells(list(columns), head[:_HTML_ROWS])
        )
        is_cut = len(head) > _HTML_ROWS
        size = counted(len(self) if is_cut else len(head), "row")
        size += f" x {counted(len(columns), 'column')}"
        size += f", the first {_HTML_ROWS} shown" if is_cut else ""
        remarks = "" if hint is None else f"<br>{escape(hint)}"
        for line in analysis.warning_lines(self.warnings, hint):
            remarks += f"<br>&#9888; {escape(line)}"
        return (
            f'<table class="dataframe"><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>'
            f"<p>{size}{remarks}</p>"
        )

    @_retry_without_copy
    def _describe(self) -> dict[str, str]:
        """Names and types of the columns, by binding the query; an invalid one is an error.

        A query without a parse tree is described: PIVOT reads its rows to know its columns.
        """
        text, params = self._statement.text, self._params
        if self._statement.explains:
            text = text[text.index("select * from (") :]
        if self._statement.tree is None:
            types = self._run(lambda c: describe(c, text, params))
        else:
            types = self._bind(text)
        if self._statement.explains:
            return {"explain_key": "VARCHAR", "explain_value": "VARCHAR"}
        return types

    def _bind(self, text: str) -> dict[str, str]:
        """Bind the query in the form in which its first reading runs it."""
        try:
            query = self._bound_query(text)
        except duckdb.Error as error:
            raise self._query_error(error) from error
        if self._statement.explains:
            self._give_back(query.cursor)
        else:
            self._bound = query
        return query.types

    def _next_query(self) -> BoundQuery:
        """The bound query for one reading; the caller holds the lock."""
        self._session.require_open()
        query, self._bound = self._bound, None
        if query is not None:
            return query
        if self._statement.tree is None or self._statement.explains:
            return bind_late(self._session.cursor(self._frames), self._statement.text, self._params)
        return self._bound_query(self._statement.text)

    def _bound_query(self, text: str) -> BoundQuery:
        """Bind the query with its values; this may take long for a long list."""
        session = self._session
        return run(None, lambda: session.bind(text, self._params, self._frames), self._limits())

    def _leave_copy(self) -> None:
        """Switch to a session that reads the stored months and not their native copy."""
        self._session = self._session.without_copy()
        self._bound = None

    def _limits(self, spent_s: float = 0.0) -> Limits:
        """The limits of one step, less the time of earlier steps."""
        memory = self._session.memory_bytes
        growth = None if memory is None else 2 * memory
        return Limits(self._timeout_s, spent_s, growth, self._cancelled)

    def _give_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Release a cursor for reuse, unless a PIVOT left its types on it or it has frames."""
        if self._statement.tree is not None and not self._frames:
            self._session.give_back(cursor)

    def _run(
        self,
        act: Callable[[duckdb.DuckDBPyConnection], T],
        cursor: duckdb.DuckDBPyConnection | None = None,
        spent_s: float = 0.0,
    ) -> T:
        """One step of the query on a cursor; errors of DuckDB become QueryError."""
        on = cursor or self._session.cursor(self._frames)
        try:
            value = run(on, lambda: act(on), self._limits(spent_s))
        except (duckdb.Error, OSError, ValueError, RuntimeError) as error:
            # the engine raises all but duckdb.Error while pyarrow reads from it
            raise self._query_error(error) from error
        if cursor is None:
            self._give_back(on)
        return value

    def _query_error(self, error: Exception) -> WarehouseError:
        """DuckDB's message, with the nearest names if a table or column is unknown."""
        self._session.require_open()
        message = engine_message(str(error).partition("\nLINE ")[0])
        if self._session.reads_copy and fault_of(error) is Fault.DAMAGE:
            return CopyDamagedError(message, next_step=REPAIR)
        if (ours := translated(error, self._session.home.root)) is not None:
            return ours
        names = self._session.names
        sql = self._statement.bare
        hint = measure_hint(message, sql) or names.suggestion(str(error), self._statement.tree)
        return QueryError(names.failure(message)[0], next_step=hint, sql=sql)


# -- for the command line ------------------------------------------------------------------------


def render(
    result: Result,
    rows: int,
    *,
    width: int | None = None,
    wrap: bool = False,
    hint: str = "name them, widen the terminal, or use .df()",
) -> str:
    """The first rows as a text table, with a last line if there are more.

    ``hint`` explains how to see columns for which there is no room.
    """
    if result._statement.explains:
        return "\n".join(str(plan) for _, plan in result.fetchall())
    head = result.head(rows + 1)
    text = render_table(result.keys(), head[:rows], width=width, wrap=wrap, hint=hint)
    if len(head) > rows:
        text += f"\n… {len(result) - rows:,} more of {counted(len(result), 'row')}"
    return text


@_within_limits
def quick_warnings(result: Result) -> tuple[LookAhead | EmptyWindow, ...]:
    """:attr:`Result.warnings` without absent columns and gaps, which take longer to find."""
    scope = result._scope()
    return (*result._marks(scope), *result._empty_windows(scope))


@_within_limits
def texts_among_parameters(result: Result) -> frozenset[str]:
    """Names of parameters, in lower case, that the query compares with text columns."""
    return analysis.text_parameters(result._statement.tree, result._session.names)
