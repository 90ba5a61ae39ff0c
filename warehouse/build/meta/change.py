"""Updates the schema ``meta`` in a copy of a catalog: only rows of changed months are replaced.

Coverage and gaps of a series depend on all its months; those of a changed series are computed from
the copy's rows for the other months.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb

from warehouse.build.meta.rows import (
    Filling,
    Subject,
    add_month,
    add_rows,
    coverage_rows,
    gap_rows,
    restatement_rows,
    rows_of,
    write_rest,
)
from warehouse.build.months.lake_months import LakeByMonth
from warehouse.lake import Manifest, SeriesMonth
from warehouse.sql import identifier
from warehouse.times import Span, subtract
from warehouse.vendor import interval_us


def change_meta(connection: duckdb.DuckDBPyConnection, described: Subject) -> set[str]:
    """Make the tables that describe the lake, in a copy of a catalog, show the current lake.

    Returns the datasets whose files or facts have changed.
    """
    lake = described.lake
    before = {
        (dataset, month): (shown, described)
        for dataset, month, shown, described in rows_of(
            connection, "select dataset, month, shown, described from meta.months"
        )
    }
    places = before.keys() | lake.tokens.keys()
    none = "", ""
    changed = sorted(p for p in places if before.get(p) != lake.tokens.get(p))
    shown = {p for p in changed if before.get(p, none)[0] != lake.tokens.get(p, none)[0]}
    series = _series_in(connection, shown)
    for name in ("files", "sources", "drift", "salvaged", "notes"):
        _delete(connection, name, "dataset || ' ' || period[:7]", map(" ".join, changed))
    filling = Filling(connection)
    held: list[SeriesMonth] = []
    for place in changed:
        if place in lake.tokens:
            months = add_month(filling, connection, lake, *place)
            held += months if place in shown else ()
    filling.end()
    series |= {(month.dataset, month.series_id) for month in held}
    held += [
        month for month in _covered(connection, series) if (month.dataset, month.month) not in shown
    ]
    texts = [f"{dataset} {series_id}" for dataset, series_id in series]
    _exchange(connection, "coverage", "month", texts, coverage_rows(lake, held))
    _exchange(connection, "gaps", "gap_from::varchar", texts, gap_rows(lake, held))
    write_rest(connection, described)
    _add_restatements(connection, lake, described.manifest)
    return {dataset for dataset, _ in shown}


def _series_in(
    connection: duckdb.DuckDBPyConnection, places: Iterable[tuple[str, str]]
) -> set[tuple[str, int]]:
    """Datasets and series that the copy has in these months."""
    return set(
        rows_of(
            connection,
            "select distinct dataset, series_id from meta.coverage"
            " where dataset || ' ' || month in (select unnest($1::varchar[]))",
            list(map(" ".join, places)),
        )
    )


def _covered(
    connection: duckdb.DuckDBPyConnection, series: Iterable[tuple[str, int]]
) -> Iterator[SeriesMonth]:
    """The months with files of these series, from ``meta.coverage`` and ``meta.gaps``."""
    where = "where dataset || ' ' || series_id in (select unnest($1::varchar[]))"
    texts = [f"{dataset} {series_id}" for dataset, series_id in series]
    gaps: dict[tuple[str, int], list[Span]] = defaultdict(list)
    for dataset, series_id, start_us, end_us in rows_of(
        connection,
        "select dataset, series_id, epoch_us(gap_from), epoch_us(gap_until) from meta.gaps"
        f" {where} order by all",
        texts,
    ):
        gaps[dataset, series_id].append((start_us, end_us))
    rows = rows_of(
        connection,
        'select dataset, series_id, "interval", month, files, nulls, rows, epoch_us(first_time),'
        f" epoch_us(last_time) from meta.coverage {where} and files > 0",
        texts,
    )
    for dataset, series_id, interval, month, files, nulls, shown, first_us, last_us in rows:
        runs: list[Span] = []
        if interval is not None and first_us is not None:
            life = [(first_us, last_us + interval_us(interval))]
            runs = subtract(life, gaps[dataset, series_id])
        yield SeriesMonth(
            dataset, series_id, interval, month, files, nulls, tuple(runs), shown, first_us, last_us
        )


def _exchange(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    place: str,
    series: list[str],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    """Replace those rows of these series in a table that differ.

    ``place`` is SQL that distinguishes the rows of a series.
    """
    of_series = "dataset || ' ' || series_id"
    held = rows_of(
        connection,
        f"select {of_series} || ' ' || {place}, * from meta.{identifier(name)}"
        f" where {of_series} in (select unnest($1::varchar[]))",
        series,
    )
    wanted = set(rows)
    gone = [text for text, *row in held if tuple(row) not in wanted]
    _delete(connection, name, f"{of_series} || ' ' || {place}", gone)
    add_rows(connection, name, sorted(wanted - {tuple(row) for _, *row in held}, key=str))


def _add_restatements(
    connection: duckdb.DuckDBPyConnection, lake: LakeByMonth, manifest: Manifest
) -> None:
    """Add the new restatements, or all of them if the copy has other earlier ones."""
    ((count, last),) = rows_of(
        connection,
        "select count(*), max_by([old_object, new_object, seen_at::varchar], rowid)"
        " from meta.restatements",
    )
    since = manifest.restatements(skip=max(count - 1, 0))
    of_last = since[0] if since else None
    if count and (
        of_last is None or [of_last.old_object, of_last.new_object, of_last.seen_at] != last
    ):
        connection.execute("delete from meta.restatements")
        since, count = manifest.restatements(), 0
    new = since[1:] if count else since
    add_rows(connection, "restatements", list(restatement_rows(lake, new)))


def _delete(
    connection: duckdb.DuckDBPyConnection, name: str, place: str, texts: Iterable[str]
) -> None:
    connection.execute(
        f"delete from meta.{identifier(name)} where {place} in (select unnest($1::varchar[]))",
        [list(texts)],
    )
