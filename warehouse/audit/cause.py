"""Finds out why a row depends on later data, by building it on less and less of that data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from warehouse.audit.compare import NO_ROW, Difference, Row, are_equal
from warehouse.audit.scratch import Scratch, World
from warehouse.display import counted
from warehouse.project import Model
from warehouse.sql import Relation, identifier, literal, moment
from warehouse.times import datetime_us
from warehouse.vendor import INTERVALS, interval_us

_MOST_ROWS_MEASURED = 4
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause as text, and how far inputs reach beyond the row's ``known_at``, if measured."""

    text: str
    reach_us: int | None = None
    reach_bars: int | None = None


def explain_leaks(
    scratch: Scratch,
    model: Model,
    differences: Sequence[Difference],
    rows: str,
    tainted: Mapping[Relation, str],
) -> list[Cause]:
    """A cause for each difference between a build on ``memory.<rows>`` and one on its past.

    ``tainted`` are models that look ahead, and how; reading one of them is part of the cause.
    """
    if differences:
        scratch.restore_views(model)
    origin = _origin(scratch, model, tainted)
    probes: dict[str, _Probe] = {}
    causes = []
    for difference in differences:
        place = difference.first.condition
        if place not in probes and len(probes) < _MOST_ROWS_MEASURED:
            columns = [d.column for d in differences if d.column and d.first.condition == place]
            probes[place] = _Probe(scratch, model, columns, difference.first, rows)
        cause = _measure(probes[place], difference) if place in probes else _NOT_MEASURED
        causes.append(Cause(cause.text + origin, cause.reach_us, cause.reach_bars))
    return causes


_NOT_MEASURED = Cause("changes with data from after the row, as other columns of this model do")


def _origin(scratch: Scratch, model: Model, tainted: Mapping[Relation, str]) -> str:
    read = [m.relation for m in scratch.ancestors(model) if m.relation in tainted]
    return "".join(f"; it reads {relation}, which {tainted[relation]}" for relation in read)


class _Probe:
    """One row of a model, built on selected parts of the data, once for each part."""

    def __init__(
        self, scratch: Scratch, model: Model, columns: Sequence[str], row: Row, rows: str
    ) -> None:
        self._scratch, self._model, self._rows = scratch, model, rows
        self._columns, self.row = list(columns), row
        self._seen: dict[World, list[tuple[object, ...]]] = {}
        known_at = row.value("known_at")
        assert isinstance(known_at, datetime)
        self.known_at = known_at
        self.datasets = scratch.datasets_of(model)
        self.later = self._moments_after(known_at)

    def whole(self) -> World:
        return World(self._rows)

    def until(self, index: int) -> World:
        """Data up to the index-th later moment; -1 is the row's own."""
        until = self.known_at if index < 0 else self.later[index]
        return World(self._rows, f"known_at <= {moment(until)}")

    def without(self, dataset: str, interval: str | None) -> World:
        """All data except the later rows of one dataset at one interval."""
        value = "null" if interval is None else literal(interval)
        own = f'"interval" is not distinct from {value}'
        condition = f"not ({own} and known_at > {moment(self.known_at)})"
        return World(self._rows, conditions=((dataset, condition),))

    def value(self, column: str | None, world: World, *, again: bool = False) -> list[object]:
        """The column's value in the row, as a list that is empty if the row does not exist."""
        if again or world not in self._seen:
            self._seen[world] = self._scratch.rows(
                world, self._model, self._columns, self.row.condition
            )
        found = self._seen[world]
        if column is None:
            return [len(found)]
        at = self._columns.index(column)
        return sorted((row[at] for row in found), key=repr)

    def is_replaced(self) -> bool:
        """Whether the build on all data has a row that differs in a later ``known_at`` only."""
        key = Row(tuple(pair for pair in self.row.key if pair[0] != "known_at"))
        later = f"{key.condition or 'true'} and known_at > {moment(self.known_at)}"
        return bool(self._scratch.rows(self.whole(), self._model, [], later))

    def sources_until(self, until: datetime) -> list[tuple[str, str | None]]:
        """Datasets and intervals with rows between the row and a later moment."""
        found = []
        for dataset in self.datasets:
            rows = self._scratch.connection.execute(
                f'select distinct "interval" from memory.{self._rows}.{identifier(dataset)}'
                f" where known_at > {moment(self.known_at)}"
                f" and known_at <= {moment(until)} order by 1"
            ).fetchall()
            found += [(dataset, row[0]) for row in rows]
        return found

    def _moments_after(self, known_at: datetime) -> list[datetime]:
        moments: set[datetime] = set()
        for dataset in self.datasets:
            rows = self._scratch.connection.execute(
                f"select distinct known_at from memory.{self._rows}.{identifier(dataset)}"
                f" where known_at > {moment(known_at)}"
            ).fetchall()
            moments.update(row[0] for row in rows)
        return sorted(moments)


