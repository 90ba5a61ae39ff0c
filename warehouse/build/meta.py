"""Schema ``meta``: what is in the lake and what is known of it, as tables of the catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse._version import __version__
from warehouse.build.funding import declared_spans, spans_of
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
    inputs: str,
) -> None:
    contracts = load_contracts()
    datasets = sorted(contracts.keys() | {f.file.key.dataset for f in owned})
    series = dict(manifest.series())

    def place(series_id: int) -> tuple[Any, ...]:
        key = series[series_id]
        return series_id, key.exchange, key.symbol, key.interval, key.clock

    held: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in owned:
        held[owned_file.file.key.dataset].append(owned_file)
    tables: dict[str, Iterable[tuple[Any, ...]]] = {
        "datasets": (
            (
                name,
                *(
                    (contracts[name].title, contracts[name].category, contracts[name].description)
                    if name in contracts
                    else (name, "uncontracted", "Not in the contracts: taken as it came.")
                ),
                len({f.file.series_id for f in held[name]}),
                len(held[name]),
                sum(f.file.facts.rows - f.rows_hidden for f in held[name]),
                sum(f.file.size_bytes for f in held[name]),
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
        "files": (_file_row(owned_file, place) for owned_file in owned),
        "drift": (
            (f.file.key.dataset, *place(f.file.series_id), f.file.key.period.text, name, kind)
            for f in owned
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
            for f in owned
            for number, time_us, reason in f.file.facts.left_out
        ),
        "notes": (
            (f.file.key.dataset, *place(f.file.series_id), f.file.key.period.text, kind, text)
            for f in owned
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
            )
            for month in cover_months(owned)
        ),
        "gaps": (
            (
                gap.dataset,
                *place(gap.series_id),
                _moment(gap.start_us),
                _moment(gap.end_us),
                gap.bars,
            )
            for gap in find_gaps(owned)
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
        "build": [
            (
                generation,
                datetime.fromisoformat(utc_now()),
                __version__,
                duckdb.__version__,
                inputs,
                str(settings.home),
                len(owned),
                settings.threads,
                settings.memory_limit,
            )
        ],
        "funding_declared": spans_of(
            declared_spans(Home.of(settings).subscription),
            ((key.exchange, key.symbol) for key in series.values()),
        ),
        "results": (),
        "stored": (),
        "models": (),
    }
    for name, rows in tables.items():
        _write_table(connection, name, list(rows))


def write_stored(
    connection: duckdb.DuckDBPyConnection, home: Home, months: Iterable[StoredMonth]
) -> None:
    """Add months to ``meta.stored``, which verify and prune go by."""
    rows = [
        (
            month.model,
            month.month,
            str(month.path.relative_to(home.root)),
            month.rows,
            month.size_bytes,
            month.reused,
        )
        for month in months
    ]
    _write_rows(connection, "insert into meta.stored", "stored", rows)


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


_SERIES = [
    ("series_id", "INTEGER", "Number of the series, the same in every generation."),
    ("exchange", "VARCHAR", "Venue."),
    ("symbol", "VARCHAR", "Instrument, Atlas symbology."),
    ("interval", "VARCHAR", "Length of a bar; NULL for raw data."),
    ("clock", "VARCHAR", "exchange or true; NULL for raw data."),
]
_META: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "datasets": (
        "One row per dataset that has a contract or a file.",
        [
            ("dataset", "VARCHAR", "Name, as in vendor.<dataset>."),
            ("title", "VARCHAR", "Name for people."),
            ("category", "VARCHAR", "Family of the dataset."),
            ("description", "VARCHAR", "What a row is."),
            ("series", "BIGINT", "Series in the lake."),
            ("files", "BIGINT", "Files in the lake."),
            ("rows", "BIGINT", "Rows that vendor.<dataset> shows."),
            ("size_bytes", "BIGINT", "Bytes of these files."),
        ],
    ),
    "columns": (
        "One row per column of every vendor view.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            ("column", "VARCHAR", "Column."),
            ("type", "VARCHAR", "DuckDB type."),
            ("unit", "VARCHAR", "Unit."),
            ("description", "VARCHAR", "Meaning."),
        ],
    ),
    "series": (
        "One row per series, with the parts of its symbol.",
        [
            *_SERIES,
            ("type", "VARCHAR", "spot, perpetual, future, option."),
            ("base", "VARCHAR", "Asset that is traded."),
            ("quote", "VARCHAR", "Asset that prices are in."),
            ("margin", "VARCHAR", "Asset that settles; NULL for spot."),
            ("expiry", "DATE", "Day of delivery; NULL where there is none."),
        ],
    ),
    "files": (
        "One row per vendor file in the lake.",
        [
            ("file_id", "BIGINT", "Number of the file."),
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES,
            ("period", "VARCHAR", "UTC month or day."),
            ("object", "VARCHAR", "sha256 of the bytes; objects/<object>.parquet."),
            ("path", "VARCHAR", "Path below the home, for people."),
            ("size_bytes", "BIGINT", "Size."),
            ("rows", "BIGINT", "Rows in the file."),
            ("rows_hidden", "BIGINT", "Rows that a daily file shows instead."),
            ("first_time", "TIMESTAMP", "Smallest time, UTC."),
            ("last_time", "TIMESTAMP", "Largest time, UTC."),
            ("owns_from", "TIMESTAMP[]", "Starts of the spans that the file owns, included."),
            ("owns_until", "TIMESTAMP[]", "Ends of these spans, excluded."),
            ("nulls", "BIGINT", "NULLs over all columns."),
            ("is_sorted", "BOOLEAN", "Whether rows stand in the order of time."),
            ("simulated", "BOOLEAN", "Whether the file says that its data is simulated."),
            ("origin", "VARCHAR", "Where it came from."),
            ("fetched_at", "TIMESTAMP", "When it was taken in, UTC."),
        ],
    ),
    "drift": (
        "One row per column that a file lacks or has beyond its contract.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES,
            ("period", "VARCHAR", "UTC month or day."),
            ("column", "VARCHAR", "Column."),
            ("kind", "VARCHAR", "missing: reads NULL; unexpected: kept."),
        ],
    ),
    "salvaged": (
        "One row per row of a vendor file that sync --salvage left out.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES,
            ("period", "VARCHAR", "UTC month or day."),
            ("row_number", "BIGINT", "Place in the vendor's file; the first row is 0."),
            ("time", "TIMESTAMP", "Its time, UTC; NULL where it has none."),
            ("reason", "VARCHAR", "Why it was left out."),
            ("original", "VARCHAR", "sha256 of the vendor's file: quarantine/<original>.refused."),
        ],
    ),
    "notes": (
        "One row per oddity of a vendor file that is shown all the same.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES,
            ("period", "VARCHAR", "UTC month or day."),
            ("kind", "VARCHAR", "Kind of oddity, such as: price not positive, open last bar."),
            ("text", "VARCHAR", "What was seen."),
        ],
    ),
    "coverage": (
        "One row per dataset, series and month between its first and last file.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES,
            ("month", "VARCHAR", "UTC month."),
            ("files", "BIGINT", "Files of this month."),
            ("rows", "BIGINT", "Rows that the view shows."),
            ("expected_rows", "BIGINT", "Bars of the grid between the series' first and last."),
            ("first_time", "TIMESTAMP", "First bar, UTC."),
            ("last_time", "TIMESTAMP", "Last bar, UTC."),
            ("gaps", "BIGINT", "Stretches of missing bars."),
            ("duplicates", "BIGINT", "Bars shown twice; always 0, files with such are refused."),
            ("nulls", "BIGINT", "NULLs over all columns of these files."),
        ],
    ),
    "gaps": (
        "One row per stretch of missing bars between the first and last bar of a series.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES,
            ("gap_from", "TIMESTAMP", "First missing bar, UTC, included."),
            ("gap_until", "TIMESTAMP", "First bar after the gap, UTC, excluded."),
            ("bars", "BIGINT", "Missing bars."),
        ],
    ),
    "quarantine": (
        "One row per file that was refused and not replaced by a good one since.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES[1:],
            ("period", "VARCHAR", "UTC month or day."),
            ("reason", "VARCHAR", "Why it was refused."),
            ("size_bytes", "BIGINT", "Size."),
            ("object", "VARCHAR", "sha256; quarantine/<object>.refused."),
            ("origin", "VARCHAR", "Where it came from."),
            ("refused_at", "TIMESTAMP", "When, UTC."),
        ],
    ),
    "restatements": (
        "One row per file whose bytes changed at its source.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES,
            ("period", "VARCHAR", "UTC month or day."),
            (
                "kind",
                "VARCHAR",
                "grown: rows were added at the end; restated: anything else. Without a changed row "
                "or column, the same values came in other bytes: order, types or compression.",
            ),
            ("rows_added", "BIGINT", "Rows that only the new version has."),
            ("rows_removed", "BIGINT", "Rows that only the old version has."),
            ("rows_changed", "BIGINT", "Rows with another value in a column of both."),
            (
                "largest_relative_change",
                'STRUCT("column" VARCHAR, change DOUBLE)[]',
                "Per changed column max |new - old| / |old|; NULL where infinite.",
            ),
            ("columns_added", "VARCHAR[]", "Columns that only the new version has."),
            ("columns_removed", "VARCHAR[]", "Columns that only the old version has."),
            ("old_object", "VARCHAR", "sha256 of the old version."),
            ("new_object", "VARCHAR", "sha256 of the new version."),
            ("seen_at", "TIMESTAMP", "When, UTC."),
        ],
    ),
    "build": (
        "One row: what this catalog was built by and from.",
        [
            ("generation", "BIGINT", "Number of the generation."),
            ("built_at", "TIMESTAMP", "When the build began, UTC."),
            ("product_version", "VARCHAR", "Version of this product."),
            ("duckdb_version", "VARCHAR", "Version of DuckDB that built it."),
            ("inputs", "VARCHAR", "Hash of all that it was built from."),
            ("home", "VARCHAR", "Folder of the home when it was built."),
            ("files", "BIGINT", "Files of the lake that it shows."),
            ("threads", "BIGINT", "Setting; NULL is DuckDB's default."),
            ("memory_limit", "VARCHAR", "Setting; NULL is DuckDB's default."),
        ],
    ),
    "stored": (
        "One row per month of a mart, or of a dataset of many series, that a view reads.",
        [
            ("model", "VARCHAR", "Mart, or vendor.<dataset>."),
            ("month", "VARCHAR", "UTC month of the bars' starts."),
            ("path", "VARCHAR", "File below the home."),
            ("rows", "BIGINT", "Rows."),
            ("size_bytes", "BIGINT", "Size."),
            ("reused", "BOOLEAN", "Whether an earlier build had computed it."),
        ],
    ),
    "models": (
        "One row per model of this catalog, with the SQL that made it.",
        [
            ("schema", "VARCHAR", "Schema of the model."),
            ("name", "VARCHAR", "Model."),
            ("sql", "VARCHAR", "What dbt compiled."),
            ("checksum", "VARCHAR", "Hash of the model's file as dbt built it."),
        ],
    ),
    "funding_declared": (
        "One row per span of a funding schedule that the home's warehouse.toml declares.",
        [
            ("exchange", "VARCHAR", "Venue."),
            ("symbol", "VARCHAR", "Instrument, Atlas symbology."),
            ("period_hours", "INTEGER", "Hours from one payment to the next."),
            ("since", "TIMESTAMP", "Payments after this moment, UTC."),
            ("until", "TIMESTAMP", "Last moment of the span, UTC, included."),
        ],
    ),
    "results": (
        "One row per model, seed and test that dbt ran for this catalog.",
        [
            ("name", "VARCHAR", "Node of the dbt project."),
            ("resource_type", "VARCHAR", "model, seed or test."),
            ("package", "VARCHAR", "dbt project that it belongs to."),
            ("status", "VARCHAR", "success, pass, warn, fail, error, skipped."),
            ("failures", "BIGINT", "Rows that broke a test."),
            ("message", "VARCHAR", "What dbt said."),
        ],
    ),
}


def _write_table(
    connection: duckdb.DuckDBPyConnection, name: str, rows: list[tuple[Any, ...]]
) -> None:
    meaning, columns = _META[name]
    target = f"meta.{identifier(name)}"
    _write_rows(connection, f"create table {target} as", name, rows)
    comment(connection, "table", target, meaning)
    for column, _, text in columns:
        comment(connection, "column", f"{target}.{identifier(column)}", text)


def _write_rows(
    connection: duckdb.DuckDBPyConnection, into: str, name: str, rows: list[tuple[Any, ...]]
) -> None:
    """Rows of a table of ``meta`` in one statement, column by column."""
    _, columns = _META[name]
    typed = ", ".join(
        f"unnest(${place}::{kind}[]) as {identifier(column)}"
        for place, (column, kind, _) in enumerate(columns, 1)
    )
    values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    connection.execute(f"{into} select {typed}", values)
