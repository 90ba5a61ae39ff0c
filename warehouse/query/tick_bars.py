"""Bars from ticks: of any length of time, or of a number of trades, base or quote units.

Bars of time are the catalog's macros ``ticks_<dataset>``. For bars of events the time of the trades
is replaced by one second per bar, so that the same macros compute them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.errors import NotFoundError, UsageError, did_you_mean
from warehouse.project import RATED, tick_datasets
from warehouse.query.results.result import Result
from warehouse.times import DAY_US, SECOND_US

T = TypeVar("T")

_EVENTS = re.compile(r"\s*([0-9.]+(?:e\+?[0-9]+)?)\s*(trades|base|quote)\s*", re.IGNORECASE)
_LENGTH = re.compile(r"[1-9][0-9]{0,5}[smhd]")
# Datasets of trades whose columns do not depend on the time between them.
_WITHOUT_TIME = (
    *("ohlcv", "flow", "trade_size", "range", "returns", "impact", "updownticks"),
    "run_structure",
)
_KEYS = ["exchange", "symbol"]

# Runs a query with its parameters and frames.
Ask = Callable[[str, Mapping[str, Any]], Result]


@dataclass(frozen=True, slots=True)
class WantedBars:
    """Arguments of :meth:`Warehouse.bars`."""

    dataset: str
    every: str
    clock: str = "true"
    symbol: str | None = None
    exchange: str | None = None
    start: date | None = None
    end: date | None = None
    notional_usd_rate: float | None = None

    @property
    def series(self) -> dict[str, str]:
        """What selects series, without parts that are None."""
        return _given(clock=self.clock, symbol=self.symbol, exchange=self.exchange)

    @property
    def span(self) -> dict[str, date]:
        """What selects the bars, as the macros name it."""
        return _given(start_time=self.start, end_time=self.end)

    @property
    def rate(self) -> dict[str, float]:
        """The dollars per unit of the quote currency, if it is given."""
        return _given(notional_usd_rate=self.notional_usd_rate)


def ask_bars(ask: Ask, wanted: WantedBars) -> Result:
    """The bars of :meth:`Warehouse.bars`."""
    dataset, every = wanted.dataset, wanted.every
    datasets = tick_datasets()
    if dataset not in datasets:
        raise UsageError(
            f"{dataset}: its bars cannot be computed from ticks{did_you_mean(dataset, datasets)}",
            next_step=f"choose one of {', '.join(datasets)}",
        )
    if wanted.rate and dataset not in RATED:
        raise UsageError(
            f"notional_usd_rate: {dataset} has no size classes",
            next_step=f"leave it out; it is for {' and '.join(RATED)}",
        )
    events = _EVENTS.fullmatch(str(every))
    if events is None and not _LENGTH.fullmatch(str(every)):
        raise UsageError(
            f"every={every!r}: not a length of time or a number of trades, base or quote units",
            next_step="write it as '45m', '500 trades', '50 base' or '1e6 quote'",
        )
    if events is None:
        named = {**wanted.series, **wanted.span, **wanted.rate}
        arguments = ", ".join(["$every", *(f"{name} := ${name}" for name in named)])
        call = f"ticks_{dataset}({arguments})"
        return ask(f"from {call} order by series_id, time", {"every": every, **named})
    if dataset not in _WITHOUT_TIME:
        raise UsageError(
            f"{dataset} in bars of {every}: its columns need the time between ticks, or quotes",
            next_step=f"choose one of {', '.join(_WITHOUT_TIME)}, or every='15m'",
        )
    size = float(events[1])
    if not size > 0:
        raise UsageError(f"every={every!r}: a bar must contain more than 0 {events[2]}")
    return _event_bars(ask, wanted, _trades(ask, wanted), size, events[2].lower())


def _given(**values: T | None) -> dict[str, T]:
    return {name: value for name, value in values.items() if value is not None}


def _trades(ask: Ask, wanted: WantedBars) -> pa.Table:
    """Trades of one series with a side, in order, from the UTC midnight before the start."""
    if wanted.clock not in ("true", "exchange"):
        raise UsageError(f"clock={wanted.clock!r}: it must be 'true' or 'exchange'")
    at = "known_at" if wanted.clock == "true" else "time"
    values = {**wanted.series, **wanted.span}
    del values["clock"]
    conditions = {
        "symbol": "symbol = $symbol",
        "exchange": "exchange = $exchange",
        "start_time": f"{at} >= date_trunc('day', $start_time::timestamp)",
        "end_time": f"{at} < $end_time::timestamp",
    }
    found = ask(
        f"select series_id, exchange, symbol, epoch_us({at}) as us, epoch_us(known_at) as seen,"
        " side, price, amount from vendor.raw_trades where side in ('buy', 'sell')"
        + "".join(f" and {conditions[name]}" for name in values)
        + f" order by series_id, {at}, try_cast(id as bigint) nulls last, id",
        values,
    ).arrow()
    if not found.num_rows:
        raise _no_trades(ask, wanted)
    series_there = found.group_by(_KEYS).aggregate([]).to_pylist()
    if len(series_there) > 1:
        named = ", ".join(sorted(" ".join(keys.values()) for keys in series_there))
        raise UsageError(
            f"bars of events need a single series, but several have trades: {named}",
            next_step="give symbol= and exchange=",
        )
    if found["us"].null_count:
        raise UsageError(
            "clock='true': some trades have no time of receipt", next_step="give clock='exchange'"
        )
    return found


def _no_trades(ask: Ask, wanted: WantedBars) -> NotFoundError:
    """The reason why a selection has no trades: an unknown symbol or exchange, else its span."""
    reason = "the selection has no trades with a taker side"
    there = ask(
        "select distinct exchange, symbol from meta.coverage where dataset = 'raw_trades'", {}
    ).arrow()
    for name in ("symbol", "exchange"):
        chosen, known = wanted.series.get(name), sorted(there[name].to_pylist())
        if chosen is not None and chosen not in known:
            reason = f"raw_trades has no {name} {chosen!r}{did_you_mean(chosen, known)}"
            break
    return NotFoundError(
        reason,
        next_step="list its series and days with:"
        " warehouse sql \"from meta.coverage where dataset = 'raw_trades'\"",
    )


def _event_bars(ask: Ask, wanted: WantedBars, trades: pa.Table, size: float, unit: str) -> Result:
    us = trades["us"].to_numpy()
    amounts = trades["amount"].to_numpy()
    weights = {
        "trades": np.ones(len(us)),
        "base": amounts,
        "quote": amounts * trades["price"].to_numpy(),
    }[unit]
    days = us // DAY_US
    edges = [
        (first, last, int(days[first]) * DAY_US + number * SECOND_US, closed)
        for start, stop in _groups(days)
        for number, (first, last, closed) in enumerate(_closes(weights[start:stop], size, start))
    ]
    moved, bars = _moved(trades, edges, wanted.every)
    return ask(
        "select bars.* replace ($every as interval, $clock as clock, event_edges.time as time,"
        " event_edges.known_at as known_at, event_edges.is_partial as is_partial)"
        f" from ticks_{wanted.dataset}('1s', clock := 'exchange', trades := 'event_trades'"
        f"{''.join(f', {name} := ${name}' for name in wanted.rate)}) as bars"
        " inner join event_edges on bars.time = event_edges.label"
        " where exists (from event_trades)"
        " and event_edges.time >= coalesce($start_time::timestamp, '-infinity')"
        " order by event_edges.label",
        {
            "every": " ".join(wanted.every.split()),
            "clock": wanted.clock,
            "start_time": wanted.start,
            **wanted.rate,
            "event_trades": moved,
            "event_edges": bars,
        },
    )


def _moved(
    trades: pa.Table, edges: list[tuple[int, int, int, bool]], every: str
) -> tuple[pa.Table, pa.Table]:
    """The trades with one second per bar as their time, and the bar of each second.

    An edge has the first and last trade of a bar, its second, and whether its size was reached.
    """
    us, seen = (trades[name].to_numpy() for name in ("us", "seen"))
    first, last, labels = (np.array([edge[n] for edge in edges]) for n in range(3))
    closed = np.array([edge[3] for edge in edges])
    if any(label // DAY_US != us[start] // DAY_US for start, _, label, _ in edges):
        raise UsageError(
            f"every={every!r}: more than 86,400 bars in a day", next_step="choose a larger size"
        )
    # A day's last bar is closed by midnight, not by a trade.
    midnight = np.where(closed, 0, (us[last] // DAY_US + 1) * DAY_US)
    known = np.maximum.reduce([np.maximum.reduceat(seen, first), us[last], midnight])
    moment = pa.array(np.repeat(labels, last - first + 1), pa.timestamp("us"))
    kept = {name: trades[name] for name in ("series_id", *_KEYS, "side", "price", "amount")}
    places = pa.array([f"{n:012d}" for n in range(len(us))])
    moved = {**kept, "exchange_timestamp": moment, "local_timestamp": moment, "id": places}
    times = {"label": labels, "time": us[first], "known_at": known}
    bars = {name: pa.array(values, pa.timestamp("us")) for name, values in times.items()}
    return pa.table(moved), pa.table({**bars, "is_partial": pa.array(~closed)})


def _groups(days: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The indexes at which each UTC day begins and ends among the trades."""
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    yield from zip(starts.tolist(), [*starts[1:].tolist(), len(days)], strict=True)


def _closes(
    weights: NDArray[np.float64], size: float, offset: int
) -> Iterator[tuple[int, int, bool]]:
    """First and last trade of each bar of a day, and whether its size was reached.

    A bar closes with the trade that reaches the size; the excess does not count for the next bar.
    """
    sums = np.cumsum(weights)
    first, before = 0, 0.0
    while first < len(sums):
        last = int(np.searchsorted(sums, before + size * (1 - 1e-9)))
        closed = last < len(sums)
        last = min(last, len(sums) - 1)
        yield offset + first, offset + last, closed
        first, before = last + 1, float(sums[last])
