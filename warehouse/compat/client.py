"""The vendor client's functions on the lake, so that a notebook only changes its import.

Arguments are those of the vendor's Python client 4.3.1; key and network arguments are accepted and
ignored. Frames are read from the lake's files, so they have the same columns, order and types; rows
are limited to the requested UTC days, both included, and sorted by ``time``. If daily and monthly
files overlap, each bar appears once. Days that are not in the lake are an error with the command
that downloads them.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from warehouse.config import load_settings
from warehouse.errors import NotFoundError, UsageError
from warehouse.home import Home
from warehouse.interrupts import run
from warehouse.lake import Manifest, OwnedFile, assign_ownership
from warehouse.query import as_pandas, as_polars
from warehouse.times import DAY_US, Span, date_us, intersect, merge, subtract, us_datetime
from warehouse.vendor import CLOCKS, INTERVALS, RAW_PREFIX, SeriesKey, load_contracts, time_columns

if TYPE_CHECKING:
    import pyarrow as pa

Frame = Any
Output = Literal["polars", "pandas"]
HomePath = str | os.PathLike[str] | None


def get_ohlcv(
    api_key: str | None = None,
    *,
    timestamp: str,
    interval: str,
    exchange: str,
    symbol: str,
    start_date: date,
    end_date: date,
    base_url: str | None = None,
    show_progress: bool = True,
    max_concurrent: int = 10,
    output: Output = "polars",
    preview: bool = False,
    home: HomePath = None,
) -> Frame:
    """Open, high, low, close and volume of each bar; see :func:`get_metrics`."""
    series = _series(timestamp, interval, exchange, symbol)
    return _frame("ohlcv", series, start_date, end_date, output, home)


def get_vwap(
    api_key: str | None = None,
    *,
    timestamp: str,
    interval: str,
    exchange: str,
    symbol: str,
    start_date: date,
    end_date: date,
    base_url: str | None = None,
    show_progress: bool = True,
    max_concurrent: int = 10,
    output: Output = "polars",
    preview: bool = False,
    home: HomePath = None,
) -> Frame:
    """Volume- and time-weighted average prices; see :func:`get_metrics`.

    ``get_twap`` is the same function, because the vendor has both prices in one dataset.
    """
    series = _series(timestamp, interval, exchange, symbol)
    return _frame("vtwap", series, start_date, end_date, output, home)


get_twap = get_vwap


def get_metrics(
    api_key: str | None = None,
    *,
    metric: str,
    timestamp: str,
    interval: str,
    exchange: str,
    symbol: str,
    start_date: date,
    end_date: date,
    base_url: str | None = None,
    show_progress: bool = True,
    max_concurrent: int = 10,
    output: Output = "polars",
    preview: bool = False,
    home: HomePath = None,
) -> Frame:
    """One metric of one series over a span of days, as the vendor's client returns it.

    ``get_derivative_metrics`` is the same function.

    Parameters
    ----------
    metric
        A dataset of bars: flow, trade_size, l1_price, l2_imbalance, basis, funding ...
    timestamp
        The clock that sorted events into bars: exchange or true.
    interval, exchange, symbol
        The series; the symbol in Atlas symbology.
    start_date, end_date
        UTC days, both included.
    output
        polars or pandas.
    home
        The warehouse; ``$WAREHOUSE_HOME``, else ``./data``, by default.
    api_key, base_url, show_progress, max_concurrent, preview
        Accepted and ignored: nothing is fetched.

    Returns
    -------
    polars.DataFrame or pandas.DataFrame
        One row per bar, sorted by ``time``: that column (naive UTC), then those of the files.
        Without rows and columns if the vendor has no data.

    Raises
    ------
    NotFoundError
        Days of the span are not in the lake; the message has the ``warehouse sync`` line.
    UsageError
        An argument has an invalid value.

    Examples
    --------
    >>> import warehouse
    >>> from datetime import date
    >>> frame = warehouse.get_metrics(
    ...     metric="flow", timestamp="true", interval="1h", exchange="binance-futures",
    ...     symbol="perpetual-BTC-USDT:USDT", start_date=date(2025, 9, 1),
    ...     end_date=date(2025, 9, 2), home=demo_home,
    ... )
    >>> frame.shape[0], frame.columns[:2]
    (48, ['time', 'taker_buy_volume'])
    """
    _require_metric(metric)
    series = _series(timestamp, interval, exchange, symbol)
    return _frame(metric, series, start_date, end_date, output, home)


get_derivative_metrics = get_metrics


def get_raw(
    api_key: str | None = None,
    *,
    dataset: str,
    exchange: str,
    symbol: str,
    start_date: date,
    end_date: date,
    base_url: str | None = None,
    show_progress: bool = True,
    max_concurrent: int = 10,
    output: Output = "polars",
    preview: bool = False,
    home: HomePath = None,
) -> Frame:
    """Raw events of one symbol over a span of days (trades, quotes, mark_price ...).

    As :func:`get_metrics`, with these differences: rows keep the order of the files, ``start_date``
    and ``end_date`` select by ``exchange_timestamp``, and times are aware, in UTC.
    """
    key = SeriesKey(exchange, symbol)
    return _frame(RAW_PREFIX + dataset, key, start_date, end_date, output, home)


def get_symbols(
    api_key: str | None = None,
    exchange: str | None = None,
    base_url: str | None = None,
    *,
    home: HomePath = None,
) -> list[str]:
    """Symbols of one exchange that are in the lake, sorted.

    Raises
    ------
    NotFoundError
        The lake has no data of this exchange.

    Examples
    --------
    >>> import warehouse
    >>> warehouse.get_symbols("key", "binance-futures", home=demo_home)
    ['perpetual-BTC-USDT:USDT', 'perpetual-ETH-USDT:USDT']
    """
    if exchange is None:
        raise UsageError("no exchange was given", next_step='write get_symbols(exchange="...")')
    with _manifest(Home.of(load_settings(home))) as manifest:
        found = manifest.symbols_of(exchange)
    if not found:
        raise NotFoundError(
            f"{exchange}: the lake has no data of this exchange",
            next_step=f"run: warehouse sync flow --exchange {exchange} --symbol SYMBOL ...",
            exchange=exchange,
        )
    return found


# -- from the lake -------------------------------------------------------------------------------


def _series(clock: str, interval: str, exchange: str, symbol: str) -> SeriesKey:
    _require_one_of("timestamp", clock, CLOCKS)
    _require_one_of("interval", interval, INTERVALS)
    return SeriesKey(exchange, symbol, interval, clock)


def _frame(
    dataset: str, series: SeriesKey, start: date, end: date, output: Output, home: HomePath
) -> Frame:
    _require_one_of("output", output, ("polars", "pandas"))
    first, last = _day(start), _day(end)
    if last < first:
        raise UsageError(f"end_date {last} is before start_date {first}")
    wanted = (date_us(first), date_us(last) + DAY_US)
    opened = Home.of(load_settings(home))
    with _manifest(opened) as manifest:
        stored = manifest.files_of(dataset, series)
        settled = manifest.settled(dataset, series)
    owned = assign_ownership(stored)
    _require_held(dataset, series, wanted, owned, settled, home)
    parts = [
        (opened.object_path(file.file.object), spans)
        for file in owned
        if file.file.facts.rows and (spans := intersect(file.spans, [wanted]))
    ]
    time = time_columns(dataset)[0]
    as_frame = as_polars if output == "polars" else as_pandas
    frame = run(None, lambda: as_frame(_read(parts, time, is_sorted=time == "time")))
    return frame if parts else type(frame)()  # as the vendor's, down to the type of its index


def _read(parts: Sequence[tuple[Path, Sequence[Span]]], time: str, *, is_sorted: bool) -> pa.Table:
    """The rows of files within their spans, by ``time`` or in the order of the files."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    tables = []
    for path, spans in parts:
        table = pq.ParquetFile(path).read().replace_schema_metadata(None)
        zone = getattr(table.schema.field(time).type, "tz", None)
        us = table[time].cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        within = [pc.and_(pc.greater_equal(us, low), pc.less(us, high)) for low, high in spans]
        tables.append(table.filter(reduce(pc.or_, within)))
    if not tables:
        return pa.table({})
    joined = pa.concat_tables(tables, promote_options="permissive")
    return joined.take(pc.sort_indices(joined[time])) if is_sorted else joined


