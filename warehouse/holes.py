"""Answers know their holes: missing bars and refused files in what a query selects."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from warehouse.errors import WarehouseError
from warehouse.reach import Reach

_SERIES = ("exchange", "symbol", "interval", "clock")


class IncompleteError(WarehouseError):
    """Bars are missing from what a strict query selects; ``fields["holes"]`` has them all."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch that an answer lacks.

    Attributes
    ----------
    dataset, exchange, symbol, interval, clock
        Whose it is; interval and clock are None for raw data, all four of the series where the
        query names a series that is not there at all.
    start, end
        The span, naive UTC, half-open.
    bars
        How many bars are missing; None where that is not known.
    reason
        Why: missing at the vendor, refused, or not in the lake.
    """

    dataset: str
    exchange: str | None
    symbol: str | None
    interval: str | None
    clock: str | None
    start: dt.datetime | None
    end: dt.datetime | None
    bars: int | None
    reason: str

    def __str__(self) -> str:
        series = " ".join(
            part for part in (self.exchange, self.symbol, self.interval, self.clock) if part
        )
        count = f"{self.bars:,} bar{'s' * (self.bars != 1)} " if self.bars is not None else ""
        span = f" from {self.start:%Y-%m-%d %H:%M}" if self.start else ""
        span += f" until {self.end:%Y-%m-%d %H:%M}" if self.end else ""
        return f"{self.dataset} {series}: {count}{self.reason}{span}"


def find_holes(cursor: duckdb.DuckDBPyConnection, reaches: Sequence[Reach]) -> tuple[Hole, ...]:
    """Holes in what is reached, each once, by dataset, series and time."""
    found: set[Hole] = set()
    for reach in reaches:
        if reach.datasets and reach.place.schema != "meta":
            found |= {*_gaps(cursor, reach), *_refused(cursor, reach), *_outside(cursor, reach)}
    return tuple(sorted(found, key=lambda hole: (*_series_of(hole), str(hole.start))))


def require_whole(holes: Sequence[Hole]) -> None:
    """Raise if there are holes.

    Raises
    ------
    IncompleteError
        There are; the message names the first ten.
    """
    if holes:
        listed = "\n".join(f"  {hole}" for hole in holes[:10])
        more = f"\n  and {len(holes) - 10:,} more" if len(holes) > 10 else ""
        raise IncompleteError(
            f"the data has {len(holes):,} holes where the query looks:\n{listed}{more}",
            next_step="narrow the span, sync what is missing, or leave strict out",
            holes=tuple(holes),
        )


def _gaps(cursor: duckdb.DuckDBPyConnection, reach: Reach) -> list[Hole]:
    where, params = _series_filter(reach)
    rows = cursor.execute(
        f"select dataset, exchange, symbol, interval, clock, gap_from, gap_until, bars"
        f" from meta.gaps where {where}"
        " and gap_until > coalesce($start, gap_until - interval 1 second)"
        " and gap_from < coalesce($end, gap_from + interval 1 second)",
        {**params, "start": reach.start, "end": reach.end},
    ).fetchall()
    return [
        _hole(series, start, end, bars, "missing in the vendor's files")
        for *series, start, end, bars in rows
    ]


def _refused(cursor: duckdb.DuckDBPyConnection, reach: Reach) -> list[Hole]:
    keys = {name: values for name, values in reach.keys.items() if name != "series_id"}
    where, params = _series_filter(reach, keys)
    if "series_id" in reach.keys:
        where += (
            " and (exchange, symbol, coalesce(interval, ''), coalesce(clock, '')) in (select"
            " (exchange, symbol, coalesce(interval, ''), coalesce(clock, '')) from meta.series"
            " where series_id in $series_id)"
        )
        params["series_id"] = list(reach.keys["series_id"])
    rows = cursor.execute(
        f"select dataset, exchange, symbol, interval, clock, period, reason from meta.quarantine"
        f" where {where}",
        params,
    ).fetchall()
    holes = []
    for *series, period, reason in rows:
        start, end = _span(period)
        if (reach.end is None or start < reach.end) and (reach.start is None or end > reach.start):
            holes.append(_hole(series, start, end, None, f"refused ({reason.rstrip('.')})"))
    return holes


def _outside(cursor: duckdb.DuckDBPyConnection, reach: Reach) -> list[Hole]:
    """What the query asks for beyond the first or last bar, and series that are not there."""
    where, params = _series_filter(reach)
    rows = cursor.execute(
        "select dataset, exchange, symbol, interval, clock, min(first_time), max(last_time)"
        f" from meta.coverage where {where} group by all having min(first_time) is not null",
        params,
    ).fetchall()
    holes = []
    for *series, first, last in rows:
        if reach.start is not None and reach.start < first:
            holes.append(_hole(series, reach.start, first, None, "not in the lake"))
        after = last + _bar(series[3])
        if reach.end is not None and reach.end > after:
            holes.append(_hole(series, after, reach.end, None, "not in the lake"))
    if reach.keys:
        for dataset in sorted(set(reach.datasets) - {row[0] for row in rows}):
            named = [reach.keys.get(name, (None,)) for name in _SERIES]
            one = [values[0] if len(values) == 1 else None for values in named]
            holes.append(_hole((dataset, *one), reach.start, reach.end, None, "no such series"))
    return holes


def _hole(
    series: Sequence[Any],
    start: dt.datetime | None,
    end: dt.datetime | None,
    bars: int | None,
    reason: str,
) -> Hole:
    dataset, exchange, symbol, interval, clock = series
    return Hole(dataset, exchange, symbol, interval, clock, start, end, bars, reason)


def _series_of(hole: Hole) -> list[str]:
    return [getattr(hole, name) or "" for name in ("dataset", *_SERIES)]


def _series_filter(
    reach: Reach, keys: dict[str, tuple[Any, ...]] | None = None
) -> tuple[str, dict[str, Any]]:
    chosen = reach.keys if keys is None else keys
    where = "dataset in $datasets" + "".join(f' and "{name}" in ${name}' for name in chosen)
    return where, {
        "datasets": list(reach.datasets),
        **{name: list(values) for name, values in chosen.items()},
    }


def _span(period: str) -> tuple[dt.datetime, dt.datetime]:
    from warehouse.keys import Period

    named = Period(period)
    midnight = dt.time()
    return dt.datetime.combine(named.start, midnight), dt.datetime.combine(named.end, midnight)


def _bar(interval: str | None) -> dt.timedelta:
    from warehouse.keys import interval_us

    return dt.timedelta(microseconds=interval_us(interval) if interval else 1)
