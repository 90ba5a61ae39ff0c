"""Differences between two versions of one vendor file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.lake.validate.values import aligned, converted, nulls_of, plain_numbers


@dataclass(frozen=True, slots=True)
class FileDifference:
    """Differences between the new and the old version of a file, with rows matched by time.

    Attributes
    ----------
    rows_added, rows_removed, rows_changed
        Counts; a row is changed if any common column differs (NaN equals NaN, not NULL).
    columns_added, columns_removed
        Columns that only one of the two has.
    largest_relative_change
        Per changed numeric column max |new - old| / |old|; ``inf`` is written as None.
    only_grew
        Whether rows were added at the end, and nothing else changed.
    """

    rows_added: int
    rows_removed: int
    rows_changed: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    largest_relative_change: dict[str, float | None]
    only_grew: bool

    def plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FileDifference.__slots__}


def compare_files(old_path: Path, new_path: Path, *, is_raw: bool = False) -> FileDifference:
    """Compare two parquet files of the same key.

    Bars are matched by ``time``, which is unique; raw rows, which have no key, by position.
    """
    old, new = _read(old_path), _read(new_path)
    if is_raw:
        shared = min(len(old), len(new))
        old_rows = new_rows = np.arange(shared)
        tail_only = len(new) >= len(old)
    else:
        old_times, new_times = (
            plain_numbers(converted(table["time"].combine_chunks(), pa.timestamp("us")), np.int64)
            for table in (old, new)
        )
        common, old_rows, new_rows = np.intersect1d(
            old_times, new_times, assume_unique=True, return_indices=True
        )
        shared = len(common)
        last = old_times.max() if len(old_times) else np.iinfo(np.int64).min
        tail_only = bool((np.delete(new_times, new_rows) > last).all())
    added, removed = len(new) - shared, len(old) - shared
    changed = np.zeros(shared, dtype=bool)
    largest: dict[str, float | None] = {}
    for name in old.column_names:
        if name in new.column_names and name != "time":
            before = old[name].combine_chunks(), old_rows
            after = new[name].combine_chunks(), new_rows
            differs = _differs(before, after)
            changed |= differs
            if differs.any() and _is_number(before) and _is_number(after):
                numbers, others = _floats(before)[differs], _floats(after)[differs]
                largest[name] = _largest_relative_change(numbers, others)
    columns_added = tuple(n for n in new.column_names if n not in old.column_names)
    columns_removed = tuple(n for n in old.column_names if n not in new.column_names)
    same_rows = removed == 0 and not changed.any()
    return FileDifference(
        rows_added=added,
        rows_removed=removed,
        rows_changed=int(changed.sum()),
        columns_added=columns_added,
        columns_removed=columns_removed,
        largest_relative_change=largest,
        only_grew=same_rows and tail_only and not columns_added and not columns_removed,
    )


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:  # read_table would load pandas
        return file.read()


# The values of a column, and the rows that both versions have.
_Column = tuple[pa.Array, np.ndarray]


def _is_number(column: _Column) -> bool:
    kind = column[0].type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _floats(column: _Column) -> np.ndarray:
    values, rows = column
    return aligned(values)[rows]


def _differs(before: _Column, after: _Column) -> np.ndarray:
    """The rows whose values differ; NaN equals only NaN, and NULL only NULL."""
    (old, old_rows), (new, new_rows) = before, after
    if pa.types.is_integer(old.type) and old.type == new.type:
        dtype = old.type.to_pandas_dtype()
        equal = plain_numbers(old, dtype)[old_rows] == plain_numbers(new, dtype)[new_rows]
    elif _is_number(before) and _is_number(after):
        numbers, others = _floats(before), _floats(after)
        equal = (numbers == others) | (np.isnan(numbers) & np.isnan(others))
    else:
        left, right = old.to_pylist(), new.to_pylist()
        pairs = zip(old_rows, new_rows, strict=True)
        equal = np.fromiter((left[i] == right[j] for i, j in pairs), bool, len(old_rows))
    is_null, was_null = nulls_of(new)[new_rows], nulls_of(old)[old_rows]
    same: np.ndarray = (is_null & was_null) | (equal & ~is_null & ~was_null)
    return ~same


def _largest_relative_change(before: np.ndarray, after: np.ndarray) -> float | None:
    with np.errstate(all="ignore"):
        relative = np.abs(after - before) / np.abs(before)
    largest = float(np.max(np.where(np.isnan(relative), np.inf, relative)))
    return largest if np.isfinite(largest) else None
