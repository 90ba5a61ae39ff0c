"""The simulated market: equal bytes, sums that belong together, the vendor's shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.market import DATASETS, EVENTS, Market, bars, write_market
from warehouse.errors import UsageError
from warehouse.simulator.fold import WIDTHS
from warehouse.simulator.instrument import Instrument
from warehouse.simulator.process import Minutes
from warehouse.vendor.contracts import load_contracts

BTC, COIN = "perpetual-BTC-USDT:USDT", "perpetual-WLD-USDT:USDT"
MONTH = Market(end=date(2025, 10, 1))
TORN = replace(MONTH, gaps=60, missing_bars=0.01)
SHAPES = [
    (MONTH, BTC, "5m", "true"),
    (MONTH, BTC, "1h", "exchange"),
    (TORN, COIN, "5m", "exchange"),
    (TORN, COIN, "1h", "true"),
]
shapes = pytest.mark.parametrize(("market", "symbol", "interval", "clock"), SHAPES)


@cache
def frame(
    market: Market, dataset: str, symbol: str, interval: str, clock: str
) -> dict[str, np.ndarray]:
    """Columns of a series; counts stay whole, all else is float64. Gaps are those of the market."""
    table = bars(market, dataset, symbol=symbol, interval=interval, clock=clock)
    return {
        name: column.to_numpy()
        if not pa.types.is_floating(column.type)
        else column.to_numpy().astype(np.float64)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def whole(market: Market) -> Market:
    """The same market without missing single bars: its datasets share one grid."""
    return replace(market, missing_bars=0.0)


def close_to(found: np.ndarray, expected: np.ndarray, *, scale: np.ndarray | float = 0.0) -> None:
    """Equal but for float32 rounding, of the values or of the ``scale`` they are differences of."""
    bound = 2e-6 * np.maximum(np.abs(expected), scale) + 1e-30
    both_off = ~np.isfinite(found) & ~np.isfinite(expected)
    assert np.all(both_off | (np.abs(found - expected) <= bound))


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    """Equal to the last bit, where NaN equals NaN."""
    assert found.schema == expected.schema
    for name in expected.column_names:
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy())


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# Equal markets, equal bytes


def test_write_market_twice_in_another_order_gives_equal_bytes(tmp_path: Path) -> None:
    datasets = ("ohlcv", "flow", "l1_price", "raw_funding_rate", "range")
    market = Market(
        symbols=(BTC, COIN),
        datasets=datasets,
        intervals=("1h", "1d"),
        clocks=("true", "exchange"),
        end=date(2025, 9, 2),
        gaps=30,
        missing_bars=0.1,
    )
    turned = replace(
        market,
        symbols=market.symbols[::-1],
        datasets=datasets[::-1],
        intervals=market.intervals[::-1],
        clocks=market.clocks[::-1],
    )
    assert write_market(tmp_path / "a", market)
    write_market(tmp_path / "b", turned)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")

    subset = replace(market, symbols=(COIN,), datasets=("flow",), clocks=("exchange",))
    write_market(tmp_path / "c", subset)
    part = files_of(tmp_path / "c")
    assert len(part) == 2
    assert part.items() <= files_of(tmp_path / "a").items()

    write_market(tmp_path / "d", replace(subset, seed=8))
    assert not part.items() & files_of(tmp_path / "d").items()


@pytest.mark.parametrize("dataset", ["ohlcv", "flow", "basis", "slippage"])
def test_bars_of_a_part_of_the_span_equal_the_whole(dataset: str) -> None:
    market = replace(TORN, end=date(2025, 11, 1))
    series = {"symbol": COIN, "interval": "15m", "clock": "exchange"}
    start, end = date(2025, 9, 20), date(2025, 10, 7)
    part = bars(replace(market, start=start, end=end), dataset, **series)
    everything = bars(market, dataset, **series)
    time = everything["time"].to_numpy()
    inside = (time >= np.datetime64(start)) & (time < np.datetime64(end))
    assert_same(part, everything.filter(inside))
    assert_same(part, bars(market, dataset, **series, start=start, end=end))


def test_prices_go_on_from_month_to_month() -> None:
    clock, market = "exchange", Market(start=date(2025, 8, 1), end=date(2025, 12, 1))
    candle = frame(market, "ohlcv", BTC, "1h", clock)
    assert np.array_equal(candle["open"][1:], candle["close"][:-1])
    first = candle["time"].astype("datetime64[M]").astype(int)
    edges = np.flatnonzero(np.diff(first))
    assert len(edges) == 3
    for name, dataset in {
        "open_interest": "open_interest",
        "mark_price": "derivative_price",
    }.items():
        value = frame(market, dataset, BTC, "1h", clock)[name]
        steps = np.abs(np.diff(np.log(value)))
        assert steps[edges].max() < 6 * np.median(steps)


# The vendor's shape


KINDS = {
    "TIMESTAMP": {pa.timestamp("us")},
    "TIMESTAMPTZ": {pa.timestamp("us", tz="UTC")},
    "BIGINT": {pa.int64()},
    "DOUBLE": {pa.float32(), pa.float64()},
    "VARCHAR": {pa.string()},
}


def off_the_contract(table: pa.Table, dataset: str, optional: Sequence[str] = ()) -> list[str]:
    """What differs in names, order or types of columns."""
    expected = [
        column
        for column in load_contracts()[dataset].columns
        if column.expected or column.name in optional
    ]
    if table.column_names != [column.name for column in expected]:
        return [f"{dataset}: {table.column_names}"]
    return [
        f"{dataset}.{column.name}: {table.schema.field(column.name).type}"
        for column in expected
        if table.schema.field(column.name).type not in KINDS[column.type]
    ]


def test_columns_and_types_of_a_metric_are_the_contract() -> None:
    day = replace(MONTH, end=date(2025, 9, 2))
    for dataset in DATASETS:
        last = load_contracts()[dataset].clocks[-1]
        for interval, clock in (("1m", "exchange"), ("4h", last)):
            table = bars(day, dataset, symbol=COIN, interval=interval, clock=clock)
            assert off_the_contract(table, dataset) == []
            assert table.num_rows == 1440 // WIDTHS[interval], dataset
            assert sum(column.null_count for column in table.columns) == 0, dataset


def test_columns_and_types_of_raw_data_are_the_contract() -> None:
    for exchange in ("binance-futures", "hyperliquid-perps"):
        day = replace(MONTH, exchange=exchange, end=date(2025, 9, 2))
        for dataset in EVENTS:
            table = bars(day, dataset, symbol=BTC)
            modelled = exchange.startswith("hyper") and dataset not in ("raw_trades", "raw_quotes")
            optional = ["exchange_timestamp_kind"] if modelled else []
            assert off_the_contract(table, dataset, optional) == []
            assert pa.float32() not in table.schema.types, dataset
            time = table["exchange_timestamp"].to_numpy()
            assert np.all(np.diff(time) >= np.timedelta64(0, "us")), dataset
            assert np.all(table["local_timestamp"].to_numpy() > time), dataset


def test_values_are_within_the_bounds_of_the_contract() -> None:
    outside = [
        f"{dataset}.{column.name} of {symbol}, {interval}"
        for dataset in DATASETS
        for symbol in (BTC, COIN)
        for interval in ("5m", "1h")
        for column in load_contracts()[dataset].columns
        if column.expected
        for values in [frame(MONTH, dataset, symbol, interval, "exchange")[column.name]]
        if (column.minimum is not None and not np.nanmin(values) >= column.minimum)
        or (column.maximum is not None and not np.nanmax(values) <= column.maximum)
    ]
    assert outside == []


def test_files_are_where_the_vendor_puts_them(tmp_path: Path) -> None:
    market = replace(MONTH, symbols=(BTC,), datasets=("ohlcv", "l2_liquidity", "raw_open_interest"))
    market = replace(market, intervals=("1h",), clocks=("true", "exchange"), end=date(2025, 9, 3))
    written = write_market(tmp_path, market)
    place = "exchange=binance-futures/symbol=perpetual-BTC-USDT%3AUSDT"
    assert sorted(files_of(tmp_path)) == [
        f"l2_liquidity/{place}/interval=1h/timestamp=exchange/2025-09.parquet",
        f"ohlcv/{place}/interval=1h/timestamp=exchange/2025-09.parquet",
        f"ohlcv/{place}/interval=1h/timestamp=true/2025-09.parquet",
        f"raw/open_interest/{place}/year=2025/month=09/data.parquet",
    ]
    for path in written:
        metadata = pq.read_metadata(path)
        assert metadata.metadata[b"warehouse.simulated"] == b"true"
        assert metadata.num_row_groups == 1
        column = metadata.row_group(0).column(0)
        assert column.is_stats_set
        assert column.compression == "ZSTD"


def test_daily_files_follow_a_partial_month_that_may_overlap(tmp_path: Path) -> None:
    market = Market(
        symbols=(BTC,),
        datasets=("flow", "raw_funding_rate"),
        intervals=("1h",),
        start=date(2025, 9, 28),
        end=date(2025, 11, 2),
        daily_from=date(2025, 10, 30),
        overlap_days=1,
    )
    written = write_market(tmp_path, market)
    days = ["2025-10-30", "2025-10-31", "2025-11-01"]
    metric = [path for path in written if "interval=1h" in path.parent.parent.name]
    assert sorted(path.stem for path in metric) == ["2025-09", "2025-10", *days]
    raw = [path.parent.as_posix() for path in written if path.name == "data.parquet"]
    assert [path[path.index("year=") :] for path in sorted(raw)] == [
        "year=2025/month=09",
        "year=2025/month=10",
        *(f"year={day[:4]}/month={day[5:7]}/day={day[8:]}" for day in days),
    ]
    read = {path.stem: pq.ParquetFile(path).read() for path in metric}
    assert {stem: table.num_rows // 24 for stem, table in read.items()} == {
        "2025-09": 3,
        "2025-10": 30,
        **dict.fromkeys(days, 1),
    }
    assert_same(read["2025-10"].slice(29 * 24), read["2025-10-30"])


# Gaps


def test_gaps_are_the_same_in_every_dataset_and_interval() -> None:
    market = whole(TORN)
    minutes = frame(market, "ohlcv", COIN, "1m", "true")["time"]
    assert 43_200 * 0.5 < len(minutes) < 43_200
    for interval in ("5m", "1h"):
        width = WIDTHS[interval]
        expected = np.unique(minutes.astype("datetime64[m]").astype(int) // width)
        for dataset in DATASETS:
            time = frame(market, dataset, COIN, interval, "exchange")["time"]
            found = time.astype("datetime64[m]").astype(int) // width
            assert np.array_equal(found, expected), (dataset, interval)
    quotes = bars(market, "raw_quotes", symbol=COIN)["exchange_timestamp"].to_numpy()
    active = np.unique(quotes.astype("datetime64[m]"))
    assert np.array_equal(active, minutes.astype("datetime64[m]"))
    other = frame(market, "ohlcv", BTC, "1m", "true")["time"]
    assert not np.array_equal(minutes, other)


def test_missing_bars_are_single_bars_of_one_dataset() -> None:
    market = replace(MONTH, missing_bars=0.02)
    full = frame(MONTH, "ohlcv", BTC, "5m", "true")
    torn = frame(market, "ohlcv", BTC, "5m", "true")
    kept = np.isin(full["time"], torn["time"])
    assert 0.01 < 1 - kept.mean() < 0.03
    for name, values in torn.items():
        assert np.array_equal(values, full[name][kept])
    assert np.array_equal(torn["time"], frame(market, "ohlcv", BTC, "5m", "exchange")["time"])
    assert not np.array_equal(torn["time"], frame(market, "flow", BTC, "5m", "true")["time"])


# What belongs together


@shapes
def test_candles_and_flow_agree(market: Market, symbol: str, interval: str, clock: str) -> None:
    candle = frame(whole(market), "ohlcv", symbol, interval, clock)
    flow = frame(whole(market), "flow", symbol, interval, clock)
    sizes = frame(whole(market), "trade_size", symbol, interval, clock)
    assert np.all(candle["low"] <= np.minimum(candle["open"], candle["close"]))
    assert np.all(candle["high"] >= np.maximum(candle["open"], candle["close"]))
    buy, sell = flow["taker_buy_volume"], flow["taker_sell_volume"]
    close_to(buy + sell, candle["volume"])
    close_to(sizes["volume"], candle["volume"])
    close_to(flow["volume_delta"], buy - sell, scale=buy + sell)
    total = np.zeros(len(buy))
    for side, volume in (("buy", buy), ("sell", sell)):
        count = flow[f"taker_{side}_count"]
        counts = [flow[f"taker_{side}_{size}_order_count"] for size in ("small", "medium", "large")]
        assert np.array_equal(sum(counts), count)
        notional = np.zeros(len(buy))
        for size, bucket in zip(("small", "medium", "large"), counts, strict=True):
            worth = flow[f"taker_{side}_{size}_order_volume"]
            notional += worth
            close_to(flow[f"taker_{side}_{size}_order_percentage"], worth / volume)
            close_to(flow[f"taker_{side}_{size}_order_count_percentage"], bucket / count)
            low, high = {"small": (0, 100), "medium": (100, 1e3), "large": (1e3, 1e9)}[size]
            assert np.all((worth >= low * bucket) & (worth <= high * bucket * (1 + 1e-6)))
        total += notional if side == "buy" else -notional
        price = notional / volume
        assert np.all((price > candle["low"] * 0.999999) & (price < candle["high"] * 1.000001))
    close_to(flow["volume_delta_notional"], total, scale=candle["volume_notional"])
    for size in ("small", "medium", "large"):
        for what in ("count", "volume"):
            sides = [flow[f"taker_{side}_{size}_order_{what}"] for side in ("buy", "sell")]
            close_to(sizes[f"{size}_order_{what}"], sides[0] + sides[1])
        close_to(sizes[f"{size}_order_percentage"], sizes[f"{size}_order_volume"] / sizes["volume"])


@shapes
def test_ratios_of_flow_follow_the_vendor(
    market: Market, symbol: str, interval: str, clock: str
) -> None:
    flow = frame(market, "flow", symbol, interval, clock)
    buy, sell = flow["taker_buy_volume"], flow["taker_sell_volume"]
    share = buy / (buy + sell)
    close_to(flow["taker_buy_sell_ratio"], buy / sell)
    close_to(flow["taker_buy_sell_percentage"], share)
    close_to(
        flow["flow_entropy"], -share * np.log(share) - (1 - share) * np.log(1 - share), scale=1
    )
    number = flow["taker_buy_count"] + flow["taker_sell_count"]
    close_to(flow["taker_buy_sell_count_percentage"], flow["taker_buy_count"] / number)
    close_to(flow["taker_buy_sell_count_ratio"], flow["taker_buy_count"] / flow["taker_sell_count"])


@pytest.mark.parametrize("interval", ["5m", "1h", "1d"])
def test_toxicity_restarts_each_day_and_at_1d_each_month(interval: str) -> None:
    market = whole(TORN if interval == "5m" else replace(TORN, end=date(2025, 11, 1)))
    flow = frame(market, "flow", COIN, interval, "true")
    returns = frame(market, "returns", COIN, interval, "true")
    group = flow["time"].astype(f"datetime64[{'M' if interval == '1d' else 'D'}]")
    for first in np.unique(group):
        rows = np.flatnonzero(group == first)
        expected = np.full(len(rows), np.nan)
        for place in range(1, len(rows)):
            score = 1.0
            for values in (flow["volume_delta_notional"], returns["realized_vol"]):
                seen = values[rows[: place + 1]]
                score *= (seen[-1] - seen.mean()) / seen.std(ddof=1)
            expected[place] = score
        found = flow["flow_toxicity_score"][rows]
        assert np.isnan(found[0])
        assert len(rows) < 2 or abs(found[1]) == 0.5
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@shapes
def test_trade_measures_agree(market: Market, symbol: str, interval: str, clock: str) -> None:
    def get(dataset: str) -> dict[str, np.ndarray]:
        return frame(whole(market), dataset, symbol, interval, clock)

    candle, flow, price = get("ohlcv"), get("flow"), get("range")
    close_to(price["range"], candle["high"] - candle["low"])
    close_to(price["range_bps"], (candle["high"] - candle["low"]) / candle["close"] * 1e4)
    close_to(price["price_variance"], price["price_std"] ** 2)
    for name in ("price_mean", "price_median"):
        assert np.all((price[name] >= candle["low"]) & (price[name] <= candle["high"]))
    averages = get("vtwap")
    close_to(averages["vwap"], candle["volume_notional"] / candle["volume"])
    assert np.array_equal(averages["twap"], price["price_mean"])

    sizes = get("trade_size")
    close_to(sizes["trade_amount_mean"], sizes["volume"] / sizes["n_trades"])
    ordered = ["trade_amount_min", "trade_amount_median", "trade_amount_max"]
    for low, high in pairwise(ordered):
        assert np.all(sizes[low] <= sizes[high] * (1 + 1e-6))
    close_to(sizes["trade_amount_cv"], sizes["trade_amount_std"] / sizes["trade_amount_mean"])

    impact = get("impact")
    change = np.abs(candle["close"] / candle["open"] - 1)
    close_to(impact["amihud_like"], change / candle["volume_notional"])
    close_to(impact["impact_per_notional"], change / np.abs(flow["volume_delta_notional"]))

    ticks, runs = get("updownticks"), get("run_structure")
    kinds = ("uptick", "downtick", "unchanged")
    assert np.array_equal(sum(ticks[f"{kind}_count"] for kind in kinds), sizes["n_trades"])
    close_to(sum(ticks[f"{kind}_volume"] for kind in kinds), candle["volume_notional"])
    for side in ("buy", "sell"):
        longest = runs[f"{side}_run_max_len"]
        assert np.all(longest >= runs[f"{side}_run_mean_len"] * (1 - 1e-6))
        assert np.all(longest <= flow[f"taker_{side}_count"])

    returns, cost = get("returns"), get("slippage")
    jump = 1 - returns["bipower_variation"] / returns["realized_vol"] ** 2
    close_to(returns["jump_ratio"], jump, scale=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = cost["slippage_bps_buy_mean"] / cost["slippage_bps_sell_mean"]
    close_to(cost["slippage_bps_buy_sell_ratio"], ratio)


@shapes
def test_book_measures_agree(market: Market, symbol: str, interval: str, clock: str) -> None:
    def get(dataset: str) -> dict[str, np.ndarray]:
        return frame(whole(market), dataset, symbol, interval, clock)

    quote, imbalance, liquidity = get("l1_price"), get("l1_imbalance"), get("l1_liquidity")
    bid, ask, mid = quote["bid_price"], quote["ask_price"], quote["midprice"]
    bid_amount, ask_amount = quote["bid_amount"], quote["ask_amount"]
    depth = bid_amount + ask_amount
    assert np.all((bid < mid) & (mid < ask))
    assert np.all((bid_amount > 0) & (ask_amount > 0))
    close_to(quote["weighted_midprice"], (bid * ask_amount + ask * bid_amount) / depth)
    assert np.all((quote["weighted_midprice"] > bid) & (quote["weighted_midprice"] < ask))
    candle = get("ohlcv")
    assert np.all((candle["close"] == bid) | (candle["close"] == ask))
    for side in ("bid", "ask"):
        for kind in ("twap", "vwap"):
            near = np.abs(quote[f"{side}_price_{kind}"] / mid - 1)
            assert near.max() < 0.1
            assert np.median(near) < 0.01
    assert np.all(quote["ask_price_twap"] > quote["bid_price_twap"])
    close_to(quote["avg_update_interval"], 1 / quote["quote_update_frequency"])

    close_to(liquidity["spread"], ask - bid)
    close_to(liquidity["spread_bps"], (ask - bid) / mid * 1e4)
    close_to(liquidity["total_depth"], depth)
    close_to(liquidity["dollar_depth_bid"], bid * bid_amount)
    close_to(liquidity["total_dollar_depth"], bid * bid_amount + ask * ask_amount)
    close_to(imbalance["imbalance"], bid_amount - ask_amount, scale=depth)
    close_to(imbalance["imbalance_ratio"], (bid_amount - ask_amount) / depth, scale=1)
    close_to(imbalance["bid_ask_ratio"], bid_amount / ask_amount)
    close_to(imbalance["bid_percentage_avg"] + imbalance["ask_percentage_avg"], np.ones(len(bid)))


@pytest.mark.parametrize("interval", ["5m", "1h"])
def test_depth_grows_from_the_top_of_the_book(interval: str) -> None:
    top = frame(MONTH, "l1_price", BTC, interval, "exchange")
    depth = frame(MONTH, "l2_liquidity", BTC, interval, "exchange")
    lean = frame(MONTH, "l2_imbalance", BTC, interval, "exchange")
    for side in ("bid", "ask"):
        for suffix in ("", "_avg"):
            levels = [depth[f"{side}_agg_{level}{suffix}"] for level in (5, 10, 20, 25)]
            assert np.all(np.diff(levels, axis=0) > 0)
        assert np.all(depth[f"{side}_agg_5"] > top[f"{side}_amount"])
    for level in (5, 10, 20, 25):
        bid, ask = depth[f"bid_agg_{level}"], depth[f"ask_agg_{level}"]
        close_to(lean[f"imbalance_{level}"], bid - ask, scale=bid + ask)
        close_to(lean[f"imbalance_ratio_{level}"], (bid - ask) / (bid + ask), scale=1)
        close_to(lean[f"bid_ask_ratio_{level}"], bid / ask)
        average = depth[f"bid_agg_{level}_avg"] - depth[f"ask_agg_{level}_avg"]
        close_to(lean[f"imbalance_{level}_avg"], average, scale=bid + ask)


@shapes
def test_derivatives_agree(market: Market, symbol: str, interval: str, clock: str) -> None:
    def get(dataset: str) -> dict[str, np.ndarray]:
        return frame(whole(market), dataset, symbol, interval, clock)

    price, basis, candle = get("derivative_price"), get("basis"), get("ohlcv")
    mark, index = price["mark_price"], price["index_price"]
    assert np.array_equal(price["last_price"], candle["close"])
    assert np.array_equal(basis["basis"], mark - index)
    close_to(basis["basis_bps"], basis["basis"] / index * 1e4)
    assert np.array_equal(basis["mark_price_spread"], mark - price["last_price"])
    percent = (candle["close"] / candle["open"] - 1) * 100
    close_to(price["last_price_pct_change"], percent, scale=1e-6)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = price["mark_price_pct_change"] / price["index_price_pct_change"]
    close_to(price["mark_index_pct_change_ratio"], ratio)

    funding, interest = get("funding"), get("open_interest")
    close_to(
        funding["funding_rate_avg_update_interval"], 1 / funding["funding_rate_update_frequency"]
    )
    assert np.all(interest["open_interest"] > 0)
    whole_steps = np.diff(interest["time"]) == np.timedelta64(WIDTHS[interval], "m")
    change = np.diff(interest["open_interest"]) / interest["open_interest"][:-1] * 100
    if market is MONTH:
        close_to(interest["open_interest_pct_change"][1:], change, scale=1)
        assert whole_steps.all()


def test_funding_restarts_at_each_settlement() -> None:
    found = frame(MONTH, "funding", BTC, "5m", "true")
    step = np.abs(np.diff(found["funding_rate"]))
    settles = found["time"][1:].astype("datetime64[m]").astype(int) % 480 == 0
    late = found["time"][1:].astype("datetime64[m]").astype(int) % 480 >= 240
    assert np.median(step[settles]) > 20 * np.median(step[late])


# From short bars to long ones


@pytest.mark.parametrize("market", [MONTH, whole(TORN)])
def test_hours_are_the_sum_of_their_five_minutes(market: Market) -> None:
    symbol, clock = COIN, "exchange"
    short = {dataset: frame(market, dataset, symbol, "5m", clock) for dataset in DATASETS}
    long = {dataset: frame(market, dataset, symbol, "1h", clock) for dataset in DATASETS}
    hour = short["flow"]["time"].astype("datetime64[h]")
    starts = np.flatnonzero(np.diff(hour.astype(int), prepend=-1))
    ends = np.append(starts[1:], len(hour)) - 1
    assert np.array_equal(hour[starts], long["flow"]["time"])
    number = short["trade_size"]["n_trades"].astype(float)
    longest = ("trade_amount_max", "buy_run_max_len", "sell_run_max_len", "high")

    def check(dataset: str, name: str) -> bool:
        values, found = short[dataset][name], long[dataset][name]
        if name.endswith(("_count", "_volume", "n_trades", "volume_notional")) or name == "volume":
            close_to(found, np.add.reduceat(values, starts))
        elif name in longest:
            close_to(found, np.maximum.reduceat(values, starts))
        elif name in ("low", "trade_amount_min"):
            close_to(found, np.minimum.reduceat(values, starts))
        elif name == "open":
            assert np.array_equal(found, values[starts])
        elif name in ("close", "open_interest", "funding_rate") or dataset == "l1_price":
            if not name.endswith(("wap", "frequency", "interval")):
                assert np.array_equal(found, values[ends])
        elif name == "realized_vol":
            close_to(found**2, np.add.reduceat(values**2, starts), scale=1e-12)
        elif name == "price_mean":
            close_to(
                found, np.add.reduceat(values * number, starts) / np.add.reduceat(number, starts)
            )
        else:
            return False
        return True

    checked = [
        check(dataset, name) for dataset in DATASETS for name in short[dataset] if name != "time"
    ]
    assert sum(checked) > 50


# The process


def test_clocks_differ_a_little() -> None:
    true, exchange = (frame(MONTH, "flow", BTC, "5m", clock) for clock in ("true", "exchange"))
    assert np.array_equal(true["time"], exchange["time"])
    volume = [clock["taker_buy_volume"] for clock in (true, exchange)]
    assert not np.array_equal(*volume)
    assert 0 < np.mean(np.abs(volume[0] - volume[1])) / volume[0].std() < 0.02
    assert volume[0].sum() == pytest.approx(volume[1].sum(), rel=1e-4)


def test_market_looks_like_a_market() -> None:
    candle = frame(MONTH, "ohlcv", BTC, "1h", "true")
    flow = frame(MONTH, "flow", BTC, "1h", "true")
    book = frame(MONTH, "l1_liquidity", BTC, "1h", "true")
    assert candle["open"][0] == pytest.approx(108_200, rel=1e-3)
    assert frame(MONTH, "ohlcv", "perpetual-ETH-USDT:USDT", "1h", "true")["open"][0] == (
        pytest.approx(4_400, rel=1e-3)
    )
    assert 3_000 < np.mean(candle["volume"]) < 15_000
    assert 0.1 <= np.mean(book["spread"]) < 0.2
    large = flow["taker_buy_large_order_count"] + flow["taker_sell_large_order_count"]
    number = flow["taker_buy_count"] + flow["taker_sell_count"]
    assert np.mean(large / number) == pytest.approx(0.27, abs=0.02)
    change = np.diff(np.log(frame(MONTH, "ohlcv", BTC, "5m", "true")["close"]))
    clustering = np.corrcoef(np.abs(change[1:]), np.abs(change[:-1]))[0, 1]
    assert clustering > 0.1
    assert abs(np.corrcoef(change[1:], change[:-1])[0, 1]) < 0.05
    assert np.mean(change**4) / np.mean(change**2) ** 2 > 4
    delta = np.corrcoef(flow["volume_delta"], candle["close"] / candle["open"] - 1)[0, 1]
    assert delta > 0.15


def test_raw_trades_stay_within_the_candle_and_end_at_its_close() -> None:
    day = replace(MONTH, end=date(2025, 9, 2))
    trades = bars(day, "raw_trades", symbol=COIN)
    candle = frame(day, "ohlcv", COIN, "1m", "true")
    minute = trades["exchange_timestamp"].to_numpy().astype("datetime64[m]").astype(int)
    bar = minute - candle["time"][0].astype("datetime64[m]").astype(int)
    price = trades["price"].to_numpy()
    assert np.all((price >= candle["low"][bar]) & (price <= candle["high"][bar]))
    ends = np.append(np.flatnonzero(np.diff(bar)), len(bar) - 1)
    assert np.array_equal(price[ends], candle["close"][bar[ends]])
    assert len(set(trades["id"].to_pylist())) == trades.num_rows
    assert set(trades["side"].to_pylist()) == {"buy", "sell"}


# What is refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"datasets": ("candles",)},
        {"intervals": ("15s",)},
        {"clocks": ("local",)},
        {"symbols": ("a/b",)},
        {"end": date(2025, 9, 1)},
        {"start": date(1999, 1, 1)},
        {"missing_bars": 1.0},
        {"gaps": -1},
    ],
)
def test_market_refuses_what_it_cannot_simulate(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(MONTH, **wrong)


def test_days_are_utc_and_months_have_all_their_bars() -> None:
    for first in (date(2024, 2, 1), date(2025, 12, 1)):
        end = (first + timedelta(days=32)).replace(day=1)
        time = frame(Market(start=first, end=end), "funding", BTC, "30m", "true")["time"]
        assert time[0] == np.datetime64(first)
        assert len(time) == (end - first).days * 48
        assert np.all(np.diff(time) == np.timedelta64(30, "m"))


def test_episodes_when_asked_for_then_leave_their_marks_and_other_months_edges() -> None:
    calm, rough = MONTH, replace(MONTH, episodes=True)
    was, found = (frame(m, "l1_price", BTC, "1m", "true") for m in (calm, rough))
    minutes = Minutes(Instrument(7, "binance-futures", BTC, has_episodes=True), date(2025, 9, 1))
    drawn = minutes.episodes
    assert drawn is not None and minutes.episodes is drawn
    is_rough = drawn.heat == drawn.heat.max()
    assert 4 <= is_rough.sum() / 1440 <= 6
    steps = [np.abs(np.diff(f["midprice"], prepend=f["midprice"][0])) for f in (was, found)]
    assert steps[1][is_rough].mean() > 2 * steps[0][is_rough].mean()
    assert abs(found["midprice"][-1] / was["midprice"][-1] - 1) < 1e-4, "the month ends as it did"

    jumps, at_end = drawn.jump_end > 0, drawn.jump_end > 1
    mean = found["ask_price_twap"] - found["bid_price_twap"]
    last = found["ask_price"] - found["bid_price"]
    assert 0.02 < at_end.sum() / jumps.sum() < 0.4, "most close within their minute"
    assert last[at_end].min() > 1.9 > np.quantile(last[~at_end], 0.99)
    assert np.median(mean[jumps & ~is_rough]) > 4 * np.median(mean[~jumps & ~is_rough])

    book = frame(rough, "l2_liquidity", BTC, "1m", "exchange")
    share = (found["bid_amount"] + found["ask_amount"]) / (book["bid_agg_25"] + book["ask_agg_25"])
    hollow = drawn.beneath < 1
    assert 360 <= hollow.sum() <= 900
    assert np.median(share[hollow]) > 0.7 > 0.5 > np.median(share[~hollow])

    quotes = bars(rough, "raw_quotes", symbol=BTC).to_pandas()
    wide = (quotes["ask_price"] - quotes["bid_price"]) > 1.9
    of_minute = wide.to_numpy().reshape(-1, EVENTS["raw_quotes"].per_minute)
    assert not of_minute[~jumps].any() and of_minute[jumps].mean() > 0.1
    hourly = {"symbol": BTC, "interval": "1h", "clock": "true"}
    assert bars(rough, "ohlcv", **hourly).equals(bars(rough, "ohlcv", **hourly))
    assert not bars(calm, "ohlcv", **hourly).equals(bars(rough, "ohlcv", **hourly))
