"""Checks that a vendor file matches its name: reads it whole, returns facts or refuses it.

Refused: a file that cannot be read, lacks a required column or all others, or has a type that the
contract cannot widen without loss, footer statistics that its times contradict, or bad rows
(``bad_rows``). Not refused: missing or new columns (recorded as drift), rows out of order (sorted
when read), odd values (some are noted).

A file may be hostile until it has passed. DuckDB reads it first and with little memory, so that
every file of a catalog can be read; then pyarrow reads it value by value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.display import counted
from warehouse.engine import NO_EXTENSIONS, Fault, connect, fault_of
from warehouse.errors import FileRefusedError
from warehouse.interrupts import run
from warehouse.lake.imported import imported_of
from warehouse.lake.manifest.records import FileFacts, moment_text
from warehouse.lake.validate.bad_rows import (
    BadRowsError,
    find_bad_rows,
    find_shift,
    left_out_of,
)
from warehouse.lake.validate.refusal_hints import other_times, unlike_parquet
from warehouse.lake.validate.values import Values, is_bytes, is_text
from warehouse.sql import identifier, rows_of_files
from warehouse.times import DAY_US
from warehouse.vendor import (
    NO_TYPE,
    OTHER_TYPE,
    Contract,
    DatasetColumn,
    FileKey,
    interval_us,
    time_columns,
)

SIMULATED = b"warehouse.simulated"

_ROW_GROUP_LIMIT_BYTES = 4 << 30
_MOST_ROWS_PER_BYTE = 8
_SLACK_ROWS = 10_000
_ENGINE_MEMORY = "768MB"
_BATCH_ROWS = 131_072
_DEEPEST_TYPE = 16
_LONGEST_TYPE = 2_000
_LONGEST_DECIMAL = 38


def check_file(path: Path, key: FileKey, contract: Contract | None) -> FileFacts:
    """Read and check all of ``path`` as the file of ``key``.

    Raises
    ------
    FileRefusedError
        With the reason as text for the user.
    """
    with _as_parquet(path) as file:
        schema = file.schema_arrow
        _check_size(file.metadata, path.stat().st_size, key)
        _check_schema(schema, key, contract)
        _require_engine_reads(path, schema.names)
        columns = tuple((f.name, _plain_type(f.type) or _other_type(f, path)) for f in schema)
        imported = imported_of(schema.metadata) if key.is_raw else None
        is_clockless = imported is not None and imported.receive_clock == "none"
        values = _read_all(file, Values(key, contract, is_clockless=is_clockless), key)
    times = values.times
    is_sorted = bool((times[1:] >= times[:-1]).all())
    ordered = times if is_sorted else np.sort(times)
    if values.has_bad_times or not _is_good(ordered, key):
        bad = find_bad_rows(times, values.null_times, key, is_finer=values.finer_bars)
        raise BadRowsError(bad, len(times), find_shift(times[~values.null_times], key))
    missing, unexpected = _drift(schema.names, contract)
    original, left_out = left_out_of(schema.metadata)
    return FileFacts(
        rows=len(ordered),
        first_us=int(ordered[0]) if len(ordered) else None,
        last_us=int(ordered[-1]) if len(ordered) else None,
        runs=() if key.is_raw else _bar_runs(ordered, key),
        columns=columns,
        missing=missing,
        unexpected=unexpected,
        nulls=values.nulls,
        is_sorted=is_sorted,
        simulated=(schema.metadata or {}).get(SIMULATED) == b"true",
        original=original,
        left_out=tuple((row.number, row.time_us, row.reason) for row in left_out),
        notes=(*values.notes(), *_not_shown(columns)),
        imported=imported,
        in_order=values.order.spans,
    )


@contextmanager
def _as_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file; errors while it is read, also by the caller, are the reason of its refusal."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = unlike_parquet(path) or reason[:200]
        raise FileRefusedError(f"cannot be read as parquet: {reason}") from error


def _not_shown(columns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, kind in columns:
        if kind.startswith(NO_TYPE):
            yield (
                "column not shown",
                f"{name}: decimals of more than {_LONGEST_DECIMAL} digits, which DuckDB lacks",
            )


def _drift(
    names: Sequence[str], contract: Contract | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of the contract that a file lacks, and its columns that the contract lacks."""
    if contract is None:
        return (), ()
    lowered = {name.lower() for name in names}
    missing = tuple(c.name for c in contract.columns if c.expected and c.name not in lowered)
    return missing, tuple(name for name in names if contract.column(name.lower()) is None)


