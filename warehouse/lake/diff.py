"""Differences between two versions of one vendor file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.lake.validate.values import nulls_of, plain_numbers


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

    Bars are matched by ``time``; raw rows, which have no key, by position.
    """
    old, new = _read(old_path), _read(new_path)
    if is_raw:
        shared = min(len(old), len(new))
        old_rows = new_rows = np.arange(shared)
        tail_only = len(new) >= len(old)
    else:
        old_times, new_times = (
            plain_numbers(table["time"].cast(pa.timestamp("us")).combine_chunks(), np.int64)
            for table in (old, new)
        )
        common, old_rows, new_rows = np.intersect1d(old_times, new_times, return_indices=True)
        shared = len(common)
        last = old_times.max() if len(old_times) else np.iinfo(np.int64).min
        tail_only = bool((np.setdiff1d(new_times, old_times) > last).all())
    added, removed = len(new) - shared, len(old) - shared
    changed = np.zeros(shared, dtype=bool)
    largest: dict[str, float | None] = {}
    for name in old.column_names:
        if name in new.column_names and name != "time":
            before, after = _Column(old[name], old_rows), _Column(new[name], new_rows)
            differs = _differs(before, after)
            changed |= differs
            if differs.any() and before.is_number and after.is_number:
                largest[name] = _largest_relative_change(
                    before.floats()[differs], after.floats()[differs]
                )
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


class _Column:
    """A column in the rows that both versions have."""

    def __init__(self, column: pa.ChunkedArray, rows: np.ndarray) -> None:
        self._values: pa.Array = column.combine_chunks()
        self._rows = rows
        self.kind: pa.DataType = column.type
        self.is_integer = bool(pa.types.is_integer(self.kind))
        self.is_number = self.is_integer or bool(pa.types.is_floating(self.kind))
        self.nulls: np.ndarray = nulls_of(self._values)[rows]

    def integers(self) -> np.ndarray:
        """Whole numbers, arbitrary where NULL."""
        numbers: np.ndarray = plain_numbers(self._values, self.kind.to_pandas_dtype())[self._rows]
        return numbers

    def floats(self) -> np.ndarray:
        """Numbers as float64 with NULL as NaN."""
        numbers = plain_numbers(self._values.cast(pa.float64(), safe=False), np.float64)
        return np.where(self.nulls, np.nan, numbers[self._rows])

    def objects(self) -> list[Any]:
        values = self._values.to_pylist()
        return [values[row] for row in self._rows]


def _differs(before: _Column, after: _Column) -> np.ndarray:
    """The rows whose values differ; NaN equals only NaN, and NULL only NULL."""
    same: np.ndarray = before.nulls & after.nulls
    if before.is_integer and before.kind == after.kind:
        equal = before.integers() == after.integers()
    elif before.is_number and after.is_number:
        numbers, others = before.floats(), after.floats()
        equal = (numbers == others) | (np.isnan(numbers) & np.isnan(others))
    else:
        pairs = zip(before.objects(), after.objects(), strict=True)
        equal = np.fromiter((a == b for a, b in pairs), bool, len(same))
    same |= equal & ~before.nulls & ~after.nulls
    return ~same


def _largest_relative_change(before: np.ndarray, after: np.ndarray) -> float | None:
    with np.errstate(all="ignore"):
        relative = np.abs(after - before) / np.abs(before)
    largest = float(np.max(np.where(np.isnan(relative), np.inf, relative)))
    return largest if np.isfinite(largest) else None
