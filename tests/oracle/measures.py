"""The notebooks' own steps in pandas, on a grid without gaps.

On such a grid a window of time is a window of rows, so ``rolling(n)`` gives the expected values:
missing bars are rows of NaN, and one NaN blanks every window that holds it. Infinity is replaced by
NaN first. Standard deviations are computed in two passes, since pandas' rolling one carries
rounding from window to window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tests.oracle.equal import Expected

HOUR, DAY, WEEK = 3600, 86_400, 604_800
MONTH = 30 * DAY
BOOK_MAX_AGE = pd.Timedelta(minutes=5)
ORDER_SIZES = {"10k": 10_000, "50k": 50_000, "100k": 100_000}

Measures = dict[str, Expected]


@dataclass(frozen=True)
class Panel:
    """One series: each dataset by bar, on the grid from its first bar to its last.

    ``book`` has the rows of l2_liquidity under the clock exchange, whatever the series' own is.
    """

    seconds: int
    frames: Mapping[str, pd.DataFrame]
    rows: Mapping[str, pd.Index]
    coverage: float = 1.0
    book: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        frames: Mapping[str, pd.DataFrame],
        seconds: int,
        coverage: float = 1.0,
        book: pd.DataFrame | None = None,
    ) -> Panel:
        """From frames as the vendor gives them, each with a column ``time``."""
        starts = pd.concat([frame["time"] for frame in frames.values()])
        grid = pd.date_range(starts.min(), starts.max(), freq=f"{seconds}s", unit="us")
        indexed = {
            name: frame.set_index("time").astype(float).replace([np.inf, -np.inf], np.nan)
            for name, frame in frames.items()
        }
        return cls(
            seconds,
            {name: frame.reindex(grid) for name, frame in indexed.items()},
            {name: frame.index for name, frame in indexed.items()},
            coverage,
            book,
        )

    def column(self, dataset: str, name: str) -> pd.Series:
        """A column as float64; NaN where the dataset or the column is not there."""
        frame = self.frames.get(dataset)
        if frame is None or name not in frame:
            return pd.Series(np.nan, self.grid)
        return frame[name]

    @property
    def grid(self) -> pd.Index:
        return next(iter(self.frames.values())).index

    def bars(self, length_s: int) -> int:
        """Bars in a length of time; 0 where that is no whole number."""
        return 0 if length_s % self.seconds else length_s // self.seconds

    def enough(self, bars: int) -> int:
        """How many bars of a window must be there: dbt's var min_window_coverage."""
        return max(1, math.ceil(self.coverage * bars))

    def has(self, *datasets: str) -> pd.Series:
        """Whether any of the datasets has the bar."""
        found = pd.Series(False, self.grid)
        for dataset in datasets:
            if dataset in self.rows:
                found |= self.grid.isin(self.rows[dataset])
        return found


# -- what the marts say --------------------------------------------------------------------------


def flow_features(panel: Panel) -> Measures:
    def flow(name: str) -> pd.Series:
        return panel.column("flow", name)

    day = panel.bars(DAY)
    delta = flow("volume_delta_notional") / 1e6
    ratio = flow("taker_buy_sell_ratio")
    large = flow("taker_buy_large_order_count") + flow("taker_sell_large_order_count")
    share = divide(large, flow("taker_buy_count") + flow("taker_sell_count"))
    net = flow("volume_delta")
    return {
        "close": Expected(panel.column("ohlcv", "close")),
        "taker_buy_volume": Expected(flow("taker_buy_volume")),
        "taker_sell_volume": Expected(flow("taker_sell_volume")),
        "taker_buy_sell_ratio": Expected(ratio),
        "net_delta": Expected(net),
        "cumulative_delta": Expected(net.cumsum(), net.abs().cumsum()),
        "net_delta_notional_m": Expected(delta),
        "rolling_net_delta_1d": rolling_sum(delta, day, panel),
        "rolling_buy_sell_ratio_1d": rolling_mean(ratio, day, panel),
        "flow_toxicity_score": Expected(flow("flow_toxicity_score")),
        "flow_toxicity_score_filled": Expected(flow("flow_toxicity_score").fillna(0)),
        "large_trade_share": Expected(share),
        "large_trade_share_1d": rolling_mean(share, day, panel),
        "abs_delta_zscore_1d": zscore(delta, day, panel, of=delta.abs()),
        "delta_size_zscore_1d": zscore(delta.abs(), day, panel),
        "bars_1d": rolling_count(delta, DAY, panel),
    }