def _check_size(metadata: pq.FileMetaData, size_bytes: int, key: FileKey) -> None:
    """Refuse a footer with absurd sizes before a page is decompressed."""
    most = size_bytes * _MOST_ROWS_PER_BYTE
    if key.series.interval is not None:
        period = key.period
        most = (period.end_us - period.start_us) // interval_us(key.series.interval)
        most += _SLACK_ROWS
    if metadata.num_rows > most:
        raise FileRefusedError(
            f"its footer claims {counted(metadata.num_rows, 'row')}, but its size allows at most"
            f" {most:,}"
        )
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if not 0 <= group.total_byte_size <= _ROW_GROUP_LIMIT_BYTES:
            raise FileRefusedError(
                f"row group {index} claims {counted(group.total_byte_size, 'byte')} uncompressed"
            )


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB without caches and with little memory."""
    session = {"TimeZone": "UTC", "temp_directory": "", "memory_limit": _ENGINE_MEMORY}
    connection = connect(session, config=NO_EXTENSIONS)
    connection.execute("set enable_external_file_cache = false")
    return connection


def _require_engine_reads(path: Path, columns: Sequence[str]) -> None:
    """Let DuckDB decode every value; refuse a file that it cannot show."""
    names = ", ".join(map(identifier, columns))
    source = rows_of_files([path])
    try:
        with _engine().cursor() as cursor:
            text = f"select bit_xor(hash({names})) from {source}"
            run(cursor, lambda: cursor.execute(text).fetchall())
    except (duckdb.Error, RuntimeError) as error:
        if fault_of(error) is Fault.MEMORY:
            raise FileRefusedError(f"cannot be read within {_ENGINE_MEMORY} of memory") from error
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
            _engine.cache_clear()  # the engine refuses everything after this
        reason = str(error).splitlines()[0].replace(str(path), "it")
        raise FileRefusedError(f"cannot be read by DuckDB: {reason[:200]}") from error


def _check_schema(schema: pa.Schema, key: FileKey, contract: Contract | None) -> None:
    _check_names(schema)
    required = time_columns(key.dataset)
    for name in required:
        _check_time(schema, name)
    others = {name.lower() for name in schema.names}.difference(required)
    if contract is not None and not any(map(contract.column, others)):
        raise FileRefusedError(
            f"has none of the columns of {key.dataset}: is it a file of another dataset?"
        )
    for field in schema:
        _check_type(field, None if contract is None else contract.column(field.name.lower()))


def _check_names(schema: pa.Schema) -> None:
    names = [name.lower() for name in schema.names]
    if any(not name or "\0" in name for name in names):
        raise FileRefusedError("a column has no name")
    for name, count in Counter(names).items():
        if count > 1:
            found = [field.name for field in schema if field.name.lower() == name]
            raise FileRefusedError(f"columns have the same name: {', '.join(map(repr, found[:3]))}")


def _check_time(schema: pa.Schema, name: str) -> None:
    """Refuse a file that has no column of that name, or one that is no time."""
    field = next((field for field in schema if field.name.lower() == name), None)
    if field is None:
        raise FileRefusedError(f"has no column {name!r}{other_times(schema)}")
    if not (pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)):
        raise FileRefusedError(
            f"column {field.name!r} is {_named(field.type)}, not a timestamp: write"
            f" timestamp[us, UTC], in pandas with pd.to_datetime(df[{field.name!r}], utc=True),"
            " and for numbers unit='s', 'ms', 'us' or 'ns'"
        )


def _check_type(field: pa.Field, column: DatasetColumn | None) -> None:
    """Refuse a column whose type cannot become that of the contract's ``column``."""
    if not _is_shallow(field.type):
        raise FileRefusedError(
            f"column {field.name[:80]!r} is nested more than {_DEEPEST_TYPE} deep"
        )
    if column is not None and _has_long_decimals(field.type):
        raise FileRefusedError(
            f"column {field.name!r} is {_named(field.type)}, but DuckDB's decimals have at "
            f"most {_LONGEST_DECIMAL} digits: write shorter ones"
        )
    if column is not None and not _widens(field.type, column):
        raise FileRefusedError(
            f"column {field.name!r} is {_named(field.type)}, not {_MEANT[column.type]}"
        )


