"""Plans the files of a simulated market, and writes them in the vendor's layout.

The plan of files is pure; each file is written under a temporary name and renamed. Every file has
``warehouse.simulated = true`` in its key-value metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import UsageError
from warehouse.files import path_in_errors, temporary
from warehouse.project import TICK_SOURCES
from warehouse.simulator.datasets import DATASETS, EXCHANGE_CLOCK_ONLY, table
from warehouse.simulator.events import EVENTS, event_table
from warehouse.simulator.fold import WIDTHS, Flags, Fold
from warehouse.simulator.from_ticks import TickFold
from warehouse.simulator.instrument import FIRST_MONTH, LAST_MONTH, Instrument, next_month
from warehouse.simulator.process import Minutes
from warehouse.vendor import CLOCKS, FileKey, Period, SeriesKey, encode

SIMULATED = {"warehouse.simulated": "true"}


@dataclass(frozen=True, slots=True)
class Market:
    """The market to simulate: symbols, datasets, intervals, clocks and span.

    Parameters
    ----------
    symbols, exchange
        Atlas symbols and the one venue they trade at.
    datasets
        Those of the demo and of the notebooks: ``ohlcv``, ``flow``, ``raw_trades`` ...
    intervals, clocks
        For metric datasets; order-book depth exists under the clock ``exchange`` only.
    start, end
        UTC days, ``end`` excluded.
    seed
        Seed of the random market.
    missing_bars
        Probability that a bar is missing from a metric file; the same bars under both clocks.
    gaps
        Spans without activity per symbol and half-year (from March, from September), the same in
        all datasets and intervals: 1 to 60 bars of 5m, 1h and 1m, in turn.
    episodes
        Whether each month has a few days of higher volatility, hours in which the spread jumps for
        seconds, and hours in which the book is empty below the best prices.
    daily_from
        From this day on there is one file per day; its month has a monthly file up to that day.
    overlap_days
        Number of days by which that monthly file reaches beyond ``daily_from``.
    from_ticks
        Whether bars are made from the market's ticks, so that the audit of metrics finds them
        equal; within one month, and not those of the order book's depth.
    """

    symbols: tuple[str, ...] = ("perpetual-BTC-USDT:USDT", "perpetual-ETH-USDT:USDT")
    exchange: str = "binance-futures"
    datasets: tuple[str, ...] = ("ohlcv", "flow", "l1_price")
    intervals: tuple[str, ...] = ("1h", "5m")
    clocks: tuple[str, ...] = ("true",)
    start: date = date(2025, 9, 1)
    end: date = date(2026, 3, 1)
    seed: int = 7
    missing_bars: float = 0.0
    gaps: int = 0
    episodes: bool = False
    daily_from: date | None = None
    overlap_days: int = 0
    from_ticks: bool = False

    def __post_init__(self) -> None:
        _require_known("dataset", self.datasets, (*DATASETS, *EVENTS))
        _require_known("interval", self.intervals, tuple(WIDTHS))
        _require_known("clock", self.clocks, CLOCKS)
        for symbol in self.symbols:
            SeriesKey(self.exchange, symbol)
        if not FIRST_MONTH <= self.start < self.end <= LAST_MONTH:
            raise UsageError(
                f"a simulated market cannot last from {self.start} to {self.end}",
                next_step=f"choose a start before the end, from {FIRST_MONTH} to {LAST_MONTH}",
            )
        if self.from_ticks and (
            self.missing_bars or next_month(self.start.replace(day=1)) < self.end
        ):
            raise UsageError(
                f"bars from ticks cannot last from {self.start} to {self.end}, or lack any",
                next_step="choose a start and an end in one month, and missing_bars=0",
            )
        if not 0 <= self.missing_bars < 1 or self.gaps < 0 or self.overlap_days < 0:
            raise UsageError(
                f"missing_bars={self.missing_bars}, gaps={self.gaps} and "
                f"overlap_days={self.overlap_days} must not be negative, missing_bars below 1"
            )


def write_market(folder: Path, market: Market) -> list[Path]:
    """Write all files of a market below a folder; equal markets give equal bytes.

    Parameters
    ----------
    folder
        Created if it does not exist. Files of the same name are replaced, others stay.
    market
        What to simulate.

    Returns
    -------
    list of Path
        The files, in the order of writing. A period without any row has no file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     files = write_market(Path(folder), Market(intervals=("1h",), end=date(2025, 9, 2)))
    >>> len(files)
    6
    """
    _keep_freed_memory()
    written = []
    for symbol in market.symbols:
        instrument = instrument_of(market, symbol)
        for month in months(market.start, market.end):
            for key, rows in _month_files(market, Minutes(instrument, month)):
                path = folder / _vendor_path(key)
                _write(rows, path)
                written.append(path)
    return written


def _month_files(market: Market, true: Minutes) -> Iterator[tuple[FileKey, pa.Table]]:
    """All files of a symbol's month with their rows; the month is simulated once."""
    minutes_of = {"true": true, "exchange": true.late()}
    periods = list(_periods(market, true.month))
    ticks = tick_fold(market, true) if market.from_ticks else None
    for dataset, interval, clock in _month_series(market):
        minutes = minutes_of[clock or "true"]
        rows = month_rows(market, minutes, dataset, interval, clock, ticks)
        series = SeriesKey(market.exchange, true.instrument.symbol, interval, clock)
        for period, start, end in periods:
            part = between(rows, start, end)
            if part.num_rows:
                yield FileKey(dataset, series, period), part


