"""Files of a result: CSV, JSON, parquet and Arrow, written in batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from warehouse.errors import UsageError
from warehouse.query.python_rows import require_python_years

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.query.results.result import Result


def write_rows(result: Result, form: str, sink: BinaryIO) -> bool:
    """Write every row in a format other than a table.

    Returns whether there are no rows, or only one of 0 and NULL.
    """
    batches = result.batches()
    first = next(batches, None)
    schema = result.arrow().schema if first is None else first.schema
    every: Iterator[pa.RecordBatch] = chain([] if first is None else [first], batches)
    if form in _TEXTS:
        every = _with_plain_years(every)
    _WRITERS[form](schema, every, sink)
    return first is None or (first.num_rows < 2 and _is_blank(first))


def _is_blank(batch: pa.RecordBatch) -> bool:
    try:
        return not any(value for row in batch.to_pylist() for value in row.values())
    except OverflowError:  # a moment outside Python's range
        return False


def _with_plain_years(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, unless Arrow would write another year in place of one of their moments.

    Raises
    ------
    QueryError
        A moment is infinite or outside the years 1 to 9999.
    """
    from pyarrow import types

    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            kind = column.type
            if types.is_nested(kind) or types.is_date(kind) or types.is_timestamp(kind):
                require_python_years(column, name)
        yield batch


def _write_csv(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.csv

    flat = pa.schema([(f.name, pa.string() if _is_text_in_csv(f.type) else f.type) for f in schema])
    with pyarrow.csv.CSVWriter(sink, flat):
        pass  # the header
    plain = pyarrow.csv.WriteOptions(include_header=False)
    for batch in batches:
        columns = [
            pa.array([_text(value) for value in column.to_pylist()], pa.string())
            if _is_text_in_csv(column.type)
            else column
            for column in batch.columns
        ]
        pyarrow.csv.write_csv(pa.record_batch(columns, flat.names), sink, plain)


def _is_text_in_csv(kind: pa.DataType) -> bool:
    """Write lists, structs and maps as JSON, intervals as DuckDB prints them, bytes as hex."""
    from pyarrow import types

    is_bytes = types.is_binary(kind) or types.is_large_binary(kind)
    return bool(is_bytes or types.is_nested(kind) or types.is_interval(kind))


def _text(value: Any) -> str | None:
    plain = _strict(value)
    if plain is None or isinstance(plain, str):
        return plain
    return json.dumps(plain, default=str, ensure_ascii=False)


def _write_parquet(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for field in schema:
        if pa.types.is_interval(field.type):
            raise UsageError(
                f"column {field.name!r} is an INTERVAL, which cannot be written to parquet",
                next_step=f"write epoch({field.name}) for its seconds, or {field.name}::varchar",
            )
    with pq.ParquetWriter(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_json(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    """A JSON array with one object per line and row."""
    begun = False
    sink.write(b"[")
    for batch in batches:
        for row in batch.to_pylist():
            line = json.dumps(_strict(row), default=str, ensure_ascii=False)
            sink.write((",\n " if begun else "\n ").encode() + line.encode())
            begun = True
    sink.write(b"\n]\n" if begun else b"]\n")


def _write_jsonl(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    """One JSON object per line and row."""
    for batch in batches:
        for row in batch.to_pylist():
            sink.write(json.dumps(_strict(row), default=str, ensure_ascii=False).encode() + b"\n")


def _write_arrow(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    """Arrow's IPC file, which is Feather version 2."""
    import pyarrow.ipc

    with pyarrow.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


_TEXTS = ("csv", "json", "jsonl")

_WRITERS = {
    "csv": _write_csv,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
}


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """An interval as DuckDB prints it.

    Examples
    --------
    >>> _interval(14, 0, 0), _interval(0, 1, 5_400_000_000_000), _interval(0, 0, -1_500_000)
    ('14 months', '1 day 01:30:00', '-00:00:00.0015')
    """
    parts = [
        f"{count} {unit}{'s' * (abs(count) != 1)}"
        for count, unit in ((months, "month"), (days, "day"))
        if count
    ]
    if nanoseconds or not parts:
        seconds, rest = divmod(abs(nanoseconds), 1_000_000_000)
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        parts.append(f"{'-' * (nanoseconds < 0)}{clock}{fraction}")
    return " ".join(parts)


def _strict(value: Any) -> Any:
    """A value for JSON: NaN and infinity become null, bytes hex, decimals numbers.

    A decimal of more digits than a double becomes text, so that no reader rounds it.
    """
    if isinstance(value, tuple) and hasattr(value, "nanoseconds"):
        return _interval(*value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        number = float(value)
        return number if Decimal(repr(number)) == value else str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, (list, tuple)) else value
