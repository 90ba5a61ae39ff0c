"""Schema ``meta``: what is in the lake and what is known of it, as tables of the catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse import __version__
from warehouse.config import Settings
from warehouse.contracts import KEY_COLUMNS, load_contracts
from warehouse.coverage import OwnedFile, cover_months, find_gaps
from warehouse.home import Home
from warehouse.keys import Symbol, us_datetime
from warehouse.manifest import Manifest, utc_now
from warehouse.months import StoredMonth
from warehouse.sqltext import identifier
from warehouse.vendor_views import view_columns
from warehouse.views import comment


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
            (*place(series_id), *_symbol_parts(key.symbol)) for series_id, key in series.items()
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
    for month in months:
        connection.execute(
            "insert into meta.stored values (?, ?, ?, ?, ?, ?)",
            (
                month.model,
                month.month,
                str(month.path.relative_to(home.root)),
                month.rows,
                month.size_bytes,
                month.reused,
            ),
        )


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


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else us_datetime(microseconds)


def _symbol_parts(symbol: str) -> tuple[Any, ...]:
    parts = Symbol.parse(symbol)
    return parts.type, parts.base, parts.quote, parts.margin, parts.expiry


def _pairs(changes: dict[str, float | None]) -> list[dict[str, Any]]:
    return [{"column": name, "change": change} for name, change in sorted(changes.items())]


_SERIES = [
    ("series_id", pa.int32(), "Number of the series, the same in every generation."),
    ("exchange", pa.string(), "Venue."),
    ("symbol", pa.string(), "Instrument, Atlas symbology."),
    ("interval", pa.string(), "Length of a bar; NULL for raw data."),
    ("clock", pa.string(), "exchange or true; NULL for raw data."),
]
_TIME = pa.timestamp("us")
_META: dict[str, tuple[str, list[tuple[str, pa.DataType, str]]]] = {
    "datasets": (
        "One row per dataset that has a contract or a file.",
        [
            ("dataset", pa.string(), "Name, as in vendor.<dataset>."),
            ("title", pa.string(), "Name for people."),
            ("category", pa.string(), "Family of the dataset."),
            ("description", pa.string(), "What a row is."),
            ("series", pa.int64(), "Series in the lake."),
            ("files", pa.int64(), "Files in the lake."),
            ("rows", pa.int64(), "Rows that vendor.<dataset> shows."),
            ("size_bytes", pa.int64(), "Bytes of these files."),
        ],
    ),
    "columns": (
        "One row per column of every vendor view.",
        [
            ("dataset", pa.string(), "Dataset."),
            ("column", pa.string(), "Column."),
            ("type", pa.string(), "DuckDB type."),
            ("unit", pa.string(), "Unit."),
            ("description", pa.string(), "Meaning."),
        ],
    ),
    "series": (
        "One row per series, with the parts of its symbol.",
        [
            *_SERIES,
            ("type", pa.string(), "spot, perpetual, future, option."),
            ("base", pa.string(), "Asset that is traded."),
            ("quote", pa.string(), "Asset that prices are in."),
            ("margin", pa.string(), "Asset that settles; NULL for spot."),
            ("expiry", pa.date32(), "Day of delivery; NULL where there is none."),
        ],
    ),
    "files": (
        "One row per vendor file in the lake.",
        [
            ("file_id", pa.int64(), "Number of the file."),
            ("dataset", pa.string(), "Dataset."),
            *_SERIES,
            ("period", pa.string(), "UTC month or day."),
            ("object", pa.string(), "sha256 of the bytes; objects/<object>.parquet."),
            ("path", pa.string(), "Path below the home, for people."),
            ("size_bytes", pa.int64(), "Size."),
            ("rows", pa.int64(), "Rows in the file."),
            ("rows_hidden", pa.int64(), "Rows that a daily file shows instead."),
            ("first_time", _TIME, "Smallest time, UTC."),
            ("last_time", _TIME, "Largest time, UTC."),
            ("owns_from", pa.list_(_TIME), "Starts of the spans that the file owns, included."),
            ("owns_until", pa.list_(_TIME), "Ends of these spans, excluded."),
            ("nulls", pa.int64(), "NULLs over all columns."),
            ("is_sorted", pa.bool_(), "Whether rows stand in the order of time."),
            ("simulated", pa.bool_(), "Whether the file says that its data is simulated."),
            ("origin", pa.string(), "Where it came from."),
            ("fetched_at", _TIME, "When it was taken in, UTC."),
        ],
    ),
    "drift": (
        "One row per column that a file lacks or has beyond its contract.",
        [
            ("dataset", pa.string(), "Dataset."),
            *_SERIES,
            ("period", pa.string(), "UTC month or day."),
            ("column", pa.string(), "Column."),
            ("kind", pa.string(), "missing: reads NULL; unexpected: kept."),
        ],
    ),
    "coverage": (
        "One row per dataset, series and month between its first and last file.",
        [
            ("dataset", pa.string(), "Dataset."),
            *_SERIES,
            ("month", pa.string(), "UTC month."),
            ("files", pa.int64(), "Files of this month."),
            ("rows", pa.int64(), "Rows that the view shows."),
            ("expected_rows", pa.int64(), "Bars of the grid between the series' first and last."),
            ("first_time", _TIME, "First bar, UTC."),
            ("last_time", _TIME, "Last bar, UTC."),
            ("gaps", pa.int64(), "Stretches of missing bars."),
            ("duplicates", pa.int64(), "Bars shown twice; always 0, files with such are refused."),
            ("nulls", pa.int64(), "NULLs over all columns of these files."),
        ],
    ),
    "gaps": (
        "One row per stretch of missing bars between the first and last bar of a series.",
        [
            ("dataset", pa.string(), "Dataset."),
            *_SERIES,
            ("gap_from", _TIME, "First missing bar, UTC, included."),
            ("gap_until", _TIME, "First bar after the gap, UTC, excluded."),
            ("bars", pa.int64(), "Missing bars."),
        ],
    ),
    "quarantine": (
        "One row per file that was refused and not replaced by a good one since.",
        [
            ("dataset", pa.string(), "Dataset."),
            *_SERIES[1:],
            ("period", pa.string(), "UTC month or day."),
            ("reason", pa.string(), "Why it was refused."),
            ("size_bytes", pa.int64(), "Size."),
            ("object", pa.string(), "sha256; quarantine/<object>.refused."),
            ("origin", pa.string(), "Where it came from."),
            ("refused_at", _TIME, "When, UTC."),
        ],
    ),
    "restatements": (
        "One row per file whose bytes changed at its source.",
        [
            ("dataset", pa.string(), "Dataset."),
            *_SERIES,
            ("period", pa.string(), "UTC month or day."),
            ("kind", pa.string(), "grown: rows were added at the end; restated: anything else."),
            ("rows_added", pa.int64(), "Rows that only the new version has."),
            ("rows_removed", pa.int64(), "Rows that only the old version has."),
            ("rows_changed", pa.int64(), "Rows with another value in any column."),
            (
                "largest_relative_change",
                pa.list_(pa.struct([("column", pa.string()), ("change", pa.float64())])),
                "Per changed column max |new - old| / |old|; NULL where infinite.",
            ),
            ("old_object", pa.string(), "sha256 of the old version."),
            ("new_object", pa.string(), "sha256 of the new version."),
            ("seen_at", _TIME, "When, UTC."),
        ],
    ),
    "build": (
        "One row: what this catalog was built by and from.",
        [
            ("generation", pa.int64(), "Number of the generation."),
            ("built_at", _TIME, "When the build began, UTC."),
            ("product_version", pa.string(), "Version of this product."),
            ("duckdb_version", pa.string(), "Version of DuckDB that built it."),
            ("inputs", pa.string(), "Hash of all that it was built from."),
            ("home", pa.string(), "Folder of the home when it was built."),
            ("files", pa.int64(), "Files of the lake that it shows."),
            ("threads", pa.int64(), "Setting; NULL is DuckDB's default."),
            ("memory_limit", pa.string(), "Setting; NULL is DuckDB's default."),
        ],
    ),
    "stored": (
        "One row per month of a mart, or of a dataset of many series, that a view reads.",
        [
            ("model", pa.string(), "Mart, or vendor.<dataset>."),
            ("month", pa.string(), "UTC month of the bars' starts."),
            ("path", pa.string(), "File below the home."),
            ("rows", pa.int64(), "Rows."),
            ("size_bytes", pa.int64(), "Size."),
            ("reused", pa.bool_(), "Whether an earlier build had computed it."),
        ],
    ),
    "models": (
        "One row per model of this catalog, with the SQL that made it.",
        [
            ("schema", pa.string(), "Schema of the model."),
            ("name", pa.string(), "Model."),
            ("sql", pa.string(), "What dbt compiled."),
        ],
    ),
    "results": (
        "One row per model, seed and test that dbt ran for this catalog.",
        [
            ("name", pa.string(), "Node of the dbt project."),
            ("resource_type", pa.string(), "model, seed or test."),
            ("package", pa.string(), "dbt project that it belongs to."),
            ("status", pa.string(), "success, pass, warn, fail, error, skipped."),
            ("failures", pa.int64(), "Rows that broke a test."),
            ("message", pa.string(), "What dbt said."),
        ],
    ),
}


def _write_table(
    connection: duckdb.DuckDBPyConnection, name: str, rows: list[tuple[Any, ...]]
) -> None:
    meaning, columns = _META[name]
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    table = pa.table(
        [pa.array(list(v), type=t) for v, (_, t, _) in zip(values, columns, strict=True)],
        schema=pa.schema([(column, kind) for column, kind, _ in columns]),
    )
    target = f"meta.{identifier(name)}"
    connection.register("incoming_rows", table)
    connection.execute(f"create table {target} as select * from incoming_rows")
    connection.unregister("incoming_rows")
    comment(connection, "table", target, meaning)
    for column, _, text in columns:
        comment(connection, "column", f"{target}.{identifier(column)}", text)
