"""Rows of the manifest as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warehouse.check import FileFacts
from warehouse.keys import FileKey


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One row of ``files``: a vendor file that is, or was, in the lake."""

    file_id: int
    key: FileKey
    series_id: int
    object: str
    size_bytes: int
    facts: FileFacts
    origin: str
    origin_stamp: str
    fetched_at: str
    superseded_at: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of ``quarantine``: a file that did not pass its check."""

    key: FileKey
    object: str
    size_bytes: int
    reason: str
    origin: str
    refused_at: str


@dataclass(frozen=True, slots=True)
class Restatement:
    """One row of ``restatements``: a file whose bytes changed at the vendor."""

    key: FileKey
    series_id: int
    kind: str
    old_object: str
    new_object: str
    difference: dict[str, Any]
    seen_at: str
