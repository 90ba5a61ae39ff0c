"""Columns of a query that files of the series and months it selects do not have, so they are NULL.

``meta.drift`` lists the files that lack a column of their contract, except for columns that the
contract calls retired or optional.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import duckdb

from warehouse.analysis.catalog_names import Names
from warehouse.analysis.gaps import by_clock, series_filter
from warehouse.analysis.parse_tree import Tree
from warehouse.analysis.scope import QueryScope
from warehouse.analysis.used_columns import used_columns
from warehouse.display import counted, first_few

_STEP = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class AbsentColumn:
    """A vendor column behind a result that files of a series lack, so it is NULL in their rows.

    Attributes
    ----------
    dataset, column
        The column, as in ``vendor.flow``.
    exchange, symbol, interval, clock
        The series; interval and clock are empty for raw data.
    first, last
        The first and the last month or day whose file lacks the column.
    files
        Number of files that lack it.
    """

    dataset: str
    column: str
    exchange: str
    symbol: str
    interval: str
    clock: str
    first: str
    last: str
    files: int

    def __str__(self) -> str:
        return _line([self])


def find_absent_columns(
    cursor: duckdb.DuckDBPyConnection,
    scopes: Iterable[QueryScope],
    tree: Tree | None,
    catalog: Names,
) -> tuple[AbsentColumn, ...]:
    """Vendor columns that a query uses, directly or through other columns, and that files lack."""
    found: set[AbsentColumn] = set()
    for scope in scopes:
        if scope.datasets and scope.relation.schema != "meta":
            lacking = {one for part in by_clock(scope) for one in _lacking(cursor, part)}
            if lacking:
                used = {
                    (column.relation.name, column.column)
                    for column in used_columns(tree, scope.relation, catalog)
                }
                found |= {one for one in lacking if (one.dataset, one.column) in used}
    return tuple(sorted(found))


def absent_lines(absent: Sequence[AbsentColumn]) -> Iterator[str]:
    """One line per dataset; a single series is named, several are counted."""
    for _, group in groupby(absent, key=lambda one: one.dataset):
        yield _line(list(group))


def _line(group: Sequence[AbsentColumn]) -> str:
    columns = list(dict.fromkeys(one.column for one in group))
    of_series: dict[str, int] = {}
    for one in group:
        name = " ".join(filter(None, (one.exchange, one.symbol, one.interval, one.clock)))
        of_series[name] = max(one.files, of_series.get(name, 0))
    series = next(iter(of_series)) if len(of_series) == 1 else f"{len(of_series):,} series"
    first, last = min(one.first for one in group), max(one.last for one in group)
    span = first if first == last else f"{first} to {last}"
    verb = "reads" if len(columns) == 1 else "read"
    return (
        f"{group[0].dataset}: {first_few(columns)} {verb} NULL in {series}, {span}:"
        f" not in {counted(sum(of_series.values()), 'file')} of the vendor"
    )


def _lacking(cursor: duckdb.DuckDBPyConnection, scope: QueryScope) -> list[AbsentColumn]:
    """Columns that files of the selected series and span lack, even if the query ignores them."""
    where, params = series_filter(scope)
    if scope.start is not None:
        where += " and period >= left($start, len(period))"
        params["start"] = scope.start.isoformat()
    if scope.end is not None:
        where += " and period <= left($last, len(period))"
        params["last"] = (scope.end - _STEP).isoformat()
    rows = cursor.execute(
        'select dataset, "column", exchange, symbol, coalesce("interval", \'\'),'
        " coalesce(clock, ''), min(period), max(period), count(*) from meta.drift"
        f" where kind = 'missing' and {where} group by all",
        params,
    ).fetchall()
    return [AbsentColumn(*row) for row in rows]