def _month_series(market: Market) -> Iterator[tuple[str, str | None, str | None]]:
    """Dataset, interval and clock of every series of a symbol."""
    for dataset in market.datasets:
        if dataset in EVENTS:
            yield dataset, None, None
            continue
        for clock in market.clocks:
            if clock == "exchange" or dataset not in EXCHANGE_CLOCK_ONLY:
                for interval in market.intervals:
                    yield dataset, interval, clock


def tick_fold(market: Market, true: Minutes) -> TickFold:
    """The market's ticks, for its bars."""
    return TickFold(
        {
            raw: between(event_table(raw, true), market.start, market.end)
            for raw in TICK_SOURCES.values()
            if raw in EVENTS
        }
    )


def month_rows(
    market: Market,
    minutes: Minutes,
    dataset: str,
    interval: str | None,
    clock: str | None,
    ticks: TickFold | None,
) -> pa.Table:
    if interval is None:
        return event_table(dataset, minutes)
    if ticks is not None and dataset not in EXCHANGE_CLOCK_ONLY:
        return ticks.bars(dataset, interval, clock or "true")
    missing: Flags | None = None
    if market.missing_bars:
        instrument = minutes.instrument
        rng = instrument.draw(minutes.month, f"missing {dataset} {interval}")
        missing = rng.random(minutes.count // WIDTHS[interval]) < market.missing_bars
    fold = Fold(minutes.month, minutes.count, interval, active=minutes.active, missing=missing)
    return table(dataset, minutes, fold)


def instrument_of(market: Market, symbol: str) -> Instrument:
    return Instrument(market.seed, market.exchange, symbol, market.gaps, market.episodes)


def months(start: date, end: date) -> Iterator[date]:
    month = start.replace(day=1)
    while month < end:
        yield month
        month = next_month(month)


def _periods(market: Market, month: date) -> Iterator[tuple[Period, date, date]]:
    """The files of a month: name, first day, day after the last."""
    first, end = max(month, market.start), min(next_month(month), market.end)
    daily_from = market.daily_from or market.end
    if month <= daily_from:
        monthly_end = min(end, daily_from + timedelta(days=market.overlap_days))
        if first < monthly_end:
            yield Period(f"{month:%Y-%m}"), first, monthly_end
    day = max(first, daily_from)
    while day < end:
        yield Period(day.isoformat()), day, day + timedelta(days=1)
        day += timedelta(days=1)


def between(rows: pa.Table, start: date, end: date) -> pa.Table:
    """The rows of a span of UTC days; the first column is sorted time."""
    time = rows.column(0).cast(pa.int64()).to_numpy()
    edges = [np.datetime64(day, "us").astype(np.int64) for day in (start, end)]
    low, high = np.searchsorted(time, edges)
    return rows.slice(int(low), int(high - low))


def _vendor_path(key: FileKey) -> PurePosixPath:
    """Path below the vendor's tree; raw files have a folder per month or day."""
    if not key.is_raw:
        return key.path
    year, *rest = key.period.text.split("-")
    parts = [f"{name}={part}" for name, part in zip(("month", "day"), rest, strict=False)]
    return PurePosixPath(
        "raw",
        key.dataset.removeprefix("raw_"),
        f"exchange={key.series.exchange}",
        f"symbol={encode(key.series.symbol)}",
        f"year={year}",
        *parts,
        "data.parquet",
    )


def _write(rows: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = rows.schema
    whole = [field.name for field in schema if field.type in (pa.timestamp("us"), pa.int64())]
    unfinished = temporary(path)
    with path_in_errors(path):
        pq.write_table(
            rows.replace_schema_metadata(SIMULATED),
            unfinished,
            compression="zstd",
            use_dictionary=["side", "exchange_timestamp_kind"],
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
            write_statistics=True,
            row_group_size=1 << 20,
        )
    unfinished.replace(path)


def _keep_freed_memory() -> None:
    """Free one large block, after which malloc hands later ones back to the system more rarely.

    Without it a third of the time is spent on fetching the same pages again for every month.
    """
    np.empty(31 << 20, dtype=np.uint8)


def _require_known(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise UsageError(
                f"the simulator has no {what} {name!r}",
                next_step=f"choose from {', '.join(known)}",
            )
