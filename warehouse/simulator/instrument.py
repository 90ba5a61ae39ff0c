"""One symbol at one venue: the levels around which its market moves, and its inactive minutes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from warehouse.simulator.noise import DAY_MINUTES, Floats, generator, normals
from warehouse.vendor import Symbol

ANCHOR = date(2025, 9, 1)  # the month at whose start a symbol has its profile's price
MONTHLY_VOLATILITY = 0.09
SETTLEMENT_MINUTES = 480  # funding: 00, 08, 16 UTC
HOLE_UNITS_MINUTES = (5, 60, 1)
FIRST_MONTH, LAST_MONTH = date(2000, 1, 1), date(2100, 1, 1)

_FACTORS = ("slow", "fast", "activity", "pressure", "depth", "basis", "gap", "premium", "interest")


@dataclass(frozen=True, slots=True)
class Profile:
    """Parameters of a symbol: the levels around which its market moves."""

    price: float
    decimals: int  # of the tick: 1 means 0.1
    lot_decimals: int
    volatility: float  # standard deviation of a one-minute log return
    trades_per_minute: float
    large_notional: float  # mean of the trades of at least 1,000
    top_amount: float  # base quantity at the best bid or ask
    open_interest: float  # base
    basis_bps: float


_KNOWN = {
    "BTC": Profile(108_200.0, 1, 3, 4.5e-4, 2_400.0, 17_500.0, 2.6, 89_000.0, -4.3),
    "ETH": Profile(4_400.0, 2, 3, 6.5e-4, 2_200.0, 13_000.0, 38.0, 2_100_000.0, -4.6),
}


def profile(symbol: str) -> Profile:
    """The levels of a symbol: known for BTC and ETH, else drawn by the name of its base asset."""
    base = Symbol.parse(symbol).base
    if base in _KNOWN:
        return _KNOWN[base]
    draws = generator("profile", base).random(7).tolist()
    level, volatility, count, size, depth, interest, basis = draws
    price = float(f"{10 ** (4.5 * level - 1.5):.4g}")
    magnitude = math.floor(math.log10(price))
    return Profile(
        price=price,
        decimals=max(0, 4 - magnitude),
        lot_decimals=max(0, magnitude),
        volatility=7e-4 + 7e-4 * volatility,
        trades_per_minute=60 * 10**count,
        large_notional=2_000 + 5_000 * size,
        top_amount=10 ** (3.7 + depth) / price,
        open_interest=10 ** (7 + 1.5 * interest) / price,
        basis_bps=-8 + 10 * basis,
    )


@dataclass(frozen=True)
class Instrument:
    """A symbol at a venue, with the values at the edges of months that keep months seamless.

    Price, volatility and gaps belong to the symbol, whatever the venue; trades and books are the
    venue's own.
    """

    seed: int
    exchange: str
    symbol: str
    gaps: int = 0
    has_episodes: bool = False

    @cached_property
    def profile(self) -> Profile:
        return profile(self.symbol)

    def draw(self, month: date, purpose: str, *, of_symbol: bool = False) -> np.random.Generator:
        venue = "" if of_symbol else self.exchange
        return generator(self.seed, venue, self.symbol, month, purpose)

    def log_price(self, month: date) -> float:
        """Logarithm of the price at a month's start."""
        steps = self._edges[-1]
        index, anchor = _month_index(month), _month_index(ANCHOR)
        way = steps[anchor:index].sum() - steps[index:anchor].sum()
        return math.log(self.profile.price) + MONTHLY_VOLATILITY * float(way)

    def factor(self, name: str, month: date) -> float:
        """Value of a mean-reverting factor at a month's start."""
        return float(self._edges[_FACTORS.index(name), _month_index(month)])

    def active(self, month: date) -> NDArray[np.bool_] | None:
        """Minutes of a month with activity; ``None`` if all have.

        Gaps are drawn for the half-year from March or September; they last 1 to 60 bars of 5m, 1h
        and 1m, in turn, and begin on such a bar.
        """
        if not self.gaps:
            return None
        is_summer = 3 <= month.month < 9
        first = date(month.year - (month.month < 3), 3 if is_summer else 9, 1)
        end = date(first.year + (not is_summer), 9 if is_summer else 3, 1)
        total = (end - first).days * DAY_MINUTES
        rng = generator(self.seed, self.symbol, first, "holes")
        active = np.ones(total, dtype=np.bool_)
        for number in range(self.gaps):
            unit = HOLE_UNITS_MINUTES[number % len(HOLE_UNITS_MINUTES)]
            start = int(rng.integers(total // unit)) * unit
            active[start : start + int(rng.integers(1, 61)) * unit] = False
        offset = (month - first).days * DAY_MINUTES
        part = active[offset : offset + (next_month(month) - month).days * DAY_MINUTES]
        return None if part.all() else part

    @cached_property
    def _edges(self) -> Floats:
        months = _month_index(LAST_MONTH) + 1
        rng = generator(self.seed, self.symbol, "edges")
        return normals(rng, (len(_FACTORS) + 1, months))


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _month_index(month: date) -> int:
    return 12 * (month.year - FIRST_MONTH.year) + month.month - 1
