"""Hints for a refused file: its probable format, and how to convert it."""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.files import ends_of
from warehouse.lake.validate.values import is_bytes, is_text

_EPOCH_UNITS = (
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
)
# Seconds since 1970 of the years 1973 and 2286; numbers of other units are outside this range.
_EARLIEST_S, _LATEST_S = 1e8, 1e10

# First bytes of files of other kinds, and what to do with one that is named like parquet.
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\x1f\x8b": "a gzip file: unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: run git lfs pull",
    b"ARROW1": "an Arrow file: write it as parquet",
    b"<": "a web page or XML: was the download refused?",
    b"{": "JSON: was the download refused?",
    b"\0\0\0\0\0\0\0\0": "filled with zeros: an unfinished download or copy",
}


def unlike_parquet(path: Path) -> str | None:
    """The format of a file that does not begin or end like parquet; None if unknown."""
    try:
        begin, end = ends_of(path, 32)
    except OSError:
        return None
    if not begin:
        return "it is empty (0 bytes), as after an unfinished download"
    if begin.startswith(b"PAR1") and not end.endswith(b"PAR1"):
        return "it is truncated: it begins like parquet, but does not end like it"
    found = (what for signature, what in _SIGNATURES.items() if begin.startswith(signature))
    return next((f"it is {what}" for what in found), None)


def time_hint(file: pq.ParquetFile, name: str) -> str:
    """The probable unit of a time column's numbers or texts, and pandas code that converts it."""
    frame = f"df[{name!r}]"
    convert = f"pd.to_datetime({frame}, utc=True)"
    looks = ""
    kind = file.schema_arrow.field(name).type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        unit = _epoch_unit(_least_value(file, name))
        if unit is None:
            return ": write timestamp[us, UTC]"
        short, unit_name = unit
        looks = f" and looks like {unit_name} since 1970"
        convert = f"pd.to_datetime({frame}, unit={short!r}, utc=True)"
    elif is_text(kind) or is_bytes(kind) or pa.types.is_dictionary(kind):
        value = _least_value(file, name)
        looks = f" and holds strings such as {str(value)[:40]!r}" if value is not None else ""
        if str(value).isdigit() and (unit := _epoch_unit(int(str(value)))) is not None:
            convert = f"pd.to_datetime({frame}.astype('int64'), unit={unit[0]!r}, utc=True)"
    else:
        return ": write timestamp[us, UTC]"
    return f"{looks}: write timestamp[us, UTC], in pandas: {frame} = {convert}"


def _epoch_unit(value: object) -> tuple[str, str] | None:
    """The unit in which a number is a moment within the possible years of files."""
    if not isinstance(value, (int, float, Decimal)) or not math.isfinite(value):
        return None
    for power, unit in enumerate(_EPOCH_UNITS):
        seconds = float(value) / 1000**power
        if _EARLIEST_S <= seconds < _LATEST_S:
            return unit
    return None


def _least_value(file: pq.ParquetFile, name: str) -> object:
    """The minimum of a column from the footer, so that no page of the file is decoded."""
    if not file.metadata.num_row_groups:
        return None
    group = file.metadata.row_group(0)
    chunks = (group.column(index) for index in range(group.num_columns))
    chunk = next((chunk for chunk in chunks if chunk.path_in_schema == name), None)
    statistics = None if chunk is None else chunk.statistics
    if statistics is None or not statistics.has_min_max:
        return None
    with suppress(pa.ArrowException):
        return statistics.min
    return None


def other_times(schema: pa.Schema) -> str:
    """A hint at columns that may contain the times under another name, such as an index."""
    found = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if not found:
        return ""
    if found == ["__index_level_0__"]:
        return ", but pandas' unnamed index holds times: name it before writing the file"
    return f", but {', '.join(map(repr, found[:3]))} with times: rename the right one"
