"""Raw datasets: single events inside the minutes of the base process.

A busy market has thousands of trades a minute; at most 12 of them are written, to keep files small.
Prices stay within the minute's range and end at its close, and the last quote of a minute is the
book of ``l1_price``, both under the clock ``true``. Sums of amounts do not equal those of bars.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from warehouse.simulator.fold import Columns
from warehouse.simulator.noise import Floats, exponentials, normals
from warehouse.simulator.process import Minutes
from warehouse.vendor import load_contracts

MINUTE_US = 60_000_000

_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Events:
    """How a raw dataset is made: a moment's values, this often in each minute."""

    per_minute: int
    values: Callable[[Minutes, Floats, np.random.Generator], Columns]


def event_table(dataset: str, minutes: Minutes) -> pa.Table:
    """The events of one raw dataset in one month, in the order of ``exchange_timestamp``."""
    events = EVENTS[dataset]
    rng = minutes.instrument.draw(minutes.month, dataset)
    when = np.sort(rng.random((minutes.count, events.per_minute)), axis=1)
    values = events.values(minutes, when, rng)
    latency_us = (80_000 + 60_000 * exponentials(rng, when.shape)).astype(np.int64)
    start = np.datetime64(minutes.month, "us")
    minute = MINUTE_US * np.arange(minutes.count)[:, None]
    moment = start + (minute + (when * MINUTE_US).astype(np.int64)).astype("timedelta64[us]")

    kept = np.ones(when.shape, dtype=np.bool_)
    if minutes.active is not None:
        kept &= minutes.active[:, None]
    if dataset == "raw_trades":
        kept &= np.arange(events.per_minute) < _trade_count(minutes)[:, None]
    times = {
        "exchange_timestamp": moment,
        "local_timestamp": moment + latency_us.astype("timedelta64[us]"),
    }
    columns = {}
    for name, found in (times | values).items():
        column = pa.array(found[kept])
        if name == "id":
            column = column.cast(pa.string())
        columns[name] = column.cast(_INSTANT) if pa.types.is_timestamp(column.type) else column
    contract = load_contracts()[dataset]
    return pa.table(columns).select([c.name for c in contract.columns if c.name in columns])


def _trade_count(minutes: Minutes) -> Floats:
    return minutes.trades.buy.count + minutes.trades.sell.count


def _trades(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    shape, prices, trades = minutes.instrument.profile, minutes.prices, minutes.trades
    high, low = minutes.extremes
    count = _trade_count(minutes)
    wander = normals(rng, when.shape) * np.sqrt(when * (1 - when))
    price = along(prices.path, when) + wander * (prices.sigma * prices.close)[:, None]
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
    bid = np.maximum(along(minutes.prices.path, when).round(shape.decimals), tick)
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


def along(path: Floats, when: Floats) -> Floats:
    """A path's values at fractions of each minute."""
    return path[:-1, None] + np.diff(path)[:, None] * when


EVENTS = {"raw_trades": Events(12, _trades), "raw_quotes": Events(12, _quotes)}
