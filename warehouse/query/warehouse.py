"""Open the published catalog read-only and run one SELECT at a time.

``guard`` decides what may run; ``session`` opens and closes sessions. A query is analysed for its
units, missing bars and receipt only when these are accessed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from warehouse import analysis
from warehouse.config import Settings, load_settings
from warehouse.home import Home
from warehouse.interrupts import Limits, run
from warehouse.query.listings import Listings
from warehouse.query.results.result import Result
from warehouse.query.session import Session, one_clock
from warehouse.query.source import SessionSource
from warehouse.query.sql_text.frames import (
    frame_table,
    is_frame,
    require_frames_read,
    require_no_catalog_names,
    require_no_value_as_table,
)
from warehouse.query.sql_text.parameters import (
    as_moments,
    may_be_moment,
    require_arguments,
    require_names,
)
from warehouse.query.sql_text.templates import (
    Templates,
    holds_template,
    limited,
    lines_of,
    model_file,
    model_text,
    require_columns,
)
from warehouse.sql import bound

if TYPE_CHECKING:
    from warehouse.generations import Moment


def open(
    home: str | os.PathLike[str] | None = None,
    *,
    generation: int | None = None,
    as_of: Moment | None = None,
    snapshot: str | None = None,
) -> Warehouse:
    """Open a home's published catalog, current or earlier, read-only.

    Parameters
    ----------
    home
        The home's folder; by default ``$WAREHOUSE_HOME``, else ``./data``. Or the address of a
        bucket, ``s3://bucket/prefix``: the files that a query needs are fetched from there and
        kept.
    generation
        A kept generation by its number.
    as_of
        The catalog that was current at that moment (included), after publications and rollbacks. A
        naive datetime or ISO text is UTC, an aware one is converted, a date is the start of its UTC
        day.
    snapshot
        A generation by its name from ``warehouse snapshot``.

    Raises
    ------
    NotFoundError
        The home, its catalog or that generation does not exist; the message lists what is kept.
    UsageError
        More than one of the three is given, or ``as_of`` is not a moment.

    Examples
    --------
    >>> import warehouse
    >>> from datetime import UTC, datetime
    >>> with warehouse.open(demo_home) as wh:
    ...     wh.sql("select count(*) from flow_features where interval = $i", i="1h").fetchall()
    [(8688,)]
    >>> with warehouse.open(demo_home, as_of=datetime.now(UTC)) as wh:
    ...     wh.generation
    1
    """
    settings = load_settings(home)
    return run(
        None, lambda: Warehouse(settings, generation=generation, as_of=as_of, snapshot=snapshot)
    )


class Warehouse(Listings):
    """One published generation, open for reading; a context manager that several threads may use.

    It keeps its generation until :meth:`refresh`, even if others are published. See :func:`open`
    for the choice of the generation. After :meth:`close` every other method raises UsageError.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        generation: int | None = None,
        as_of: Moment | None = None,
        snapshot: str | None = None,
    ) -> None:
        self.settings = settings
        self._home = Home.of(settings)
        self._templates = Templates(self._home)
        self._source = SessionSource(
            settings, generation=generation, as_of=as_of, snapshot=snapshot
        )
        self._session = self._source.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Warehouse({str(self._home.root)!r}, generation={self.generation})"

    def __reduce__(self) -> tuple[Callable[[Path], Warehouse], tuple[Path]]:
        """Support pickling: another process opens the same generation."""
        return partial(open, generation=self.generation), (self._home.root,)

    def close(self) -> None:
        """Close the catalog; afterwards only results that are already stored can be read."""
        self._session.close()

    @property
    def generation(self) -> int:
        """Number of the open generation."""
        self._session.require_open()
        return self._session.generation

    def refresh(self) -> None:
        """Switch to the current generation, and close the former one.

        A warehouse that was opened on a chosen generation keeps it. Results that are not stored
        yet can no longer be read.
        """
        self._session.require_open()
        old, self._session = self._session, self._source.open()
        run(None, old.close)

    def sql(
        self,
        text: str,
        params: Mapping[str, object] | None = None,
        /,
        *,
        timeout: float | None = None,
        memory: str | None = None,
        strict: bool = False,
        **named: object,
    ) -> Result:
        """Prepare one SELECT with named parameters (``$name``); it runs when it is read.

        Parameters
        ----------
        text
            One statement that only reads: SELECT, WITH, FROM, VALUES, TABLE, PIVOT, UNPIVOT,
            DESCRIBE, SUMMARIZE, SHOW, or EXPLAIN of these. A text with ``{{`` or ``{%`` outside of
            literals and comments is a template that can use the macros of models:
            ``{{ ratio('a', 'b') }}``.
        params, **named
            Values by name. A date is a UTC day, a naive datetime is UTC, an aware one is converted
            to UTC, and so is a string with an offset, unless it is compared with a text column.
            Numpy scalars, pandas timestamps and lists are accepted. Put a parameter named timeout,
            memory or strict into ``params``. A frame (pandas, polars, Arrow, another result)
            becomes a table of that name beside those of the catalog; its rows are read now, with
            times in naive UTC.
        timeout
            Maximum seconds for preparing the query, and for each later step: reading the rows, the
            units, the warnings or the receipt. None for no limit.
        memory
            Memory that DuckDB may use for this query, such as ``"2GB"``; beyond it DuckDB uses the
            disk. DuckDB does not count all of its memory, so on Linux a query is also stopped when
            the process has grown by twice the limit.
        strict
            Raise an error if :attr:`Result.warnings` is not empty.

        Returns
        -------
        Result
            Rows in the order of the query's ORDER BY; without one the order is not defined.

        Raises
        ------
        QueryError
            The text is another statement or invalid, a parameter is missing or unknown, or a frame
            cannot be converted without loss.
        UsageError
            An argument has an invalid type, or the warehouse was closed.
        IncompleteError
            ``strict`` is set, and bars are missing from the selected data.
        LooksAheadError
            ``strict`` is set, and the query reads one of the user's models that did not pass
            the audit.

        Examples
        --------
        >>> import warehouse
        >>> from datetime import date
        >>> with warehouse.open(demo_home) as wh:
        ...     r = wh.sql(
        ...         "select time, close from flow_features where interval = $i and time < $end",
        ...         i="1h",
        ...         end=date(2025, 9, 2),
        ...     )
        ...     len(r), r.columns["close"].unit
        (48, 'quote/base')
        """
        require_arguments(text, params, timeout, memory)
        given = {**(params or {}), **named}
        with one_clock(timeout):
            if not holds_template(text):
                return self._asked(text, given, timeout, memory, strict=strict)
            rendered = run(None, lambda: self._templates.render(text), Limits(timeout))
            with lines_of("the SQL", text):
                return self._asked(rendered, given, timeout, memory, strict=strict, template=text)

    def _asked(self, text: str, given: Mapping[str, object], *limits: Any, **others: Any) -> Result:
        return run(None, lambda: self._prepared(text, given, *limits, **others))

    def _prepared(
        self,
        text: str,
        given: Mapping[str, object],
        timeout: float | None,
        memory: str | None,
        *,
        strict: bool,
        template: str | None = None,
    ) -> Result:
        """The result of a query that is checked and bound, but has not run yet."""
        frames = {name: value for name, value in given.items() if is_frame(value)}
        others = {name: value for name, value in given.items() if name not in frames}
        values = {name: bound(value) for name, value in others.items()}
        session = self._session.current
        if memory is not None:
            session = session.limited(memory)
        statement = session.checked(text, timeout)
        tree = statement.tree

        def types() -> dict[str, str]:
            return analysis.parameter_types(tree, session.names)

        if frames:
            require_no_catalog_names(frames, {table.name for table in session.names.columns})
            require_frames_read(frames, statement)
        require_no_value_as_table(others, statement)
        require_names(statement.parameters, values, types)
        if any(map(may_be_moment, values.values())):
            values = as_moments(values, analysis.text_parameters(tree, session.names))
        tables = {name: frame_table(name, frame) for name, frame in frames.items()}
        held = self._source.hold(session, statement, values)
        result = Result(
            session, statement, values, tables, timeout_s=timeout, template=template, held=held
        )
        if strict:
            analysis.require_clean(result.warnings)
        return result

    def preview(
        self,
        file: str | os.PathLike[str],
        *,
        symbol: str | None = None,
        interval: str | None = None,
        clock: str | None = None,
        limit: int | None = 1_000,
        timeout: float | None = None,
        memory: str | None = None,
    ) -> Result:
        """Compute the rows of one of your own models from its file, without a build.

        Your other models that it reads are computed from their files too; everything else is read
        from the catalog. The rows have no defined order unless the model has an ORDER BY.

        Parameters
        ----------
        file
            A path, or the name of a file in the home's ``models/`` folder.
        symbol, interval, clock
            Only rows with this value in the column of the same name; None for all.
        limit
            Maximum number of rows; None for all.
        timeout, memory
            As in :meth:`sql`.

        Returns
        -------
        Result
            The columns of the model.

        Raises
        ------
        NotFoundError
            There is no such file.
        QueryError
            The file is invalid, and the message names the line; it needs dbt itself; or it lacks
            the column of ``symbol``, ``interval`` or ``clock``.

        Examples
        --------
        >>> import warehouse
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, warehouse.open(demo_home) as wh:
        ...     file = Path(folder, "spread.sql")
        ...     _ = file.write_text("select time, 2 * close as x from {{ ref('bars') }}")
        ...     wh.preview(file, limit=5).df().shape
        (5, 2)
        """
        require_arguments("", None, timeout, memory)
        keys = {"symbol": symbol, "interval": interval, "clock": clock}
        keys = {name: value for name, value in keys.items() if value is not None}
        path = model_file(self._home, file)
        place, text = os.fspath(file), model_text(path)
        with one_clock(timeout), lines_of(place, text):
            sql = run(None, lambda: self._templates.preview(text, path), Limits(timeout))
            if keys:
                whole = self._asked(sql, {}, timeout, memory, strict=False)
                require_columns(keys, whole.keys())
            sql = limited(sql, keys, limit)
            return self._asked(sql, keys, timeout, memory, strict=False, template=text)

    def query(
        self,
        name: str,
        params: Mapping[str, object] | None = None,
        /,
        *,
        timeout: float | None = None,
        memory: str | None = None,
        strict: bool = False,
        **named: object,
    ) -> Result:
        """Prepare a named query; it runs when it is read. Omitted parameters have their defaults.

        Named queries are SQL files in the package and in the home's ``queries/`` folder; a file in
        the home replaces one of the package with the same name. See :meth:`queries`.

        Parameters
        ----------
        name
            Name of the query.
        params, **named, timeout, memory, strict
            As in :meth:`sql`.

        Returns
        -------
        Result
            As from :meth:`sql`.

        Raises
        ------
        NotFoundError
            There is no query of that name.
        QueryError
            A parameter is missing, unknown, or not of its type.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     len(wh.query("flow_seasonality"))
        168
        """
        from warehouse.query.sql_text.named_queries import find_query

        found = run(None, lambda: find_query(name, self._home.queries))
        given = {**(params or {}), **named}
        frames = {name: value for name, value in given.items() if is_frame(value)}
        others = {name: value for name, value in given.items() if name not in frames}
        with one_clock(timeout):
            text, values = run(None, lambda: found.prepare(others), Limits(timeout))
            wanted = {**values, **frames}
            return self.sql(text, wanted, timeout=timeout, memory=memory, strict=strict)

    def bars(
        self,
        dataset: str,
        *,
        every: str,
        symbol: str | None = None,
        exchange: str | None = None,
        clock: str = "true",
        start: date | None = None,
        end: date | None = None,
        notional_usd_rate: float | None = None,
        timeout: float | None = None,
        memory: str | None = None,
    ) -> Result:
        """Compute bars of a metric dataset from the raw ticks in the lake; nothing is stored.

        Parameters
        ----------
        dataset
            A metric dataset, such as ``"flow"``.
        every
            Length of a bar. A time that divides a day, such as ``"45m"``; or, for the trades of one
            series, ``"500 trades"``, ``"50 base"`` or ``"1e6 quote"``: a bar then ends with the
            trade that reaches this amount, and counting restarts at UTC midnight.
        symbol, exchange
            Only this symbol or exchange; None for all.
        clock
            Time by which ticks are sorted into bars: ``"true"``, when they were received, or
            ``"exchange"``.
        start, end
            Only bars with ``start <= time < end``; None for all. A date is the start of that UTC
            day, a naive datetime is UTC, an aware one is converted.
        notional_usd_rate
            Dollars per unit of the quote currency, for the size classes of flow and trade_size;
            None for 1.
        timeout, memory
            As in :meth:`sql`.

        Returns
        -------
        Result
            One row per bar, ordered by series and ``time``, with the columns of
            ``vendor.<dataset>`` and ``n_events`` and ``is_partial``.

        Raises
        ------
        UsageError
            No ticks make bars of this dataset and length, or an argument is invalid.
        QueryError, NotFoundError
            The lake has no ticks for these bars, or has ticks of more than one series.
        """
        from warehouse.query.tick_bars import WantedBars, ask_bars

        def ask(text: str, params: Mapping[str, object]) -> Result:
            return self.sql(text, params, timeout=timeout, memory=memory)

        wanted = WantedBars(dataset, every, clock, symbol, exchange, start, end, notional_usd_rate)
        return ask_bars(ask, wanted)

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Return a new cursor of the read-only DuckDB connection, with the catalog in use.

        Its statements are not checked, but it can read only the files of this home, and DuckDB's
        settings are locked. A later :meth:`refresh` or :meth:`close` closes it.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     wh.connection().execute("select min(time) from bars").fetchall()
        [(datetime.datetime(2025, 9, 1, 0, 0),)]
        """
        return self._session.current.new_cursor()


def session_of(warehouse: Warehouse) -> Session:
    """The session of a warehouse, for other modules of this package."""
    return warehouse._session.current


def parameters_in(warehouse: Warehouse, text: str) -> frozenset[str]:
    """Names of the parameters of a query, which may be a template."""
    from warehouse.query.sql_text.guard import parameters_of

    return parameters_of(warehouse._templates.render(text) if holds_template(text) else text)
