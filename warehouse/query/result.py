"""An answer: read in whichever form, streamed, shown, with its units, holes and receipt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
)

import duckdb

from warehouse.display import counted
from warehouse.errors import (
    REPAIR,
    ROOM_OR_RIGHTS,
    CopyDamagedError,
    DamagedError,
    DiskError,
    QueryError,
    UsageError,
    WarehouseError,
    tells_of_damage,
    tells_of_disk,
)
from warehouse.loading import load
from warehouse.query.guard import Statement, plain
from warehouse.query.session import Question, Session, ask, describe, fetch
from warehouse.query.tabular import Tabular
from warehouse.waiting import Limits, heeding, run

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from warehouse.analysis import Hole, LookAhead, Place, Reach, Trace
    from warehouse.query.receipt import Receipt
    from warehouse.query.warehouse import Warehouse

P = ParamSpec("P")
T = TypeVar("T")


def past_a_damaged_copy(read: Callable[Concatenate[Result, P], T]) -> Callable[..., T]:
    """Read again from the stored months where the native copy turns out to be damaged."""

    @wraps(read)
    def reading(self: Result, *args: P.args, **named: P.kwargs) -> T:
        try:
            return read(self, *args, **named)
        except CopyDamagedError:
            self.leave_copy()
            return read(self, *args, **named)

    return reading


def _limited(look: Callable[[Result], T]) -> Callable[[Result], T]:
    """Look at what an answer touches on another thread, within the time of one reading."""

    @wraps(look)
    def looking(self: Result) -> T:
        return run(None, lambda: look(self), self.limits())

    return looking


class Column(str):
    """A column of an answer: the text is its DuckDB type, and it knows unit and meaning.

    ``unit`` and ``meaning`` are None where the query computes the column anew.
    """

    __slots__ = ("meaning", "unit")
    unit: str | None
    meaning: str | None

    def __new__(cls, type: str, unit: str | None = None, meaning: str | None = None) -> Self:
        column = super().__new__(cls, type)
        column.unit, column.meaning = unit, meaning
        return column

    @property
    def type(self) -> str:
        """The DuckDB type as plain text."""
        return str(self)


class Result(Tabular):
    """The answer to one query; it runs on first reading and may be read again.

    ``df``, ``pl``, ``arrow`` and ``fetchall`` share one stored answer; ``batches`` and ``head``
    stream and store nothing.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        statement: Statement,
        params: dict[str, object],
        session: Session,
        *,
        timeout_s: float | None = None,
    ) -> None:
        self.text = statement.bare
        self.params = params
        self.frames = session.frames
        self._warehouse = warehouse
        self._statement = statement
        self._timeout_s = timeout_s
        self._session = session
        self._table: pa.Table | None = None
        self._count: int | None = None
        self._head: tuple[int, list[tuple[Any, ...]]] | None = None
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._bound: Question | None = None
        self.described: Place | None = None
        self.types = self._describe()

    @past_a_damaged_copy
    def arrow(self) -> pa.Table:
        """The answer as a pyarrow Table; times naive UTC."""
        with self._lock:
            if self._table is None:
                began = time.monotonic()
                question = self._question()
                spent_s = time.monotonic() - began
                self._table = self._run(lambda _: question.table(), question.cursor, spent_s)
                self._give_back(question.cursor)
            return self._table

    def df(self) -> pd.DataFrame:
        """The answer as a pandas DataFrame; times naive UTC."""
        table = self.arrow()
        load("pandas")
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def pl(self) -> pl.DataFrame:
        """The answer as a polars DataFrame; times naive UTC."""
        table = self.arrow()
        load("polars")
        import polars

        frame = polars.from_arrow(table)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The answer as a list of tuples."""
        table = self.arrow()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    @past_a_damaged_copy
    def head(self, rows: int = 20) -> list[tuple[Any, ...]]:
        """The first rows of the answer as tuples, without storing it."""
        if self._table is not None:
            columns = self._table.slice(0, rows).columns
            return list(zip(*(column.to_pylist() for column in columns), strict=True))
        if self._head is not None and rows <= self._head[0]:
            return self._head[1][:rows]
        text = self._statement.text
        if not self._statement.explains:
            text = f"select * from (\n{text}\n) limit {int(rows)}"
        self._head = rows, self._run(lambda c: fetch(c, text, self.params))
        return list(self._head[1])

    def batches(self, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """Stream the answer in batches of at most ``rows``, without storing it."""
        has_begun = False
        try:
            for batch in self._stream(rows):
                has_begun = True
                yield batch
        except CopyDamagedError:
            if has_begun:
                raise
            self.leave_copy()
            yield from self._stream(rows)

    def _stream(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The answer in batches, from the session as it is."""
        spent = 0.0
        with self._lock:
            question = self._question()

        def timed(act: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
            nonlocal spent
            began = time.monotonic()
            try:
                return self._run(act, question.cursor, spent)
            finally:
                spent += time.monotonic() - began

        reader = timed(lambda _: question.stream(rows))
        while True:
            try:
                batch = timed(lambda _: reader.read_next_batch())
            except StopIteration:
                return
            yield batch

    def cancel(self) -> None:
        """Stop the query for good, from another thread: whoever reads it gets a QueryError.

        What is stored already can still be read.
        """
        self._cancelled.set()

    @property
    @_limited
    def columns(self) -> dict[str, Column]:
        """Each column's type, unit and meaning by its name, in order.

        A value is the type's text with the attributes ``unit`` and ``meaning``, which are None
        where the column is not one of the catalog's.
        """
        origins = self._warehouse.names().origins(self._statement.tree, list(self.types))
        return {
            name: Column(kind, *origins.get(name, (None, None)))
            for name, kind in self.types.items()
        }

    @property
    @_limited
    def warnings(self) -> tuple[Hole | LookAhead, ...]:
        """Models that look ahead, missing bars and refused files in what the query selects.

        The models are those of the user's own that did not pass the audit. Holes are worked out
        when asked for, from the series and the span of time that the query's predicates on key
        columns and ``time`` select; else from all that its tables cover.
        """
        from warehouse.analysis import find_holes

        holes = find_holes(self._cursor_on_catalog(), heeding(self.reach), self._warehouse.home)
        return (*self.marks, *holes)

    @property
    @_limited
    def marks(self) -> tuple[LookAhead, ...]:
        """The user's models in the query that did not pass the look-ahead audit."""
        from warehouse.analysis import find_marks

        places = [reach.place for reach in self.reach]
        places += [self.described] if self.described is not None else []
        return find_marks(self._cursor_on_catalog(), places)

    @property
    @_limited
    def hint(self) -> str | None:
        """Why an answer without rows, or with one of 0 and NULL only, says nothing.

        One line on what the query names (clock, interval, symbol, exchange, time) and is not in
        this home; where an answer has no rows, else on the span that its tables have here. None
        where neither is known. Worked out when asked for.
        """
        if self._statement.explains:
            return None
        rows = self.head(2)
        if len(rows) > 1 or any(value for row in rows for value in row):
            return None
        from warehouse.analysis import explain_empty

        return explain_empty(self._cursor_on_catalog(), self.reach, has_rows=bool(rows))

    @property
    @_limited
    def reach(self) -> tuple[Reach, ...]:
        """Tables that the query reads, with the datasets, series and span behind each."""
        return self._warehouse.names().reach(self._statement.tree, self.text, self.params)

    @property
    @_limited
    def text_parameters(self) -> frozenset[str]:
        """Names of parameters, in lower case, that the query compares with columns of text."""
        return self._warehouse.names().text_parameters(self._statement.tree)

    @_limited
    def trace(self) -> Trace:
        """Where each column comes from, down to the vendor's; ``warehouse sql --explain``."""
        from warehouse.analysis import trace

        return trace(self._statement.tree, self.types, self._warehouse.names(), self.reach)

    @property
    def is_ordered(self) -> bool:
        """Whether the query itself says in which order its rows come."""
        return self._statement.is_ordered

    @property
    @_limited
    def receipt(self) -> Receipt:
        """What this answer was made from, to be kept beside it; see ``warehouse verify``."""
        from warehouse.query.receipt import make_receipt

        return make_receipt(self, self._cursor_on_catalog())

    @past_a_damaged_copy
    def __len__(self) -> int:
        """Rows of the answer; counted by the engine where the answer is not stored."""
        if self._table is not None or self._statement.explains:
            return len(self.arrow())
        if self._head is not None and len(self._head[1]) < self._head[0]:
            return len(self._head[1])
        if self._count is None:
            text = f"select count(*) from (\n{self._statement.text}\n)"
            self._count = int(self._run(lambda c: fetch(c, text, self.params))[0][0])
        return self._count

    def __reduce__(self) -> NoReturn:
        """Refuse: an answer belongs to an open warehouse, which no other process has."""
        raise UsageError(
            "an answer cannot be pickled or copied deeply", next_step="take r.df() or r.arrow()"
        )

    def __repr__(self) -> str:
        from warehouse.analysis import warning_lines

        text, hint = self.render(20), self.hint
        return "\n".join([text, *([hint] if hint else []), *warning_lines(self.warnings, hint)])

    def render(
        self,
        rows: int,
        *,
        width: int | None = None,
        wrap: bool = False,
        hint: str = "name them, widen the terminal, or take .df()",
    ) -> str:
        """The first rows as a table for people, with a last line where there are more.

        ``hint`` says how to see columns for which there is no room.
        """
        from warehouse.display import render_table

        if self._statement.explains:
            return "\n".join(str(plan) for _, plan in self.fetchall())
        head = self.head(rows + 1)
        text = render_table(list(self.types), head[:rows], width=width, wrap=wrap, hint=hint)
        if len(head) > rows:
            text += f"\n… {len(self) - rows:,} more of {counted(len(self), 'row')}"
        return text

    def _repr_html_(self) -> str:
        from warehouse.query.html import render_html

        return render_html(self, self.warnings)

    @past_a_damaged_copy
    def _describe(self) -> dict[str, str]:
        """Names and types of the columns; so the whole query is bound, and wrong ones raise.

        What has no tree is described: PIVOT reads its rows to know its columns.
        """
        text, params = self._statement.text, self.params
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
        """Bind the query as its first reading will run it."""
        try:
            question = self._ask(text)
        except duckdb.Error as error:
            raise self._query_error(error) from error
        if self._statement.explains:
            self._give_back(question.cursor)
        else:
            self._bound = question
        return question.types

    def _question(self) -> Question:
        """What runs the query, for one reading; the caller holds the lock."""
        question, self._bound = self._bound, None
        if question is not None:
            return question
        if self._statement.tree is None or self._statement.explains:
            return ask(self._session.cursor(), self._statement.text, self.params)
        return self._ask(self._statement.text)

    def _ask(self, text: str) -> Question:
        """A question bound with the values; a long list of values takes the engine long."""
        return run(None, lambda: self._session.bind(text, self.params), self.limits())

    def leave_copy(self) -> None:
        """Go over to a session that reads the stored months themselves."""
        self._session = self._warehouse.without_copy(self._session)
        self._bound = None

    def limits(self, spent_s: float = 0.0) -> Limits:
        """What one step may take, after those before it."""
        memory = self._session.memory_bytes
        growth = None if memory is None else 2 * memory
        return Limits(self._timeout_s, spent_s, growth, self._cancelled)

    def _give_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let others have a cursor, unless a PIVOT left its types on it."""
        if self._statement.tree is not None:
            self._session.give_back(cursor)

    def _cursor_on_catalog(self) -> duckdb.DuckDBPyConnection:
        return self._warehouse.cursor()

    def _run(
        self,
        act: Callable[[duckdb.DuckDBPyConnection], T],
        cursor: duckdb.DuckDBPyConnection | None = None,
        spent_s: float = 0.0,
    ) -> T:
        """One step of the query on a cursor; what DuckDB raises becomes a QueryError."""
        on = cursor or self._session.cursor()
        try:
            answer = run(on, lambda: act(on), self.limits(spent_s))
        except (duckdb.Error, OSError, ValueError, RuntimeError) as error:
            # the latter are what the engine raises while pyarrow reads from it
            raise self._query_error(error) from error
        if cursor is None:
            self._give_back(on)
        return answer

    def _query_error(self, error: Exception) -> WarehouseError:
        """The engine's words, with the nearest names where a table or column is unknown."""
        self._session.require_open()
        message = plain(str(error).partition("\nLINE ")[0])
        if isinstance(error, (duckdb.Error, OSError)) and tells_of_damage(message):
            damaged = CopyDamagedError if self._session.reads_copy else DamagedError
            return damaged(message, next_step=REPAIR)
        if isinstance(error, duckdb.Error) and self._warehouse.home.is_named_in(message):
            if tells_of_disk(message):
                return DiskError(message, next_step=ROOM_OR_RIGHTS)
            return DamagedError(message, next_step=REPAIR)
        hint = self._warehouse.names().suggestion(str(error), self._statement.tree)
        return QueryError(message, next_step=hint, sql=self.text)
