"""Episodes of a market: higher volatility, jumping spreads, books that are empty below the top.

They are simulated on request (``Market.episodes``), and drawn for each symbol and month from its
seed. All are within their month, so that months still join seamlessly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warehouse.simulator.noise import DAY_MINUTES, Floats

ROUGH_HEAT = 0.9  # volatility is 2.5 times as high
HOLLOW = 0.12  # remaining share of the quantity below the best prices
JUMP_SHARE = 0.4  # share of the minutes of a nervous spell


@dataclass(frozen=True, slots=True)
class Episodes:
    """One value per minute of a month.

    Attributes
    ----------
    heat
        Added to the logarithm of volatility.
    beneath
        Factor of the quantity below the best prices.
    jump_start, jump_end
        Part of the minute in which the spread is wide, as fractions; both 0 if it is not wide. A
        jump that ends after 1 is still there at the end of the minute.
    jump_ticks
        Number of ticks by which it is wider.
    """

    heat: Floats
    beneath: Floats
    jump_start: Floats
    jump_end: Floats
    jump_ticks: Floats

    @property
    def jump_share(self) -> Floats:
        """Share of the minute in which the spread is wide."""
        return np.minimum(self.jump_end, 1.0) - self.jump_start

    @property
    def last_ticks(self) -> Floats:
        """Number of ticks by which the spread is wider at the end of the minute."""
        return np.where(self.jump_end > 1, self.jump_ticks, 0.0)


def draw_episodes(rng: np.random.Generator, minutes: int) -> Episodes:
    """The episodes of a month with this number of minutes.

    One rough regime of 4 to 6 days that begins within an hour and ends within a day; three hollow
    books of 2 to 5 hours; four nervous spells of 2 to 4 hours, in which the spread jumps for 3 to
    25 seconds in two minutes of five.
    """
    days = minutes // DAY_MINUTES
    begin = int(rng.integers((days - 10) * DAY_MINUTES // 2, (days - 8) * DAY_MINUTES))
    length = int(rng.integers(4 * DAY_MINUTES, 6 * DAY_MINUTES))
    edges = [begin, begin + 60, begin + length, begin + length + DAY_MINUTES]
    heat = ROUGH_HEAT * np.interp(np.arange(minutes), edges, [0.0, 1.0, 1.0, 0.0])
    hollow, nervous = (_spells(rng, minutes, count, most) for count, most in ((3, 300), (4, 240)))
    drawn = rng.random((4, minutes))
    jumps = nervous & (drawn[0] < JUMP_SHARE)
    start = np.where(jumps, drawn[1], 0.0)
    return Episodes(
        heat=heat,
        beneath=np.where(hollow, HOLLOW, 1.0),
        jump_start=start,
        jump_end=np.where(jumps, start + (3 + 22 * drawn[2]) / 60, 0.0),
        jump_ticks=np.where(jumps, np.floor(20 + 60 * drawn[3]), 0.0),
    )


def _spells(rng: np.random.Generator, minutes: int, count: int, longest: int) -> NDArray[np.bool_]:
    """Minutes of spells of 2 hours up to the longest, one in each equal part of the month."""
    found = np.zeros(minutes, dtype=np.bool_)
    part = minutes // count
    for number in range(count):
        start = number * part + int(rng.integers(part - longest))
        found[start : start + int(rng.integers(120, longest + 1))] = True
    return found
