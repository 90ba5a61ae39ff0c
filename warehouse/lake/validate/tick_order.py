"""Checks whether the ticks of a file are in the order that bars need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

# The clocks of bars, by the columns of ``time_columns`` of a raw dataset.
_CLOCKS = ("exchange", "true")


class TickOrder:
    """Clocks by which the ticks of a file are in order: by time, and trades of one moment by id.

    Trades are in order only if their ids have the same order as numbers and as text. Ticks without
    ids keep their order in the file.
    """

    def __init__(self) -> None:
        self._spans: dict[str, tuple[int, int]] = {}
        self._unordered: set[str] = set()
        self._last_ids: pa.Array | None = None
        self._rows = 0

    @property
    def spans(self) -> tuple[tuple[str, int, int], ...]:
        """Each such clock with its first and last time in microseconds."""
        return tuple(
            (clock, *span) for clock, span in self._spans.items() if clock not in self._unordered
        )

    def add(
        self, clocks: Sequence[np.ndarray], nulls: Sequence[np.ndarray], ids: pa.Array | None
    ) -> None:
        """Check the next rows: times on each clock, which of them are NULL, and ids."""
        rows = len(clocks[0])
        if not rows:
            return
        if ids is not None and ids.null_count == len(ids) and self._last_ids is None:
            ids = None
        if ids is not None and (ids.null_count or (self._rows and self._last_ids is None)):
            self._unordered.update(_CLOCKS)  # some rows have an id and some have none
        self._rows += rows
        for clock, times, is_null in zip(_CLOCKS, clocks, nulls, strict=True):
            if clock not in self._unordered:
                self._look_at(clock, times, is_null, ids)
        self._last_ids = None if ids is None else ids[-1:]

    def _look_at(
        self, clock: str, times: np.ndarray, is_null: np.ndarray, ids: pa.Array | None
    ) -> None:
        first, last = self._spans.get(clock, (int(times[0]), None))
        self._spans[clock] = first, int(times[-1])
        before = times[:1] if last is None else np.array([last])
        steps = np.diff(times, prepend=before)
        if last is None:
            steps[0] = 1  # the first row has no predecessor
        if is_null.any() or (steps < 0).any():
            self._unordered.add(clock)
        elif ids is not None:
            ids = ids if self._last_ids is None else pa.concat_arrays([self._last_ids, ids])
            later = np.flatnonzero(steps == 0) + (len(ids) - len(times))
            if not _are_in_order(ids.take(later - 1), ids.take(later)):
                self._unordered.add(clock)


def _are_in_order(ids: pa.StringArray, next_ids: pa.StringArray) -> bool:
    """Whether ids never decrease: numbers of equal length have the same order as text."""
    import pyarrow.compute as pc  # local, because only ticks need it

    is_next = (
        pc.equal(pc.binary_length(ids), pc.binary_length(next_ids)),
        pc.ascii_is_decimal(ids),
        pc.ascii_is_decimal(next_ids),
        pc.less_equal(ids, next_ids),
    )
    return all(pc.all(each, min_count=0).as_py() for each in is_next)
