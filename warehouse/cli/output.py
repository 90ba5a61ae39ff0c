"""Output of a result: a table on the terminal, or a file written in batches."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from warehouse.cli.common import UNCUT, put, say, table_width
from warehouse.display import counted
from warehouse.errors import UsageError
from warehouse.files import appearing
from warehouse.home import Home
from warehouse.interrupts import StoppedError, one_clock
from warehouse.query import quick_warnings, render

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.query import Result

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "arrow")
_BY_SUFFIX = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "table",
    ".table": "table",
}
# Seconds granted to the remarks on a result when the query has used up its time limit.
_REMARKS_S = 1.0

_HINT = "name them, widen the terminal, or add --format csv"


def require_place(home: Home, target: Path | None) -> None:
    """Raise before the query runs if the file cannot or must not be written."""
    if target is None:
        return
    if home.owns(target):
        raise UsageError(
            f"{target} belongs to the warehouse itself",
            next_step="write it to another folder",
        )
    if target.is_dir():
        raise UsageError(f"{target} is a folder", next_step="name a file in it")
    folder = target.parent if target.exists() else Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        named = folder if target.is_symlink() else target.parent
        raise UsageError(
            f"{target}: there is no folder {named}", next_step=f"mkdir -p {shlex.quote(str(named))}"
        )


def format_of(target: Path | None, given: str | None) -> str:
    """The format of a result: that of ``--format``, else that of the file's suffix.

    Raises
    ------
    UsageError
        The suffix is unknown or contradicts ``--format``.

    Examples
    --------
    >>> format_of(Path("bars.CSV.gz"), None), format_of(None, None)
    ('csv', 'table')
    """
    if target is None or (given is not None and not _suffix(target)):
        return given or "table"
    found = _BY_SUFFIX.get(_suffix(target))
    if found is None and given is None:
        raise UsageError(
            f"{target}: no output format has this suffix",
            next_step=f"end it in {', '.join(_BY_SUFFIX)}, or add --format {'|'.join(FORMATS)}",
        )
    if found is not None and given not in (None, found):
        raise UsageError(
            f"{target}: the suffix is that of {found}, but --format is {given}",
            next_step="leave --format out, or give the file another suffix",
        )
    return given or str(found)


def _suffix(target: Path) -> str:
    """The suffix in lower case; for a compressed file with the one before it."""
    suffixes = [suffix.lower() for suffix in target.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def write_answer(result: Result, form: str, target: Path | None, limit: int) -> None:
    """Write a result to stdout, or to ``target``, which appears complete or not at all.

    ``limit`` applies to tables only; the other formats contain every row.
    """
    if form in ("parquet", "arrow") and target is None:
        raise UsageError(
            f"{form} cannot be printed to the terminal", next_step=f"add -o FILE.{form}"
        )
    if form == "table" and target is None:
        put(render(result, limit, width=table_width(), hint=_HINT))
        if not result.head(1):
            say("0 rows")
        _say_cut(result, limit)
        _say_remarks(result, is_blank=True)
        return
    if target is None:
        sys.stdout.flush()
        is_blank = _write(result, form, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        _say_remarks(result, is_blank=is_blank)
        return
    is_blank = form == "table"
    with appearing(target) as sink:
        if form == "table":
            sink.write((render(result, limit, width=UNCUT) + "\n").encode())
            _say_cut(result, limit)
        else:
            is_blank = _write_file(result, form, sink, _suffix(target).endswith(".gz"))
    say(f"wrote {target}")
    _say_remarks(result, is_blank=is_blank)


def _say_cut(result: Result, limit: int) -> None:
    """Warn on stderr that rows are left out when stdout is not a terminal."""
    if not sys.stdout.isatty() and len(result.head(limit + 1)) > limit:
        say(f"only the first {counted(limit, 'row')} of {len(result):,}; for all, add --format csv")


def _write_file(result: Result, form: str, sink: BinaryIO, is_compressed: bool) -> bool:
    if not is_compressed:
        return _write(result, form, sink)
    import gzip

    with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as packed:
        return _write(result, form, cast("BinaryIO", packed))


def _say_remarks(result: Result, *, is_blank: bool) -> None:
    """Print remarks to stderr: why a result is empty, columns that look ahead, missing bars."""
    from warehouse.analysis import Hole, hole_lines

    try:
        with one_clock(at_least_s=_REMARKS_S):
            for warning in quick_warnings(result):
                say(f"warning: {warning}")
            hint = result.hint if is_blank else None
            if hint is not None:
                say(f"hint: {hint}")
            holes = [found for found in result.warnings if isinstance(found, Hole)]
            for line in hole_lines(holes, hint):
                say(line)
    except StoppedError:
        say("missing bars were not looked for, because the time limit was reached")
        say("  next: raise --timeout, or query fewer tables")


def _write(result: Result, form: str, sink: BinaryIO) -> bool:
    """Write every row; return whether there is none, or a single row of only 0 and NULL."""
    batches = result.batches()
    first = next(batches, None)
    schema = result.arrow().schema if first is None else first.schema
    every = _chain(first, batches)
    _WRITERS[form](schema, every, sink)
    return first is None or (
        first.num_rows < 2 and not any(v for row in first.to_pylist() for v in row.values())
    )


def _chain(
    first: pa.RecordBatch | None, rest: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    if first is not None:
        yield first
    yield from rest


def _write_csv(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.csv

    flat = pa.schema([(f.name, pa.string() if _is_text_in_csv(f.type) else f.type) for f in schema])
    with pyarrow.csv.CSVWriter(sink, flat) as writer:
        for batch in batches:
            columns = [
                pa.array([_text(value) for value in column.to_pylist()], pa.string())
                if _is_text_in_csv(column.type)
                else column
                for column in batch.columns
            ]
            writer.write(pa.record_batch(columns, flat))


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
    with contextlib.closing(batches):  # type: ignore[type-var]
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

    A decimal of more digits than a double holds is text, so that no reader rounds it.
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
