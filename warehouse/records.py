"""Rows of the manifest as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warehouse.keys import FileKey


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What was seen in a file that passed.

    Attributes
    ----------
    rows
        Number of rows.
    first_us, last_us
        Smallest and largest time, microseconds since the epoch; ``None`` in an empty file.
    runs
        Unbroken stretches of bars as half-open ``(start_us, end_us)``, in order; none for raw data.
    columns
        Name and DuckDB type of every column, in file order.
    missing, unexpected
        Drift: columns that the contract expects and the file lacks, and the other way round.
    nulls
        Number of NULLs over all columns (NaN is a value, not NULL).
    is_sorted
        Whether rows stand in the order of time.
    simulated
        Whether the file says of itself that its data is simulated.
    """

    rows: int
    first_us: int | None
    last_us: int | None
    runs: tuple[tuple[int, int], ...]
    columns: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    nulls: int
    is_sorted: bool
    simulated: bool


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
