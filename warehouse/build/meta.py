"""Schema ``meta``: fills the tables that :mod:`warehouse.build.meta_tables` defines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse._version import __version__
from warehouse.build.funding import declared_spans, spans_of
from warehouse.build.inputs import Inputs
from warehouse.build.meta_tables import META
from warehouse.build.partitions import StoredMonth
from warehouse.build.vendor_views import view_columns
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.home import Home
from warehouse.lake import Manifest, OwnedFile, cover_months, find_gaps, notes_of, utc_now
from warehouse.sql import comment, identifier
from warehouse.times import us_datetime
from warehouse.vendor import KEY_COLUMNS, Symbol, load_contracts


def write_meta(
    connection: duckdb.DuckDBPyConnection,
    owned: list[OwnedFile],
    manifest: Manifest,
    settings: Settings,
    generation: int,
    inputs: Inputs | None,
) -> None:
    """Create the tables; those that the build fills are empty."""
    of_lake = _of_lake(owned, manifest, settings, generation, inputs)
    for name in META:
        _write_table(connection, name, list(of_lake.get(name, ())))


def rewrite_meta(
    connection: duckdb.DuckDBPyConnection,
    owned: list[OwnedFile],
    manifest: Manifest,
    settings: Settings,
    generation: int,
    inputs: Inputs | None,
) -> None:
    """Replace the rows of the tables that describe the lake, in a copy of a catalog."""
    for name, rows in _of_lake(owned, manifest, settings, generation, inputs).items():
        connection.execute(f"delete from meta.{identifier(name)}")
        add_rows(connection, name, list(rows))


def set_build(connection: duckdb.DuckDBPyConnection, generation: int, inputs: Inputs) -> None:
    """Describe the build in a copy of a catalog of the same lake."""
    connection.execute(
        "update meta.build set generation = ?, built_at = ?, inputs = ?",
        [generation, datetime.fromisoformat(utc_now()), str(inputs)],
    )
    connection.execute("update meta.stored set reused = true")
    connection.execute("delete from meta.own_files")
    add_rows(connection, "own_files", list(inputs.own_files.items()))


def _of_lake(
    owned: list[OwnedFile],
    manifest: Manifest,
    settings: Settings,
    generation: int,
    inputs: Inputs | None,
) -> dict[str, Iterable[tuple[Any, ...]]]:
    """Rows of the tables that describe the lake and the build."""
    contracts = load_contracts()
    files = [f for f in owned if not f.kept_at]
    kept = {(f.file.key.dataset, f.file.series_id) for f in owned if f.kept_at}
    shown = [f for f in owned if f.kept_at or (f.file.key.dataset, f.file.series_id) not in kept]
    datasets = sorted(contracts.keys() | {f.file.key.dataset for f in owned})
    series = dict(manifest.series())

    def place(series_id: int) -> tuple[Any, ...]:
        key = series[series_id]
        return series_id, key.exchange, key.symbol, key.interval, key.clock

    held: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in owned:
        held[owned_file.file.key.dataset].append(owned_file)
    return {
        "datasets": (
            (
                name,
                *(
                    (contracts[name].title, contracts[name].category, contracts[name].description)
                    if name in contracts
                    else (name, "uncontracted", "Not in the contracts: taken as it came.")
                ),
                len({f.file.series_id for f in held[name]}),
                sum(not f.kept_at for f in held[name]),
                sum(f.file.facts.rows - f.rows_hidden for f in held[name]),
                sum(f.file.size_bytes for f in held[name] if not f.kept_at),
            )
            for name in datasets
        ),
        "columns": (
            (name, column.name, column.type, column.unit, column.description)
            for name in datasets
            for column in (*KEY_COLUMNS, *view_columns(contracts.get(name), held[name]))
        ),
        "series": (
            (*place(series_id), *_symbol_parts(key.symbol))
            for series_id, key in series.items()
            if series_id in {f.file.series_id for f in owned}
        ),
        "files": (_file_row(owned_file, place) for owned_file in files),
        "sources": (
            (
                f.file.key.dataset,
                *place(f.file.series_id),
                f.file.key.period.text,
                *(source.name, source.sha256, source.rows, source.duplicates),
            )
            for f in files
            for source in (f.file.facts.imported.sources if f.file.facts.imported else ())
        ),
        "drift": (
            (f.file.key.dataset, *place(f.file.series_id), f.file.key.period.text, name, kind)
            for f in files
            for kind, names in (
                ("missing", f.file.facts.missing),
                ("unexpected", f.file.facts.unexpected),
            )
            for name in names
        ),
        "salvaged": (
            (
                f.file.key.dataset,
                *place(f.file.series_id),
                f.file.key.period.text,
                number,
                _moment(time_us) if time_us is None or _is_moment(time_us) else None,
                reason,
                f.file.facts.original,
            )
            for f in files
            for number, time_us, reason in f.file.facts.left_out
        ),
        "notes": (
            (f.file.key.dataset, *place(f.file.series_id), f.file.key.period.text, kind, text)
            for f in files
            for kind, text in _notes(f)
        ),
        "coverage": (
            (
                month.dataset,
                *place(month.series_id),
                month.month,
                month.files,
                month.rows,
                month.expected_rows,
                _moment(month.first_us),
                _moment(month.last_us),
                month.gaps,
                0,
                month.nulls,
                "ticks" if (month.dataset, month.series_id) in kept else "files",
            )
            for month in cover_months(shown)
        ),
        "gaps": (
            (
                gap.dataset,
                *place(gap.series_id),
                _moment(gap.start_us),
                _moment(gap.end_us),
                gap.bars,
            )
            for gap in find_gaps(shown)
        ),
        "quarantine": (
            (
                refusal.key.dataset,
                refusal.key.series.exchange,
                refusal.key.series.symbol,
                refusal.key.series.interval,
                refusal.key.series.clock,
                refusal.key.period.text,
                refusal.reason,
                refusal.size_bytes,
                refusal.object,
                refusal.origin,
                datetime.fromisoformat(refusal.refused_at),
            )
            for refusal in manifest.quarantine()
        ),
        "restatements": (
            (
                change.key.dataset,
                *place(change.series_id),
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
            for change in manifest.restatements()
        ),
        "audit": (
            (
                dataset,
                *place(series_id),
                *finding[:5],
                None if finding[5] is None else datetime.fromisoformat(finding[5]),
                *finding[6:],
                datetime.fromisoformat(audited_at),
            )
            for dataset, series_id, findings, audited_at in manifest.audits()
            if any(f.file.series_id == series_id for f in held[dataset])
            for finding in json.loads(findings)
        ),
        "build": [
            (
                generation,
                datetime.fromisoformat(utc_now()),
                __version__,
                duckdb.__version__,
                "" if inputs is None else str(inputs),
                str(settings.home),
                len(files),
                settings.threads,
                settings.memory_limit,
                settings.engine,
            )
        ],
        "own_files": () if inputs is None else inputs.own_files.items(),
        "funding_declared": spans_of(
            declared_spans(Home.of(settings).subscription),
            ((key.exchange, key.symbol) for key in series.values()),
        ),
    }


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
        )
        for month in months
    ]
    add_rows(connection, "stored", rows)


def add_rows(connection: duckdb.DuckDBPyConnection, name: str, rows: list[tuple[Any, ...]]) -> None:
    """Add rows to a table of ``meta`` of the database in use."""
    _write_rows(connection, f"insert into meta.{identifier(name)}", name, rows)


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
    """Whether a time lies in the years that a timestamp can name."""
    return abs(microseconds) < 250_000_000_000_000_000 and microseconds > -62_135_596_800_000_000


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else us_datetime(microseconds)


def _symbol_parts(symbol: str) -> tuple[Any, ...]:
    parts = Symbol.parse(symbol)
    return parts.type, parts.base, parts.quote, parts.margin, parts.expiry


def _pairs(changes: dict[str, float | None]) -> list[dict[str, Any]]:
    return [{"column": name, "change": change} for name, change in sorted(changes.items())]


def _write_table(
    connection: duckdb.DuckDBPyConnection, name: str, rows: list[tuple[Any, ...]]
) -> None:
    meaning, columns = META[name]
    target = f"meta.{identifier(name)}"
    _write_rows(connection, f"create table {target} as", name, rows)
    comment(connection, "table", target, meaning)
    for column, _, text in columns:
        comment(connection, "column", f"{target}.{identifier(column)}", text)


def _write_rows(
    connection: duckdb.DuckDBPyConnection, into: str, name: str, rows: list[tuple[Any, ...]]
) -> None:
    """Rows of a table of ``meta`` in one statement, column by column."""
    _, columns = META[name]
    typed = ", ".join(
        f"unnest(${place}::{kind}[]) as {identifier(column)}"
        for place, (column, kind, _) in enumerate(columns, 1)
    )
    values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    connection.execute(f"{into} select {typed}", values)
