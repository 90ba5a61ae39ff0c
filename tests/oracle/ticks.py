"""The vendor's metrics from ticks, in plain Python with exact fractions: docs/ticks.md as code.

Each function gets the ticks of one bar in order and what came before it on the same UTC day, and
returns the columns of the dataset, other readings as ``column__reading``. Undefined is None.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise

DAY = 86_400_000_000
Number = Fraction | int | float | None
Columns = dict[str, Number]


@dataclass(frozen=True, slots=True)
class Trade:
    exchange_us: int
    local_us: int
    id: str
    side: str | None
    price: float
    amount: float

    @property
    def p(self) -> Fraction:
        return Fraction(self.price)

    @property
    def q(self) -> Fraction:
        return Fraction(self.amount)

    @property
    def sign(self) -> int:
        return 1 if self.side == "buy" else -1


@dataclass(frozen=True, slots=True)
class Quote:
    exchange_us: int
    local_us: int
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float


@dataclass(frozen=True, slots=True)
class Update:
    exchange_us: int
    local_us: int
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Ticks of a bar, those before it on its UTC day, and its span."""

    ticks: list
    before: list
    start: int
    end: int
    us: Callable


def over(x: Number, y: Number) -> Number:
    return None if x is None or y is None or y == 0 else Fraction(x) / Fraction(y)


def mean(values: Iterable[Number]) -> Number:
    found = [Fraction(value) for value in values if value is not None]
    return sum(found, Fraction(0)) / len(found) if found else None


def variance(values: Sequence[Number]) -> Number:
    if len(values) < 2:
        return None
    centre = mean(values)
    return sum((Fraction(v) - centre) ** 2 for v in values) / (len(values) - 1)


def covariance(pairs: Sequence[tuple[Number, Number]]) -> Number:
    if len(pairs) < 2:
        return None
    x, y = mean(p[0] for p in pairs), mean(p[1] for p in pairs)
    return sum((Fraction(a) - x) * (Fraction(b) - y) for a, b in pairs) / (len(pairs) - 1)


def root(value: Number) -> Number:
    return None if value is None else math.sqrt(value)


