"""Is this file what its name says? Reads one parquet file whole and returns facts, or refuses it.

Refused: a file that cannot be read, lacks a required column or all others, holds a type that the
contract cannot widen without loss, times outside the period, off the bar grid, NULL or twice. Not
refused: missing or new columns (drift, recorded), rows out of order (sorted when read), odd values
(they are data).

A file is hostile until it has passed. DuckDB, which will show it, reads it first and within little
memory, so that what is listed in a catalog can be read there; then pyarrow reads it value by value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.contracts import OTHER_TYPE, Column, Contract
from warehouse.engine import NO_EXTENSIONS, connect
from warehouse.errors import FileRefusedError
from warehouse.interrupts import raise_if_interrupt
from warehouse.keys import FileKey, interval_us, us_datetime
from warehouse.records import FileFacts
from warehouse.sqltext import identifier, literal

RAW_TIME = "exchange_timestamp"
RAW_KNOWN_AT = "local_timestamp"
SIMULATED = b"warehouse.simulated"

_ROW_GROUP_LIMIT_BYTES = 4 << 30
_MOST_ROWS_PER_BYTE = 8
_SLACK_ROWS = 10_000
_ENGINE_MEMORY = "768MB"
_BATCH_ROWS = 131_072
_EXACT_IN_DOUBLE = 1 << 53
_DEEPEST_TYPE = 16
_LONGEST_TYPE = 2_000


def prepare() -> None:
    """Open the engine, so that the first file need not wait for it."""
    _engine()


def check_file(path: Path, key: FileKey, contract: Contract | None) -> FileFacts:
    """Read ``path`` to its last byte as the file named ``key``.

    Raises
    ------
    FileRefusedError
        With the reason, in words for a person.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            _check_size(file.metadata, path.stat().st_size, key)
            _check_schema(schema, key, contract)
            _require_engine_reads(path, schema.names)
            columns = tuple((f.name, _plain_type(f.type) or _odd_type(f, path)) for f in schema)
            times, nulls = _read_all(file, key, contract)
    except FileRefusedError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileRefusedError(f"cannot be read as parquet: {reason[:200]}") from error

    is_sorted = bool((times[1:] >= times[:-1]).all())
    ordered = times if is_sorted else np.sort(times)
    _check_period(ordered, key)
    runs = () if key.is_raw else _bar_runs(ordered, key)
    names = {name for name, _ in columns}
    declared = () if contract is None else contract.columns
    return FileFacts(
        rows=len(ordered),
        first_us=int(ordered[0]) if len(ordered) else None,
        last_us=int(ordered[-1]) if len(ordered) else None,
        runs=runs,
        columns=columns,
        missing=tuple(c.name for c in declared if c.expected and c.name not in names),
        unexpected=()
        if contract is None
        else tuple(name for name, _ in columns if contract.column(name) is None),
        nulls=nulls,
        is_sorted=is_sorted,
        simulated=(schema.metadata or {}).get(SIMULATED) == b"true",
    )