# Types of the contract, as worded in messages.
_MEANT = {
    "DOUBLE": "a number",
    "BIGINT": "a whole number",
    "TIMESTAMP": "a timestamp",
    "TIMESTAMPTZ": "a timestamp",
    "VARCHAR": "text",
}


def _is_shallow(kind: pa.DataType) -> bool:
    """Whether a type has few levels; engines take minutes for thousands of levels."""
    level = [kind]
    for _ in range(_DEEPEST_TYPE + 1):
        level = [
            k.field(i).type for k in level if pa.types.is_nested(k) for i in range(k.num_fields)
        ]
        if not level:
            return True
    return False


def _widens(found: pa.DataType, column: DatasetColumn) -> bool:
    """Whether ``found`` may have values of the contract's type; ``_check_exact`` checks each."""
    if pa.types.is_null(found):
        return True
    if pa.types.is_dictionary(found):
        found = found.value_type
    match column.type:
        case "DOUBLE" | "BIGINT":
            holds = pa.types.is_floating(found) or pa.types.is_integer(found)
            holds = holds or pa.types.is_decimal(found)
        case "TIMESTAMP" | "TIMESTAMPTZ":
            holds = pa.types.is_timestamp(found) or pa.types.is_date(found)
        case _:
            holds = is_text(found) or pa.types.is_integer(found) or is_bytes(found)
            holds = holds or isinstance(found, pa.UuidType)
            holds = holds or (pa.types.is_decimal(found) and found.scale == 0)
    return bool(holds)


