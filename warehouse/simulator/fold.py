"""From minutes to bars: sums, extremes, first and last values of the minutes in each bar.

Bars are folded stepwise (1m, 5m, 15m, 30m, 1h, 4h, 1d): a long bar is exactly the sum of the short
ones. Minutes without activity are ignored; a bar of only such minutes has no row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warehouse.simulator.noise import DAY_MINUTES, Floats

WIDTHS = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440}

Flags: TypeAlias = NDArray[np.bool_]
Columns: TypeAlias = dict[str, NDArray[Any]]
_Combine: TypeAlias = Callable[[Floats, Floats], Floats]


class Fold:
    """Folds the minutes of a month into the bars of one interval.

    ``month`` is its first day. ``active`` are the minutes with activity, None for all; the bars in
    ``missing`` are left out.
    """

    def __init__(
        self,
        month: date,
        minutes: int,
        interval: str,
        *,
        active: Flags | None = None,
        missing: Flags | None = None,
    ) -> None:
        self.width = WIDTHS[interval]
        self._minutes = minutes
        self._active = active
        bars = minutes // self.width
        rows: Flags | None = None
        if active is not None:
            rows = np.logical_or.reduce(active.reshape(bars, self.width), axis=1)
        if missing is not None:
            rows = ~missing if rows is None else rows & ~missing
        self._rows = rows
        self._bars: NDArray[np.int64] | slice = slice(None)
        if rows is not None:
            self._bars = np.flatnonzero(rows)
        step = np.timedelta64(self.width, "m")
        start = np.datetime64(month, "us")
        self.time: NDArray[np.datetime64] = (start + step * np.arange(bars))[self._bars]

    @property
    def seconds(self) -> int:
        """Length of a bar."""
        return 60 * self.width

    def sum(self, values: Floats) -> Floats:
        """Sum over the active minutes; also of several rows of minutes at once."""
        return self._total(values)[..., self._bars]

    def mean(self, values: Floats) -> Floats:
        """Average over the active minutes."""
        return self.sum(values) / self.sum(np.ones(self._minutes))

    def weighted_mean(self, values: Floats, weights: Floats) -> Floats:
        """Average weighted by ``weights``; NaN where they are all 0."""
        return self.sum(values * weights) / self.sum(weights)

    def max(self, values: Floats) -> Floats:
        return self._combine(self._masked(values, -np.inf), np.maximum)[..., self._bars]

    def min(self, values: Floats) -> Floats:
        return self._combine(self._masked(values, np.inf), np.minimum)[..., self._bars]

    def first(self, values: Floats) -> Floats:
        """Value of the first active minute."""
        return self._pick(values, last=False)

    def last(self, values: Floats) -> Floats:
        """Value of the last active minute."""
        return self._pick(values, last=True)

    def moments(self, means: Floats, variances: Floats, weights: Floats) -> list[Floats]:
        """Mean and second to fourth central moment of a mixture: one normal per minute."""
        weight = self._total(weights)
        mean = self._total(means * weights) / weight
        off = means - np.repeat(mean, self.width)
        square = off**2
        powers = (
            square + variances,
            off * (square + 3 * variances),
            square**2 + 6 * square * variances + 3 * variances**2,
        )
        found = [mean, *(self._total(power * weights) / weight for power in powers)]
        return [moment[self._bars] for moment in found]

    def expanding_z(self, values: Floats) -> Floats:
        """Z-score of each row's value among the rows from its UTC day's (at 1d: month's) first one.

        The row itself is included and the deviation is that of a sample: the first value is NaN,
        the second plus or minus the root of a half.
        """
        unit = "M" if self.width == DAY_MINUTES else "D"
        group = self.time.astype(f"datetime64[{unit}]").astype(np.int64)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        lengths = np.diff(starts, append=len(group))
        place = np.arange(len(group)) - np.repeat(starts, lengths)
        line = np.repeat(np.arange(len(starts)), lengths)
        table = np.zeros((len(starts), int(lengths.max(initial=0))))
        table[line, place] = values - np.repeat(values[starts], lengths)
        number = np.arange(1.0, table.shape[1] + 1)
        mean = np.cumsum(table, axis=1) / number
        variance = (np.cumsum(table**2, axis=1) - number * mean**2) / (number - 1)
        score: Floats = (table - mean) / np.sqrt(np.maximum(variance, 0))
        return score[line, place]

    def _total(self, values: Floats) -> Floats:
        if self._active is not None:
            values = np.where(self._active, values, 0.0)
        return self._combine(values, np.add)

    def _masked(self, values: Floats, neutral: float) -> Floats:
        return values if self._active is None else np.where(self._active, values, neutral)

    def _combine(self, values: Floats, combine: _Combine) -> Floats:
        done = 1
        for width in WIDTHS.values():
            if done < width <= self.width:
                step = width // done
                total = values[..., ::step]
                for offset in range(1, step):
                    total = combine(total, values[..., offset::step])
                values, done = total, width
        return values

    def _pick(self, values: Floats, *, last: bool) -> Floats:
        bars = np.arange(self._minutes // self.width)[self._bars]
        if self._active is None:
            return values[..., bars * self.width + (self.width - 1 if last else 0)]
        flags: NDArray[Any] = self._active.reshape(-1, self.width)[bars]
        if last:
            offset = self.width - 1 - np.argmax(flags[:, ::-1], axis=1)
        else:
            offset = np.argmax(flags, axis=1)
        return values[..., bars * self.width + offset]
