"""The catalog: schemas ``vendor`` and ``meta`` over the lake, in a private DuckDB file.

``prepare_catalog`` writes that file afresh from the manifest; dbt then adds the models to it and
``publish`` makes it the catalog. Views list objects by absolute path and take their key columns
from the manifest: no glob, no hive value, no name of a column decides anything at query time.
"""

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
from warehouse.contracts import KEY_COLUMNS, Column, Contract, load_contracts
from warehouse.coverage import OwnedFile, Span, assign_ownership, cover_months, find_gaps
from warehouse.errors import DiskError
from warehouse.home import Home
from warehouse.keys import Symbol, interval_us, us_datetime
from warehouse.manifest import Manifest, utc_now

STORAGE_VERSION = "v1.4.0"
"""Oldest DuckDB that must be able to open the catalog."""

_KEY_NAMES = frozenset(column.name for column in KEY_COLUMNS)


def prepare_catalog(settings: Settings, *, generation: int) -> Path:
    """Write the private build file: what the vendor gave, and what is known of it.

    Parameters
    ----------
    generation
        Number that the catalog will bear once it is published.

    Returns
    -------
    Path
        The build file, closed, without a WAL beside it.
    """
    home = Home(settings.home)
    home.require_lake()
    try:
        home.build.mkdir(parents=True, exist_ok=True)
        for leftover in home.build.glob("warehouse.duckdb*"):
            leftover.unlink()
    except OSError as error:
        raise DiskError(f"{home.build}: cannot be written ({error.strerror})") from error
    with Manifest(home.manifest) as manifest, duckdb.connect() as connection:
        for name, value in settings.session.items():
            connection.execute(f"set {name} = {literal(value)}")
        connection.execute(
            f"attach {literal(str(home.build_catalog))} as warehouse"
            f" (storage_version {literal(STORAGE_VERSION)})"
        )
        connection.execute("use warehouse")
        owned = assign_ownership(manifest.files())
        for schema in ("vendor", "meta", "user"):
            connection.execute(f"create schema {identifier(schema)}")
        _write_vendor(connection, owned, home)
        _write_meta(connection, owned, manifest, settings, generation)
        _write_macros(connection)
        connection.execute("checkpoint warehouse")
        connection.execute("use memory")
        connection.execute("detach warehouse")
    return home.build_catalog


def literal(text: str) -> str:
    """A string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


# -- vendor --------------------------------------------------------------------------------------


def _write_vendor(
    connection: duckdb.DuckDBPyConnection, owned: list[OwnedFile], home: Home
) -> None:
    by_dataset: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in owned:
        by_dataset[owned_file.file.key.dataset].append(owned_file)
    contracts = load_contracts()
    for dataset in sorted(contracts.keys() | by_dataset.keys()):
        contract = contracts.get(dataset)
        files = by_dataset.get(dataset, [])
        columns = view_columns(contract, files)
        view = f"vendor.{identifier(dataset)}"
        connection.execute(
            f"create view {view} as\n{view_sql(columns, files, home, raw=_is_raw(dataset))}"
        )
        meaning = contract.description if contract else "Not in the contracts: taken as it came."
        comment(connection, "view", view, meaning)
        for column in (*KEY_COLUMNS, *columns):
            comment(connection, "column", f"{view}.{identifier(column.name)}", column.comment)


def view_columns(contract: Contract | None, files: list[OwnedFile]) -> list[Column]:
    """Columns of a dataset's view after the key columns: the contract's, then what files add."""
    declared = [] if contract is None else [c for c in contract.columns if c.name != "time"]
    known = {column.name for column in declared}
    added: dict[str, set[str]] = defaultdict(set)
    for owned_file in files:
        for name, kind in owned_file.file.facts.columns:
            if name != "time" and name not in known:
                added[name].add(kind)
    return declared + [
        Column(_free_name(name), _widest(added[name]), f"Not in the contract: {name}.", "unknown")
        for name in sorted(added)
    ]


def comment(connection: duckdb.DuckDBPyConnection, kind: str, name: str, text: str) -> None:
    connection.execute(f"comment on {kind} {name} is {literal(text)}")


def _is_raw(dataset: str) -> bool:
    return dataset.startswith("raw_")


def _free_name(name: str) -> str:
    """A stray column must not take the name of a key column."""
    return f"file_{name}" if name in _KEY_NAMES else name


def _widest(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    integers = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
    if kinds <= integers:
        return "BIGINT"
    return "DOUBLE" if kinds <= integers | {"FLOAT", "DOUBLE"} else "VARCHAR"


def view_sql(columns: list[Column], files: list[OwnedFile], home: Home, *, raw: bool) -> str:
    """The SELECT of a dataset's view over some of its files.

    One branch per series and set of columns, so that reading a series touches its files only.
    """
    branches: dict[tuple[Any, ...], list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        if owned_file.spans:
            partial = () if owned_file.owns_all else owned_file.spans
            series = (owned_file.file.series_id, owned_file.file.facts.columns, partial)
            branches[series].append(owned_file)
    if not branches:
        return _empty_sql(columns)
    return "\nunion all\n".join(
        _branch_sql(columns, group, home, spans=place[2], raw=raw)
        for place, group in sorted(branches.items(), key=lambda item: item[1][0].file.file_id)
    )


def _branch_sql(
    columns: list[Column],
    files: list[OwnedFile],
    home: Home,
    *,
    spans: tuple[Span, ...],
    raw: bool,
) -> str:
    key, types = files[0].file.key, dict(files[0].file.facts.columns)
    source_names = {_free_name(name): name for name in types}
    series = key.series
    if raw:
        time, known_at = (
            _utc(name, types[name]) for name in ("exchange_timestamp", "local_timestamp")
        )
        interval, clock = "null::VARCHAR", "null::VARCHAR"
    else:
        time = _utc("time", types["time"])
        seconds = interval_us(series.interval or "") // 1_000_000
        known_at = f"{time} + interval '{seconds} seconds'"
        interval, clock = literal(series.interval or ""), literal(series.clock or "")
    selected = [
        f"{files[0].file.series_id}::INTEGER as series_id",
        f"{literal(series.exchange)} as exchange",
        f"{literal(series.symbol)} as symbol",
        f'{interval} as "interval"',
        f"{clock} as clock",
        f'{time} as "time"',
        f"{known_at} as known_at",
    ]
    for column in columns:
        source = source_names.get(column.name)
        value = "null" if source is None else identifier(source)
        if types.get(source or "") != column.type:
            value = f"{value}::{column.type}"
        selected.append(f"{value} as {identifier(column.name)}")
    paths = ", ".join(literal(str(home.object_path(file.file.object))) for file in files)
    sql = f"select {', '.join(selected)}\nfrom read_parquet([{paths}], hive_partitioning = false)"
    if spans:
        owned = " or ".join(
            f"({time} >= {_timestamp(start)} and {time} < {_timestamp(end)})"
            for start, end in spans
        )
        sql += f"\nwhere {owned}"
    return sql


def _empty_sql(columns: list[Column]) -> str:
    selected = [f"null::{c.type} as {identifier(c.name)}" for c in (*KEY_COLUMNS, *columns)]
    return f"select {', '.join(selected)} where false"


def _utc(name: str, kind: str) -> str:
    """A file's time as naive UTC."""
    return f"timezone('UTC', {identifier(name)})" if kind == "TIMESTAMPTZ" else identifier(name)


