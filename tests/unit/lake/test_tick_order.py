"""The clocks by which the ticks of a file are in order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.lake.validate.tick_order import TickOrder

ID = st.one_of(st.none(), st.from_regex(r"[0-9]{1,3}", fullmatch=True), st.sampled_from("ab"))
BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), ID), max_size=4), max_size=3
)


def spans_of(batches: list[list[tuple[int, int | None, str | None]]]) -> dict[str, tuple[int, int]]:
    order = TickOrder()
    for rows in batches:
        clocks = [[row[at] for row in rows] for at in (0, 1)]
        order.add(
            [np.array([t or 0 for t in times], np.int64) for times in clocks],
            [np.array([t is None for t in times], bool) for times in clocks],
            pa.array([row[2] for row in rows], pa.string()),
        )
    return {clock: (first, last) for clock, first, last in order.spans}


@given(BATCHES)
def test_order_when_claimed_then_holds_for_ids_as_numbers_and_as_text(
    batches: list[list[tuple[int, int | None, str | None]]],
) -> None:
    rows = [row for batch in batches for row in batch]
    for clock, at in (("exchange", 0), ("true", 1)):
        if clock in spans_of(batches):
            as_text = [(row[at], row[2] is None, row[2] or "") for row in rows]
            as_numbers = [
                (time, is_null, not text.isdigit(), int(text) if text.isdigit() else 0)
                for time, is_null, text in as_text
            ]
            assert as_text == sorted(as_text) and as_numbers == sorted(as_numbers)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([(1, 5, "8"), (1, 6, "9"), (2, 6, "9")], {"exchange": (1, 2), "true": (5, 6)}),
        ([(1, 5, None), (1, 4, None), (2, 6, None)], {"exchange": (1, 2)}),
        ([(1, 5, "9"), (2, 5, "10")], {"exchange": (1, 2)}),  # 10 comes before 9 as text
        ([(1, 5, "9"), (1, 6, "8")], {"true": (5, 6)}),
        ([(1, 5, "a"), (1, 6, "b")], {"true": (5, 6)}),  # no numbers
        ([(1, 5, "8"), (2, 6, None)], {}),
        ([(1, None, "8"), (2, None, "9")], {"exchange": (1, 2)}),
        ([], {}),
    ],
)
def test_order_when_rows_come_in_any_batches_then_is_that_of_the_file(
    rows: list[tuple[int, int | None, str | None]], wanted: dict[str, tuple[int, int]]
) -> None:
    assert spans_of([rows]) == spans_of([[row] for row in rows]) == wanted
