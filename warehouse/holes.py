"""Answers know their holes: missing bars and refused files in what a query selects."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from warehouse.display import counted
from warehouse.errors import WarehouseError
from warehouse.reach import Reach

_SERIES = ("exchange", "symbol", "interval", "clock")
_KEYS = ("clock", "interval", "symbol", "exchange", "series_id")
"""In the order in which they are doubted when an answer is empty."""
_LISTED = 6
_SHOWN = 3


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
        Why: missing at the vendor, refused, never synced, or before the series starts.
    next_step
        The command that may fill it; None where none can.
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
    next_step: str | None = None

    def __str__(self) -> str:
        series = " ".join(
            part for part in (self.exchange, self.symbol, self.interval, self.clock) if part
        )
        count = f"{counted(self.bars, 'bar')} " if self.bars is not None else ""
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


def hole_lines(holes: Sequence[Hole]) -> list[str]:
    """The first holes for people, each with the command that may fill it."""
    lines = [
        f"incomplete: {hole}" + (f"\n  next: {hole.next_step}" if hole.next_step else "")
        for hole in holes[:_SHOWN]
    ]
    if len(holes) > _SHOWN:
        lines.append(f"incomplete: and {len(holes) - _SHOWN:,} more holes, see .warnings")
    return lines


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


def explain_empty(cursor: duckdb.DuckDBPyConnection, reaches: Sequence[Reach]) -> str | None:
    """One line on what is reached for and is not in this home, and what is; None if all is."""
    for reach in reaches:
        for dataset in reach.datasets if reach.place.schema != "meta" else ():
            told = _absent(cursor, dataset, reach)
            if told is not None:
                return told
    return None


def _absent(cursor: duckdb.DuckDBPyConnection, dataset: str, reach: Reach) -> str | None:
    rows = cursor.execute(
        f"select {', '.join(_KEYS)}, min(first_time), max(last_time) from meta.coverage"
        " where dataset = $dataset group by all order by all",
        {"dataset": dataset},
    ).fetchall()
    if not rows:
        return f"nothing of {dataset} is in this home; see: warehouse status"
    asked = {
        name: reach.keys[name]
        for place, name in enumerate(_KEYS)
        if reach.keys.get(name) and any(row[place] is not None for row in rows)
    }

    def fits(row: tuple[Any, ...], *, but: str = "") -> bool:
        return all(row[_KEYS.index(n)] in values for n, values in asked.items() if n != but)

    chosen = [row for row in rows if fits(row)]
    if chosen:
        return _outside_of(dataset, reach, chosen)
    strange = [name for name in asked if not _values_of(rows, name) & {*asked[name]}]
    for name in asked:
        here = _values_of([row for row in rows if fits(row, but=name)], name)
        if here:
            beside = [] if strange else [other for other in asked if other != name]
            named, listed = _named(asked, name, *beside), _listed(here, asked[name])
            return f"{dataset} has no series with {named}; here: {listed}"
    every = strange or [*asked]
    return f"{dataset} has no series with {_named(asked, *every)}; here: " + "; ".join(
        f"{name} {_listed(_values_of(rows, name), asked[name])}" for name in every
    )


def _outside_of(dataset: str, reach: Reach, rows: Sequence[tuple[Any, ...]]) -> str | None:
    first = min((row[-2] for row in rows if row[-2] is not None), default=None)
    last = max((row[-1] for row in rows if row[-1] is not None), default=None)
    if first is None or last is None:
        return None
    if (reach.end is None or reach.end > first) and (reach.start is None or reach.start <= last):
        return None
    return f"{dataset} is here from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} only"


def _named(asked: dict[str, tuple[Any, ...]], *names: str) -> str:
    """What is asked of some keys, such as ``clock 'true' and interval '1h'``."""
    return " and ".join(f"{n} {' or '.join(repr(v) for v in asked[n][:3])}" for n in names)


def _values_of(rows: Sequence[tuple[Any, ...]], name: str) -> set[Any]:
    return {row[_KEYS.index(name)] for row in rows}


def _listed(here: set[Any], asked: Sequence[Any]) -> str:
    """Values that there are, those like the first one asked for before the others."""
    from difflib import get_close_matches

    texts = sorted(map(str, here - {None}))
    near = get_close_matches(str(asked[0]), texts, n=_LISTED, cutoff=0.6)
    every = list(dict.fromkeys([*near, *texts]))
    more = f" and {len(every) - _LISTED:,} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more


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
        hole
        for *series, start, end, bars in rows
        for hole in _by_month(cursor, series, start, end, bars)
    ]


def _by_month(
    cursor: duckdb.DuckDBPyConnection,
    series: Sequence[Any],
    start: dt.datetime,
    end: dt.datetime,
    bars: int,
) -> list[Hole]:
    """A gap, cut where months of which the lake has no file begin and end."""
    months = _months(start, end)
    is_part = len(months) == 1 and (start > months[0] or end < _next_month(months[0]))
    held = set(months) if is_part else _held(cursor, series, months)
    runs: list[tuple[bool, dt.datetime, dt.datetime]] = []
    for month in months:
        first, after = max(start, month), min(end, _next_month(month))
        if runs and runs[-1][0] == (month in held):
            runs[-1] = (runs[-1][0], runs[-1][1], after)
        else:
            runs.append((month in held, first, after))
    holes = []
    for is_held, first, after in runs:
        count = round(bars * ((after - first) / (end - start)))
        if is_held:
            holes.append(_hole(series, first, after, count, "missing in the vendor's files"))
        else:
            holes.append(_never_synced(series, first, after, count))
    return holes


def _months(start: dt.datetime, end: dt.datetime) -> list[dt.datetime]:
    found = [start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)]
    while (after := _next_month(found[-1])) < end:
        found.append(after)
    return found


def _next_month(month: dt.datetime) -> dt.datetime:
    return (month + dt.timedelta(days=32)).replace(day=1)


def _held(
    cursor: duckdb.DuckDBPyConnection, series: Sequence[Any], months: Sequence[dt.datetime]
) -> set[dt.datetime]:
    """Months of which the lake has a file, whole or of a day, good or refused."""
    names = ("dataset", *_SERIES)
    where = " and ".join(f'"{name}" is not distinct from ${name}' for name in names)
    rows = cursor.execute(
        f"select period from meta.files where {where}"
        f" union select period from meta.quarantine where {where}",
        dict(zip(names, series, strict=True)),
    ).fetchall()
    periods = {row[0][:7] for row in rows}
    return {month for month in months if f"{month:%Y-%m}" in periods}


def _never_synced(
    series: Sequence[Any], start: dt.datetime | None, end: dt.datetime | None, bars: int | None
) -> Hole:
    hole = _hole(series, start, end, bars, "never synced")
    return replace(hole, next_step=_sync_line(hole))


def _sync_line(hole: Hole) -> str:
    words = ["warehouse", "sync", hole.dataset]
    for name in _SERIES:
        if getattr(hole, name) is not None:
            words += [f"--{name}", str(getattr(hole, name))]
    if hole.start is not None:
        words += ["--start", f"{hole.start:%Y-%m-%d}"]
    if hole.end is not None:
        words += ["--end", f"{hole.end - dt.timedelta(microseconds=1):%Y-%m-%d}"]
    return shlex.join(words)


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
    passed = {row[0] for row in rows} - {row[0] for row in rows if _meets(reach, *row[-2:])}
    for *series, first, last in rows:
        if series[0] in passed and None in (reach.start, reach.end):
            holes.append(_never_synced(series, reach.start, reach.end, None))
            continue
        if reach.start is not None and reach.start < first:
            is_within = (first.day, first.time()) != (1, dt.time())
            if is_within:
                holes.append(_hole(series, reach.start, first, None, "before the series starts"))
            else:
                holes.append(_never_synced(series, reach.start, first, None))
        after = last + _bar(series[3])
        if reach.end is not None and reach.end > after:
            holes.append(_never_synced(series, after, reach.end, None))
    if reach.keys:
        for dataset in sorted(set(reach.datasets) - {row[0] for row in rows}):
            named = [reach.keys.get(name, (None,)) for name in _SERIES]
            one = [values[0] if len(values) == 1 else None for values in named]
            holes.append(_hole((dataset, *one), reach.start, reach.end, None, "no such series"))
    return holes


def _meets(reach: Reach, first: dt.datetime, last: dt.datetime) -> bool:
    """Whether any of the bars from ``first`` to ``last`` can lie in what is reached."""
    return (reach.start is None or reach.start <= last) and (reach.end is None or first < reach.end)


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
