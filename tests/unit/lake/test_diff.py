"""Differences between two versions of one file."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import bar_table, grid, times
from warehouse.lake.diff import FileDifference, compare_files

STARTS = grid(date(2025, 9, 1), 24)


def compare(folder: Path, old: pa.Table, new: pa.Table, *, is_raw: bool = False) -> FileDifference:
    for name, table in (("old", old), ("new", new)):
        pq.write_table(table, folder / name)
    return compare_files(folder / "old", folder / "new", is_raw=is_raw)


def prices(values: list[float | None], starts: np.ndarray = STARTS) -> pa.Table:
    return pa.table({"time": times(starts[: len(values)]), "close": pa.array(values, pa.float64())})


def counts(difference: FileDifference) -> tuple[int, int, int]:
    return difference.rows_added, difference.rows_removed, difference.rows_changed


def test_compare_when_rows_were_added_at_the_end_then_it_grew(tmp_path: Path) -> None:
    difference = compare(tmp_path, bar_table("flow", STARTS[:20]), bar_table("flow", STARTS))
    assert counts(difference) == (4, 0, 0)
    assert difference.only_grew


def test_compare_when_old_had_no_rows_then_it_grew(tmp_path: Path) -> None:
    difference = compare(tmp_path, bar_table("flow", []), bar_table("flow", STARTS))
    assert counts(difference) == (24, 0, 0)
    assert difference.only_grew


@pytest.mark.parametrize("kept", [np.delete(STARTS, 5), STARTS[1:]])
def test_compare_when_a_bar_was_filled_in_then_it_is_restated(
    tmp_path: Path, kept: np.ndarray
) -> None:
    difference = compare(tmp_path, bar_table("flow", kept), bar_table("flow", STARTS))
    assert counts(difference) == (1, 0, 0)
    assert not difference.only_grew


def test_compare_when_rows_went_away_then_it_is_restated(tmp_path: Path) -> None:
    difference = compare(tmp_path, bar_table("flow", STARTS), bar_table("flow", STARTS[:22]))
    assert counts(difference) == (0, 2, 0)
    assert not difference.only_grew


def test_compare_when_values_changed_then_shows_the_largest_change(tmp_path: Path) -> None:
    old = prices([100.0, 200.0, math.nan, math.inf])
    new = prices([101.0, 150.0, math.nan, math.inf])
    difference = compare(tmp_path, old, new)
    assert counts(difference) == (0, 0, 2)
    assert difference.largest_relative_change == {"close": 0.25}
    assert not difference.only_grew


@pytest.mark.parametrize(
    ("before", "after"),
    [(0.0, 1.0), (1.0, math.nan), (math.nan, 1.0), (1.0, None), (1.0, math.inf)],
)
def test_compare_when_the_change_has_no_size_then_is_none(
    tmp_path: Path, before: float, after: float | None
) -> None:
    difference = compare(tmp_path, prices([before]), prices([after]))
    assert counts(difference) == (0, 0, 1)
    assert difference.largest_relative_change == {"close": None}


def test_compare_when_null_became_nan_then_the_row_changed(tmp_path: Path) -> None:
    assert counts(compare(tmp_path, prices([None]), prices([math.nan]))) == (0, 0, 1)


def test_compare_when_large_integers_differ_by_one_then_the_row_changed(tmp_path: Path) -> None:
    old, new = (
        pa.table({"time": times(STARTS[:1]), "count": pa.array([n], pa.int64())})
        for n in (2**60, 2**60 + 1)
    )
    assert counts(compare(tmp_path, old, new)) == (0, 0, 1)


def test_compare_when_only_order_or_width_differ_then_nothing_changed(tmp_path: Path) -> None:
    old = bar_table("flow", STARTS)
    narrow = old.set_column(
        old.column_names.index("volume_delta"), "volume_delta", pa.array([1.0] * 24, pa.float32())
    )
    assert counts(compare(tmp_path, old, narrow.take(list(range(23, -1, -1))))) == (0, 0, 0)


def test_compare_when_columns_came_and_went_then_names_them(tmp_path: Path) -> None:
    old = prices([1.0])
    new = pa.table({"time": times(STARTS[:1]), "vwap": pa.array([1.0])})
    difference = compare(tmp_path, old, new)
    assert (difference.columns_added, difference.columns_removed) == (("vwap",), ("close",))
    assert not difference.only_grew


def test_compare_when_raw_then_matches_rows_by_position(tmp_path: Path) -> None:
    moments = np.repeat(STARTS[:2], 3)
    old, new = bar_table("raw_trades", moments[:4]), bar_table("raw_trades", moments)
    difference = compare(tmp_path, old, new, is_raw=True)
    assert counts(difference) == (2, 0, 0)
    assert difference.only_grew
    other = new.set_column(new.column_names.index("id"), "id", pa.array(list("abcdef")))
    assert counts(compare(tmp_path, new, other, is_raw=True)) == (0, 0, 6)


def test_plain_when_kept_in_the_manifest_then_is_json(tmp_path: Path) -> None:
    import json

    difference = compare(tmp_path, prices([0.0, 1.0]), prices([1.0, 2.0]))
    kept = json.loads(json.dumps(difference.plain(), allow_nan=False))
    assert kept["rows_changed"] == 2
    assert kept["largest_relative_change"] == {"close": None}