def _require_held(
    dataset: str,
    series: SeriesKey,
    wanted: Span,
    owned: Sequence[OwnedFile],
    settled: Sequence[Span],
    home: HomePath,
) -> None:
    """Raise NotFoundError unless files, or the vendor's response that there are none, cover it."""
    held = [span for file in owned for span in file.spans]
    missing = subtract([wanted], merge([*held, *settled]))
    if not missing or _is_never_served(dataset, series):
        return
    first = us_datetime(missing[0][0]).date()
    last = us_datetime(missing[-1][1] - 1).date()
    raise NotFoundError(
        f"{dataset} {series}: {first} to {last} is not in the lake",
        next_step=f"run: {_sync_line(dataset, series, first, last, home)}",
        dataset=dataset,
        symbol=series.symbol,
    )


def _is_never_served(dataset: str, series: SeriesKey) -> bool:
    """Whether the vendor has no data because the dataset has no such clock."""
    contract = load_contracts().get(dataset)
    return bool(contract and contract.clocks and series.clock not in contract.clocks)


def _sync_line(dataset: str, series: SeriesKey, first: date, last: date, home: HomePath) -> str:
    chosen = [] if home is None else ["--home", str(home)]
    span = ["--start", str(first), "--end", str(last)]
    return shlex.join(["warehouse", *chosen, "sync", dataset, *series.options, *span])


def _manifest(home: Home) -> Manifest:
    home.require_lake()
    return Manifest(home.manifest)


def _day(value: date | str) -> date:
    """A UTC day from a date, a datetime or an ISO text; offsets are converted first."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise UsageError(
                f"{value!r} is not a day", next_step="write it as 2025-09-01, or give a date"
            ) from error
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo is not None else value).date()
    return value


def _require_metric(metric: str) -> None:
    """Accept any metric dataset, as the vendor's client does."""
    known = [name for name, contract in load_contracts().items() if not contract.is_raw]
    _require_one_of("metric", metric, known)


def _require_one_of(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{what} {value!r} is not one of {', '.join(known)}", **{what: value})
