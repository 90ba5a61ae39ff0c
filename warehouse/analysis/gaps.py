"""Finds missing bars and refused files in the selection of a query."""

from __future__ import annotations

import datetime as dt
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from warehouse.analysis.catalog_names import Names
from warehouse.analysis.empty_results import missing_series
from warehouse.analysis.parse_tree import Tree
from warehouse.analysis.scope import QueryScope
from warehouse.analysis.used_columns import used_datasets
from warehouse.config import program
from warehouse.display import counted
from warehouse.errors import WarehouseError
from warehouse.home import Home
from warehouse.lake import Manifest
from warehouse.times import (
    DAY_US,
    MINUTE_US,
    Span,
    datetime_us,
    intersect,
    merge,
    subtract,
    us_datetime,
    utc_now,
)
from warehouse.vendor import SERIES_COLUMNS, Period, SeriesKey, interval_us, load_contracts

_SHOWN = 3
_AT_VENDOR = "missing in the vendor's files"
_NO_TICKS = "without ticks in the lake"
_NO_FILE = "the vendor has no file"
_NOT_BUILT = "synced, but not in this build"
_TOO_EARLY = "before the series starts"
_UNKNOWN = "no such series"


class IncompleteError(WarehouseError):
    """Bars are missing from the selection of a strict query; ``fields["gaps"]`` lists them."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A span that a result lacks.

    Attributes
    ----------
    dataset, exchange, symbol, interval, clock
        The series; interval and clock are None for raw data, all four of the series if the
        query names a series that does not exist.
    start, end
        The span, naive UTC; ``end`` is excluded.
    bars
        Number of missing bars; None if unknown.
    reason
        The cause: missing in the vendor's files, refused, never synced, after its last file, before
        the series starts, the vendor has no file, synced but not in this build, no such series, or,
        for kept bars, no ticks in the lake.
    next_step
        The command that may fill the gap; None if there is none.
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

    @property
    def is_of_unknown(self) -> bool:
        """Whether the query names a series that does not exist."""
        return self.reason.startswith(_UNKNOWN)

    def __str__(self) -> str:
        series = " ".join(
            part for part in (self.exchange, self.symbol, self.interval, self.clock) if part
        )
        count = f"{counted(self.bars, 'bar')} " if self.bars is not None else ""
        start, end = (t and f"{t:%Y-%m-%d %H:%M}" for t in (self.start, self.end))
        span = f" from {start}" if start else ""
        span += f" until {end}" if end else ""
        if start and start == end:
            span = f" at {start}"
        return f"{self.dataset} {series}: {count}{self.reason}{span}"


def find_gaps(
    cursor: duckdb.DuckDBPyConnection,
    scopes: Iterable[QueryScope],
    home: Home,
    tree: Tree | None,
    catalog: Names,
) -> tuple[Gap, ...]:
    """The gaps in a query's selection, each once, by dataset, series and time.

    A series that does not exist counts only if the query names a column computed from it.
    """
    found: set[Gap] = set()
    sources = _LakeToday(home)
    for scope in scopes:
        if scope.datasets and scope.relation.schema != "meta":
            for part in by_clock(scope):
                gaps = _gaps_of(cursor, part, sources)
                if len(scope.datasets) > 1 and any(gap.is_of_unknown for gap in gaps):
                    used = used_datasets(tree, scope.relation, catalog)
                    gaps = {h for h in gaps if not h.is_of_unknown or h.dataset in used}
                found |= gaps
    return tuple(sorted(found, key=_order))


def by_clock(scope: QueryScope) -> Iterator[QueryScope]:
    """The scope, and separately that of datasets that exist under one clock only.

    A mart joins those to the bars of either clock by ``known_at``.
    """
    contracts = load_contracts()
    only: dict[tuple[str, ...], list[str]] = {}
    for dataset in scope.datasets:
        clocks = contracts[dataset].clocks if dataset in contracts else ()
        is_joined = len(clocks) == 1 and len(scope.datasets) > 1 and "clock" in scope.keys
        only.setdefault(clocks if is_joined else (), []).append(dataset)
    for clocks, datasets in only.items():
        keys = {**scope.keys, "clock": clocks} if clocks else scope.keys
        yield replace(scope, datasets=tuple(datasets), keys=keys)


def gap_lines(gaps: Sequence[Gap], hint: str | None) -> list[str]:
    """Lines of text: each gap with the command that may fill it, or counts by cause for many.

    ``hint`` is that of the result; if there is one, it names the series that are not here.
    """
    if hint is not None:
        gaps = [gap for gap in gaps if not gap.is_of_unknown]
    if len(gaps) <= _SHOWN:
        return [line for gap in gaps for line in _gap_lines(gap)]
    reasons = Counter(gap.reason.partition(" (")[0] for gap in gaps)
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    if len(reasons) == 1:
        why = f"each for the same reason, {next(iter(reasons))}"
    series = f"{len({_name_of(gap) for gap in gaps}):,} series"
    first = next((gap for gap in gaps if gap.next_step), gaps[0])
    return [
        f"incomplete: {counted(len(gaps), 'gap')} in {series}: {why};"
        " all are in Result.warnings in Python, those between bars also in meta.gaps",
        *_gap_lines(first, "  such as"),
    ]


def _gap_lines(gap: Gap, label: str = "incomplete") -> list[str]:
    return [f"{label}: {gap}", *([f"  next: {gap.next_step}"] if gap.next_step else [])]


def require_whole(gaps: Sequence[Gap]) -> None:
    """Raise an error if there are gaps."""
    if gaps:
        listed = "\n".join(f"  {gap}" for gap in gaps[:10])
        more = f"\n  and {len(gaps) - 10:,} more" if len(gaps) > 10 else ""
        raise IncompleteError(
            f"the selection has {counted(len(gaps), 'gap')}:\n{listed}{more}",
            next_step="narrow the span, sync what is missing, or omit strict",
            gaps=tuple(gaps),
        )


@dataclass(slots=True)
class _Series:
    """One series of a dataset with its spans in the catalog, in microseconds.

    ``first`` and ``after`` bound its bars; ``held`` are the periods of its files, ``refused`` those
    of files in quarantine, ``gaps`` the missing bars in between. ``is_of_ticks`` if the bars were
    computed from ticks.
    """

    name: tuple[Any, ...]
    first: int
    after: int
    held: list[Span] = field(default_factory=list)
    refused: list[Span] = field(default_factory=list)
    gaps: list[Span] = field(default_factory=list)
    is_of_ticks: bool = False

    @property
    def starts_late(self) -> bool:
        """Whether its first file has bars missing at the start, so the vendor has none earlier."""
        begins = next((start for start, end in self.held if end > self.first), self.first)
        return self.first - begins >= (DAY_US if self.name[3] is None else 1)


def _gaps_of(cursor: duckdb.DuckDBPyConnection, scope: QueryScope, sources: _LakeToday) -> set[Gap]:
    refused = _refused(cursor, scope)
    series = _series(cursor, scope, refused)
    found = set(refused)
    for one in series:
        for gap in one.gaps:
            if _overlaps(gap, scope):
                found.update(_gaps_by_reason(one, gap, sources, counts=True))
    found |= _beyond_bars(scope, series, sources)
    return found | _unknown_series(cursor, scope, series, refused)


def _series(
    cursor: duckdb.DuckDBPyConnection, scope: QueryScope, refused: Sequence[Gap]
) -> list[_Series]:
    """The selected series that have a bar."""
    where, params = series_filter(scope)
    names = "dataset, exchange, symbol, interval, clock"
    bounds = cursor.execute(
        f"select {names}, epoch_us(min(first_time)), epoch_us(max(last_time)) from meta.coverage"
        f" where {where} group by all having min(first_time) is not null order by all",
        params,
    ).fetchall()
    of_ticks = _series_from_ticks(cursor, where, params)
    found = {
        tuple(name): _Series(
            tuple(name), first, last + _bar_us(name[3]), is_of_ticks=tuple(name) in of_ticks
        )
        for *name, first, last in bounds
    }
    for *name, periods in cursor.execute(
        f"select {names}, list(period) from meta.files where {where} group by all", params
    ).fetchall():
        if tuple(name) in found and tuple(name) not in of_ticks:
            found[tuple(name)].held = merge(Period(period).span for period in periods)
    for gap in refused:
        if gap.start and gap.end and (one := found.get(_name_of(gap))) is not None:
            one.refused.append((datetime_us(gap.start), datetime_us(gap.end)))
    for *name, start, end in cursor.execute(
        f"select {names}, epoch_us(gap_from), epoch_us(gap_until) from meta.gaps where {where}",
        params,
    ).fetchall():
        found[tuple(name)].gaps.append((start, end))
    for one in found.values():
        if one.name[3] is None:  # raw data has no grid: its edges are minutes, and its gaps periods
            one.first -= one.first % MINUTE_US
            one.after += -one.after % MINUTE_US
            if one.held:
                one.gaps = subtract([(one.held[0][0], one.held[-1][1])], one.held)
    return list(found.values())


def _series_from_ticks(
    cursor: duckdb.DuckDBPyConnection, where: str, params: Mapping[str, Any]
) -> set[tuple[Any, ...]]:
    """Names of the selected series whose bars were computed from ticks."""
    columns = cursor.execute("describe meta.coverage").fetchall()
    if "source" not in {row[0] for row in columns}:  # in a catalog of an earlier version
        return set()
    return set(
        cursor.execute(
            "select distinct dataset, exchange, symbol, interval, clock from meta.coverage"
            f" where {where} and source = 'ticks'",
            params,
        ).fetchall()
    )


def _gaps_by_reason(
    series: _Series, span: Span, sources: _LakeToday, *, counts: bool = False
) -> Iterator[Gap]:
    """A span without bars, split where the cause changes; refused files are separate gaps."""
    if series.is_of_ticks:
        yield from _gaps(series, [span], _NO_TICKS, counts=counts)
        return
    left = subtract([span], series.refused)
    yield from _gaps(series, intersect(left, series.held), _AT_VENDOR, counts=counts)
    left = subtract(left, series.held)
    if not left:
        return
    stored, settled = sources.of(series.name)
    unbuilt = intersect(left, stored)
    yield from _gaps(series, unbuilt, _NOT_BUILT, sources.build_line, counts=counts)
    left = subtract(left, stored)
    yield from _gaps(series, intersect(left, settled), _NO_FILE, counts=counts)
    is_after = span[0] >= series.after
    for part in subtract(left, settled):
        reason = "after its last file" if is_after else "never synced"
        step = sources.sync_line(series.name, part)
        yield from _gaps(series, [part], reason, step, counts=counts)


def _beyond_bars(scope: QueryScope, series: Sequence[_Series], sources: _LakeToday) -> set[Gap]:
    """The selected time before the first bar and after the last one."""
    start = None if scope.start is None else datetime_us(scope.start)
    end = None if scope.end is None else datetime_us(scope.end)
    if end is not None and (start is None or start < _today_us()):
        end = min(end, _today_us())
    reached = {
        one.name[0]
        for one in series
        if (start is None or start < one.after) and (end is None or one.first < end)
    }
    found: set[Gap] = set()
    for one in series:
        is_passed = one.name[0] not in reached
        if start is None and end is not None and is_passed:
            found |= _before_bars(one, None, end, sources)
        if start is not None and start < one.first:
            until = one.first if end is None else min(one.first, end)
            found |= _before_bars(one, start, until, sources)
        if end is None and start is not None and is_passed and start >= one.after:
            found.add(_after_bars(one, start, sources))
        if end is not None and end > one.after:
            begins = one.after if start is None else max(one.after, start)
            found.update(_gaps_by_reason(one, (begins, end), sources))
    return found


def _before_bars(one: _Series, start: int | None, end: int, sources: _LakeToday) -> set[Gap]:
    if not one.starts_late and start is not None:
        return set(_gaps_by_reason(one, (start, end), sources))
    reason = _TOO_EARLY if one.starts_late else _NO_TICKS if one.is_of_ticks else "never synced"
    if start is None:
        return {_gap(one.name, None, us_datetime(end), None, reason)}
    return set(_gaps(one, subtract([(start, end)], one.refused), reason))


def _after_bars(one: _Series, start: int, sources: _LakeToday) -> Gap:
    if one.is_of_ticks:
        return _gap(one.name, us_datetime(start), None, None, _NO_TICKS)
    step = sources.sync_line(one.name, (start, None))
    return _gap(one.name, us_datetime(start), None, None, "after its last file", step)


def _unknown_series(
    cursor: duckdb.DuckDBPyConnection,
    scope: QueryScope,
    series: Sequence[_Series],
    refused: Sequence[Gap],
) -> set[Gap]:
    """Series in the query that have no file in this home, good or refused."""
    if not scope.keys:
        return set()
    here = {one.name[0] for one in series} | {gap.dataset for gap in refused}
    named = [scope.keys.get(name, (None,)) for name in SERIES_COLUMNS]
    values = [each[0] if len(each) == 1 else None for each in named]
    return {
        _gap((dataset, *values), scope.start, scope.end, None, f"{_UNKNOWN}{why and f' ({why})'}")
        for dataset in set(scope.datasets) - here
        for why in [missing_series(cursor, dataset, scope)]
    }


def _gaps(
    series: _Series,
    spans: Sequence[Span],
    reason: str,
    next_step: str | None = None,
    *,
    counts: bool = False,
) -> Iterator[Gap]:
    bar = _bar_us(series.name[3])
    for start, end in spans:
        bars = (end - start) // bar if counts and series.name[3] is not None else None
        yield _gap(series.name, us_datetime(start), us_datetime(end), bars, reason, next_step)


class _LakeToday:
    """The current lake's files and settled spans of a series, read on demand."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: dict[tuple[Any, ...], tuple[list[Span], list[Span]]] = {}

    def of(self, name: tuple[Any, ...]) -> tuple[list[Span], list[Span]]:
        """Periods of a series' files, and spans for which the vendor has no others."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: tuple[Any, ...]) -> tuple[list[Span], list[Span]]:
        if not self._home.manifest.is_file():
            return [], []
        dataset, *parts = name
        series = SeriesKey(*parts)
        with suppress(WarehouseError), Manifest(self._home.manifest) as manifest:
            periods = [file.key.period for file in manifest.files_of(dataset, series)]
            stored = merge(period.span for period in periods)
            return stored, merge(manifest.settled(dataset, series))
        return [], []  # sync and verify report why the manifest is unreadable

    @property
    def build_line(self) -> str:
        """The command that shows what was synced after the catalog was built."""
        return shlex.join([*program(self._home.root), "build"])

    def sync_line(self, name: tuple[Any, ...], span: tuple[int, int | None]) -> str | None:
        """The command that downloads or imports a span; None for one in the future."""
        start, end = span
        if start > _now_us():
            return None
        dataset, *parts = name
        options = SeriesKey(*parts).options
        importer = self._importer(name)
        if importer is not None:
            return shlex.join([*program(self._home.root), "import", importer, "FILES", *options])
        words = [*program(self._home.root), "sync", dataset, *options]
        words += ["--start", f"{us_datetime(start):%Y-%m-%d}"]
        if end is not None:
            words += ["--end", f"{us_datetime(end - 1):%Y-%m-%d}"]
        return shlex.join(words)

    def _importer(self, name: tuple[Any, ...]) -> str | None:
        """The importer of a series of imported ticks."""
        dataset, *parts = name
        with suppress(WarehouseError), Manifest(self._home.manifest) as manifest:
            for file in manifest.files_of(dataset, SeriesKey(*parts), most=1):
                return file.facts.imported.importer if file.facts.imported else None
        return None


def _refused(cursor: duckdb.DuckDBPyConnection, scope: QueryScope) -> list[Gap]:
    """Files in quarantine, except those of which the lake has a good version."""
    keys = {name: values for name, values in scope.keys.items() if name != "series_id"}
    where, params = series_filter(scope, keys)
    if "series_id" in scope.keys:
        where += (
            " and (exchange, symbol, coalesce(interval, ''), coalesce(clock, '')) in (select"
            " (exchange, symbol, coalesce(interval, ''), coalesce(clock, '')) from meta.series"
            " where series_id in $series_id)"
        )
        params["series_id"] = list(scope.keys["series_id"])
    key = ("dataset", *SERIES_COLUMNS, "period")
    same = " and ".join(f"quarantine.{name} is not distinct from held.{name}" for name in key)
    rows = cursor.execute(
        f"select {', '.join(key)}, reason from meta.quarantine"
        f" anti join meta.files as held on {same} where {where}",
        params,
    ).fetchall()
    gaps = []
    for *series, period, reason in rows:
        start, end = map(us_datetime, Period(period).span)
        if (scope.end is None or start < scope.end) and (scope.start is None or end > scope.start):
            gaps.append(_gap(series, start, end, None, f"refused ({reason.rstrip('.')})"))
    return gaps


def _overlaps(span: Span, scope: QueryScope) -> bool:
    return (scope.end is None or span[0] < datetime_us(scope.end)) and (
        scope.start is None or span[1] > datetime_us(scope.start)
    )


def _gap(
    series: Sequence[Any],
    start: dt.datetime | None,
    end: dt.datetime | None,
    bars: int | None,
    reason: str,
    next_step: str | None = None,
) -> Gap:
    dataset, exchange, symbol, interval, clock = series
    return Gap(dataset, exchange, symbol, interval, clock, start, end, bars, reason, next_step)


def _order(gap: Gap) -> tuple[list[str], str, str]:
    return [name or "" for name in _name_of(gap)], str(gap.start), gap.reason


def _name_of(gap: Gap) -> tuple[Any, ...]:
    return (gap.dataset, *(getattr(gap, name) for name in SERIES_COLUMNS))


def series_filter(
    scope: QueryScope, keys: dict[str, tuple[Any, ...]] | None = None
) -> tuple[str, dict[str, Any]]:
    chosen = scope.keys if keys is None else keys
    where = "dataset in $datasets" + "".join(f' and "{name}" in ${name}' for name in chosen)
    return where, {
        "datasets": list(scope.datasets),
        **{name: list(values) for name, values in chosen.items()},
    }


def _bar_us(interval: str | None) -> int:
    return interval_us(interval) if interval else 1


def _now_us() -> int:
    return datetime_us(utc_now())


def _today_us() -> int:
    """Start of the current UTC day; the vendor's files end with yesterday."""
    return _now_us() // DAY_US * DAY_US