def _check_size(metadata: pq.FileMetaData, size_bytes: int, key: FileKey) -> None:
    """Refuse claims that could only exhaust memory or patience, before a page is decompressed."""
    most = size_bytes * _MOST_ROWS_PER_BYTE
    if key.series.interval is not None:
        period = key.period
        most = (period.end_us - period.start_us) // interval_us(key.series.interval)
        most += _SLACK_ROWS
    if metadata.num_rows > most:
        raise FileRefusedError(f"claims {metadata.num_rows:,} rows, at most {most:,} can be")
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if not 0 <= group.total_byte_size <= _ROW_GROUP_LIMIT_BYTES:
            raise FileRefusedError(
                f"row group {index} claims {group.total_byte_size:,} bytes uncompressed"
            )


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB that keeps nothing and has little memory."""
    session = {"TimeZone": "UTC", "temp_directory": "", "memory_limit": _ENGINE_MEMORY}
    connection = connect(session, config=NO_EXTENSIONS)
    connection.execute("set enable_external_file_cache = false")
    return connection


def _require_engine_reads(path: Path, columns: Sequence[str]) -> None:
    """Let DuckDB decode every value; refuse a file that it cannot show."""
    names = ", ".join(map(identifier, columns))
    source = _source(path)
    try:
        with _engine().cursor() as cursor:
            cursor.execute(f"select bit_xor(hash({names})) from {source}").fetchall()
    except duckdb.OutOfMemoryException as error:
        raise FileRefusedError(f"cannot be read within {_ENGINE_MEMORY} of memory") from error
    except (duckdb.Error, RuntimeError) as error:
        raise_if_interrupt(error)
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
            _engine.cache_clear()  # it refuses everything from now on
        reason = str(error).splitlines()[0].replace(str(path), "it")
        raise FileRefusedError(f"cannot be read by DuckDB: {reason[:200]}") from error


def _source(path: Path) -> str:
    return f"read_parquet({literal(str(path))}, hive_partitioning = false)"


def _check_schema(schema: pa.Schema, key: FileKey, contract: Contract | None) -> None:
    names = [name.lower() for name in schema.names]
    if any(not name or "\0" in name for name in names):
        raise FileRefusedError("a column has no name")
    if len(set(names)) != len(names):
        raise FileRefusedError("two columns have the same name")
    required = (RAW_TIME, RAW_KNOWN_AT) if key.is_raw else ("time",)
    for name in required:
        if name not in schema.names:
            raise FileRefusedError(f"has no column {name!r}")
        if not pa.types.is_timestamp(schema.field(name).type):
            raise FileRefusedError(
                f"column {name!r} is {_named(schema.field(name).type)}, not a timestamp"
            )
    others = [name for name in schema.names if name not in required]
    if contract is not None and others and not any(map(contract.column, others)):
        raise FileRefusedError(
            f"has none of the columns of {key.dataset}: is it a file of another dataset?"
        )
    for field in schema:
        if not _is_shallow(field.type):
            raise FileRefusedError(
                f"column {field.name[:80]!r} is nested more than {_DEEPEST_TYPE} deep"
            )
        column = None if contract is None else contract.column(field.name)
        if column is not None and not _widens(field.type, column):
            raise FileRefusedError(
                f"column {field.name!r} is {_named(field.type)}:"
                f" {column.type} cannot hold it without loss"
            )


def _is_shallow(kind: pa.DataType) -> bool:
    """Whether a type ends within few levels: engines take minutes over thousands of them."""
    level = [kind]
    for _ in range(_DEEPEST_TYPE + 1):
        level = [
            k.field(i).type for k in level if pa.types.is_nested(k) for i in range(k.num_fields)
        ]
        if not level:
            return True
    return False


def _widens(found: pa.DataType, column: Column) -> bool:
    """Whether ``found`` can hold values of the contract's type; ``_check_exact`` looks at each."""
    if pa.types.is_null(found):
        return True
    if pa.types.is_dictionary(found):
        found = found.value_type
    match column.type:
        case "DOUBLE" | "BIGINT":
            holds = pa.types.is_floating(found) or pa.types.is_integer(found)
        case "TIMESTAMP" | "TIMESTAMPTZ":
            holds = pa.types.is_timestamp(found) and found.tz in (None, "UTC", "+00:00", "Etc/UTC")
        case _:
            holds = pa.types.is_string(found) or pa.types.is_large_string(found)
    return bool(holds)


def _named(kind: pa.DataType) -> str:
    """A type for a line of text; nested ones can be of any length."""
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
    pa.date32(): "DATE",
}


