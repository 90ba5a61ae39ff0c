"""The whole simulated market: the datasets of `warehouse.simulator`, and those only tests need.

A function returns the columns after ``time`` in the vendor's order. Formulas and units are the
vendor's (models/vendor/*.yml).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from warehouse.simulator import Market, write_market
from warehouse.simulator.datasets import DATASETS, EXCHANGE_CLOCK_ONLY
from warehouse.simulator.events import EVENTS, Events, along
from warehouse.simulator.files import between, instrument_of, month_rows, months, tick_fold
from warehouse.simulator.fold import Columns, Fold
from warehouse.simulator.instrument import SETTLEMENT_MINUTES, Instrument
from warehouse.simulator.noise import Floats, normals
from warehouse.simulator.process import Minutes
from warehouse.simulator.quotes import LEVELS, percent_change
from warehouse.simulator.trades import SIZES, Bars, ohlcv, realized_variance, whole

__all__ = ["DATASETS", "EVENTS", "EXCHANGE_CLOCK_ONLY", "Market", "bars", "write_market"]

SIZE_LIMITS = (100.0, 1_000.0)  # notional at which a trade is medium, and large
SIZE_SPREAD = np.array([[0.3], [0.5], [1.0]])  # deviation over mean of a trade's size

Values: TypeAlias = Callable[[Minutes, Floats, np.random.Generator], Columns]


def bars(
    market: Market,
    dataset: str,
    *,
    symbol: str,
    interval: str | None = None,
    clock: str | None = None,
    start: date | None = None,
    end: date | None = None,
) -> pa.Table:
    """The rows that ``write_market`` writes for one series, in memory.

    Seed, venue and gaps are the market's, and by default the span too; dataset and symbol need not
    be among its own. A raw dataset has no interval and clock.
    """
    one = replace(
        market,
        symbols=(symbol,),
        datasets=(dataset,),
        intervals=() if interval is None else (interval,),
        clocks=() if clock is None else (clock,),
        start=start or market.start,
        end=end or market.end,
    )
    is_raw = dataset in EVENTS
    assert is_raw == (interval is None) == (clock is None)
    assert clock != "true" or dataset not in EXCHANGE_CLOCK_ONLY
    instrument = instrument_of(one, symbol)
    parts = []
    for month in months(one.start, one.end):
        true, late = _both_clocks(instrument, month)
        ticks = tick_fold(one, true) if one.from_ticks and not is_raw else None
        minutes = late if clock == "exchange" else true
        rows = month_rows(one, minutes, dataset, interval, clock, ticks)
        parts.append(between(rows, one.start, one.end))
    return pa.concat_tables(parts)


@lru_cache(maxsize=3)
def _both_clocks(instrument: Instrument, month: date) -> tuple[Minutes, Minutes]:
    """A month under the clocks ``true`` and ``exchange``, kept because all datasets share it."""
    true = Minutes(instrument, month)
    return true, true.late()


def vtwap(minutes: Minutes, fold: Fold) -> Columns:
    candle = ohlcv(minutes, fold)
    return {
        "vwap": candle["volume_notional"] / candle["volume"],
        "twap": _price_moments(minutes, fold)[0],
    }


def trade_size(minutes: Minutes, fold: Fold) -> Columns:
    trades, prices = minutes.trades, minutes.prices
    buy, sell = Bars(trades.buy, fold), Bars(trades.sell, fold)
    counts, notionals = buy.counts + sell.counts, buy.notionals + sell.notionals
    number, volume = buy.count + sell.count, buy.volume + sell.volume
    columns: Columns = {}
    for row, size in enumerate(SIZES):
        columns[f"{size}_order_volume"] = notionals[row]
        columns[f"{size}_order_count"] = whole(counts[row])
    columns |= {"volume": volume, "n_trades": whole(number)}
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
        "uptick_count": whole(up),
        "downtick_count": whole(down),
        "unchanged_count": whole(same),
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
        "buy_run_max_len": whole(longest[0]),
        "sell_run_max_len": whole(longest[1]),
        "buy_run_mean_len": mean[0],
        "sell_run_mean_len": mean[1],
        "run_imbalance": np.where(both > 0, (longest[0] - longest[1]) / np.maximum(both, 1), 0.0),
        "flip_rate": np.maximum(all_runs.sum(0) - 1, 0) / (fold.sum(number) - 1),
        "price_change_on_flip": fold.mean(tick / prices.close + 0.03 * prices.sigma),
    }


def returns(minutes: Minutes, fold: Fold) -> Columns:
    prices, trades = minutes.prices, minutes.trades
    realized = realized_variance(minutes)
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
    costs = _costs(minutes)
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


def l1_imbalance(minutes: Minutes, fold: Fold) -> Columns:
    book = minutes.book
    bid, ask = fold.last(book.bid_amount), fold.last(book.ask_amount)
    mean_bid, mean_ask = book.mean_bid_amount, book.mean_ask_amount
    mean_ratio = fold.mean((mean_bid - mean_ask) / (mean_bid + mean_ask))
    return {
        "imbalance": bid - ask,
        "imbalance_ratio": (bid - ask) / (bid + ask),
        "bid_ask_ratio": bid / ask,
        "bid_percentage": bid / (bid + ask),
        "ask_percentage": ask / (bid + ask),
        "imbalance_avg": fold.mean(mean_bid - mean_ask),
        "imbalance_ratio_avg": mean_ratio,
        "bid_ask_ratio_avg": fold.mean(2.5 * mean_bid / mean_ask),
        "bid_percentage_avg": (1 + mean_ratio) / 2,
        "ask_percentage_avg": (1 - mean_ratio) / 2,
    }


def l1_liquidity(minutes: Minutes, fold: Fold) -> Columns:
    book = minutes.book
    bid, ask = fold.last(book.bid), fold.last(book.ask)
    bid_amount, ask_amount = fold.last(book.bid_amount), fold.last(book.ask_amount)
    mid, depth = (bid + ask) / 2, bid_amount + ask_amount
    mean_depth = book.mean_bid_amount + book.mean_ask_amount
    mean_bid_worth = fold.mean((book.mean_mid - book.mean_spread / 2) * book.mean_bid_amount)
    mean_ask_worth = fold.mean((book.mean_mid + book.mean_spread / 2) * book.mean_ask_amount)
    return {
        "spread": ask - bid,
        "spread_bps": (ask - bid) / mid * 1e4,
        "spread_depth_ratio": (ask - bid) / depth,
        "total_depth": depth,
        "dollar_depth_bid": bid * bid_amount,
        "dollar_depth_ask": ask * ask_amount,
        "total_dollar_depth": bid * bid_amount + ask * ask_amount,
        "spread_avg": fold.mean(book.mean_spread),
        "spread_bps_avg": fold.mean(book.mean_spread / book.mean_mid * 1e4),
        "spread_depth_ratio_avg": fold.mean(book.mean_spread / mean_depth),
        "total_depth_avg": fold.mean(mean_depth),
        "dollar_depth_bid_avg": mean_bid_worth,
        "dollar_depth_ask_avg": mean_ask_worth,
        "total_dollar_depth_avg": mean_bid_worth + mean_ask_worth,
    }


def l2_imbalance(minutes: Minutes, fold: Fold) -> Columns:
    depth = minutes.depth
    bid, ask = fold.last(depth.bid), fold.last(depth.ask)
    difference = fold.mean(depth.mean_bid - depth.mean_ask)
    normalized = fold.mean((depth.mean_bid - depth.mean_ask) / (depth.mean_bid + depth.mean_ask))
    quotient = fold.mean(2.5 * depth.mean_bid / depth.mean_ask)
    columns: Columns = {}
    for row, level in enumerate(LEVELS):
        columns[f"imbalance_{level}"] = bid[row] - ask[row]
        columns[f"imbalance_ratio_{level}"] = (bid[row] - ask[row]) / (bid[row] + ask[row])
        columns[f"bid_ask_ratio_{level}"] = bid[row] / ask[row]
        columns[f"imbalance_{level}_avg"] = difference[row]
        columns[f"imbalance_ratio_{level}_avg"] = normalized[row]
        columns[f"bid_ask_ratio_{level}_avg"] = quotient[row]
    return columns


def derivative_price(minutes: Minutes, fold: Fold) -> Columns:
    paths = minutes.derivatives
    last, index, mark = (
        percent_change(path, fold) for path in (paths.last, paths.index, paths.mark)
    )
    return {
        "last_price": fold.last(paths.last[1:]),
        "index_price": fold.last(paths.index[1:]),
        "mark_price": fold.last(paths.mark[1:]),
        "last_price_pct_change": last,
        "index_price_pct_change": index,
        "mark_price_pct_change": mark,
        "mark_index_pct_change_ratio": mark / index,
        "mark_last_pct_change_ratio": mark / last,
        "index_last_pct_change_ratio": index / last,
    }


def _costs(minutes: Minutes) -> Floats:
    """Mean cost of buys and of sells (rows) beyond the quote, in bps of the mid."""
    waves = normals(minutes.instrument.draw(minutes.month, "slippage"), (2, minutes.count))
    return 350 * minutes.prices.sigma * np.maximum(0.0, 1 + 0.6 * waves)


def _derived(values: Values) -> Values:
    """Values that Hyperliquid does not send: the vendor models their time."""

    def found(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
        columns = values(minutes, when, rng)
        if minutes.instrument.exchange.startswith("hyperliquid"):
            columns["exchange_timestamp_kind"] = np.full(when.shape, "modelled")
        return columns

    return found


def _mark_price(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    return {"mark_price": along(minutes.derivatives.mark, when)}


def _index_price(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    return {"index_price": along(minutes.derivatives.index, when)}


def _funding_rate(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    settled = np.arange(minutes.count) // SETTLEMENT_MINUTES + 1
    instant = np.datetime64(minutes.month, "us") + settled * np.timedelta64(SETTLEMENT_MINUTES, "m")
    return {
        "funding_rate": _repeat(minutes.derivatives.funding_rate, when),
        "next_funding_time": _repeat(instant, when),
    }


def _open_interest(minutes: Minutes, when: Floats, rng: np.random.Generator) -> Columns:
    return {"open_interest": along(minutes.derivatives.open_interest, when)}


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


def _repeat(values: NDArray[np.generic], when: Floats) -> NDArray[np.generic]:
    return np.broadcast_to(values[:, None], when.shape)


DATASETS.update(
    {
        "vtwap": vtwap,
        "trade_size": trade_size,
        "range": price_range,
        "updownticks": updownticks,
        "run_structure": run_structure,
        "returns": returns,
        "slippage": slippage,
        "l1_imbalance": l1_imbalance,
        "l1_liquidity": l1_liquidity,
        "l2_imbalance": l2_imbalance,
        "derivative_price": derivative_price,
    }
)
EVENTS.update(
    {
        "raw_mark_price": Events(6, _derived(_mark_price)),
        "raw_index_price": Events(6, _derived(_index_price)),
        "raw_funding_rate": Events(2, _derived(_funding_rate)),
        "raw_open_interest": Events(1, _derived(_open_interest)),
    }
)
