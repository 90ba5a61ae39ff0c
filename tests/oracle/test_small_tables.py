"""Marts against pandas on small tables with NULL, NaN, infinity, ties, gaps and single rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle import measures
from tests.oracle.equal import assert_equal
from tests.oracle.measures import Panel
from tests.oracle.project import Models, joined, keyed
from warehouse.vendor.contracts import load_contracts
from warehouse.vendor.keys import interval_us

EXAMPLES = [10, pytest.param(100, marks=pytest.mark.long)]
"""The same of every run, so that a short run need not try many."""

# Halves add up without rounding, so that a window of equal values deviates by exactly 0.
VALUES = st.one_of(
    st.integers(-6, 6).map(lambda n: n / 2),
    st.sampled_from([0.0, 0.5, 1.0, None, float("nan"), float("inf"), float("-inf")]),
)
COUNTS = st.one_of(st.none(), st.integers(0, 3))

# A month and a year turn inside; the number of bars that make a day.
STARTS = st.sampled_from([pd.Timestamp("2025-12-31"), pd.Timestamp("2024-02-28 12:00")])
INTERVALS = {"4h": 6, "1h": 24, "1d": 1}

USED = {
    "ohlcv": ["close", "volume_notional"],
    "flow": [
        "taker_buy_volume",
        "taker_sell_volume",
        "taker_buy_sell_ratio",
        "volume_delta",
        "volume_delta_notional",
        "flow_toxicity_score",
        "taker_buy_large_order_count",
        "taker_sell_large_order_count",
        "taker_buy_count",
        "taker_sell_count",
        "taker_buy_small_order_volume",
        "taker_buy_medium_order_volume",
        "taker_buy_large_order_volume",
        "taker_sell_small_order_volume",
        "taker_sell_medium_order_volume",
        "taker_sell_large_order_volume",
    ],
    "trade_size": ["small_order_volume", "medium_order_volume", "large_order_volume", "n_trades"],
    "l1_price": [
        "bid_price",
        "ask_price",
        "bid_amount",
        "ask_amount",
        "midprice",
        "weighted_midprice",
        "quote_update_frequency",
        "ask_price_twap",
        "bid_price_twap",
    ],
    "funding": ["funding_rate"],
    "basis": ["basis_bps"],
    "open_interest": ["open_interest"],
    "impact": ["impact_per_notional", "kyle_like_lambda", "amihud_like"],
    "slippage": ["slippage_bps_mean"],
    "l2_liquidity": [f"{side}_agg_{levels}" for side in ("bid", "ask") for levels in (5, 20, 25)],
}


@st.composite
def dataset(draw: st.DrawFn, name: str, start: pd.Timestamp, interval: str) -> pa.Table:
    """Up to three days of bars, some missing, with whatever a column may hold."""
    bar = timedelta(microseconds=interval_us(interval))
    first = draw(st.integers(0, 3))
    count = draw(st.integers(1, 3 * INTERVALS[interval] + 4))
    present = [
        place for place in range(first, first + count) if draw(st.integers(0, 9), label="gap") > 0
    ] or [first]
    columns: dict[str, Any] = {"time": pa.array([start + n * bar for n in present])}
    for column in load_contracts()[name].columns:
        if column.name in USED[name]:
            values = COUNTS if column.type == "BIGINT" else VALUES
            drawn = draw(st.lists(values, min_size=len(present), max_size=len(present)))
            kind = pa.int64() if column.type == "BIGINT" else pa.float64()
            columns[column.name] = pa.array(drawn, kind)
    return pa.table(columns)


@st.composite
def markets(draw: st.DrawFn, *names: str) -> tuple[str, list[dict[str, pa.Table]]]:
    """An interval, and the datasets of one or two series."""
    interval = draw(st.sampled_from(sorted(INTERVALS)))
    start = draw(STARTS)
    series = draw(st.integers(1, 2))
    return interval, [
        {name: draw(dataset(name, start, interval)) for name in names} for _ in range(series)
    ]


CASES = {
    "flow_features": (("flow",), measures.flow_features, ("flow", "ohlcv")),
    "l1_features": (("l1_price",), measures.l1_features, ("l1_price",)),
    "forward_returns": (
        ("ohlcv", "l1_price"),
        measures.forward_returns,
        ("ohlcv", "l1_price"),
    ),
    "derivative_features": (
        ("funding", "basis", "open_interest"),
        measures.derivative_features,
        ("funding", "basis", "open_interest", "ohlcv"),
    ),
    "funding_labels": (("funding",), measures.funding_labels, ("funding", "ohlcv")),
    "execution_costs": (
        ("l1_price",),
        measures.execution_costs,
        ("l1_price", "ohlcv", "flow", "impact", "slippage", "l2_liquidity"),
    ),
    "order_sizes": (("flow", "trade_size"), measures.order_sizes, ("flow", "trade_size")),
    "market_state": (
        ("l1_price", "flow"),
        measures.market_state,
        ("l1_price", "flow", "impact", "l2_liquidity", "funding", "basis", "open_interest"),
    ),
}


@pytest.mark.parametrize("mart", CASES)
@pytest.mark.parametrize("examples", EXAMPLES)
def test_mart_on_nasty_tables_as_pandas_has_it(models: Models, mart: str, examples: int) -> None:
    base, oracle, datasets = CASES[mart]

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(market=markets(*datasets))
    def check(market: tuple[str, list[dict[str, pa.Table]]]) -> None:
        interval, series = market
        fill(models, interval, series)
        rows = models.rows(mart)
        for number, tables in enumerate(series, start=1):
            actual = rows[rows["series_id"] == number].set_index("time")
            panel = panel_of(interval, tables)
            here = panel.has(*base)
            assert actual.index.tolist() == here[here].index.tolist()
            assert_equal(actual, oracle(panel), of=mart)

    check()


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_settlements_on_nasty_tables_as_pandas_has_them(
    models: Models, data: st.DataObject
) -> None:
    interval = data.draw(st.sampled_from(["1h", "4h"]))
    table = data.draw(dataset("funding", pd.Timestamp("2025-12-31"), interval))
    fill(models, interval, [{"funding": table}])
    actual = models.rows("funding_settlements").set_index("time")
    index, expected = measures.funding_settlements(panel_of(interval, {"funding": table}))
    assert actual.index.tolist() == index.tolist()
    assert_equal(actual, expected, of="funding_settlements")


@pytest.mark.parametrize("mart", [*CASES, "funding_settlements", "seasonality", "bars"])
def test_mart_without_any_row_is_empty(models: Models, mart: str) -> None:
    models.fill({})
    assert models.rows(mart, order="series_id").empty


def test_staging_turns_what_is_not_finite_into_null(models: Models) -> None:
    start = pd.Timestamp("2026-01-01")
    table = pa.table(
        {
            "time": pa.array([start, start + timedelta(hours=1), start + timedelta(hours=2)]),
            "vwap": pa.array([float("nan"), float("inf"), None]),
            "twap": pa.array([1.5, float("-inf"), 0.0]),
        }
    )
    fill(models, "1h", [{"vtwap": table}])
    staged = models.query("select vwap, twap from warehouse.staging.stg_vtwap order by time")
    raw = models.query("select count(vwap) as vwap from warehouse.vendor.vtwap")
    assert staged["vwap"].isna().all()
    assert staged["twap"].tolist()[::2] == [1.5, 0.0]
    assert np.isnan(staged["twap"][1])
    assert raw["vwap"].tolist() == [2]  # NaN and infinity stay readable there


def test_gap_when_inside_the_window_then_null_where_rows_would_stretch(models: Models) -> None:
    """The notebooks' windows count rows and reach beyond a gap; ours are spans of time."""
    start = pd.Timestamp("2026-01-01")
    hours = [hour for hour in range(60) if hour != 30]
    times = [start + timedelta(hours=hour) for hour in hours]
    delta = [1e6 * (1 + hour % 5) for hour in hours]
    table = pa.table({"time": pa.array(times), "volume_delta_notional": pa.array(delta)})
    fill(models, "1h", [{"flow": table}])
    mart = models.rows("flow_features").set_index("time")["rolling_net_delta_1d"]
    notebook = pd.Series(delta, mart.index).rolling(24).sum() / 1e6
    around = [hour in range(31, 54) for hour in hours]
    assert mart[around].isna().all() and notebook[around].notna().all()
    outside = mart[[not inside for inside in around]]
    assert outside.isna().sum() == 23
    assert np.allclose(outside.dropna(), notebook.loc[outside.dropna().index], rtol=1e-12)


