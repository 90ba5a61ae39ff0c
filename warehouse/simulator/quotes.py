"""Datasets made from quotes: the order book, mark and index, funding, open interest.

A function returns the columns after ``time`` in the vendor's order; formulas and units are the
vendor's (models/vendor/*.yml). ``*_avg`` averages over the bar, the plain column is its last value.
"""

from __future__ import annotations

import numpy as np

from warehouse.simulator.fold import Columns, Fold
from warehouse.simulator.noise import Floats
from warehouse.simulator.process import Minutes

LEVELS = (5, 10, 20, 25)


def l1_price(minutes: Minutes, fold: Fold) -> Columns:
    book = minutes.book
    bid, ask = fold.last(book.bid), fold.last(book.ask)
    bid_amount, ask_amount = fold.last(book.bid_amount), fold.last(book.ask_amount)
    mean_bid, mean_ask = book.mean_mid - book.mean_spread / 2, book.mean_mid + book.mean_spread / 2
    frequency = fold.sum(book.updates) / (60 * fold.sum(np.ones(minutes.count)))
    return {
        "ask_price": ask,
        "bid_price": bid,
        "ask_amount": ask_amount,
        "bid_amount": bid_amount,
        "midprice": (bid + ask) / 2,
        "weighted_midprice": bid + (ask - bid) * bid_amount / (bid_amount + ask_amount),
        "ask_price_twap": fold.mean(mean_ask),
        "bid_price_twap": fold.mean(mean_bid),
        "ask_price_vwap": fold.weighted_mean(mean_ask, book.mean_ask_amount),
        "bid_price_vwap": fold.weighted_mean(mean_bid, book.mean_bid_amount),
        "quote_update_frequency": frequency,
        "avg_update_interval": 1 / frequency,
    }


def l2_liquidity(minutes: Minutes, fold: Fold) -> Columns:
    depth = minutes.depth
    bid, ask = fold.last(depth.bid), fold.last(depth.ask)
    mean_bid, mean_ask = fold.mean(depth.mean_bid), fold.mean(depth.mean_ask)
    columns: Columns = {}
    for row, level in enumerate(LEVELS):
        columns[f"ask_agg_{level}"] = ask[row]
        columns[f"ask_agg_{level}_avg"] = mean_ask[row]
        columns[f"bid_agg_{level}"] = bid[row]
        columns[f"bid_agg_{level}_avg"] = mean_bid[row]
    return columns


def basis(minutes: Minutes, fold: Fold) -> Columns:
    paths = minutes.derivatives
    premium, spread = paths.mark - paths.index, paths.mark - paths.last
    spread_bps = spread / paths.last * 1e4
    return {
        "basis": fold.last(premium[1:]),
        "basis_bps": fold.last(premium[1:] / paths.index[1:] * 1e4),
        "mark_price_spread": fold.last(spread[1:]),
        "mark_price_spread_bps": fold.last(spread_bps[1:]),
        "basis_mean": fold.mean(_middle(premium)),
        "basis_bps_std": _deviation(paths.basis_bps, fold),
        "mark_price_spread_mean": fold.mean(_middle(spread)),
        "mark_price_spread_bps_std": _deviation(spread_bps, fold),
    }


def funding(minutes: Minutes, fold: Fold) -> Columns:
    paths = minutes.derivatives
    frequency = fold.sum(paths.funding_updates) / (60 * fold.sum(np.ones(minutes.count)))
    return {
        "funding_rate": fold.last(paths.funding_rate),
        "funding_rate_update_frequency": frequency,
        "funding_rate_avg_update_interval": 1 / frequency,
    }


def open_interest(minutes: Minutes, fold: Fold) -> Columns:
    paths = minutes.derivatives
    interest = paths.open_interest
    change = percent_change(interest, fold)
    ticks = (interest[1:] / interest[:-1] - 1) * 100
    return {
        "open_interest": fold.last(interest[1:]),
        "open_interest_pct_change": change,
        "open_interest_volatility": np.sqrt(fold.mean(ticks**2) / 6),
        "oi_price_change_ratio": change / percent_change(paths.mark, fold),
    }


def _middle(path: Floats) -> Floats:
    """A path's value halfway through each minute."""
    return (path[1:] + path[:-1]) / 2


def _deviation(path: Floats, fold: Fold) -> Floats:
    """Standard deviation over a bar of a value that moves evenly with a little noise."""
    within = (path[1:] - path[:-1]) ** 2 / 12 + 0.01
    return np.sqrt(fold.moments(_middle(path), within, np.ones(path.size - 1))[1])


def percent_change(path: Floats, fold: Fold) -> Floats:
    return (fold.last(path[1:]) / fold.first(path[:-1]) - 1) * 100