def quantile(values: Iterable[Number], share: float) -> Number:
    """Interpolated; the place is a float, as DuckDB has it."""
    ordered = sorted(Fraction(v) for v in values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * Fraction(place - math.floor(place))


def moments(values: list[Fraction], prefix: str) -> Columns:
    n, centre = len(values), mean(values)
    m2, m3, m4 = (sum((v - centre) ** k for v in values) / n for k in (2, 3, 4))
    skewness = kurtosis = None
    if m2 and n > 2:
        skewness = math.sqrt(n * (n - 1)) / (n - 2) * float(m3) / float(m2) ** 1.5
    if m2 and n > 3:
        kurtosis = Fraction(n - 1, (n - 2) * (n - 3)) * ((n + 1) * m4 / m2**2 - 3 * (n - 1))
    return {
        f"{prefix}_mean": centre,
        f"{prefix}_median": quantile(values, 0.5),
        **ranks(f"{prefix}_median", values, 0.5),
        f"{prefix}_variance": variance(values),
        f"{prefix}_std": root(variance(values)),
        f"{prefix}_skewness": skewness,
        f"{prefix}_kurtosis": kurtosis,
        f"{prefix}_cv": over(root(variance(values)), centre),
    }


def ohlcv(bar: Bar) -> Columns:
    found: Columns = {}
    for suffix, trades in (("", known(bar.ticks)), ("__all_sides", bar.ticks)):
        prices = [t.p for t in trades]
        found |= {
            f"open{suffix}": prices[0] if prices else None,
            f"high{suffix}": max(prices, default=None),
            f"low{suffix}": min(prices, default=None),
            f"close{suffix}": prices[-1] if prices else None,
            f"volume{suffix}": sum(t.q for t in trades),
            f"volume_notional{suffix}": sum(t.p * t.q for t in trades),
        }
    return found


def time_averages(
    bar: Bar, values: list[tuple[int, Fraction]], carried: Number, name: str
) -> Columns:
    lasting = sum(x * (after - us) for (us, x), (after, _) in pairwise(values))
    first, last = values[0][0], values[-1][0]
    held = lasting + values[-1][1] * (bar.end - last)
    plain = mean(x for _, x in values)
    return {
        name: lasting / (last - first) if last > first else plain,
        f"{name}__mean": plain,
        f"{name}__held": held / (bar.end - first),
        f"{name}__carried_in": (
            held / (bar.end - first)
            if carried is None
            else (held + carried * (first - bar.start)) / (bar.end - bar.start)
        ),
    }


def vtwap(bar: Bar) -> Columns:
    values = [(bar.us(t), t.p) for t in bar.ticks]
    carried = bar.before[-1].p if bar.before else None
    return {
        "vwap": over(sum(t.p * t.q for t in bar.ticks), sum(t.q for t in bar.ticks)),
        **time_averages(bar, values, carried, "twap"),
    }


def sizes(trades: list[Trade]) -> dict[str, list[Trade]]:
    found: dict[str, list[Trade]] = {"small": [], "medium": [], "large": []}
    for t in trades:
        notional = t.price * t.amount
        found["small" if notional < 100 else "medium" if notional < 1000 else "large"].append(t)
    return found


def flow(bar: Bar) -> Columns:
    """All columns but the toxicity, whose two factors are ``_delta`` and ``_volatility``."""
    found: Columns = {}
    volumes, counts = {}, {}
    for side in ("buy", "sell"):
        trades = [t for t in bar.ticks if t.side == side]
        volumes[side], counts[side] = sum(t.q for t in trades), len(trades)
        found |= {f"taker_{side}_volume": volumes[side], f"taker_{side}_count": counts[side]}
        for size, part in sizes(trades).items():
            name = f"taker_{side}_{size}_order"
            notional = sum(t.p * t.q for t in part)
            found |= {
                f"{name}_volume": notional,
                f"{name}_count": len(part),
                f"{name}_percentage": over(notional, volumes[side]),
                f"{name}_count_percentage": over(len(part), counts[side]),
            }
    total = sum(volumes.values())
    shares = [float(v / total) for v in volumes.values() if v] if total else []
    delta = sum(t.sign * t.p * t.q for t in bar.ticks)
    return found | {
        "volume_delta": volumes["buy"] - volumes["sell"],
        "volume_delta_notional": delta,
        "flow_entropy": -sum(s * math.log(s) for s in shares) if total else None,
        "taker_buy_sell_ratio": over(volumes["buy"], volumes["sell"]),
        "taker_buy_sell_count_ratio": over(counts["buy"], counts["sell"]),
        "taker_buy_sell_percentage": over(volumes["buy"], total),
        "taker_buy_sell_count_percentage": over(counts["buy"], sum(counts.values())),
        "_delta": delta,
        "_volatility": root(sum((y.p / x.p - 1) ** 2 for x, y in pairwise(bar.ticks))),
    }


def with_toxicity(rows: dict[int, Columns]) -> dict[int, Columns]:
    for column, group in (("", lambda us: us // DAY), ("__since_start", lambda us: 0)):
        for _, starts in groupby(sorted(rows), key=group):
            seen: list[Columns] = []
            for start in starts:
                seen.append(rows[start])
                score: Number = 1.0
                for factor in ("_delta", "_volatility"):
                    values = [row[factor] for row in seen]
                    z = over(Fraction(values[-1]) - mean(values), root(variance(values)))
                    score = None if z is None or score is None else score * float(z)
                rows[start][f"flow_toxicity_score{column}"] = score
    return rows


def trade_size(bar: Bar) -> Columns:
    amounts = [t.q for t in bar.ticks]
    found: Columns = {"volume": sum(amounts), "n_trades": len(amounts)}
    for size, part in sizes(bar.ticks).items():
        notional = sum(t.p * t.q for t in part)
        found |= {
            f"{size}_order_volume": notional,
            f"{size}_order_count": len(part),
            f"{size}_order_percentage": over(notional, sum(amounts)),
            f"{size}_order_count_percentage": over(len(part), len(amounts)),
        }
    return found | {
        **moments(amounts, "trade_amount"),
        "trade_amount_min": min(amounts),
        "trade_amount_max": max(amounts),
        "trade_amount_range_ratio": over(max(amounts), min(amounts)),
    }


def price_range(bar: Bar) -> Columns:
    prices = [t.p for t in bar.ticks]
    high, low = max(prices), min(prices)
    return {
        "range": high - low,
        "range_bps": (high - low) / prices[-1] * 10_000,
        "price_range_ratio": high / low,
        **moments(prices, "price"),
    }


def log_returns(trades: list[Trade]) -> list[float]:
    return [math.log(y.price / x.price) for x, y in pairwise(trades)]


def returns(bar: Bar) -> Columns:
    inside = log_returns(bar.ticks)
    rv = sum(Fraction(r) ** 2 for r in inside)
    found: Columns = {"logret_var": variance(inside), "realized_vol": root(rv)}
    for suffix, r in (("", inside), ("__across", log_returns(bar.before[-1:] + bar.ticks))):
        pairs = list(pairwise(r))
        bv = math.pi / 2 * float(sum(Fraction(abs(x * y)) for x, y in pairs))
        spread = [variance([p[n] for p in pairs]) for n in (0, 1)]
        found |= {
            f"bipower_variation{suffix}": bv,
            f"jump_ratio{suffix}": 1 - bv / float(rv) if rv else None,
            f"ret_autocorr_lag1{suffix}": (
                float(covariance(pairs)) / math.sqrt(spread[0] * spread[1]) if all(spread) else None
            ),
            f"trendiness{suffix}": over(
                abs(sum(Fraction(x) for x in r)), sum(Fraction(abs(x)) for x in r)
            ),
        }
    ratio = found["jump_ratio"]
    return found | {"jump_ratio__floored": None if ratio is None else max(ratio, 0)}


def impact(bar: Bar) -> Columns:
    trades = bar.ticks
    move = abs(trades[-1].p / trades[0].p - 1)
    r = [y.p / x.p - 1 for x, y in pairwise(trades)]
    large = quantile((Fraction(t.price * t.amount) for t in trades), 0.9)
    reversals = [
        (x.sign, y.p / x.p - 1)
        for x, y in zip(trades, trades[5:], strict=False)
        if Fraction(x.price * x.amount) >= large
    ]
    found: Columns = {}
    for suffix, size in (
        ("", lambda t: t.sign * t.q),
        ("__notional", lambda t: Fraction(t.sign * t.price * t.amount)),
    ):
        pairs = list(zip(r, map(size, trades[1:]), strict=True))
        found[f"kyle_like_lambda{suffix}"] = over(
            covariance(pairs), variance([size(t) for t in trades])
        )
    sides = {s: mean(x for x, t in zip(r, trades[1:], strict=True) if t.sign == s) for s in (1, -1)}
    return found | {
        "amihud_like": over(move, sum(t.p * t.q for t in trades)),
        "impact_per_notional": over(move, abs(sum(t.sign * t.p * t.q for t in trades))),
        "large_trade_reversal": mean(x for _, x in reversals),
        "large_trade_reversal__signed": mean(s * x for s, x in reversals),
        "directional_impact_asymmetry": (None if None in sides.values() else sides[1] + sides[-1]),
    }


def updownticks(bar: Bar) -> Columns:
    trades = sorted(bar.ticks, key=lambda t: (bar.us(t), t.id))
    kinds: dict[str, list[Fraction]] = {"uptick": [], "downtick": [], "unchanged": []}
    for x, y in pairwise(trades):
        kinds["uptick" if y.p > x.p else "downtick" if y.p < x.p else "unchanged"].append(y.q)
    found: Columns = {}
    for kind, amounts in kinds.items():
        for part, value, compared, whole in (
            ("count", len(amounts), len(trades) - 1, len(trades)),
            ("volume", sum(amounts), sum(t.q for t in trades[1:]), sum(t.q for t in trades)),
        ):
            found |= {
                f"{kind}_{part}": value,
                f"{kind}_{part}_percentage": over(value, compared),
                f"{kind}_{part}_percentage__of_all_trades": over(value, whole),
            }
    for part in ("count", "volume"):
        found[f"uptick_downtick_{part}_ratio"] = over(
            found[f"uptick_{part}"], found[f"downtick_{part}"]
        )
    return found


def run_structure(bar: Bar) -> Columns:
    runs: dict[int, list[int]] = {1: [], -1: []}
    for sign, group in groupby(bar.ticks, key=lambda t: t.sign):
        runs[sign].append(len(list(group)))
    flips = [abs(y.p / x.p - 1) for x, y in pairwise(bar.ticks) if x.sign != y.sign]
    longest = {sign: max(lengths, default=0) for sign, lengths in runs.items()}
    n = len(bar.ticks)
    return {
        "buy_run_max_len": longest[1],
        "sell_run_max_len": longest[-1],
        "buy_run_mean_len": mean(runs[1]) or 0,
        "sell_run_mean_len": mean(runs[-1]) or 0,
        "run_imbalance": over(longest[1] - longest[-1], longest[1] + longest[-1]),
        "flip_rate": over(len(flips), n),
        "flip_rate__of_transitions": over(len(flips), n - 1),
        "price_change_on_flip": mean(flips),
    }


def slippage(bar: Bar, quotes: list[Quote]) -> Columns:
    found = _slippage(bar, quotes, DAY)
    for reading, age in (("within_5s", 5_000_000), ("within_1m", 60_000_000)):
        fresh = _slippage(bar, quotes, age)
        found |= {f"{name}__{reading}": value for name, value in fresh.items() if "__" not in name}
    return found


def ranks(name: str, values: Sequence[Fraction], rank: float) -> Columns:
    return {
        f"{name}__rank_low": quantile(values, round(rank - 0.005, 3)),
        f"{name}__rank_high": quantile(values, round(rank + 0.005, 3)),
    }


def _slippage(bar: Bar, quotes: list[Quote], oldest: int) -> Columns:
    costs = []
    for t in bar.ticks:
        before = [q for q in quotes if bar.us(q) <= bar.us(t)]
        if before and bar.us(t) - bar.us(before[-1]) > oldest:
            continue
        if before and before[-1].bid_price and before[-1].ask_price:
            bid, ask = Fraction(before[-1].bid_price), Fraction(before[-1].ask_price)
            cost = t.p - ask if t.side == "buy" else bid - t.p
            costs.append((t, cost, cost / ((bid + ask) / 2) * 10_000))
    if not costs:
        return {}
    bps = [c for _, _, c in costs]
    sides = {s: mean(c for t, _, c in costs if t.side == s) for s in ("buy", "sell")}
    return {
        "slippage_mean": mean(c for _, c, _ in costs),
        "slippage_bps_mean": mean(bps),
        "slippage_bps_std": root(variance(bps)),
        "slippage_bps_median": quantile(bps, 0.5),
        "slippage_bps_p95": quantile(bps, 0.95),
        "slippage_bps_vwap": over(sum(c * t.q for t, _, c in costs), sum(t.q for t, _, _ in costs)),
        "slippage_bps_buy_mean": sides["buy"],
        "slippage_bps_sell_mean": sides["sell"],
        "slippage_bps_buy_sell_ratio": over(sides["buy"], sides["sell"]),
        "slippage_bps_sell_buy_ratio": over(sides["sell"], sides["buy"]),
        "n_trades": len(costs),
        **ranks("slippage_bps_median", bps, 0.5),
        **ranks("slippage_bps_p95", bps, 0.95),
    }


def quote_values(q: Quote) -> Columns:
    bid, ask = Fraction(q.bid_price) or None, Fraction(q.ask_price) or None
    bq, aq = Fraction(q.bid_amount), Fraction(q.ask_amount)
    priced = bid is not None and ask is not None
    deep = bool(bq and aq)
    dollars = (bid * bq if bid and bq else None, ask * aq if ask and aq else None)
    return {
        "bid_price": bid,
        "ask_price": ask,
        "bid_amount": bq or None,
        "ask_amount": aq or None,
        "midprice": (bid + ask) / 2 if priced else None,
        "weighted_midprice": over(bid * aq + ask * bq, bq + aq) if priced else None,
        "weighted_midprice_own": over(bid * bq + ask * aq, bq + aq) if priced else None,
        "imbalance": bq - aq,
        "imbalance_ratio": over(bq - aq, bq + aq),
        "bid_ask_ratio": over(bq, aq),
        "bid_percentage": over(bq, bq + aq),
        "ask_percentage": over(aq, bq + aq),
        "spread": abs(ask - bid) if priced else None,
        "spread_bps": abs(ask - bid) / ((bid + ask) / 2) * 10_000 if priced else None,
        "spread_depth_ratio": abs(ask - bid) / (bq + aq) if priced and deep else None,
        "total_depth": bq + aq if deep else None,
        "dollar_depth_bid": dollars[0],
        "dollar_depth_ask": dollars[1],
        "total_dollar_depth": None if None in dollars else sum(dollars),
    }


def last_of(bar: Bar, column: str, *, first_of_ties: bool = False) -> Number:
    found = [(bar.us(q), quote_values(q)[column]) for q in bar.ticks]
    found = [(us, value) for us, value in found if value is not None]
    if not found:
        return None
    tied = [value for us, value in found if us == found[-1][0]]
    return tied[0 if first_of_ties else -1]


def l1_price(bar: Bar) -> Columns:
    names = ["ask_price", "bid_price", "ask_amount", "bid_amount", "midprice", "weighted_midprice"]
    found: Columns = {name: last_of(bar, name) for name in names}
    found |= {f"{n}__first_of_ties": last_of(bar, n, first_of_ties=True) for n in names}
    found["weighted_midprice__own_size"] = last_of(bar, "weighted_midprice_own")
    for side in ("ask", "bid"):

        def priced(quotes: list[Quote], side: str = side) -> list[tuple[int, Fraction, Fraction]]:
            return [
                (bar.us(q), Fraction(p), Fraction(getattr(q, f"{side}_amount")))
                for q in quotes
                if (p := getattr(q, f"{side}_price"))
            ]

        rows, before = priced(bar.ticks), priced(bar.before)
        name = f"{side}_price_twap"
        if rows:
            carried = before[-1][1] if before else None
            found |= time_averages(bar, [(us, p) for us, p, _ in rows], carried, name)
        found[f"{side}_price_vwap"] = over(sum(p * q for _, p, q in rows), sum(q for *_, q in rows))
    seconds = Fraction(bar.end - bar.start, 1_000_000)
    prices = [(q.bid_price, q.ask_price) for q in bar.ticks]
    changes = 1 + sum(x != y for x, y in pairwise(prices))
    return found | {
        "quote_update_frequency": len(bar.ticks) / seconds,
        "avg_update_interval": seconds / len(bar.ticks),
        "quote_update_frequency__price_changes": changes / seconds,
        "avg_update_interval__price_changes": seconds / changes,
    }


def of_quotes(*names: str) -> Callable[[Bar], Columns]:
    def columns(bar: Bar) -> Columns:
        found: Columns = {name: last_of(bar, name) for name in names}
        found |= {f"{n}__first_of_ties": last_of(bar, n, first_of_ties=True) for n in names}
        return found | {f"{n}_avg": mean(quote_values(q)[n] for q in bar.ticks) for n in names}

    return columns


l1_imbalance = of_quotes(
    "imbalance", "imbalance_ratio", "bid_ask_ratio", "bid_percentage", "ask_percentage"
)
l1_liquidity = of_quotes(
    *("spread", "spread_bps", "spread_depth_ratio", "total_depth"),
    *("dollar_depth_bid", "dollar_depth_ask", "total_dollar_depth"),
)


def change_of(updates: list[Fraction]) -> Number:
    return over(updates[-1] - updates[0], updates[0]) if updates else None


def funding(bar: Bar) -> Columns:
    values = [u.value for u in bar.before[-1:] + bar.ticks]
    changes = sum(x != y for x, y in pairwise(values)) + (not bar.before)
    seconds = Fraction(bar.end - bar.start, 1_000_000)
    return {
        "funding_rate": bar.ticks[-1].value,
        "funding_rate_update_frequency": changes / seconds,
        "funding_rate_avg_update_interval": over(seconds, changes),
    }


def open_interest(bar: Bar, marks: list[Update]) -> Columns:
    values = [Fraction(u.value) for u in bar.ticks]
    steps = [y / x - 1 for x, y in pairwise(values) if x != y]
    volatility = root(variance(steps))
    inside = [Fraction(m.value) for m in marks if bar.start <= bar.us(m) < bar.end]
    return {
        "open_interest": values[-1],
        "open_interest_pct_change": change_of(values) * 100,
        "open_interest_volatility": volatility,
        "open_interest_volatility__percent": None if volatility is None else volatility * 100,
        "oi_price_change_ratio": over(change_of(values), change_of(inside)),
    }


def basis(bar: Bar, indices: list[Update], trades: list[Trade]) -> Columns:
    found: dict[str, list[Number]] = defaultdict(list)
    for mark in bar.ticks:
        for name, others in (("basis", indices), ("mark_price_spread", trades)):
            earlier = [o for o in others if bar.us(mark) // DAY * DAY <= bar.us(o) <= bar.us(mark)]
            other = None
            if earlier:
                other = Fraction(getattr(earlier[-1], "price", 0) or earlier[-1].value)
            value = None if other is None else Fraction(mark.value) - other
            found[name].append(value)
            bps = None if value is None else float(mark.value - float(other)) / float(other) * 1e4
            found[f"{name}_bps"].append(bps)
    rows: Columns = {
        name: next((v for v in reversed(values) if v is not None), None)
        for name, values in found.items()
    }
    for name in ("basis", "mark_price_spread"):
        for column, use in ((name, mean), (f"{name}_bps", lambda v: root(variance(v)))):
            values = found[column]
            changed = [
                v for n, v in enumerate(values) if v is not None and (not n or v != values[n - 1])
            ]
            rows[f"{name}_mean" if use is mean else f"{name}_bps_std"] = use(changed)
    return rows


def derivative_price(bar: Bar, indices: list[Update], trades: list[Trade]) -> Columns:
    values = {
        "last": [t.p for t in trades if bar.start <= bar.us(t) < bar.end],
        "index": [Fraction(i.value) for i in indices if bar.start <= bar.us(i) < bar.end],
        "mark": [Fraction(m.value) for m in bar.ticks],
    }
    changes = {name: change_of(found) for name, found in values.items()}
    rows: Columns = {}
    for name, found in values.items():
        rows[f"{name}_price"] = found[-1] if found else None
        rows[f"{name}_price_pct_change"] = None if changes[name] is None else changes[name] * 100
    for x, y in (("mark", "index"), ("mark", "last"), ("index", "last")):
        rows[f"{x}_{y}_pct_change_ratio"] = over(changes[x], changes[y])
    return rows


def known(trades: list[Trade]) -> list[Trade]:
    return [t for t in trades if t.side in ("buy", "sell")]


def in_bars(ticks: list, width: int, us: Callable) -> dict[int, Bar]:
    """Bars of ordered ticks by their start."""
    found = {}
    for start, group in groupby(ticks, key=lambda t: us(t) // width * width):
        before = [t for t in ticks if start // DAY * DAY <= us(t) < start]
        found[start] = Bar(list(group), before, start, start + width, us)
    return found