def test_book_when_bars_are_missing_then_it_is_held_for_five_minutes(models: Models) -> None:
    """A row of either clock has the last bar of the book that it could know, and no older one."""
    start = pd.Timestamp("2025-12-31 23:50")
    minutes = [start + timedelta(minutes=minute) for minute in range(20)]
    quotes = pa.table({"time": minutes, "bid_amount": [3.0] * 20, "ask_amount": [1.0] * 20})
    books = [minutes[2], minutes[10], minutes[19]]
    book = pa.table(
        {"time": books, "bid_agg_5": [8.0, 4.0, 2.0], "ask_agg_5": [8.0, 4.0, 0.0]}
        | {"bid_agg_25": [20.0, None, 0.0], "ask_agg_25": [60.0, 10.0, 0.0]}
    )
    other = pa.table({"time": minutes, "bid_agg_5": [1.0] * 20, "ask_agg_5": [1.0] * 20})
    rows = keyed(quotes, interval="1m")
    models.fill(
        {
            "l1_price": rows,
            "l2_liquidity": joined(
                [
                    keyed(book, interval="1m", clock="exchange", series_id=2),
                    keyed(other, interval="1m", clock="exchange", series_id=3, symbol="other"),
                    keyed(other, interval="5m", clock="exchange", series_id=4),
                    keyed(other, interval="1m", series_id=1),  # never served under this clock
                ]
            ),
        }
    )
    mart = models.rows("market_state").set_index("time")
    none = [None]
    ages = none * 2 + [0, 60, 120, 180, 240, 300] + none * 2
    ages += [0, 60, 120, 180, 240, 300] + none * 3 + [0]
    assert (
        mart["book_age_s"].astype(object).where(mart["book_age_s"].notna(), None).tolist() == ages
    )
    shares = mart["top_share_5"].tolist()
    assert (shares[2], shares[7], shares[10], shares[19]) == (0.25, 0.25, 0.5, 2.0)
    assert (
        mart["lean_25"].dropna().tolist() == [-0.5] * 6
    )  # NULL of the later bar, 0 / 0 of the last
    assert mart["leans_oppose"].dropna().tolist() == [True] * 6
    assert_equal(
        mart,
        measures.market_state(
            Panel.of({"l1_price": quotes.to_pandas()}, 60, book=book.to_pandas())
        ),
        of="market_state",
    )


def fill(models: Models, interval: str, series: list[dict[str, pa.Table]]) -> None:
    names = {name for tables in series for name in tables}
    models.fill(
        {
            name: joined(
                keyed(
                    tables[name],
                    interval=interval,
                    series_id=number,
                    symbol=("", "perpetual-BTC-USDT:USDT", "perpetual-ETH-USDT:USDT")[number],
                    clock="exchange",
                )
                for number, tables in enumerate(series, start=1)
                if name in tables
            )
            for name in names
        }
    )


def panel_of(interval: str, tables: dict[str, pa.Table]) -> Panel:
    frames = {name: table.to_pandas() for name, table in tables.items()}
    return Panel.of(frames, interval_us(interval) // 1_000_000, book=frames.get("l2_liquidity"))
