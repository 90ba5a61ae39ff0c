"""Fills the tables of the schema ``meta``, which :mod:`warehouse.build.meta.tables` defines."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from warehouse._version import __version__
from warehouse.build.declared_funding import declared_spans, spans_of
from warehouse.build.meta.hidden_bars import DIFFERING, notes_on_hidden_bars
from warehouse.build.meta.inputs import Inputs
from warehouse.build.meta.tables import META
from warehouse.build.months.lake_months import LakeByMonth
from warehouse.build.months.stored import StoredMonth
from warehouse.build.vendor_views import count_hidden, view_columns
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.home import Home
from warehouse.lake import (
    Manifest,
    OwnedFile,
    Refusal,
    Restatement,
    SeriesMonth,
    cover_months,
    find_gaps,
    notes_of,
    series_months,
)
from warehouse.sql import comment_all, identifier
from warehouse.times import us_datetime, utc_now
from warehouse.vendor import KEY_COLUMNS, Symbol, load_contracts

# Rows per INSERT statement: a compromise between the number of statements and memory.
_ROWS_TOGETHER = 20_000


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of ``meta``: the lake and the build."""

    lake: LakeByMonth
    manifest: Manifest
    settings: Settings
    generation: int
    inputs: Inputs | None


def write_meta(connection: duckdb.DuckDBPyConnection, described: Subject) -> None:
    """Create the tables, and fill those that describe the lake month by month."""
    lake = described.lake
    for name in META:
        _create_table(connection, name)
    filling = Filling(connection)
    for dataset in lake.datasets:
        held: list[SeriesMonth] = []
        for month in lake.months(dataset):
            held += add_month(filling, connection, lake, dataset, month.month)
        filling.add("coverage", coverage_rows(lake, held))
        filling.add("gaps", gap_rows(lake, held))
    filling.end()
    write_rest(connection, described)
    add_rows(
        connection,
        "restatements",
        list(restatement_rows(lake, described.manifest.restatements())),
    )


def set_build(connection: duckdb.DuckDBPyConnection, generation: int, inputs: Inputs) -> None:
    """Describe the new build in a copy of a catalog of the same lake."""
    connection.execute(
        "update meta.build set generation = ?, built_at = ?, inputs = ?",
        [generation, utc_now().replace(microsecond=0), str(inputs)],
    )
    connection.execute("update meta.stored set reused = true")
    connection.execute("delete from meta.own_files")
    add_rows(connection, "own_files", list(inputs.own_files.items()))


