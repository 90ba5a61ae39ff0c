"""Datasets made from trades: candles, flow, impact.

A function returns the columns after ``time`` in the vendor's order. Formulas, units and traps are
the vendor's (models/vendor/*.yml): a ``*_order_volume`` is notional, a ``*_order_percentage``
notional over base quantity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from warehouse.simulator.fold import Columns, Fold
from warehouse.simulator.noise import Floats
from warehouse.simulator.process import Minutes, Side

SIZES = ("small", "medium", "large")


def ohlcv(minutes: Minutes, fold: Fold) -> Columns:
    prices, (high, low), trades = minutes.prices, minutes.extremes, minutes.trades
    return {
        "open": fold.first(prices.open),
        "high": fold.max(high),
        "low": fold.min(low),
        "close": fold.last(prices.close),
        "volume": fold.sum(trades.buy.volume) + fold.sum(trades.sell.volume),
        "volume_notional": fold.sum(trades.buy.notional) + fold.sum(trades.sell.notional),
    }


def flow(minutes: Minutes, fold: Fold) -> Columns:
    trades = minutes.trades
    sides = {"buy": Bars(trades.buy, fold), "sell": Bars(trades.sell, fold)}
    buy, sell = sides.values()
    share = buy.volume / (buy.volume + sell.volume)
    delta_notional = buy.notional - sell.notional
    volatility = np.sqrt(fold.sum(realized_variance(minutes)))
    columns = {
        "taker_buy_volume": buy.volume,
        "taker_sell_volume": sell.volume,
        "taker_buy_count": whole(buy.count),
        "taker_sell_count": whole(sell.count),
        "volume_delta": buy.volume - sell.volume,
        "volume_delta_notional": delta_notional,
        "flow_entropy": _entropy(share),
        "flow_toxicity_score": fold.expanding_z(delta_notional) * fold.expanding_z(volatility),
        "taker_buy_sell_ratio": buy.volume / sell.volume,
        "taker_buy_sell_count_ratio": buy.count / sell.count,
        "taker_buy_sell_percentage": share,
        "taker_buy_sell_count_percentage": buy.count / (buy.count + sell.count),
    }
    for name, side in sides.items():
        for row, size in enumerate(SIZES):
            columns[f"taker_{name}_{size}_order_volume"] = side.notionals[row]
            columns[f"taker_{name}_{size}_order_count"] = whole(side.counts[row])
    for name, side in sides.items():
        for row, size in enumerate(SIZES):
            columns[f"taker_{name}_{size}_order_percentage"] = side.notionals[row] / side.volume
    for name, side in sides.items():
        for row, size in enumerate(SIZES):
            columns[f"taker_{name}_{size}_order_count_percentage"] = side.counts[row] / side.count
    return columns


def impact(minutes: Minutes, fold: Fold) -> Columns:
    prices, trades = minutes.prices, minutes.trades
    change = np.abs(fold.last(prices.close) / fold.first(prices.open) - 1)
    signed = trades.buy.volume - trades.sell.volume
    total = fold.sum(trades.buy.notional + trades.sell.notional)
    net = fold.sum(trades.buy.notional) - fold.sum(trades.sell.notional)
    returns = prices.close / prices.open - 1
    per_trade = prices.sigma / np.sqrt(np.maximum(trades.buy.count + trades.sell.count, 1))
    roughness = fold.mean(per_trade)
    return {
        "amihud_like": change / total,
        "kyle_like_lambda": fold.sum(returns * signed) / fold.sum(signed**2),
        "impact_per_notional": change / np.abs(net),
        "large_trade_reversal": fold.mean(-0.1 * per_trade * (1 + prices.shock)),
        "directional_impact_asymmetry": roughness * fold.mean(minutes.pressure + prices.shock) / 4,
    }


class Bars:
    """One side's trades, folded."""

    def __init__(self, side: Side, fold: Fold) -> None:
        self.counts = fold.sum(side.counts)
        self.notionals = fold.sum(side.notionals)
        self.volume = fold.sum(side.volume)
        self.count = self.counts.sum(0)
        self.notional = self.notionals.sum(0)


def whole(values: Floats) -> NDArray[np.int64]:
    return values.astype(np.int64)


def _entropy(share: Floats) -> Floats:
    """Entropy of a two-way split, natural logarithm; 0 if all is on one side."""
    rest = 1 - share
    return -(
        share * np.log(np.where(share > 0, share, 1)) + rest * np.log(np.where(rest > 0, rest, 1))
    )


def realized_variance(minutes: Minutes) -> Floats:
    prices = minutes.prices
    return prices.sigma**2 * (0.7 + 0.3 * prices.shock**2)