def l1_features(panel: Panel) -> Measures:
    def l1(name: str) -> pd.Series:
        return panel.column("l1_price", name)

    day = panel.bars(DAY)
    bid, ask, mid = l1("bid_price"), l1("ask_price"), l1("midprice")
    bid_amount, ask_amount = l1("bid_amount"), l1("ask_amount")
    spread_bps = divide(ask - bid, mid) * 1e4
    mid_return = (divide(mid, mid.shift(1)) - 1) * 1e4
    plain = ("bid_price", "ask_price", "bid_amount", "ask_amount", "midprice", "weighted_midprice")
    return {
        **{name: Expected(l1(name)) for name in plain},
        "spread": Expected(ask - bid),
        "spread_bps": Expected(spread_bps),
        "weighted_mid_premium_bps": Expected(divide(l1("weighted_midprice") - mid, mid) * 1e4),
        "depth_imbalance": Expected(divide(bid_amount - ask_amount, bid_amount + ask_amount)),
        "rolling_spread_bps_1d": rolling_mean(spread_bps, day, panel),
        "rolling_quote_updates_1d": rolling_mean(l1("quote_update_frequency"), day, panel),
        "mid_return_bps": Expected(mid_return),
        "realized_vol_1d_bps": Expected(
            deviation(mid_return, panel.enough(day), day) * np.sqrt(day)
        ),
        "bars_1d": rolling_count(spread_bps, DAY, panel),
    }