class Filling:
    """Adds rows to tables, many at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def add(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._rows[name] += rows
        if len(self._rows[name]) >= _ROWS_TOGETHER:
            add_rows(self._connection, name, self._rows.pop(name))

    def end(self) -> None:
        for name, rows in self._rows.items():
            add_rows(self._connection, name, rows)


def add_month(
    filling: Filling,
    connection: duckdb.DuckDBPyConnection,
    lake: LakeByMonth,
    dataset: str,
    month: str,
) -> list[SeriesMonth]:
    """Add the rows for the files of a month; returns the coverage of each series."""
    owned = count_hidden(connection, lake.files(dataset, month), lake.home)
    for name, rows in _file_tables(lake, [file for file in owned if not file.kept_at]).items():
        filling.add(name, rows)
    filling.add(
        "notes",
        (
            (*_file_key(lake, file), *note)
            for file, note in notes_on_hidden_bars(connection, owned, lake.home)
        ),
    )
    return series_months(
        file
        for file in owned
        if file.kept_at or (dataset, file.file.series_id) not in lake.replaced
    )


def _file_tables(lake: LakeByMonth, owned: list[OwnedFile]) -> dict[str, Iterable[tuple[Any, ...]]]:
    """Rows of the tables whose rows belong to one file."""
    place = partial(_file_key, lake)
    return {
        "files": (_file_row(owned_file, partial(_place, lake)) for owned_file in owned),
        "sources": (
            (*place(f), source.name, source.sha256, source.rows, source.duplicates)
            for f in owned
            for source in (f.file.facts.imported.sources if f.file.facts.imported else ())
        ),
        "drift": (
            (*place(f), name, kind)
            for f in owned
            for kind, names in (
                ("missing", f.file.facts.missing),
                ("unexpected", f.file.facts.unexpected),
            )
            for name in names
        ),
        "salvaged": (
            (
                *place(f),
                number,
                _moment(time_us) if time_us is None or _is_moment(time_us) else None,
                reason,
                f.file.facts.original,
            )
            for f in owned
            for number, time_us, reason in f.file.facts.left_out
        ),
        "notes": ((*place(f), kind, text) for f in owned for kind, text in _notes(f)),
    }


def coverage_rows(lake: LakeByMonth, held: Iterable[SeriesMonth]) -> Iterator[tuple[Any, ...]]:
    for month in cover_months(held):
        yield (
            month.dataset,
            *_place(lake, month.series_id),
            month.month,
            month.files,
            month.rows,
            month.expected_rows,
            _moment(month.first_us),
            _moment(month.last_us),
            month.gaps,
            0,
            month.nulls,
            "ticks" if (month.dataset, month.series_id) in lake.replaced else "files",
        )


def gap_rows(lake: LakeByMonth, held: Iterable[SeriesMonth]) -> Iterator[tuple[Any, ...]]:
    for gap in find_gaps(held):
        yield (
            gap.dataset,
            *_place(lake, gap.series_id),
            _moment(gap.start_us),
            _moment(gap.end_us),
            gap.bars,
        )


def restatement_rows(
    lake: LakeByMonth, changes: Iterable[Restatement]
) -> Iterator[tuple[Any, ...]]:
    for change in changes:
        yield (
            change.key.dataset,
            *_place(lake, change.series_id),
            change.key.period.text,
            change.kind,
            change.difference.get("rows_added"),
            change.difference.get("rows_removed"),
            change.difference.get("rows_changed"),
            _pairs(change.difference.get("largest_relative_change", {})),
            change.difference.get("columns_added"),
            change.difference.get("columns_removed"),
            change.old_object,
            change.new_object,
            datetime.fromisoformat(change.seen_at),
        )


def write_rest(connection: duckdb.DuckDBPyConnection, described: Subject) -> None:
    """Write the tables whose rows do not belong to one file, once ``meta.files`` is complete."""
    for name, rows in _lake_tables(connection, described).items():
        connection.execute(f"delete from meta.{identifier(name)}")
        add_rows(connection, name, list(rows))
    _warn_of_hidden_bars(connection)


def _warn_of_hidden_bars(connection: duckdb.DuckDBPyConnection) -> None:
    """Write a warning per dataset with monthly files that would show other bars."""
    connection.execute("delete from meta.results where resource_type = 'dataset'")
    connection.execute(
        """
        insert into meta.results
        select
            dataset, 'dataset', 'warehouse', 'warn', count(*),
            case when count(*) > 1 then format('{} monthly files, such as ', count(*)) else '' end
            || min_by(
                concat_ws(' ', exchange, symbol, "interval", clock, period) || ': ' || text, rowid
            )
        from meta.notes where kind = ? group by dataset order by dataset
        """,
        [DIFFERING],
    )


def _lake_tables(
    connection: duckdb.DuckDBPyConnection, described: Subject
) -> dict[str, Iterable[tuple[Any, ...]]]:
    """Rows of the tables that describe the lake as a whole, and the build."""
    lake, settings, inputs = described.lake, described.settings, described.inputs
    held = lake.replaced | set(
        rows_of(connection, "select distinct dataset, series_id from meta.files")
    )
    numbers = {series_id for _, series_id in held}
    datasets = sorted({*load_contracts(), *lake.datasets})
    return {
        "months": (lake.row(*place) for place in lake.places()),
        "datasets": _dataset_rows(connection, lake, Counter(dataset for dataset, _ in held)),
        "columns": (
            (name, column.name, column.type, column.unit, column.description)
            for name in datasets
            for column in (*KEY_COLUMNS, *view_columns(name, lake.columns(name)))
        ),
        "series": (
            (*_place(lake, series_id), *_symbol_parts(key.symbol))
            for series_id, key in lake.series.items()
            if series_id in numbers
        ),
        "quarantine": map(_refusal_row, described.manifest.quarantine()),
        "audit": _audit_rows(described, held),
        "build": [
            (
                described.generation,
                utc_now().replace(microsecond=0),
                __version__,
                duckdb.__version__,
                "" if inputs is None else str(inputs),
                str(settings.home),
                *rows_of(connection, "select count(*) from meta.files")[0],
                settings.threads,
                settings.memory_limit,
                settings.engine,
            )
        ],
        "own_files": () if inputs is None else inputs.own_files.items(),
        "funding_declared": spans_of(
            declared_spans(Home.of(settings).subscription),
            ((key.exchange, key.symbol) for key in lake.series.values()),
        ),
    }


def _dataset_rows(
    connection: duckdb.DuckDBPyConnection, lake: LakeByMonth, series: Counter[str]
) -> Iterator[tuple[Any, ...]]:
    contracts = load_contracts()
    sums = {
        dataset: of_files
        for dataset, *of_files in rows_of(
            connection,
            "select dataset, count(*), sum(rows - rows_hidden)::bigint,"
            " sum(size_bytes)::bigint from meta.files group by dataset",
        )
    }
    rows_beside = Counter[str]()
    for file in lake.beside:
        rows_beside[file.file.key.dataset] += file.file.facts.rows
    for name in sorted({*contracts, *lake.datasets}):
        meaning = name, "uncontracted", "Not in the contracts; kept as delivered."
        if (contract := contracts.get(name)) is not None:
            meaning = contract.title, contract.category, contract.description
        files, rows, size_bytes = sums.get(name, (0, 0, 0))
        yield name, *meaning, series[name], files, rows + rows_beside[name], size_bytes


def _refusal_row(refusal: Refusal) -> tuple[Any, ...]:
    series = refusal.key.series
    return (
        refusal.key.dataset,
        *(series.exchange, series.symbol, series.interval, series.clock),
        refusal.key.period.text,
        refusal.reason,
        refusal.size_bytes,
        refusal.object,
        refusal.origin,
        datetime.fromisoformat(refusal.refused_at),
    )


def _audit_rows(described: Subject, held: Container[tuple[str, int]]) -> Iterator[tuple[Any, ...]]:
    for dataset, series_id, findings, audited_at in described.manifest.audits():
        for finding in json.loads(findings) if (dataset, series_id) in held else ():
            yield (
                dataset,
                *_place(described.lake, series_id),
                *finding[:5],
                None if finding[5] is None else datetime.fromisoformat(finding[5]),
                *finding[6:],
                datetime.fromisoformat(audited_at),
            )


def rows_of(
    connection: duckdb.DuckDBPyConnection, text: str, *parameters: list[str]
) -> list[tuple[Any, ...]]:
    return connection.execute(text, list(parameters)).fetchall()


# -- rows ----------------------------------------------------------------------------------------


def write_stored(
    connection: duckdb.DuckDBPyConnection, home: Home, months: Iterable[StoredMonth]
) -> None:
    """Add months to ``meta.stored``, which verify and prune read."""
    rows = [
        (
            month.model,
            month.month,
            str(month.path.relative_to(home.root)),
            month.rows,
            month.size_bytes,
            month.reused,
            month.engine,
            month.key,
        )
        for month in months
    ]
    add_rows(connection, "stored", rows)


def add_rows(
    connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Add rows to a table of ``meta`` of the database in use."""
    _write_rows(connection, f"insert into meta.{identifier(name)}", name, rows)


