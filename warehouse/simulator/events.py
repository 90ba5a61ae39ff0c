"""Raw datasets: single events inside the minutes of the base process.

A busy market has thousands of trades a minute; at most 12 of them are written, to keep files small.
Prices stay within the minute's range and end at its close, and the last quote of a minute is the
book of ``l1_price``, both under the clock ``true``. Sums of amounts do not equal those of bars.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.simulator.fold import Columns
from warehouse.simulator.instrument import SETTLEMENT_MINUTES
from warehouse.simulator.noise import Floats, exponentials, normals
from warehouse.simulator.process import Minutes

MINUTE_US = 60_000_000
EVENTS_PER_MINUTE = {
    "raw_trades": 12,
    "raw_quotes": 12,
    "raw_mark_price": 6,
    "raw_index_price": 6,
    "raw_funding_rate": 2,
    "raw_open_interest": 1,
}

Values: TypeAlias = Callable[[Minutes, Floats, np.random.Generator], Columns]

_INSTANT = pa.timestamp("us", tz="UTC")
_DERIVED = frozenset(EVENTS_PER_MINUTE) - {"raw_trades", "raw_quotes"}


def event_table(dataset: str, minutes: Minutes) -> pa.Table:
    """The events of one raw dataset in one month, in the order of ``exchange_timestamp``."""
    number = EVENTS_PER_MINUTE[dataset]
    rng = minutes.instrument.draw(minutes.month, dataset)
    when = np.sort(rng.random((minutes.count, number)), axis=1)
    values = _VALUES[dataset](minutes, when, rng)
    latency_us = (80_000 + 60_000 * exponentials(rng, when.shape)).astype(np.int64)
    start = np.datetime64(minutes.month, "us")
    minute = MINUTE_US * np.arange(minutes.count)[:, None]
    moment = start + (minute + (when * MINUTE_US).astype(np.int64)).astype("timedelta64[us]")

    kept = np.ones(when.shape, dtype=np.bool_)
    if minutes.active is not None:
        kept &= minutes.active[:, None]
    if dataset == "raw_trades":
        kept &= np.arange(number) < _trade_count(minutes)[:, None]
    columns = {
        "exchange_timestamp": pa.array(moment[kept]).cast(_INSTANT),
        "local_timestamp": pa.array((moment + latency_us.astype("timedelta64[us]"))[kept]).cast(
            _INSTANT
        ),
    }
    if dataset in _DERIVED and minutes.instrument.exchange.startswith("hyperliquid"):
        kind = pa.array(["modelled"] * len(columns["exchange_timestamp"]))
        columns = {
            "exchange_timestamp": columns["exchange_timestamp"],
            "exchange_timestamp_kind": kind,
            "local_timestamp": columns["local_timestamp"],
        }
    for name, found in values.items():
        column = pa.array(found[kept])
        if name == "id":
            column = column.cast(pa.string())
        columns[name] = column.cast(_INSTANT) if pa.types.is_timestamp(column.type) else column
    return pa.table(columns)


def _trade_count(minutes: Minutes) -> Floats:
    return minutes.trades.buy.count + minutes.trades.sell.count


def _trades(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    shape, prices, trades = minutes.instrument.profile, minutes.prices, minutes.trades
    high, low = minutes.extremes
    count = _trade_count(minutes)
    wander = normals(rng, when.shape) * np.sqrt(when * (1 - when))
    price = _between(prices.path, when) + wander * (prices.sigma * prices.close)[:, None]
    price = np.clip(price.round(shape.decimals), low[:, None], high[:, None])
    ends = np.clip(count - 1, 0, when.shape[1] - 1).astype(np.int64)[:, None]
    np.put_along_axis(price, ends, prices.close[:, None], axis=1)
    volume = trades.buy.volume + trades.sell.volume
    typical = (volume / np.maximum(count, 1))[:, None]
    amount = (typical * exponentials(rng, when.shape)).round(shape.lot_decimals)
    share = trades.buy.count / np.maximum(count, 1)
    first_id = int(np.datetime64(minutes.month, "m").astype(np.int64)) * when.shape[1]
    return {
        "id": first_id + np.arange(when.size).reshape(when.shape),
        "side": np.where(rng.random(when.shape) < share[:, None], "buy", "sell"),
        "price": price,
        "amount": np.maximum(amount, 10.0**-shape.lot_decimals),
    }


def _quotes(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    shape, book = minutes.instrument.profile, minutes.book
    tick, lot = 10.0**-shape.decimals, 10.0**-shape.lot_decimals
    bid = np.maximum(_between(minutes.prices.path, when).round(shape.decimals), tick)
    amounts = shape.top_amount * np.exp(0.8 * normals(rng, (2, *when.shape)))
    amounts = np.maximum(amounts.round(shape.lot_decimals), lot)
    spread = np.full(when.shape, tick)
    if minutes.episodes is not None:
        start, end = minutes.episodes.jump_start[:, None], minutes.episodes.jump_end[:, None]
        is_wide = (start <= when) & (when < end)
        spread += tick * np.where(is_wide, minutes.episodes.jump_ticks[:, None], 0.0)
    columns: Columns = {
        "bid_price": bid,
        "bid_amount": amounts[0],
        "ask_price": (bid + spread).round(shape.decimals),
        "ask_amount": amounts[1],
    }
    last = (book.bid, book.bid_amount, book.ask, book.ask_amount)
    for column, value in zip(columns.values(), last, strict=True):
        column[:, -1] = value
    return columns


def _mark_price(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    return {"mark_price": _between(minutes.derivatives.mark, when)}


def _index_price(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    return {"index_price": _between(minutes.derivatives.index, when)}


def _funding_rate(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    settled = np.arange(minutes.count) // SETTLEMENT_MINUTES + 1
    instant = np.datetime64(minutes.month, "us") + settled * np.timedelta64(SETTLEMENT_MINUTES, "m")
    return {
        "funding_rate": _repeat(minutes.derivatives.funding_rate, when),
        "next_funding_time": _repeat(instant, when),
    }


def _open_interest(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    return {"open_interest": _between(minutes.derivatives.open_interest, when)}


def _between(path: Floats, when: Floats) -> Floats:
    """A path's values at fractions of each minute."""
    return path[:-1, None] + np.diff(path)[:, None] * when


def _repeat(values: NDArray[np.generic], when: Floats) -> NDArray[np.generic]:
    return np.broadcast_to(values[:, None], when.shape)


_VALUES: dict[str, Values] = {
    "raw_trades": _trades,
    "raw_quotes": _quotes,
    "raw_mark_price": _mark_price,
    "raw_index_price": _index_price,
    "raw_funding_rate": _funding_rate,
    "raw_open_interest": _open_interest,
}