def _timestamp(microseconds: int) -> str:
    return f"timestamp {literal(us_datetime(microseconds).isoformat(sep=' '))}"


# -- meta ----------------------------------------------------------------------------------------


def _write_meta(
    connection: duckdb.DuckDBPyConnection,
    owned: list[OwnedFile],
    manifest: Manifest,
    settings: Settings,
    generation: int,
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
                str(settings.home),
                len(owned),
                settings.threads,
                settings.memory_limit,
            )
        ],
        "results": (),
        "stored": (),
    }
    for name, rows in tables.items():
        _write_table(connection, name, list(rows))


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
            ("home", pa.string(), "Folder of the home when it was built."),
            ("files", pa.int64(), "Files of the lake that it shows."),
            ("threads", pa.int64(), "Setting; NULL is DuckDB's default."),
            ("memory_limit", pa.string(), "Setting; NULL is DuckDB's default."),
        ],
    ),
    "stored": (
        "One row per month of a mart that is stored; its view reads these files.",
        [
            ("model", pa.string(), "Mart."),
            ("month", pa.string(), "UTC month of the bars' starts."),
            ("path", pa.string(), "File below the home."),
            ("rows", pa.int64(), "Rows."),
            ("size_bytes", pa.int64(), "Size."),
            ("reused", pa.bool_(), "Whether an earlier build had computed it."),
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


# -- macros --------------------------------------------------------------------------------------

_MACROS = {
    "help()": (
        "table",
        "What is in this catalog: one row per table, view and table macro, with its meaning.",
        """
        select "schema", name, meaning
        from (
            select schema_name as "schema", view_name as name, comment as meaning
            from duckdb_views() where not internal and database_name = current_database()
            union all
            select schema_name, table_name, comment
            from duckdb_tables() where database_name = current_database()
        )
        order by instr('main user vendor meta staging', "schema"), "schema", name
        """,
    ),
    "utc_now()": (
        "scalar",
        "The present moment as naive UTC, whatever the time zone of the shell.",
        "timezone('UTC', now())",
    ),
}


def _write_macros(connection: duckdb.DuckDBPyConnection) -> None:
    for signature, (kind, meaning, body) in _MACROS.items():
        table = " table" if kind == "table" else ""
        connection.execute(f"create macro main.{signature} as{table} {body}")
        name = signature.split("(")[0]
        comment(connection, "macro table" if table else "macro", f"main.{name}", meaning)
