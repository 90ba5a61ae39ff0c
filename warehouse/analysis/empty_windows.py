"""Windows in a query that are not a whole number of the selected bars, so they have no values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.analysis.gaps import series_filter
from warehouse.analysis.parse_tree import Tree, arguments_of, function_name, nodes, texts_in
from warehouse.analysis.scope import QueryScope
from warehouse.vendor import interval_us

# Functions of the catalog whose second argument is a length; rolling_count always has a value.
_OF_LENGTH = re.compile(
    "rolling_(mean|sum|min|max|std|zscore|rank|percentile)|value_(before|after)"
    "|(past|forward)_return"
)
# Names that the macro windows('7 minutes') writes.
_WINDOW = re.compile(r"\blast_([1-9][0-9]{0,9})_((?:second|minute|hour|day)s?) as \(")


@dataclass(frozen=True, slots=True)
class EmptyWindow:
    """A length of time that is not a whole number of bars, so that measures over it are NULL.

    Attributes
    ----------
    length
        As in the query, such as ``7 minutes``.
    intervals
        Intervals of the selected bars.
    """

    length: str
    intervals: tuple[str, ...]

    def __str__(self) -> str:
        bars = " or ".join(self.intervals)
        return f"measures over {self.length} are NULL: it is not a whole number of {bars} bars"


def find_empty_windows(
    cursor: duckdb.DuckDBPyConnection,
    tree: Tree | None,
    text: str,
    scopes: Sequence[QueryScope],
) -> tuple[EmptyWindow, ...]:
    """Lengths in a query that fit none of the selected intervals.

    A length that fits one of several intervals is not reported, because it may be meant for that
    one.
    """
    lengths = list(dict.fromkeys(_lengths(tree, text)))
    if not lengths:
        return ()
    intervals = sorted(_intervals(cursor, scopes), key=interval_us)
    spans = cursor.execute(
        "select length, epoch_us(try_cast(length as interval)) from unnest($1) as t(length)",
        [lengths],
    ).fetchall()
    return tuple(
        EmptyWindow(length, tuple(intervals))
        for length, span_us in spans
        if span_us and intervals and all(span_us % interval_us(one) for one in intervals)
    )


def _lengths(tree: Tree | None, text: str) -> Iterator[str]:
    for count, unit in _WINDOW.findall(text):
        yield f"{count} {unit}"
    for node in nodes(tree or {}):
        if node.get("class") == "FUNCTION" and _OF_LENGTH.fullmatch(function_name(node)):
            for argument in arguments_of(node)[1:]:
                if argument.get("class") == "CONSTANT":
                    yield from texts_in(argument)


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
