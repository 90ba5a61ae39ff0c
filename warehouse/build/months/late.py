"""Computes when bars of the exchange clock are known if ticks arrived after their end.

In its own file a kept bar has the receipt of its last tick as ``known_at``. Marts join the datasets
of a series bar by bar and look back over earlier bars, so views show one ``known_at`` per bar for
all datasets of a series, and it rises from bar to bar: that of bar i is its end or, if that is
later, the greatest of what bar j was known at plus i - j microseconds, over all bars j <= i of the
kept datasets. The microseconds keep the moments distinct, so that an as-of join never has to choose
between two bars.

The late bars of a series are stored by UTC day below ``marts/ticks.late/``. A day's file begins
with the last one of the days before, if bars of the day may still wait for it.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from warehouse.build.months.stored import (
    StoredMonth,
    find_stored,
    month_path,
    stored_month,
    write_month,
)
from warehouse.home import Home
from warehouse.sql import literal, parquet_rows
from warehouse.times import Span, us_datetime

MODEL = "ticks.late"
_VERSION = 1
_FACTS = "late"


@dataclass(frozen=True, slots=True)
class LateDay:
    """The stored late bars of a UTC day of a series.

    Attributes
    ----------
    last
        Start and ``known_at`` of the last late bar, in microseconds.
    """

    start_us: int
    stored: StoredMonth
    last: tuple[int, int]


@dataclass(frozen=True, slots=True)
class LateSeries:
    """Every day of a series with late bars, in order, and the length of its bars."""

    bar_us: int
    days: tuple[LateDay, ...]

    def within(self, span: Span) -> list[LateDay]:
        """The days that decide when bars of a span of time are known."""
        first, after = (
            bisect_left(self.days, moment, key=lambda day: day.start_us) for moment in span
        )
        if first and _holds_back(self.days[first - 1].last, span[0], self.bar_us):
            first -= 1
        return list(self.days[first:after])


def _holds_back(last: tuple[int, int], start_us: int, bar_us: int) -> bool:
    """Whether bars from a moment on have to wait for this late bar."""
    time_us, known_us = last
    return known_us + (start_us - time_us) // bar_us > start_us + bar_us


def write_late_days(
    home: Home,
    connected: Callable[[], duckdb.DuckDBPyConnection],
    series_id: int,
    bar_us: int,
    days: Iterable[tuple[int, Sequence[Path], bool]],
) -> LateSeries | None:
    """Write the new late bars of a series; None if it has no late bars.

    ``days`` are every day in order: its start in microseconds, the stored bars of all datasets, and
    whether any ticks arrived late.
    """
    written: list[LateDay] = []
    for start_us, paths, has_late in days:
        before = written[-1].last if written else None
        if before is not None and not _holds_back(before, start_us, bar_us):
            before = None
        if has_late or before is not None:
            written.append(_day(home, connected, series_id, bar_us, start_us, paths, before))
    return LateSeries(bar_us, tuple(written)) if written else None


def _day(
    home: Home,
    connected: Callable[[], duckdb.DuckDBPyConnection],
    series_id: int,
    bar_us: int,
    start_us: int,
    paths: Sequence[Path],
    before: tuple[int, int] | None,
) -> LateDay:
    folder = home.marts / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    month = f"{us_datetime(start_us):%Y-%m}"
    facts = {
        "late": _VERSION,
        "duckdb": duckdb.__version__,
        "bars": [series_id, bar_us, start_us],
        "files": sorted(path.name for path in paths),
        "before": before,
    }
    place = month_path(folder, month, facts)
    path = find_stored(place)
    reused = path is not None
    if path is None:
        path = _written(connected(), series_id, bar_us, paths, before, place)
    return LateDay(start_us, stored_month(MODEL, month, path, reused=reused), _last_in(path))


def _written(
    connection: duckdb.DuckDBPyConnection,
    series_id: int,
    bar_us: int,
    paths: Sequence[Path],
    before: tuple[int, int] | None,
    place: Path,
) -> Path:
    listed = ", ".join(literal(str(path)) for path in paths)
    carried = f"union all select {before[0]}, {before[1]}" if before else ""
    connection.execute(
        f"""
        create or replace temp table late as
        select {series_id}::integer as series_id, make_timestamp(us) as "time",
            make_timestamp(known_us) as known_at
        from (
            select us, us // {bar_us}
                + max(seen_us - us // {bar_us}) over (order by us rows unbounded preceding)
                as known_us
            from (
                select epoch_us("time") as us, max(epoch_us(known_at)) as seen_us
                from read_parquet([{listed}], union_by_name = true)
                group by us {carried}
            )
        )
        where known_us > us + {bar_us}
        """
    )
    last = connection.execute(
        'select epoch_us(max("time")), epoch_us(max(known_at)) from late'
    ).fetchone()
    return write_month(connection, "from late", place, metadata={_FACTS: json.dumps(last)})


@lru_cache(maxsize=100_000)
def _last_in(path: Path) -> tuple[int, int]:
    import pyarrow.parquet as pq  # local: most homes have no kept bars

    time_us, known_us = json.loads(pq.read_metadata(path).metadata[_FACTS.encode()])
    return time_us, known_us


def late_sql(listed: str, prefix: str = "late") -> str:
    """A relation of late bars to be joined as of the time of bars, from an SQL list of files."""
    columns = ", ".join(
        f'"{name}" as {prefix}_{name}' for name in ("series_id", "time", "known_at")
    )
    return f"(select {columns} from {parquet_rows(listed)})"


def known_sql(time: str, known_at: str, bar_us: Any, prefix: str = "late") -> str:
    """The ``known_at`` of a bar, given the last late bar up to it, which is joined or NULL."""
    return (
        f"greatest({known_at}, {prefix}_known_at"
        f" + to_microseconds((epoch_us({time}) - epoch_us({prefix}_time)) // {bar_us}))"
    )
