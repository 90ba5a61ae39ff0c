"""Explains an empty result: the table, series or span of the query that is not in this home."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from warehouse.analysis.scope import QueryScope
from warehouse.vendor import interval_us

_Row = tuple[Any, ...]
# Columns in the order in which their conditions are checked when a result is empty.
_KEYS = ("clock", "interval", "symbol", "exchange", "series_id")
_SHOWN_VALUES = 6
_SEE_STATUS = "; see: warehouse status"


def explain_empty(
    cursor: duckdb.DuckDBPyConnection, scopes: Sequence[QueryScope], *, has_rows: bool = False
) -> str | None:
    """One line on what a query selects but this home lacks, and on what the home has.

    A result with one row of 0 and NULL is explained only if something is missing.
    """
    tables, is_lacking = [], False
    for scope in scopes:
        if scope.relation.schema == "meta" or not scope.datasets:
            continue
        coverage = {dataset: _coverage(cursor, dataset) for dataset in scope.datasets}
        here = {dataset: rows for dataset, rows in coverage.items() if rows}
        if not here:
            return _no_data(scope)
        absent = {d: line for d, rows in here.items() if (line := _missing_part(d, rows, scope))}
        if len(absent) == len(here):
            return next(iter(absent.values()))
        tables.append(_datasets_here(scope, here, absent))
        is_lacking = is_lacking or bool(absent) or len(here) < len(coverage)
    if not tables or (has_rows and not is_lacking):
        return None
    return "; ".join(dict.fromkeys(tables))


def missing_series(cursor: duckdb.DuckDBPyConnection, dataset: str, scope: QueryScope) -> str:
    """Which selected key no series of a dataset has, and its values; empty without data of it."""
    rows = _coverage(cursor, dataset)
    return (_missing_part(dataset, rows, scope) if rows else None) or ""


def _coverage(cursor: duckdb.DuckDBPyConnection, dataset: str) -> list[_Row]:
    """Keys of a dataset's series, and the times of their first and last row."""
    return cursor.execute(
        f"select {', '.join(_KEYS)}, min(first_time), max(last_time) from meta.coverage"
        " where dataset = $dataset group by all order by all",
        {"dataset": dataset},
    ).fetchall()


def _no_data(scope: QueryScope) -> str:
    if scope.datasets == (scope.relation.name,):
        return f"this home has no data of {scope.relation.name}{_SEE_STATUS}"
    sources = " or ".join(scope.datasets)
    return (
        f"this home has no data of {sources}, from which {scope.relation} is computed{_SEE_STATUS}"
    )


def _datasets_here(
    scope: QueryScope, here: Mapping[str, Sequence[_Row]], absent: Mapping[str, str]
) -> str:
    """The datasets behind a table that the home has, and those that it lacks."""
    by_span: dict[str, list[str]] = {}
    for dataset, rows in here.items():
        asked = _restricted_keys(scope, rows)
        chosen = [r for r in rows if all(r[_KEYS.index(n)] in asked[n] for n in asked)]
        span = _span_of(chosen)
        if dataset not in absent:
            by_span.setdefault(_span_text(span) if span else "without rows", []).append(dataset)
    parts = [f"{', '.join(names)} {span}" for span, names in by_span.items()]
    parts += absent.values()
    missing = [dataset for dataset in scope.datasets if dataset not in here]
    if missing:
        parts.append(f"no data of {', '.join(missing)}")
    if scope.datasets == (scope.relation.name,):
        return (
            f"{scope.relation} has rows {parts[0].partition(' ')[2]}, but no row matches the query"
        )
    return f"no row matches the query; {scope.relation} is computed from: {'; '.join(parts)}"


def _restricted_keys(scope: QueryScope, rows: Sequence[_Row]) -> dict[str, tuple[Any, ...]]:
    return {
        name: scope.keys[name]
        for place, name in enumerate(_KEYS)
        if scope.keys.get(name) and any(row[place] is not None for row in rows)
    }


def _missing_part(dataset: str, rows: Sequence[_Row], scope: QueryScope) -> str | None:
    """Which selected series or span a dataset does not have; None if it has all."""
    asked = _restricted_keys(scope, rows)

    def fits(row: tuple[Any, ...], *, but: str = "") -> bool:
        return all(row[_KEYS.index(n)] in values for n, values in asked.items() if n != but)

    chosen = [row for row in rows if fits(row)]
    if chosen:
        return _outside_span(dataset, scope, chosen)
    unknown = [name for name in asked if not _values_of(rows, name) & {*asked[name]}]
    for name in asked:
        here = _values_of([row for row in rows if fits(row, but=name)], name)
        if here:
            beside = [] if unknown else [other for other in asked if other != name]
            named, listed = _keys_text(asked, name, *beside), _nearest_first(here, name, asked)
            return f"{dataset} has no series with {named}; available: {listed}"
    every = unknown or [*asked]
    return f"{dataset} has no series with {_keys_text(asked, *every)}; available: " + "; ".join(
        f"{name} {_nearest_first(_values_of(rows, name), name, asked)}" for name in every
    )


def _outside_span(dataset: str, scope: QueryScope, rows: Sequence[_Row]) -> str | None:
    span = _span_of(rows)
    if span is None:
        return None
    first, last = span
    if (scope.end is None or scope.end > first) and (scope.start is None or scope.start <= last):
        return None
    return f"{dataset} has rows only {_span_text(span)}"


def _span_of(rows: Sequence[_Row]) -> tuple[dt.datetime, dt.datetime] | None:
    first = min((row[-2] for row in rows if row[-2] is not None), default=None)
    last = max((row[-1] for row in rows if row[-1] is not None), default=None)
    return None if first is None or last is None else (first, last)


def _span_text(span: tuple[dt.datetime, dt.datetime]) -> str:
    return f"from {span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M}"


def _keys_text(asked: dict[str, tuple[Any, ...]], *names: str) -> str:
    """The selected values of some keys, such as ``clock 'true' and interval '1h'``."""
    return " and ".join(f"{n} {' or '.join(repr(v) for v in asked[n][:3])}" for n in names)


def _values_of(rows: Sequence[_Row], name: str) -> set[Any]:
    return {row[_KEYS.index(name)] for row in rows}


def _nearest_first(here: set[Any], name: str, asked: Mapping[str, Sequence[Any]]) -> str:
    """Existing values of a key: intervals by length, of others those similar to the first asked."""
    from difflib import get_close_matches

    if name == "interval":
        return ", ".join(sorted(here - {None}, key=interval_us))
    texts = sorted(map(str, here - {None}))
    near = get_close_matches(str(asked[name][0]), texts, n=_SHOWN_VALUES, cutoff=0.6)
    every = list(dict.fromkeys([*near, *texts]))
    more = f" and {len(every) - _SHOWN_VALUES:,} more" if len(every) > _SHOWN_VALUES else ""
    return ", ".join(every[:_SHOWN_VALUES]) + more
