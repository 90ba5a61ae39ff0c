"""Hints for a refused file: its probable format, and the column that may hold its times."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from warehouse.files import ends_of

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


def other_times(schema: pa.Schema) -> str:
    """A hint at columns that may contain the times under another name, such as an index."""
    found = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if not found:
        return ""
    if found == ["__index_level_0__"]:
        return ", but pandas' unnamed index holds times: name it before writing the file"
    return f", but {', '.join(map(repr, found[:3]))} with times: rename the right one"
