"""Differences between two versions of one vendor file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class FileDifference:
    """Rows of the new version against the old one, matched by time.

    Attributes
    ----------
    rows_added, rows_removed, rows_changed
        Counts; a row is changed when any column that both have differs (NaN equals NaN, not NULL).
    columns_added, columns_removed
        Names that only one of the two has.
    largest_relative_change
        Per changed numeric column max |new - old| / |old|; ``inf`` is written as None.
    only_grew
        Nothing but rows at the end was added.
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

    Bars are matched by ``time``; raw rows, which have no key of their own, by position.
    """
    old, new = pq.read_table(old_path), pq.read_table(new_path)
    if is_raw:
        shared = min(len(old), len(new))
        old_rows = new_rows = np.arange(shared)
        tail_only = len(new) >= len(old)
    else:
        old_times, new_times = (
            table["time"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
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
            before, after = old[name].take(old_rows), new[name].take(new_rows)
            differs = _differs(before, after)
            changed |= differs
            if differs.any() and _is_number(before.type) and _is_number(after.type):
                largest[name] = _largest_relative_change(
                    _floats(before)[differs], _floats(after)[differs]
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


def _differs(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Rows whose values differ; NaN equals NaN only, and NULL equals NULL only."""
    nulls, other_nulls = (_flags(column.is_null()) for column in (before, after))
    same: np.ndarray = nulls & other_nulls
    if pa.types.is_integer(before.type) and before.type == after.type:
        same |= _flags(pc.equal(before, after))
    elif _is_number(before.type) and _is_number(after.type):
        numbers, others = _floats(before), _floats(after)
        equal = (numbers == others) | (np.isnan(numbers) & np.isnan(others))
        same |= equal & ~nulls & ~other_nulls
    else:
        pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
        same |= np.fromiter((a == b for a, b in pairs), bool, len(before))
    return ~same


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers as float64 with NULL as NaN."""
    numbers: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _flags(column: pa.ChunkedArray) -> np.ndarray:
    """Booleans, NULL as false."""
    flags: np.ndarray = pc.fill_null(column, False).to_numpy()
    return flags


def _largest_relative_change(before: np.ndarray, after: np.ndarray) -> float | None:
    with np.errstate(all="ignore"):
        relative = np.abs(after - before) / np.abs(before)
    largest = float(np.max(np.where(np.isnan(relative), np.inf, relative)))
    return largest if np.isfinite(largest) else None