def _measure(probe: _Probe, difference: Difference) -> Cause:
    column = difference.column
    whole = probe.value(column, probe.whole())
    if not _same(whole, probe.value(column, probe.whole(), again=True)):
        return Cause(
            "two builds of the same data differ: something is random, or rows are ordered by"
            " columns with ties"
        )
    if column is None and difference.left == NO_ROW and probe.is_replaced():
        return Cause(
            "its known_at becomes later as bars are added, as max(known_at) of an unfinished day"
            " does; set known_at to when the last bar of the row is known, such as"
            " date_trunc('day', \"time\") + interval 1 day"
        )
    if not probe.later or _same(whole, probe.value(column, probe.until(-1))):
        return Cause("changes with data from after the row, but in no way that could be measured")
    low, high = -1, len(probe.later) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if _same(whole, probe.value(column, probe.until(middle))):
            high = middle
        else:
            low = middle
    until = probe.later[high]
    sources = [
        source
        for source in probe.sources_until(until)
        if not _same(whole, probe.value(column, probe.without(*source)))
    ]
    return _described(probe, until, sources, to_the_end=high == len(probe.later) - 1)


def _described(
    probe: _Probe, until: datetime, sources: list[tuple[str, str | None]], *, to_the_end: bool
) -> Cause:
    reach_us = datetime_us(until) - datetime_us(probe.known_at)
    start = probe.row.value("time")
    bar_us = datetime_us(probe.known_at) - datetime_us(start) if isinstance(start, datetime) else 0
    bars = reach_us // bar_us if bar_us and reach_us % bar_us == 0 else None
    named = " and ".join(" ".join(filter(None, source)) for source in sources) or "its inputs"
    far = _duration(reach_us)
    if bars is not None:
        far = f"{counted(bars, 'bar')} ({far})"
    slower = [interval_us(i) for _, i in sources if i is not None and interval_us(i) > bar_us]
    own = ""
    if bar_us + reach_us in slower and bar_us not in map(interval_us, INTERVALS):
        own = ", or set known_at to the end of the bar that begins with the row"
    if len(slower) == len(sources) > 0 and bar_us and all(reach_us < us for us in slower):
        text = (
            f"uses {named}, whose bars close up to {far} after the row is known:"
            f" join them on known_at, not on time{own}"
        )
    elif to_the_end:
        text = (
            f"uses {named} to the end of the examined data, {far} after the row is known:"
            " a statistic of all rows, or a frame without an end"
        )
    else:
        text = f"uses {named} up to {far} after the row is known"
    return Cause(text, reach_us, bars)


def _same(left: list[object], right: list[object]) -> bool:
    return len(left) == len(right) and all(map(are_equal, left, right))


def _duration(microseconds: int) -> str:
    """A duration as text, in its two largest units.

    Examples
    --------
    >>> _duration(86_100 * 10**6), _duration(90_000 * 10**6), _duration(500_000), _duration(1)
    ('23 hours 55 minutes', '1 day 1 hour', '0.5 seconds', '0.000001 seconds')
    """
    seconds, parts = microseconds // 10**6, []
    for unit, length in _UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(counted(count, unit))
    return " ".join(parts[:2]) or f"{microseconds / 1e6:f}".rstrip("0") + " seconds"