def create_with_rows(
    connection: duckdb.DuckDBPyConnection, table: str, name: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Create a table like one of ``meta``."""
    _write_rows(connection, f"create table {table} as", name, rows)


def _place(lake: LakeByMonth, series_id: int) -> tuple[Any, ...]:
    key = lake.series[series_id]
    return series_id, key.exchange, key.symbol, key.interval, key.clock


def _file_key(lake: LakeByMonth, owned_file: OwnedFile) -> tuple[Any, ...]:
    key = owned_file.file.key
    return key.dataset, *_place(lake, owned_file.file.series_id), key.period.text


def _file_row(owned_file: OwnedFile, place: Any) -> tuple[Any, ...]:
    file, facts = owned_file.file, owned_file.file.facts
    return (
        file.file_id,
        file.key.dataset,
        *place(file.series_id),
        file.key.period.text,
        file.object,
        str(Path("lake", file.key.path)),
        file.size_bytes,
        facts.rows,
        owned_file.rows_hidden,
        _moment(facts.first_us),
        _moment(facts.last_us),
        [_moment(start) for start, _ in owned_file.spans],
        [_moment(end) for _, end in owned_file.spans],
        facts.nulls,
        facts.is_sorted,
        facts.simulated,
        file.origin,
        datetime.fromisoformat(file.fetched_at),
        *(
            (None, None, None)
            if facts.imported is None
            else (facts.imported.importer, facts.imported.grain, facts.imported.receive_clock)
        ),
    )


def _notes(owned_file: OwnedFile) -> Iterator[tuple[str, str]]:
    file = owned_file.file
    yield from notes_of(file.key, file.facts, datetime.fromisoformat(file.fetched_at))
    if owned_file.raw_rows_hidden:
        yield (
            "rows hidden",
            f"{counted(owned_file.raw_rows_hidden, 'row')} between the first and the last row of a "
            "daily file, which is shown instead",
        )


def _is_moment(microseconds: int) -> bool:
    """Whether a time is within the years of a timestamp."""
    return abs(microseconds) < 250_000_000_000_000_000 and microseconds > -62_135_596_800_000_000


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else us_datetime(microseconds)


def _symbol_parts(symbol: str) -> tuple[Any, ...]:
    parts = Symbol.parse(symbol)
    return parts.type, parts.base, parts.quote, parts.margin, parts.expiry


def _pairs(changes: dict[str, float | None]) -> list[dict[str, Any]]:
    return [{"column": name, "change": change} for name, change in sorted(changes.items())]


def _create_table(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    meaning, columns = META[name]
    target = f"meta.{identifier(name)}"
    _write_rows(connection, f"create table {target} as", name, [])
    comment_all(connection, "table", target, meaning, {name: text for name, _, text in columns})


def _write_rows(
    connection: duckdb.DuckDBPyConnection, into: str, name: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Rows of a table of ``meta`` in one statement, column by column."""
    _, columns = META[name]
    typed = ", ".join(
        f"unnest(${place}::{kind}[]) as {identifier(column)}"
        for place, (column, kind, _) in enumerate(columns, 1)
    )
    values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    connection.execute(f"{into} select {typed}", values)