def _has_long_decimals(kind: pa.DataType) -> bool:
    """Whether it contains decimals that DuckDB 1.5 misreads and 2.0 reads as DOUBLE.

    https://github.com/duckdb/duckdb/pull/25058; such files could be accepted when 2.0 is the oldest
    supported version.
    """
    if pa.types.is_dictionary(kind):
        return _has_long_decimals(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_has_long_decimals(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_decimal(kind) and kind.precision > _LONGEST_DECIMAL)


def _named(kind: pa.DataType) -> str:
    """A type in a line of text, truncated because nested ones can be of any length."""
    text = str(kind)
    return text if len(text) <= 80 else f"{text[:80]}..."


_SCALARS = {
    pa.null(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float16(): "FLOAT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.string_view(): "VARCHAR",
    pa.date32(): "DATE",
    pa.date64(): "DATE",
}


def _plain_type(kind: pa.DataType) -> str | None:
    """The DuckDB type of a column; None for nested, decimal and odd ones."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        name = "TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ"
        return f"{name}_NS" if kind.unit == "ns" else name
    return _SCALARS.get(kind)


def _other_type(field: pa.Field, path: Path) -> str:
    """DuckDB's name of a column's type, if every DuckDB version understands it.

    Else ``OTHER`` or ``NONE`` and Arrow's name, or its hash: the same for the same types only.
    """
    is_shown = not _has_long_decimals(field.type)
    if is_shown and _is_common(field.type):
        with _engine().cursor() as cursor:
            row = cursor.execute(
                f"describe select {identifier(field.name)} from {rows_of_files([path])}"
            ).fetchone()
        if row and len(row[1]) <= _LONGEST_TYPE:
            return str(row[1])
    name = str(field.type)
    if len(name) > _LONGEST_TYPE:
        name = sha256(name.encode()).hexdigest()
    return f"{OTHER_TYPE if is_shown else NO_TYPE} {name}"


def _is_common(kind: pa.DataType) -> bool:
    """Whether every DuckDB has this type, under one name."""
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        parts = [kind.field(i).type for i in range(kind.num_fields)]
        return bool(parts) and all(map(_is_common, parts))
    if pa.types.is_timestamp(kind):
        return bool(kind.unit != "ns")
    if pa.types.is_fixed_size_binary(kind):
        return True
    return kind in _COMMON or pa.types.is_decimal128(kind)


_COMMON = {*_SCALARS, pa.binary(), pa.large_binary()} - {pa.null(), pa.float16()}


def _read_all(file: pq.ParquetFile, values: Values, key: FileKey) -> Values:
    """Decode every page, and compare the times with the footer's statistics."""
    rows = 0
    clocks = time_columns(key.dataset)
    for index in range(file.metadata.num_row_groups):
        chunks = [_chunk(file.metadata, index, name) for name in clocks]
        bounds = [_bounds(chunk) for chunk in chunks]
        filled = [0] * len(clocks)
        first = rows
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[index]):
            rows += batch.num_rows
            for place, times in enumerate(values.add(batch)):
                filled[place] += len(times)
                bound = bounds[place]
                if bound is not None and len(times) and not _lies_within(times, bound):
                    raise FileRefusedError(
                        f"row group {index}: the footer's statistics of {clocks[place]!r} "
                        f"({moment_text(bound[0])} to {moment_text(bound[1])}) exclude some of its "
                        "rows, so queries would miss them: write the file again"
                    )
        for chunk, name, count in zip(chunks, clocks, filled, strict=True):
            if _claimed_nulls(chunk) > rows - first - count:
                raise FileRefusedError(
                    f"row group {index}: the footer's statistics count NULL in {name!r} where "
                    "there is none, so queries would miss rows: write the file again"
                )
    if rows != file.metadata.num_rows:
        raise FileRefusedError(
            f"has {counted(rows, 'row')}, but its footer claims {file.metadata.num_rows:,}"
        )
    return values


def _chunk(metadata: pq.FileMetaData, row_group: int, name: str) -> pq.ColumnChunkMetaData:
    """The footer's statistics of a clock in a row group, where parts of nested columns count."""
    group = metadata.row_group(row_group)
    chunks = map(group.column, range(group.num_columns))
    chunk = next(c for c in chunks if c.path_in_schema.lower() == name)
    if chunk.bloom_filter_offset is not None:
        raise FileRefusedError(
            f"column {name!r} has a Bloom filter, which cannot be checked, so queries "
            "might miss rows: write the file without it"
        )
    return chunk


def _bounds(chunk: pq.ColumnChunkMetaData) -> tuple[int, int] | None:
    """Minimum and maximum time in microseconds from the footer; None if it has none."""
    statistics = chunk.statistics
    if statistics is None or not statistics.has_min_max:
        return None
    kind = json.loads(statistics.logical_type.to_json())
    unit = kind.get("timeUnit", kind.get("Type"))
    if unit not in _PER_UNIT_US:
        return None
    times, per = _PER_UNIT_US[unit]
    return statistics.min_raw * times // per, statistics.max_raw * times // per


def _claimed_nulls(chunk: pq.ColumnChunkMetaData) -> int:
    statistics = chunk.statistics
    return statistics.null_count if statistics is not None and statistics.has_null_count else 0


_PER_UNIT_US = {
    "Date": (DAY_US, 1),
    "milliseconds": (1_000, 1),
    "microseconds": (1, 1),
    "nanoseconds": (1, 1_000),
}


def _lies_within(times: np.ndarray, bound: tuple[int, int]) -> bool:
    return bool(bound[0] <= times.min() and times.max() <= bound[1])


def _is_good(times: np.ndarray, key: FileKey) -> bool:
    """Whether sorted times are inside the period, and bars on the grid, each once."""
    if not len(times):
        return True
    is_inside = key.period.start_us <= times[0] and times[-1] < key.period.end_us
    if key.is_raw or not is_inside:
        return bool(is_inside)
    bar = interval_us(key.series.interval or "")
    return not (times % bar).any() and bool((np.diff(times) > 0).all())


def _bar_runs(times: np.ndarray, key: FileKey) -> tuple[tuple[int, int], ...]:
    """Runs of consecutive bars; the bars are sorted and on the grid."""
    bar = interval_us(key.series.interval or "")
    if not len(times):
        return ()
    steps = np.diff(times)
    breaks = np.flatnonzero(steps != bar)
    starts = times[np.concatenate(([0], breaks + 1))]
    ends = times[np.concatenate((breaks, [len(times) - 1]))] + bar
    return tuple(zip(starts.tolist(), ends.tolist(), strict=True))