def _plain_type(kind: pa.DataType) -> str | None:
    """The DuckDB type of a column; None for nested, decimal and odd ones."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        name = "TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ"
        return f"{name}_NS" if kind.unit == "ns" else name
    return _SCALARS.get(kind)


def _odd_type(field: pa.Field, path: Path) -> str:
    """What DuckDB itself calls a column's type, where every DuckDB understands that name.

    Only columns beyond the contract come here.
    """
    if not _is_common(field.type):
        return OTHER_TYPE
    with _engine().cursor() as cursor:
        row = cursor.execute(
            f"describe select {identifier(field.name)} from {_source(path)}"
        ).fetchone()
    return str(row[1]) if row and len(row[1]) <= _LONGEST_TYPE else OTHER_TYPE


def _is_common(kind: pa.DataType) -> bool:
    """Whether every DuckDB has this type, under one name."""
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        parts = [kind.field(i).type for i in range(kind.num_fields)]
        return bool(parts) and all(map(_is_common, parts))
    if pa.types.is_timestamp(kind):
        return bool(kind.unit != "ns")
    return kind in _COMMON or pa.types.is_decimal128(kind)


_COMMON = {*_SCALARS, pa.binary(), pa.large_binary()} - {pa.null(), pa.float16()}


def _read_all(
    file: pq.ParquetFile, key: FileKey, contract: Contract | None
) -> tuple[np.ndarray, int]:
    """Decode every page; return the times in microseconds and the number of NULLs."""
    time_name = RAW_TIME if key.is_raw else "time"
    clocks = (RAW_TIME, RAW_KNOWN_AT) if key.is_raw else ("time",)
    numeric = {c.name: c.type for c in contract.columns} if contract is not None else {}
    parts, nulls, rows = [], 0, 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        rows += batch.num_rows
        nulls += sum(column.null_count for column in batch.columns)
        for name in clocks:
            if batch.column(name).null_count:
                raise FileRefusedError(f"column {name!r} holds NULL")
        for name in batch.schema.names:
            _check_exact(batch.column(name), name, numeric.get(name))
        parts.append(_microseconds(batch.column(time_name), time_name))
    if rows != file.metadata.num_rows:
        raise FileRefusedError(f"holds {rows:,} rows, its footer says {file.metadata.num_rows:,}")
    return (np.concatenate(parts) if parts else np.empty(0, np.int64)), nulls


def _check_exact(values: pa.Array, name: str, wanted: str | None) -> None:
    """Refuse integers that DOUBLE rounds, and numbers that are no BIGINT."""
    if wanted == "DOUBLE" and pa.types.is_integer(values.type):
        reach = pc.min_max(values).as_py()
        if any(abs(edge or 0) > _EXACT_IN_DOUBLE for edge in reach.values()):
            raise FileRefusedError(f"column {name!r} holds integers that DOUBLE would round")
    elif wanted == "BIGINT":
        try:
            values.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise FileRefusedError(
                f"column {name!r} holds values that are no whole numbers"
            ) from error


def _microseconds(values: pa.Array, name: str) -> np.ndarray:
    try:
        cast = values.cast(pa.timestamp("us", tz=values.type.tz))
    except pa.ArrowInvalid as error:
        raise FileRefusedError(f"column {name!r} holds times finer than a microsecond") from error
    if not len(cast):
        return np.empty(0, np.int64)
    # Array.to_numpy would load pandas
    return np.frombuffer(cast.buffers()[1], np.int64, len(cast), cast.offset * 8)


def _check_period(times: np.ndarray, key: FileKey) -> None:
    start, end = key.period.start_us, key.period.end_us
    if len(times) and not (start <= times[0] and times[-1] < end):
        outside = int(((times < start) | (times >= end)).sum())
        raise FileRefusedError(
            f"{outside:,} of {len(times):,} rows lie outside {key.period.text}: "
            f"{_moment(times[0])} to {_moment(times[-1])}"
        )


def _moment(microseconds: np.int64) -> str:
    """A time for a person, however absurd."""
    try:
        return str(us_datetime(int(microseconds)))
    except OverflowError:
        return f"{int(microseconds):,} microseconds since 1970"


def _bar_runs(times: np.ndarray, key: FileKey) -> tuple[tuple[int, int], ...]:
    """Unbroken stretches of bars; refuses bars off the grid or given twice."""
    bar = interval_us(key.series.interval or "")
    if not len(times):
        return ()
    off_grid = times[times % bar != 0]
    if len(off_grid):
        raise FileRefusedError(
            f"{len(off_grid):,} bars do not start on a multiple of {key.series.interval}, "
            f"the first at {us_datetime(int(off_grid[0]))}"
        )
    steps = np.diff(times)
    twice = times[1:][steps == 0]
    if len(twice):
        raise FileRefusedError(
            f"{len(twice):,} bars stand in it twice, the first at {us_datetime(int(twice[0]))}"
        )
    breaks = np.flatnonzero(steps != bar)
    starts = times[np.concatenate(([0], breaks + 1))]
    ends = times[np.concatenate((breaks, [len(times) - 1]))] + bar
    return tuple(zip(starts.tolist(), ends.tolist(), strict=True))
