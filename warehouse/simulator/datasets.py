"""The simulated metric datasets by name, and their tables for a month."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from warehouse.simulator import quotes, trades
from warehouse.simulator.fold import Columns, Fold
from warehouse.simulator.process import Minutes

Dataset: TypeAlias = Callable[[Minutes, Fold], Columns]

DATASETS: dict[str, Dataset] = {
    "ohlcv": trades.ohlcv,
    "flow": trades.flow,
    "impact": trades.impact,
    "l1_price": quotes.l1_price,
    "l2_liquidity": quotes.l2_liquidity,
    "basis": quotes.basis,
    "funding": quotes.funding,
    "open_interest": quotes.open_interest,
}
EXCHANGE_CLOCK_ONLY = frozenset({"l2_imbalance", "l2_liquidity"})

_WIDE = (
    {"open", "high", "low", "close", "vwap", "twap", "price_mean", "price_median"}
    | {"ask_price", "bid_price", "midprice", "weighted_midprice"}
    | {"ask_price_twap", "bid_price_twap", "ask_price_vwap", "bid_price_vwap"}
    | {"last_price", "index_price", "mark_price", "mark_price_spread", "mark_price_spread_mean"}
    | {"basis", "basis_mean", "funding_rate", "open_interest"}
)


def table(dataset: str, minutes: Minutes, fold: Fold) -> pa.Table:
    """The rows of one dataset in one month, with the physical types of the vendor's files."""
    arrays: Columns = {"time": fold.time}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, values in DATASETS[dataset](minutes, fold).items():
            is_narrow = values.dtype == np.float64 and name not in _WIDE
            arrays[name] = values.astype(np.float32) if is_narrow else values
    return pa.table(arrays)


def narrowed(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column with the physical type of the vendor's files."""
    is_narrow = values.type == pa.float64() and name not in _WIDE
    return values.cast(pa.float32()) if is_narrow else values
