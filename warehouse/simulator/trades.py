"""Datasets made from trades: candles, flow, sizes, impact, ranges, ticks, runs, returns, slippage.

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
SIZE_LIMITS = (100.0, 1_000.0)  # notional at which a trade is medium, and large
SIZE_SPREAD = np.array([[0.3], [0.5], [1.0]])  # deviation over mean of a trade's size


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


def vtwap(minutes: Minutes, fold: Fold) -> Columns:
    candle = ohlcv(minutes, fold)
    return {
        "vwap": candle["volume_notional"] / candle["volume"],
        "twap": _price_moments(minutes, fold)[0],
    }


def flow(minutes: Minutes, fold: Fold) -> Columns:
    trades = minutes.trades
    sides = {"buy": _Bars(trades.buy, fold), "sell": _Bars(trades.sell, fold)}
    buy, sell = sides.values()
    share = buy.volume / (buy.volume + sell.volume)
    delta_notional = buy.notional - sell.notional
    volatility = np.sqrt(fold.sum(_realized_variance(minutes)))
    columns = {
        "taker_buy_volume": buy.volume,
        "taker_sell_volume": sell.volume,
        "taker_buy_count": _whole(buy.count),
        "taker_sell_count": _whole(sell.count),
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
            columns[f"taker_{name}_{size}_order_count"] = _whole(side.counts[row])
    for name, side in sides.items():
        for row, size in enumerate(SIZES):
            columns[f"taker_{name}_{size}_order_percentage"] = side.notionals[row] / side.volume
    for name, side in sides.items():
        for row, size in enumerate(SIZES):
            columns[f"taker_{name}_{size}_order_count_percentage"] = side.counts[row] / side.count
    return columns


def trade_size(minutes: Minutes, fold: Fold) -> Columns:
    trades, prices = minutes.trades, minutes.prices
    buy, sell = _Bars(trades.buy, fold), _Bars(trades.sell, fold)
    counts, notionals = buy.counts + sell.counts, buy.notionals + sell.notionals
    number, volume = buy.count + sell.count, buy.volume + sell.volume
    columns: Columns = {}
    for row, size in enumerate(SIZES):
        columns[f"{size}_order_volume"] = notionals[row]
        columns[f"{size}_order_count"] = _whole(counts[row])
    columns |= {"volume": volume, "n_trades": _whole(number)}
    for row, size in enumerate(SIZES):
        columns[f"{size}_order_percentage"] = notionals[row] / volume
    for row, size in enumerate(SIZES):
        columns[f"{size}_order_count_percentage"] = counts[row] / number

    price = (prices.open + prices.close) / 2
    size_counts = trades.buy.counts + trades.sell.counts
    size_means = (trades.buy.notionals + trades.sell.notionals) / (size_counts * price)
    size_means[size_counts == 0] = 0
    mean = volume / number
    second, third, fourth = (
        fold.sum((size_counts * size_means**k * (1 + SIZE_SPREAD**2) ** (k * (k - 1) / 2)).sum(0))
        / number
        for k in (2, 3, 4)
    )
    variance = np.maximum(second - mean**2, 0)
    deviation = np.sqrt(variance * number / np.where(number > 1, number - 1, np.nan))
    smallest, largest = _size_extremes(size_counts, size_means, SIZE_LIMITS[1] / price)
    least = np.minimum(fold.min(smallest), mean)
    most = np.where(number > 0, np.maximum(fold.max(largest), mean), np.nan)
    edges = [
        least,
        *(np.clip(limit * volume / notionals.sum(0), least, most) for limit in SIZE_LIMITS),
    ]
    columns |= {
        "trade_amount_mean": mean,
        "trade_amount_median": _median([*edges, most], counts),
        "trade_amount_std": deviation,
        "trade_amount_variance": deviation**2,
        "trade_amount_skewness": (third - 3 * mean * second + 2 * mean**3) / variance**1.5,
        "trade_amount_kurtosis": (
            (fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4) / variance**2 - 3
        ),
        "trade_amount_min": least,
        "trade_amount_max": most,
        "trade_amount_range_ratio": most / least,
        "trade_amount_cv": deviation / mean,
    }
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


def price_range(minutes: Minutes, fold: Fold) -> Columns:
    candle = ohlcv(minutes, fold)
    high, low = candle["high"], candle["low"]
    mean, variance, third, fourth = _price_moments(minutes, fold)
    trades = minutes.trades
    number = fold.sum(trades.buy.count + trades.sell.count)
    deviation = np.sqrt(variance * number / np.where(number > 1, number - 1, np.nan))
    skewness = third / variance**1.5
    return {
        "range": high - low,
        "range_bps": (high - low) / candle["close"] * 1e4,
        "price_mean": mean,
        "price_median": np.clip(mean - skewness * np.sqrt(variance) / 6, low, high),
        "price_std": deviation,
        "price_variance": deviation**2,
        "price_skewness": skewness,
        "price_kurtosis": fourth / variance**2 - 3,
        "price_range_ratio": high / low,
        "price_cv": deviation / mean,
    }


def updownticks(minutes: Minutes, fold: Fold) -> Columns:
    prices, trades = minutes.prices, minutes.trades
    number = trades.buy.count + trades.sell.count
    moving = number * np.clip(0.24 * np.exp(0.3 * prices.heat), 0, 0.8)
    upward = np.clip(0.5 + 0.06 * prices.shock, 0.1, 0.9)
    counts = np.stack((np.rint(moving * upward), np.rint(moving * (1 - upward)), number))
    counts[2] -= counts[0] + counts[1]
    weights = counts * np.array([[1.3], [1.3], [0.9]])
    notional = trades.buy.notional + trades.sell.notional
    volumes = fold.sum(np.where(number > 0, notional * weights / weights.sum(0), 0.0))
    folded = fold.sum(counts)
    (up, down, same), (up_volume, down_volume, same_volume) = folded, volumes
    total, total_volume = folded.sum(0), volumes.sum(0)
    return {
        "uptick_count": _whole(up),
        "downtick_count": _whole(down),
        "unchanged_count": _whole(same),
        "uptick_volume": up_volume,
        "downtick_volume": down_volume,
        "unchanged_volume": same_volume,
        "uptick_downtick_volume_ratio": up_volume / down_volume,
        "uptick_downtick_count_ratio": up / down,
        "uptick_count_percentage": up / total,
        "downtick_count_percentage": down / total,
        "unchanged_count_percentage": same / total,
        "unchanged_volume_percentage": same_volume / total_volume,
        "downtick_volume_percentage": down_volume / total_volume,
        "uptick_volume_percentage": up_volume / total_volume,
    }


def run_structure(minutes: Minutes, fold: Fold) -> Columns:
    trades, prices = minutes.trades, minutes.prices
    counts = np.stack((trades.buy.count, trades.sell.count))
    number = counts.sum(0)
    alternations = np.rint(0.35 * counts[0] * counts[1] / np.maximum(number, 1))
    runs = np.minimum(counts, np.maximum(alternations, 1))
    reach = np.ceil(counts / np.maximum(runs, 1) * (1 + 0.9 * np.log1p(runs)))
    longest = fold.max(np.minimum(reach, np.where(counts > 0, counts - runs + 1, 0)))
    all_runs = fold.sum(runs)
    mean = fold.sum(counts) / all_runs
    both = longest.sum(0)
    tick = 10.0**-minutes.instrument.profile.decimals
    return {
        "buy_run_max_len": _whole(longest[0]),
        "sell_run_max_len": _whole(longest[1]),
        "buy_run_mean_len": mean[0],
        "sell_run_mean_len": mean[1],
        "run_imbalance": np.where(both > 0, (longest[0] - longest[1]) / np.maximum(both, 1), 0.0),
        "flip_rate": np.maximum(all_runs.sum(0) - 1, 0) / (fold.sum(number) - 1),
        "price_change_on_flip": fold.mean(tick / prices.close + 0.03 * prices.sigma),
    }


def returns(minutes: Minutes, fold: Fold) -> Columns:
    prices, trades = minutes.prices, minutes.trades
    realized = _realized_variance(minutes)
    jumps = 0.02 + 0.06 * np.clip(np.abs(prices.shock) - 1.5, 0, 3)
    bounce = 0.04 * np.abs(prices.shock) - 0.15
    number = trades.buy.count + trades.sell.count
    change = np.abs(np.log(prices.close / prices.open))
    travelled = np.maximum(change, np.sqrt(0.64 * realized * np.clip(number, 1, 600)))
    variance, bipower = fold.sum(realized), fold.sum(realized * (1 - jumps))
    net = np.log(fold.last(prices.close) / fold.first(prices.open))
    steps = fold.sum(number) - 1
    steps = np.where(steps > 1, steps, np.nan)
    return {
        "logret_var": np.maximum(variance - net**2 / steps, 0) / (steps - 1),
        "realized_vol": np.sqrt(variance),
        "bipower_variation": bipower,
        "jump_ratio": 1 - bipower / variance,
        "ret_autocorr_lag1": fold.weighted_mean(bounce, realized),
        "trendiness": np.minimum(np.abs(net) / fold.sum(travelled), 1),
    }


def slippage(minutes: Minutes, fold: Fold) -> Columns:
    trades = minutes.trades
    costs = np.concatenate(minutes.slippage).reshape(2, -1)
    counts = np.stack((trades.buy.count, trades.sell.count))
    volumes = np.stack((trades.buy.volume, trades.sell.volume))
    mid = minutes.book.mean_mid
    number = fold.sum(counts.sum(0))
    by_side = fold.sum(counts * costs) / fold.sum(counts)
    mean = fold.sum((counts * costs).sum(0)) / number
    spread_out = fold.sum((counts * costs**2).sum(0)) * (1 + 2.2**2) / number - mean**2
    deviation = np.sqrt(
        np.maximum(spread_out, 0) * number / np.where(number > 1, number - 1, np.nan)
    )
    return {
        "slippage_mean": fold.sum((counts * costs).sum(0) * mid) / number / 1e4,
        "slippage_bps_mean": mean,
        "slippage_bps_std": deviation,
        "slippage_bps_median": 0.2 * mean,
        "slippage_bps_p95": mean + 1.9 * np.sqrt(np.maximum(spread_out, 0)),
        "slippage_bps_vwap": fold.sum((volumes * costs).sum(0)) / fold.sum(volumes.sum(0)),
        "slippage_bps_buy_mean": by_side[0],
        "slippage_bps_sell_mean": by_side[1],
        "slippage_bps_buy_sell_ratio": by_side[0] / by_side[1],
        "slippage_bps_sell_buy_ratio": by_side[1] / by_side[0],
    }


class _Bars:
    """One side's trades, folded."""

    def __init__(self, side: Side, fold: Fold) -> None:
        self.counts = fold.sum(side.counts)
        self.notionals = fold.sum(side.notionals)
        self.volume = fold.sum(side.volume)
        self.count = self.counts.sum(0)
        self.notional = self.notionals.sum(0)


