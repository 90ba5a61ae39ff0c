"""The catalog's functions: the same bits as the marts, or as pandas where no mart has one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from tests.market import Market, bars
from tests.oracle.project import Models, keyed
from warehouse.project import BAR_END
from warehouse.project.compiled import SHIPPED

BTC = "perpetual-BTC-USDT:USDT"
START, END = date(2025, 9, 1), date(2025, 9, 20)
SAME_AS_MARTS = {
    "l1_features": {
        "rolling_mean(spread_bps, '1 day')": "rolling_spread_bps_1d",
        "rolling_mean(spread_bps, interval '24 hours')": "rolling_spread_bps_1d",
        "rolling_count(spread_bps, '1 day')": "bars_1d",
        "rolling_std(mid_return_bps, '1 day') * sqrt(288)": "realized_vol_1d_bps",
        "change_bps(midprice, previous_bar(midprice))": "mid_return_bps",
        "bps(ask_price - bid_price, midprice)": "spread_bps",
        "ratio(bid_amount - ask_amount, bid_amount + ask_amount)": "depth_imbalance",
    },
    "flow_features": {
        "rolling_sum(net_delta_notional_m, '1 day')": "rolling_net_delta_1d",
        "rolling_zscore(abs(net_delta_notional_m), '1 day')": "delta_size_zscore_1d",
    },
    "l1_features join forward_returns using (series_id, time, known_at)": {
        "forward_return(midprice, '1 hour')": "next_1h_mid_return_bps",
        "forward_return(midprice, '1 day')": "next_1d_mid_return_bps",
        "change_bps(next_bar(midprice), midprice)": "next_bar_mid_return_bps",
    },
}
ALWAYS_THERE = ("bars_1d", "spread_bps", "depth_imbalance")
WINDOWS = {"rolling_min": "min", "rolling_max": "max"}


@pytest.fixture(scope="module")
def connection(models: Models) -> Iterator[duckdb.DuckDBPyConnection]:
    """Marts of one series of 5m with missing bars and values, and the functions."""
    market = Market(symbols=(BTC,), start=START, end=END, gaps=6)
    rows = {}
    for dataset in ("flow", "l1_price", "ohlcv"):
        table = bars(
            market, dataset, symbol=BTC, interval="5m", clock="true", start=START, end=END
        )  # fmt: skip
        kept = [n for n in range(len(table)) if n % 1237 and not 2000 <= n < 2100]
        rows[dataset] = keyed(table.take(kept), interval="5m")
    models.fill(rows)
    compiled = json.loads(SHIPPED.read_bytes())["nodes"]["analysis.warehouse.functions"]
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for mart in ("l1_features", "flow_features", "forward_returns"):
            frame = models.rows(mart)
            connection.execute(f"create table {mart} as from frame")
            assert len(frame) > 4000
        connection.execute(compiled["compiled_code"].replace(BAR_END, "known_at"))
        yield connection


@pytest.mark.parametrize("source", SAME_AS_MARTS)
def test_function_when_a_mart_has_the_measure_then_gives_its_bits(
    connection: duckdb.DuckDBPyConnection, source: str
) -> None:
    for call, column in SAME_AS_MARTS[source].items():
        ((differ, values, nulls),) = connection.execute(
            f"select count(*) filter (y is distinct from {column}), count(y),"
            f" count(*) - count(y) from (select *, {call} as y from {source})"
        ).fetchall()
        assert (call, differ) == (call, 0)
        assert values > 1000 and (nulls > 0 or column in ALWAYS_THERE), call


@pytest.mark.parametrize("function", WINDOWS)
def test_least_and_greatest_are_those_of_pandas_where_no_bar_is_missing(
    connection: duckdb.DuckDBPyConnection, function: str
) -> None:
    found = connection.execute(
        f"select time, spread_bps, {function}(spread_bps, '3 hours') as y from l1_features"
        " order by time"
    ).df()
    whole = found.set_index("time")["spread_bps"].asfreq("5min").rolling(36)
    meant = getattr(whole, WINDOWS[function])().reindex(found["time"]).to_numpy()
    np.testing.assert_array_equal(found["y"].to_numpy(), meant)


@pytest.mark.parametrize(
    ("function", "kind"), [("rolling_rank", "rank"), ("rolling_percentile", "pct")]
)
def test_ranks_are_those_of_pandas_with_ties_averaged(
    connection: duckdb.DuckDBPyConnection, function: str, kind: str
) -> None:
    found = connection.execute(
        f"select time, round(spread_bps, 3) as x, {function}(round(spread_bps, 3), '3 hours') as y"
        " from l1_features order by time"
    ).df()
    rolling = found.set_index("time")["x"].asfreq("5min").rolling(36)
    rank = rolling.rank()
    meant = (rank - 1) / 35 if kind == "rank" else rank / 36
    np.testing.assert_allclose(
        found["y"].to_numpy(), meant.reindex(found["time"]).to_numpy(), rtol=1e-12
    )
    assert found["x"].nunique() < len(found) / 20


@pytest.mark.parametrize(("call", "shift"), [("value_before(midprice, '1 hour')", 12),
                                             ("value_after(midprice, '1 hour')", -12),
                                             ("past_return(midprice, '1 hour')", 12)])  # fmt: skip
def test_value_one_length_away_is_that_of_the_very_bar_or_null(
    connection: duckdb.DuckDBPyConnection, call: str, shift: int
) -> None:
    found = connection.execute(
        f"select time, midprice, {call} as y from l1_features order by time"
    ).df()
    price = found.set_index("time")["midprice"].asfreq("5min")
    away = price.shift(shift)
    meant = 1e4 * (price / away - 1) if "return" in call else away
    meant = meant.reindex(found["time"]).to_numpy()
    np.testing.assert_array_equal(found["y"].to_numpy(), meant)
    assert pd.isna(meant).sum() > 20


def test_function_when_several_series_are_read_then_windows_do_not_mix(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    query = (
        "select count(*) filter (y is distinct from rolling_spread_bps_1d) from (select *,"
        " rolling_mean(spread_bps, '1 day') as y from (from l1_features union all"
        " select * replace (series_id + 1 as series_id) from l1_features))"
    )
    assert connection.execute(query).fetchall() == [(0,)]


@pytest.mark.parametrize("length", ["'1 month'", "'0 days'", "'-1 hour'", "interval '1 year'"])
def test_length_when_it_is_no_fixed_span_of_time_then_is_refused(
    connection: duckdb.DuckDBPyConnection, length: str
) -> None:
    with pytest.raises(duckdb.InvalidInputException, match="write a whole number and second"):
        connection.execute(f"select rolling_mean(spread_bps, {length}) from l1_features").fetchall()


def test_null_input_when_in_a_window_then_the_value_is_null(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = connection.execute(
        "select count(*) filter (y is not null and time between timestamp '2025-09-03 00:00' and"
        " timestamp '2025-09-03 00:55'), count(y) from (select time, rolling_sum(case when time <>"
        " timestamp '2025-09-03' then spread_bps end, '1 hour') as y from l1_features)"
    ).fetchall()
    assert found[0][0] == 0 and found[0][1] > 4000
