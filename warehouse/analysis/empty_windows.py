"""Windows of a query over which measures are NULL in every row.

Their length is not a whole number of the selected bars, or it exceeds the span of the bars that the
SELECT with the measures reads, because its condition on ``time`` leaves out earlier bars.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.analysis.catalog_names import Names
from warehouse.analysis.gaps import series_filter
from warehouse.analysis.parse_tree import Tree, arguments_of, function_name, nodes, texts_in
from warehouse.analysis.scope import QueryScope, scopes_of_selects
from warehouse.times import us_datetime
from warehouse.vendor import interval_us

# Functions of the catalog whose second argument is a length; rolling_count always has a value.
_OF_LENGTH = re.compile(
    "rolling_(mean|sum|min|max|std|zscore|rank|percentile)|value_(before|after)"
    "|(past|forward)_return"
)
_STEP = dt.timedelta(microseconds=1)
# Names that the macro windows('7 minutes') writes.
_WINDOW = re.compile(r"\blast_([1-9][0-9]{0,9})_((?:second|minute|hour|day)s?) as \(")


@dataclass(frozen=True, slots=True)
class EmptyWindow:
    """A length of time over which measures are NULL in every row.

    Attributes
    ----------
    length
        As in the query, such as ``7 minutes``.
    intervals
        Intervals of the selected bars, if the length is not a whole number of them.
    start, end
        The span of the bars that the measures can read, if it is shorter than the length.
    """

    length: str
    intervals: tuple[str, ...] = ()
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def __str__(self) -> str:
        if self.intervals:
            bars = " or ".join(self.intervals)
            return f"measures over {self.length} are NULL: it is not a whole number of {bars} bars"
        return (
            f"measures over {self.length} are NULL: their SELECT reads bars from"
            f" {self.start:%Y-%m-%d %H:%M} until {self.end:%Y-%m-%d %H:%M} only; a condition on"
            " time belongs in a SELECT around it"
        )


def find_empty_windows(
    cursor: duckdb.DuckDBPyConnection,
    tree: Tree | None,
    text: str,
    params: Mapping[str, object],
    scopes: Sequence[QueryScope],
    catalog: Names,
) -> tuple[EmptyWindow, ...]:
    """Lengths in a query over which no measure has a value.

    A length that fits one of several intervals is not reported, because it may be meant for that
    one.
    """
    lengths = list(dict.fromkeys(_lengths(tree, text)))
    if not lengths:
        return ()
    intervals = sorted(_intervals(cursor, scopes), key=interval_us)
    spans = {
        length: span_us
        for length, span_us in cursor.execute(
            "select length, epoch_us(try_cast(length as interval)) from unnest($1) as t(length)",
            [lengths],
        ).fetchall()
        if span_us
    }
    found = {
        length: EmptyWindow(length, tuple(intervals))
        for length, span_us in spans.items()
        if intervals and all(span_us % interval_us(one) for one in intervals)
    }
    for window in _too_long(cursor, tree, params, spans, catalog) if tree is not None else ():
        found.setdefault(window.length, window)
    return tuple(found.values())


def _too_long(
    cursor: duckdb.DuckDBPyConnection,
    tree: Tree,
    params: Mapping[str, object],
    spans: Mapping[str, int],
    catalog: Names,
) -> Iterator[EmptyWindow]:
    """Lengths that exceed the span of all bars that the SELECT with their measures reads."""
    for select, scopes in scopes_of_selects(tree, params, catalog):
        needed = _needed_us(select, spans)
        read = [_span_read(cursor, scope) for scope in scopes] if needed else []
        known = [span for span in read if span is not None]
        if known and len(known) == len(read):
            start, end = min(span[0] for span in known), max(span[1] for span in known)
            for length, span_us in spans.items():
                if span_us in needed and (end - start) // _STEP < needed[span_us]:
                    yield EmptyWindow(length, start=start, end=end)


def _needed_us(select: Tree, spans: Mapping[str, int]) -> dict[int, int]:
    """The shortest span of bars with which a measure of a SELECT can have a value, by length."""
    own = {key: value for key, value in select.items() if key not in ("from_table", "cte_map")}
    found = {length_us: length_us for length_us in _counted_us(own)}
    for function, length in _calls(own):
        if (length_us := spans.get(length)) is not None:
            # a bar that lies one length away has to be there besides the bar itself
            least = length_us if function.startswith("rolling_") else length_us + 1
            found[length_us] = min(least, found.get(length_us, least))
    return found


def _counted_us(own: Tree) -> Iterator[int]:
    """Lengths of the windows of which the macros of a SELECT need every bar."""
    for node in nodes(own):
        if node.get("class") == "WINDOW":
            # the macro windows() writes: rows between greatest(LENGTH // ..., 1) - 1 preceding
            for part in nodes(node.get("start_expr")):
                if part.get("class") == "FUNCTION" and function_name(part) == "//":
                    yield from _integer(arguments_of(part)[0])


def _integer(node: Tree) -> Iterator[int]:
    """The value of an integer constant, in the form of either version of the engine."""
    literal, value = node.get("literal") or {}, node.get("value") or {}
    text = str(literal.get("text", value.get("value")))
    if node.get("class") == "CONSTANT" and text.isdecimal():
        yield int(text)


def _span_read(
    cursor: duckdb.DuckDBPyConnection, scope: QueryScope
) -> tuple[dt.datetime, dt.datetime] | None:
    """The span from the first bar of a scope to the end of its last one; None if it is unknown.

    The rows of a model of the user may have other times than its sources.
    """
    if scope.relation.schema == "user" or not scope.datasets:
        if scope.start is None or scope.end is None:
            return None
        return scope.start, scope.end
    where, params = series_filter(scope)
    rows = cursor.execute(
        'select "interval", epoch_us(min(first_time)), epoch_us(max(last_time)) from meta.coverage'
        f" where {where} group by all having min(first_time) is not null",
        params,
    ).fetchall()
    if not rows or any(interval is None for interval, _, _ in rows):
        return None
    first = us_datetime(min(start for _, start, _ in rows))
    last = us_datetime(max(end + interval_us(interval) for interval, _, end in rows))
    start, end = max(first, scope.start or first), min(last, scope.end or last)
    return (start, end) if start < end else None


def _lengths(tree: Tree | None, text: str) -> Iterator[str]:
    for count, unit in _WINDOW.findall(text):
        yield f"{count} {unit}"
    for _, length in _calls(tree or {}):
        yield length


def _calls(tree: Tree) -> Iterator[tuple[str, str]]:
    """The functions of the catalog that a query calls, each with its length."""
    for node in nodes(tree):
        if node.get("class") == "FUNCTION" and _OF_LENGTH.fullmatch(function_name(node)):
            for argument in arguments_of(node)[1:]:
                if argument.get("class") == "CONSTANT":
                    for length in texts_in(argument):
                        yield function_name(node), length


def _intervals(cursor: duckdb.DuckDBPyConnection, scopes: Sequence[QueryScope]) -> set[str]:
    """Intervals of the bars that a query selects."""
    found: set[str] = set()
    for scope in scopes:
        where, params = series_filter(scope)
        rows = cursor.execute(
            f"select distinct interval from meta.coverage where {where} and interval is not null",
            params,
        ).fetchall()
        found.update(interval for (interval,) in rows)
    return found