def _whole(values: Floats) -> NDArray[np.int64]:
    return values.astype(np.int64)


def _entropy(share: Floats) -> Floats:
    """Entropy of a two-way split, natural logarithm; 0 if all is on one side."""
    rest = 1 - share
    return -(
        share * np.log(np.where(share > 0, share, 1)) + rest * np.log(np.where(rest > 0, rest, 1))
    )


def _realized_variance(minutes: Minutes) -> Floats:
    prices = minutes.prices
    return prices.sigma**2 * (0.7 + 0.3 * prices.shock**2)


def _price_moments(minutes: Minutes, fold: Fold) -> list[Floats]:
    """Mean and central moments of trade prices; a minute's prices lie around its middle."""
    prices, trades = minutes.prices, minutes.trades
    within = (prices.sigma * prices.close) ** 2 / 6 + (prices.close - prices.open) ** 2 / 12
    return fold.moments(prices.middle, within, trades.buy.count + trades.sell.count)


def _size_extremes(counts: Floats, means: Floats, largest_medium: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest base quantity of a minute's trades; infinite where there are none."""
    alone = counts.sum(0) == 1
    smallest = np.select(
        [counts.sum(0) == 0, alone, counts[0] > 0, counts[1] > 0],
        [np.inf, means.sum(0), 0.2 * means[0], 0.45 * means[1]],
        0.5 * means[2],
    )
    grown = means * (1 + np.array([[0.4], [0.5], [1.2]]) * np.log(np.maximum(counts, 1)))
    largest = np.select(
        [counts[2] > 0, counts[1] > 0, counts[0] > 0],
        [
            grown[2],
            np.minimum(grown[1], 0.999 * largest_medium),
            np.minimum(grown[0], means[0] * 3),
        ],
        -np.inf,
    )
    return smallest, largest


def _median(edges: list[Floats], counts: Floats) -> Floats:
    """Median of sizes that lie between rising edges, log-uniform from one edge to the next."""
    half = counts.sum(0) / 2
    below = np.zeros_like(half)
    median: Floats = np.full_like(half, np.nan)
    for row, count in enumerate(counts):
        place = np.clip((half - below) / count, 0, 1)
        here = (below < half) & (below + count >= half)
        median = np.where(here, edges[row] * (edges[row + 1] / edges[row]) ** place, median)
        below = below + count
    return median
