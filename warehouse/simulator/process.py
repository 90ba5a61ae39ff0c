"""The base process: one symbol's market in one month, minute by minute, under one clock.

Everything the simulator writes is an aggregate of these minutes. A part (prices, trades, book, ...)
is computed on first use, from its own random stream, so that flow needs no order book. All arrays
have one value per minute of the month, or one more where the value before the first minute belongs
to it (``path``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from warehouse.simulator.episodes import Episodes, draw_episodes
from warehouse.simulator.instrument import SETTLEMENT_MINUTES, Instrument, next_month
from warehouse.simulator.noise import (
    DAY_MINUTES,
    WEEK_MINUTES,
    Floats,
    bridge,
    busy_week,
    exponentials,
    normals,
)

LARGE_SHARE = 0.27


@dataclass(frozen=True, slots=True)
class Prices:
    """Trade prices, and how rough the minute was.

    ``shock`` is the minute's return in units of ``sigma``; ``heat`` the logarithm of volatility
    against what is usual at that time of the week.
    """

    path: Floats
    shock: Floats
    sigma: Floats
    heat: Floats

    @property
    def open(self) -> Floats:
        return self.path[:-1]

    @property
    def close(self) -> Floats:
        return self.path[1:]

    @property
    def middle(self) -> Floats:
        """Price halfway between open and close."""
        return (self.path[1:] + self.path[:-1]) / 2


@dataclass(frozen=True, slots=True)
class Side:
    """Taker trades of one side: whole counts and notionals by size (small, medium, large: rows)."""

    counts: Floats
    notionals: Floats
    price: Floats

    @property
    def count(self) -> Floats:
        total: Floats = self.counts.sum(axis=0)
        return total

    @property
    def notional(self) -> Floats:
        total: Floats = self.notionals.sum(axis=0)
        return total

    @property
    def volume(self) -> Floats:
        return self.notional / self.price


@dataclass(frozen=True, slots=True)
class Trades:
    buy: Side
    sell: Side


@dataclass(frozen=True, slots=True)
class Book:
    """Best bid and ask at the end of the minute; ``mean_*`` are averages over the minute."""

    bid: Floats
    ask: Floats
    bid_amount: Floats
    ask_amount: Floats
    mean_mid: Floats
    mean_spread: Floats
    mean_bid_amount: Floats
    mean_ask_amount: Floats
    updates: Floats


@dataclass(frozen=True, slots=True)
class Depth:
    """Quantity in the top 5, 10, 20 and 25 levels (rows), at the end and on average."""

    bid: Floats
    ask: Floats
    mean_bid: Floats
    mean_ask: Floats


@dataclass(frozen=True, slots=True)
class Derivatives:
    """Paths, one value more than minutes, but for ``funding_rate`` and ``funding_updates``."""

    last: Floats
    mark: Floats
    index: Floats
    basis_bps: Floats
    open_interest: Floats
    funding_rate: Floats
    funding_updates: Floats


class Minutes:
    """One month of an instrument, under the clock ``true``; given ``true``, under ``exchange``.

    Under ``exchange`` events are stamped some 0.1 to 0.4 seconds later: that share of a minute's
    trades falls into the next one, and the last values are a little older.
    """

    def __init__(self, instrument: Instrument, month: date, *, true: Minutes | None = None) -> None:
        self.instrument = instrument
        self.month = month
        self.next_month = next_month(month)
        self.count = (self.next_month - month).days * DAY_MINUTES
        self._true = true

    def late(self) -> Minutes:
        """The same month under the clock ``exchange``; what is already computed is shared."""
        return Minutes(self.instrument, self.month, true=self)

    @cached_property
    def active(self) -> NDArray[np.bool_] | None:
        """Minutes with activity; ``None`` if all have."""
        return self.instrument.active(self.month)

    @cached_property
    def episodes(self) -> Episodes | None:
        """Episodes of the month; ``None`` if the market has none."""
        if not self.instrument.has_episodes:
            return None
        return draw_episodes(self._draw("episodes", of_symbol=True), self.count)

    @cached_property
    def prices(self) -> Prices:
        if self._true is not None:
            true = self._true.prices
            late = self._delay_path(true.path).round(self.instrument.profile.decimals)
            return Prices(late, true.shock, true.sigma, true.heat)
        shock, slow, fast = self._normals("prices", 3, of_symbol=True)
        heat = 0.35 * self._factor("slow", slow, 1500)[1:]
        heat += 0.35 * self._factor("fast", fast, 20)[1:]
        if self.episodes is not None:
            heat += self.episodes.heat
        sigma = np.exp(heat + 0.5 * self.busy - 0.25)
        sigma *= self.instrument.profile.volatility
        log_path = np.empty(self.count + 1)
        log_path[0] = self.instrument.log_price(self.month)
        log_path[1:] = log_path[0] + np.cumsum(sigma * shock)
        variance = np.cumsum(sigma**2)
        miss = self.instrument.log_price(self.next_month) - log_path[-1]
        log_path[1:] += variance * (miss / variance[-1])
        path = np.exp(log_path).round(self.instrument.profile.decimals)
        return Prices(path, shock, sigma, heat)

    @cached_property
    def extremes(self) -> tuple[Floats, Floats]:
        """Highest and lowest price: the extremes of a Brownian bridge from open to close."""
        prices = self.prices
        decimals = self.instrument.profile.decimals
        reach = exponentials(self._draw("extremes", of_symbol=True), (2, self.count))
        reach *= 2 * (prices.sigma * prices.close) ** 2
        reach += (prices.close - prices.open) ** 2
        np.sqrt(reach, out=reach)
        total = prices.open + prices.close
        high = ((total + reach[0]) / 2).round(decimals)
        low = ((total - reach[1]) / 2).round(decimals)
        tick = 10.0**-decimals
        return (
            np.maximum(high, np.maximum(prices.open, prices.close)),
            np.minimum(np.maximum(low, tick), np.minimum(prices.open, prices.close)),
        )

    @cached_property
    def activity(self) -> Floats:
        """Factor of how much more is traded than the week and the volatility explain."""
        noise = self._normals("activity", 1)[0]
        return self._factor("activity", noise, 180)[1:]

    @cached_property
    def pressure(self) -> Floats:
        """Factor of how much takers lean to buying."""
        noise = self._normals("pressure", 1)[0]
        return self._factor("pressure", noise, 15)[1:]

    @cached_property
    def trades(self) -> Trades:
        prices = self.prices
        middle = (prices.open + prices.close) / 2
        tilt = 0.1 * np.abs(prices.close - prices.open)
        if self._true is not None:
            true = self._true.trades
            return Trades(
                self._delay_side(true.buy, middle + tilt),
                self._delay_side(true.sell, middle - tilt),
            )
        rng = self._draw("trades")
        waves, uniforms = normals(rng, (5, self.count)), rng.random((4, self.count))
        total = np.exp(0.9 * prices.heat + 0.35 * self.activity + 1.2 * self.busy - 0.2)
        total *= self.instrument.profile.trades_per_minute
        total *= (0.5 + 0.6 * np.abs(prices.shock)) * np.maximum(0.2, 1 + 0.15 * waves[0])
        if self.active is not None:
            total *= self.active
        np.rint(total, out=total)
        lean = np.clip(0.5 + 0.08 * prices.shock + 0.04 * self.pressure, 0.05, 0.95)
        bought = np.rint(total * lean)
        return Trades(
            self._side(bought, middle + tilt, waves[1:3], uniforms[:2]),
            self._side(total - bought, middle - tilt, waves[3:], uniforms[2:]),
        )

    def _side(self, count: Floats, price: Floats, waves: Floats, uniforms: Floats) -> Side:
        """Split a side's trades by size; a uniform rounds a share of few trades without bias."""
        share = np.clip(LARGE_SHARE + 0.02 * self.activity + 0.02 * waves[0], 0.05, 0.6)
        counts = np.empty((3, self.count))
        np.floor(count * share + uniforms[0], out=counts[2])
        np.floor((count - counts[2]) * 0.06 + uniforms[1], out=counts[0])
        counts[1] = count - counts[2] - counts[0]
        notionals = counts.copy()
        notionals[0] *= 30 + 50 * uniforms[0]
        notionals[1] *= 250 + 250 * uniforms[1]
        excess = self.instrument.profile.large_notional - 1_000
        notionals[2] *= 1_000 + excess * (0.7 + 0.3 * waves[1] ** 2)
        return Side(counts, notionals, price)

    @cached_property
    def book(self) -> Book:
        prices, shape = self.prices, self.instrument.profile
        rng = self._draw("book")
        waves, coin = normals(rng, (6, self.count)), rng.random(self.count)
        tick = 10.0**-shape.decimals
        width = np.exp(0.8 * waves[0] + 1.2 * prices.heat - 1.9)
        mean_spread = tick * (1 + 0.6 * width)
        spread = tick * (1 + np.floor(width))
        if self.episodes is not None:
            spread += tick * self.episodes.last_ticks
            mean_spread += tick * self.episodes.jump_ticks * self.episodes.jump_share
        below = np.where(coin < 0.5, 0.0, spread)  # the last trade hit the bid, or the ask
        bid = np.maximum(prices.close - below, tick).round(shape.decimals)
        ask = (bid + spread).round(shape.decimals)
        deep = np.exp(0.45 * self._factor("depth", waves[1], 90)[1:] - 0.4 * prices.heat)
        deep *= shape.top_amount
        coming = 0.12 * np.append(prices.shock[1:], 0.0)  # the book anticipates the next minute
        amounts = deep * np.exp(0.8 * waves[2:4] + np.stack((coming, -coming)))
        means = deep * np.exp(0.25 * waves[4:6] + 0.3 * np.stack((coming, -coming)))
        if self._true is not None:
            amounts, means = self._delay(amounts), self._delay(means)
        amounts = np.maximum(amounts.round(shape.lot_decimals), 10.0**-shape.lot_decimals)
        pace = np.clip(8.5 * np.exp(0.25 * prices.heat + 0.3 * self.busy), 0.5, 10.0)
        return Book(
            bid=bid,
            ask=ask,
            bid_amount=amounts[0],
            ask_amount=amounts[1],
            mean_mid=(prices.open + prices.close) / 2,
            mean_spread=mean_spread,
            mean_bid_amount=means[0],
            mean_ask_amount=means[1],
            updates=np.rint(60 * pace * (0.9 + 0.2 * coin)),
        )

    @cached_property
    def depth(self) -> Depth:
        book = self.book
        waves = self._normals("depth", 8)
        scale = self.instrument.profile.top_amount * np.exp(0.45 * waves - 0.1)
        if self.episodes is not None:
            scale *= self.episodes.beneath
        shares = np.array([[0.7], [0.6], [0.9], [0.45]])

        def levels(top: Floats, near: Floats, far: Floats) -> Floats:
            steps = shares * np.stack((near, far, near, far))
            steps[0] += top
            return np.cumsum(steps, axis=0)

        return Depth(
            bid=levels(book.bid_amount, scale[0], scale[1]),
            ask=levels(book.ask_amount, scale[2], scale[3]),
            mean_bid=levels(book.mean_bid_amount, scale[4], scale[5]),
            mean_ask=levels(book.mean_ask_amount, scale[6], scale[7]),
        )

    @cached_property
    def derivatives(self) -> Derivatives:
        if self._true is not None:
            true = self._true.derivatives
            mark, index = self._delay_path(true.mark), self._delay_path(true.index)
            return Derivatives(
                last=self.prices.path,
                mark=mark,
                index=index,
                basis_bps=(mark / index - 1) * 1e4,
                open_interest=self._delay_path(true.open_interest),
                funding_rate=self._delay(true.funding_rate),
                funding_updates=true.funding_updates,
            )
        shape, last = self.instrument.profile, self.prices.path
        waves = self._normals("derivatives", 5)
        slow = self._factor("basis", waves[0], 240)
        mark = last * (1 + 3e-5 * self._factor("premium", waves[2], 3))
        basis_bps = shape.basis_bps + 2.5 * slow + self._factor("gap", waves[1], 5)
        interest = np.exp(0.12 * self._factor("interest", waves[3], 20_160))
        premium = (basis_bps[1:] - shape.basis_bps).reshape(-1, SETTLEMENT_MINUTES)
        seen = np.cumsum(premium, axis=1) / np.arange(1, SETTLEMENT_MINUTES + 1)
        return Derivatives(
            last=last,
            mark=mark,
            index=mark / (1 + basis_bps / 1e4),
            basis_bps=basis_bps,
            open_interest=shape.open_interest * interest,
            funding_rate=((0.35 + 0.2 * seen.ravel()) / 1e4).round(8),
            funding_updates=np.clip(np.rint(72 + 4 * waves[4]), 1, None),
        )

    @cached_property
    def busy(self) -> Floats:
        """Logarithm of the usual activity at this time of the week."""
        shift = (self.month.weekday() * DAY_MINUTES + np.arange(self.count)) % WEEK_MINUTES
        return busy_week()[shift]

    @cached_property
    def _lateness(self) -> tuple[Floats, Floats]:
        """Share of a minute that is stamped into the next one, and a uniform to round counts with.

        No trade leaves the month, or a minute that is followed by no activity.
        """
        share, dither = self._draw("lateness").random((2, self.count))
        share = 0.002 + 0.004 * share
        share[-1] = 0
        if self.active is not None:
            share[:-1] *= self.active[1:]
        dither[share == 0] = 0
        return share, dither

    def _delay_path(self, path: Floats) -> Floats:
        delayed = path.copy()
        delayed[1:] -= self._lateness[0] * (path[1:] - path[:-1])
        return delayed

    def _delay(self, values: Floats) -> Floats:
        delayed = values.copy()
        delayed[..., 1:] -= self._lateness[0][1:] * (values[..., 1:] - values[..., :-1])
        return delayed

    def _delay_side(self, side: Side, price: Floats) -> Side:
        share, dither = self._lateness
        moved = np.floor(side.counts * share + dither)
        worth = side.notionals * (moved / np.maximum(side.counts, 1))
        counts, notionals = side.counts - moved, side.notionals - worth
        counts[:, 1:] += moved[:, :-1]
        notionals[:, 1:] += worth[:, :-1]
        return Side(counts, notionals, price)

    def _draw(self, purpose: str, *, of_symbol: bool = False) -> np.random.Generator:
        return self.instrument.draw(self.month, purpose, of_symbol=of_symbol)

    def _normals(self, purpose: str, rows: int, *, of_symbol: bool = False) -> Floats:
        return normals(self._draw(purpose, of_symbol=of_symbol), (rows, self.count))

    def _factor(self, name: str, noise: Floats, half_life: float) -> Floats:
        start = self.instrument.factor(name, self.month)
        end = self.instrument.factor(name, self.next_month)
        return bridge(noise, half_life=half_life, start=start, end=end)