def forward_returns(panel: Panel) -> Measures:
    close, mid = panel.column("ohlcv", "close"), panel.column("l1_price", "midprice")
    there = panel.has("ohlcv", "l1_price")
    ret = (divide(close, close.shift(1)) - 1) * 1e4
    lengths = {"15m": 900, "1h": HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "1d": DAY}
    bars = {"bar": 1} | {name: panel.bars(seconds) for name, seconds in lengths.items()}
    found: Measures = {}
    for name, count in bars.items():
        for price, label in ((close, ""), (mid, "mid_")):
            if not (name == "6h" and label):
                found[f"next_{name}_{label}return_bps"] = Expected(
                    (divide(ahead(price, count), price) - 1) * 1e4
                )
    for name in ("1h", "6h", "1d"):
        count = bars[name]
        at_horizon = ahead(there.astype(float), count) == 1
        volatility = ahead(deviation(ret, max(2, count // 4), count), count)
        found[f"next_{name}_volatility_bps"] = Expected(volatility.where(at_horizon))
        lowest = close.rolling(count, min_periods=1).min() if count else close * np.nan
        drawdown = (divide(ahead(lowest, count), close) - 1).clip(upper=0) * 1e4
        found[f"next_{name}_max_drawdown_bps"] = Expected(drawdown.where(at_horizon))
    return found


def derivative_features(panel: Panel) -> Measures:
    hour, day, week = panel.bars(HOUR), panel.bars(DAY), panel.bars(WEEK)
    close = panel.column("ohlcv", "close")
    here = panel.has("funding", "basis", "open_interest")
    funding = panel.column("funding", "funding_rate") * 1e4
    basis = panel.column("basis", "basis_bps")
    interest = panel.column("open_interest", "open_interest")
    scores = [zscore(x, day, panel).values for x in (funding, basis, interest)]
    oi_change_1d = divide(interest, behind(interest, day)) - 1
    ranks = [rank(x, week) for x in (funding, basis, oi_change_1d)]
    stress = [x > limit for x, limit in zip(scores, (1.5, 1.5, 1.0), strict=True)]
    undecided = [x.isna() for x in scores]
    is_false = [~s & ~u for s, u in zip(stress, undecided, strict=True)]
    regime = (stress[0] & stress[1] & stress[2]).astype(object)
    unknown = (undecided[0] | undecided[1] | undecided[2]) & ~(
        is_false[0] | is_false[1] | is_false[2]
    )
    return {
        "close": Expected(close.where(here)),
        "funding_rate_bps": Expected(funding),
        "basis_bps": Expected(basis),
        "open_interest": Expected(interest),
        "price_return_bps_1h": Expected((divide(close, behind(close, hour)) - 1) * 1e4),
        "oi_change_1h_pct": Expected((divide(interest, behind(interest, hour)) - 1) * 100),
        "oi_change_1d_pct": Expected(oi_change_1d * 100),
        "funding_rate_bps_z_1d": Expected(scores[0]),
        "basis_bps_z_1d": Expected(scores[1]),
        "open_interest_z_1d": Expected(scores[2]),
        "crowding_z": Expected(pd.concat(scores, axis=1).mean(axis=1)),
        "rank_funding": Expected(ranks[0]),
        "rank_basis": Expected(ranks[1]),
        "rank_oi_change": Expected(ranks[2]),
        "crowding_rank": Expected(pd.concat(ranks, axis=1).mean(axis=1)),
        "stress_regime": Expected(regime.where(~unknown, None)),
        "stress_regime_filled": Expected(regime.where(~unknown, False).astype(bool)),
        "bars_1d": rolling_count(funding + basis + interest, DAY, panel),
        "bars_7d": rolling_count(funding + basis + oi_change_1d, WEEK, panel),
    }


def execution_costs(panel: Panel) -> Measures:
    hour, day, week = panel.bars(HOUR), panel.bars(DAY), panel.bars(WEEK)
    here = panel.has("l1_price")

    def at(dataset: str, name: str) -> pd.Series:
        return panel.column(dataset, name).where(here)

    bid, ask, mid = (at("l1_price", name) for name in ("bid_price", "ask_price", "midprice"))
    spread = divide(ask - bid, mid) * 1e4
    half = 0.5 * spread
    close = panel.column("ohlcv", "close")
    ret = divide(close, close.shift(1)) - 1
    volatility = deviation(ret, panel.enough(hour), hour) * np.sqrt(hour) * 1e4
    volatility_1d = rolling_mean(volatility, day, panel)
    coefficient = at("impact", "impact_per_notional") * 1e4
    slippage = at("slippage", "slippage_bps_mean")
    toxicity = at("flow", "flow_toxicity_score").abs()
    trades = at("flow", "taker_buy_count") + at("flow", "taker_sell_count")
    depth = {
        n: at("l2_liquidity", f"bid_agg_{n}") + at("l2_liquidity", f"ask_agg_{n}")
        for n in (5, 10, 20, 25)
    }
    cost = {name: half + coefficient * notional for name, notional in ORDER_SIZES.items()}
    ranked = {"spread": spread, "depth": depth[20], "impact": coefficient, "toxicity": toxicity}
    ranks = {name: percentile(x, week) for name, x in ranked.items()}
    score = pd.concat(
        [1 - ranks["spread"], ranks["depth"], 1 - ranks["impact"], 1 - ranks["toxicity"]], axis=1
    ).mean(axis=1)
    return {
        "close": Expected(close.where(here)),
        "spread_bps": Expected(spread),
        "half_spread_bps": Expected(half),
        "impact_coef_bps_per_quote": Expected(coefficient, coefficient.abs()),
        **{f"expected_cost_{name}_bps": Expected(value) for name, value in cost.items()},
        "slippage_bps_mean": Expected(slippage),
        "cost_error_50k_bps": Expected((cost["50k"] - slippage).abs()),
        "implied_coef_bps_per_quote": Expected((slippage - half).clip(lower=0) / 50_000),
        "avg_trade_notional": Expected(divide(at("ohlcv", "volume_notional"), trades)),
        "realized_vol_1h_bps": Expected(volatility.where(here)),
        "rolling_spread_bps_1d": rolling_mean(spread, day, panel),
        "rolling_realized_vol_1d_bps": Expected(
            volatility_1d.values.where(here), volatility_1d.scale
        ),
        **{f"depth_{n}": Expected(value) for n, value in depth.items()},
        "dollar_depth_20": Expected(depth[20] * close),
        "abs_toxicity": Expected(toxicity),
        **{f"{name}_rank_7d": Expected(value) for name, value in ranks.items()},
        "liquidity_score": Expected(score),
        "bars_1d": rolling_count(spread, DAY, panel),
        "bars_7d": rolling_count(spread, WEEK, panel),
    }


def funding_settlements(panel: Panel, period_hours: int = 8) -> tuple[pd.Index, Measures]:
    """Rows of the mart and their measures."""
    rate = panel.column("funding", "funding_rate")
    here = panel.has("funding")
    seconds = panel.grid.astype("int64") // 1_000_000
    is_settlement = (seconds % (period_hours * HOUR) == 0) & here
    if period_hours * HOUR % panel.seconds:
        is_settlement &= False
    filled, fillable = rate, HOUR // panel.seconds
    if fillable:
        filled = rate.ffill(limit=fillable)
    settled = filled.shift(1)[is_settlement]
    held_s = (seconds + panel.seconds).to_series(panel.grid).where(rate.notna()).ffill()
    age = (seconds.to_series(panel.grid) - held_s.shift(1))[is_settlement]
    paid = pd.Series(None, settled.index, dtype=object)
    paid[settled.notna()] = "neutral"
    paid[settled * 1e4 > 0.5] = "longs pay"
    paid[settled * 1e4 < -0.5] = "shorts pay"
    before = settled.index - pd.Timedelta(hours=period_hours)
    return settled.index, {
        "settled_rate": Expected(settled, settled.abs()),
        "settled_rate_bps": Expected(settled * 1e4),
        "rate_age_s": Expected(age.where(settled.notna())),
        "annualized_pct": Expected(settled * (24 / period_hours) * 365 * 100),
        "cum_funding_unit_long_pct": Expected((-settled).cumsum() * 100),
        "funding_regime": Expected(paid),
        "follows_settlement": Expected(pd.Series(before.isin(settled.index), settled.index)),
    }


def funding_labels(panel: Panel, period_hours: int = 8) -> Measures:
    rate, close = panel.column("funding", "funding_rate"), panel.column("ohlcv", "close")
    fillable = HOUR // panel.seconds
    filled = rate.ffill(limit=fillable) if fillable else rate
    ends = panel.grid.astype("int64") // 1_000_000 + panel.seconds
    before = ends % (period_hours * HOUR) == 0
    leg = (filled * 1e4).where(before, 0.0).where(panel.has("funding"))
    if period_hours * HOUR % panel.seconds:
        leg = leg * np.nan
    after = (divide(ahead(close, 1), close) - 1) * 1e4 - leg
    return {
        "next_bar_funding_bps": Expected(leg),
        "next_bar_return_after_funding_bps": Expected(after),
    }


def order_sizes(panel: Panel) -> Measures:
    sizes = ("small", "medium", "large")

    def flow(name: str) -> pd.Series:
        return panel.column("flow", name)

    sides = {
        side: {size: flow(f"taker_{side}_{size}_order_volume") for size in sizes}
        for side in ("buy", "sell")
    }
    notional, count = {}, {}
    for size in sizes:
        of_flow = sides["buy"][size] + sides["sell"][size]
        notional[size] = panel.column("trade_size", f"{size}_order_volume").fillna(of_flow)
        of_flow = flow(f"taker_buy_{size}_order_count") + flow(f"taker_sell_{size}_order_count")
        count[size] = panel.column("trade_size", f"{size}_order_count").fillna(of_flow)
    trades = panel.column("trade_size", "n_trades").fillna(
        flow("taker_buy_count") + flow("taker_sell_count")
    )
    total = notional["small"] + notional["medium"] + notional["large"]
    found: Measures = {f"{size}_notional": Expected(notional[size]) for size in sizes}
    for size in sizes:
        found[f"{size}_notional_share"] = Expected(divide(notional[size], total))
        found[f"{size}_count_share"] = Expected(divide(count[size], trades))
        for side, of_side in sides.items():
            whole = of_side["small"] + of_side["medium"] + of_side["large"]
            found[f"{side}_{size}_notional_share"] = Expected(divide(of_side[size], whole))
    return found


def market_state(panel: Panel) -> Measures:
    day, week, month = panel.bars(DAY), panel.bars(WEEK), panel.bars(MONTH)
    here = panel.has("l1_price", "flow")

    def l1(name: str) -> pd.Series:
        return panel.column("l1_price", name)

    mid, bid_amount, ask_amount = l1("midprice"), l1("bid_amount"), l1("ask_amount")
    spread = divide(l1("ask_price") - l1("bid_price"), mid) * 1e4
    mean_spread = divide(l1("ask_price_twap") - l1("bid_price_twap"), mid) * 1e4
    spread_mean, spread_std = _two_pass(spread, panel.enough(day), day)
    mid_return = (divide(mid, mid.shift(1)) - 1) * 1e4
    quoted = panel.has("l1_price")
    volatility = (deviation(mid_return, panel.enough(day), day) * np.sqrt(day)).where(quoted)
    top = bid_amount + ask_amount
    lean_top = divide(bid_amount - ask_amount, top)
    book, age_s = _book(panel)
    depth = {n: book[f"bid_agg_{n}"] + book[f"ask_agg_{n}"] for n in (5, 25)}
    lean = {n: divide(book[f"bid_agg_{n}"] - book[f"ask_agg_{n}"], depth[n]) for n in (5, 25)}
    top_share = {n: divide(top, depth[n]) for n in (5, 25)}
    oppose = (lean_top * lean[25] < 0).astype(object)
    medium = {}
    for side in ("buy", "sell"):
        sizes = [
            panel.column("flow", f"taker_{side}_{size}_order_volume")
            for size in ("small", "medium", "large")
        ]
        medium[side] = divide(sizes[1], sizes[0] + sizes[1] + sizes[2])
    kyle = percentile(panel.column("impact", "kyle_like_lambda").where(here), week)
    amihud = percentile(panel.column("impact", "amihud_like").where(here), week)
    updates = l1("quote_update_frequency") * panel.seconds
    still = -divide(mid_return.abs(), updates)
    regime_bars = rolling_count(volatility, MONTH, panel).values
    return {
        "realized_vol_1d_bps": Expected(volatility),
        "realized_vol_rank_30d": Expected(percentile(volatility, month)),
        "spread_bps": Expected(spread),
        "mean_spread_bps": Expected(mean_spread),
        "spread_rank_7d": Expected(percentile(spread, week)),
        "spread_instability_1d": Expected(
            spread_std / spread_mean.where(spread_mean > 1e-9 * spread_std)
        ),
        "top_share_5": Expected(top_share[5]),
        "top_share_25": Expected(top_share[25]),
        "top_share_rank_7d": Expected(percentile(top_share[25], week)),
        "lean_top": Expected(lean_top),
        "lean_5": Expected(lean[5]),
        "lean_25": Expected(lean[25]),
        "lean_divergence": Expected(lean_top - lean[25]),
        "leans_oppose": Expected(oppose.where((lean_top * lean[25]).notna(), None)),
        "net_delta_zscore_1d": zscore(
            panel.column("flow", "volume_delta_notional") / 1e6, day, panel
        ),
        "buy_medium_notional_share": Expected(medium["buy"]),
        "sell_medium_notional_share": Expected(medium["sell"]),
        "kyle_rank_7d": Expected(kyle),
        "amihud_rank_7d": Expected(amihud),
        "impact_divergence": Expected(amihud - kyle),
        "quote_updates_per_bp": Expected(divide(still * 0 - 1, still)),
        "quote_updates_rank_7d": Expected(percentile(still, week)),
        "crowding_z": derivative_features(panel)["crowding_z"],
        "book_age_s": Expected(age_s),
        "bars_7d": rolling_count(spread, WEEK, panel),
        "bars_30d": Expected(regime_bars.where(quoted)),
    }


def _book(panel: Panel) -> tuple[pd.DataFrame, pd.Series]:
    """The last row of the book known at each bar of the grid, and its age in seconds."""
    names = [f"{side}_agg_{n}" for side in ("bid", "ask") for n in (5, 25)]
    if panel.book is None or panel.book.empty:
        return pd.DataFrame(np.nan, panel.grid, names), pd.Series(np.nan, panel.grid)
    rows = panel.book.set_index("time").astype(float).replace([np.inf, -np.inf], np.nan)
    rows = rows.reindex(columns=names).assign(at=rows.index).sort_index()
    held = rows.reindex(panel.grid, method="ffill", tolerance=BOOK_MAX_AGE)
    age_s = (panel.grid.to_series() - held["at"]).dt.total_seconds()
    return held[names], age_s


# -- pandas' idioms on a grid without gaps -------------------------------------------------------


def divide(x: pd.Series, y: pd.Series) -> pd.Series:
    return x / y.where(y != 0)


def behind(x: pd.Series, bars: int) -> pd.Series:
    return x.shift(bars) if bars else x * np.nan


def ahead(x: pd.Series, bars: int) -> pd.Series:
    return x.shift(-bars) if bars else x * np.nan


def rolling_sum(x: pd.Series, bars: int, panel: Panel) -> Expected:
    if not bars:
        return Expected(x * np.nan)
    enough = panel.enough(bars)
    return Expected(x.rolling(bars, enough).sum(), x.abs().rolling(bars, enough).sum())


def rolling_mean(x: pd.Series, bars: int, panel: Panel) -> Expected:
    if not bars:
        return Expected(x * np.nan)
    enough = panel.enough(bars)
    return Expected(x.rolling(bars, enough).mean(), x.abs().rolling(bars, enough).mean())


def rolling_count(x: pd.Series, length_s: int, panel: Panel) -> Expected:
    """A bar that is longer than the window is in it, as the last."""
    bars = -(-length_s // panel.seconds)
    return Expected(x.rolling(bars, min_periods=0).count())


def deviation(x: pd.Series, at_least: int, bars: int) -> pd.Series:
    return _two_pass(x, at_least, bars)[1]


def zscore(x: pd.Series, bars: int, panel: Panel, of: pd.Series | None = None) -> Expected:
    mean, std = _two_pass(x, panel.enough(bars), bars)
    varies = std > 1e-12 * mean.abs()
    return Expected(((x if of is None else of) - mean) / std.where(varies))


def rank(x: pd.Series, bars: int) -> pd.Series:
    """risk-positioning's rolling_rank: (rank - 1) / (count - 1), from a quarter of the bars."""
    average, count = _ranked(x, bars)
    return (average - 1) / (count - 1).where(count > 1)


def percentile(x: pd.Series, bars: int) -> pd.Series:
    """``rank(pct=True)`` of the last value."""
    average, count = _ranked(x, bars)
    return average / count


def _ranked(x: pd.Series, bars: int) -> tuple[pd.Series, pd.Series]:
    if not bars:
        return x * np.nan, x * np.nan
    windows = x.rolling(bars, min_periods=max(1, -(-bars // 4)))
    return windows.rank(method="average").where(x.notna()), windows.count()


def _two_pass(x: pd.Series, at_least: int, bars: int) -> tuple[pd.Series, pd.Series]:
    """Mean and standard deviation (ddof 1) of each window that has ``at_least`` values."""
    mean, std = np.full(len(x), np.nan), np.full(len(x), np.nan)
    padded = np.concatenate([np.full(max(bars - 1, 0), np.nan), x.to_numpy(float)])
    for first in range(0, len(x) if bars else 0, 2_000):
        last = min(first + 2_000, len(x))
        windows = np.lib.stride_tricks.sliding_window_view(padded[first : last + bars - 1], bars)
        count = np.isfinite(windows).sum(axis=1)
        enough = count >= at_least
        with np.errstate(invalid="ignore", divide="ignore"):
            middle = np.nansum(windows, axis=1) / count
            square = np.nansum((windows - middle[:, None]) ** 2, axis=1) / (count - 1)
        mean[first:last] = np.where(enough, middle, np.nan)
        std[first:last] = np.where(enough & (count > 1), np.sqrt(square), np.nan)
    return pd.Series(mean, x.index), pd.Series(std, x.index)
