"""Every mart against pandas on simulated data of all datasets, with missing bars and holes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pandas as pd
import pytest

from tests.oracle import measures
from tests.oracle.equal import Expected, assert_equal
from tests.oracle.measures import Measures, Panel
from tests.oracle.project import Models, joined, keyed
from warehouse.simulator import Market, bars
from warehouse.vendor.contracts import load_contracts
from warehouse.vendor.keys import interval_us

SYMBOLS = ("perpetual-BTC-USDT:USDT", "perpetual-ETH-USDT:USDT")
DATASETS = tuple(name for name in load_contracts() if not name.startswith("raw_"))

# Long enough that windows of 7 days have values, short enough to be quick.
SPANS = {
    "1m": (date(2025, 9, 1), date(2025, 9, 11)),
    "5m": (date(2025, 9, 20), date(2025, 10, 11)),
    "1h": (date(2025, 9, 1), date(2025, 11, 1)),
    "4h": (date(2025, 9, 1), date(2025, 12, 1)),
    "1d": (date(2025, 9, 1), date(2025, 12, 1)),
}

MARTS: dict[str, tuple[tuple[str, ...], Callable[[Panel], Measures]]] = {
    "flow_features": (("flow",), measures.flow_features),
    "l1_features": (("l1_price",), measures.l1_features),
    "forward_returns": (("ohlcv", "l1_price"), measures.forward_returns),
    "derivative_features": (
        ("funding", "basis", "open_interest"),
        measures.derivative_features,
    ),
    "funding_labels": (("funding",), measures.funding_labels),
    "execution_costs": (("l1_price",), measures.execution_costs),
    "order_sizes": (("flow", "trade_size"), measures.order_sizes),
}

# A window holds one bar at 1d: no deviation. At 1h and longer an hour holds one at most.
NO_DEVIATION = {
    "1h": "realized_vol_1h_bps rolling_realized_vol_1d_bps next_1h_volatility_bps",
    "4h": "realized_vol_1h_bps rolling_realized_vol_1d_bps next_1h_volatility_bps"
    " next_6h_volatility_bps next_1h_max_drawdown_bps next_6h_max_drawdown_bps"
    " next_1h_return_bps next_1h_mid_return_bps next_6h_return_bps"
    " price_return_bps_1h oi_change_1h_pct",
    "1d": "realized_vol_1h_bps rolling_realized_vol_1d_bps realized_vol_1d_bps abs_delta_zscore_1d"
    " delta_size_zscore_1d funding_rate_bps_z_1d basis_bps_z_1d open_interest_z_1d crowding_z"
    " next_1h_volatility_bps next_6h_volatility_bps next_1d_volatility_bps"
    " next_1h_max_drawdown_bps next_6h_max_drawdown_bps next_1h_return_bps"
    " next_4h_return_bps next_6h_return_bps next_1h_mid_return_bps next_4h_mid_return_bps"
    " stress_regime next_bar_funding_bps next_bar_return_after_funding_bps"
    " price_return_bps_1h oi_change_1h_pct",
}
NO_DEPTH = "depth_5 depth_10 depth_20 depth_25 dollar_depth_20 depth_rank_7d"


KEYS = {"series_id", "exchange", "symbol", "interval", "clock", "known_at"}

SEASONAL = {
    "flow_features": ["taker_buy_sell_ratio", "large_trade_share", "net_delta_notional_m"],
    "derivative_features": ["funding_rate_bps", "basis_bps"],
    "execution_costs": [
        "spread_bps",
        "realized_vol_1h_bps",
        "depth_20",
        "dollar_depth_20",
        "impact_coef_bps_per_quote",
        "expected_cost_50k_bps",
        "abs_toxicity",
    ],
}


@pytest.mark.parametrize("clock", ["exchange", "true"])
@pytest.mark.parametrize("interval", SPANS)
def test_marts_as_pandas_has_them(models: Models, interval: str, clock: str) -> None:
    panels = simulate(models, interval, clock)
    for series_id, panel in panels.items():
        oracles = {mart: oracle(panel) for mart, (_, oracle) in MARTS.items()}
        for mart, (base, _) in MARTS.items():
            actual = of_series(models, mart, series_id)
            here = panel.has(*base)
            assert actual.index.tolist() == here[here].index.tolist(), mart
            assert set(oracles[mart]) == set(actual.columns) - KEYS, mart
            assert_equal(actual, oracles[mart], of=mart)
            assert_many_values(actual, oracles[mart], mart, interval, clock)
        assert_settlements(models, series_id, panel, interval)
        assert_seasonality(models, series_id, oracles)
        assert_bars(models, series_id, panel)


def simulate(models: Models, interval: str, clock: str) -> dict[int, Panel]:
    """Fill the vendor's tables with a market of two symbols; the panel of each series."""
    start, end = SPANS[interval]
    market = Market(
        symbols=SYMBOLS,
        datasets=DATASETS,
        intervals=(interval,),
        clocks=(clock,),
        start=start,
        end=end,
        seed=3,
        missing_bars=0.0005,
        holes=6,
    )
    served = [name for name in DATASETS if clock == "exchange" or not name.startswith("l2_")]
    tables = {
        number: {
            name: bars(market, name, symbol=symbol, interval=interval, clock=clock)
            for name in served
        }
        for number, symbol in enumerate(SYMBOLS, start=1)
    }
    models.fill(
        {
            name: joined(
                keyed(
                    tables[number][name],
                    interval=interval,
                    clock=clock,
                    series_id=number,
                    symbol=symbol,
                )
                for number, symbol in enumerate(SYMBOLS, start=1)
            )
            for name in served
        }
    )
    seconds = interval_us(interval) // 1_000_000
    return {
        number: Panel.of({name: rows.to_pandas() for name, rows in held.items()}, seconds)
        for number, held in tables.items()
    }


def of_series(models: Models, mart: str, series_id: int) -> pd.DataFrame:
    """The mart's rows of one series by time, as a query that filters sees them."""
    text = f"select * from warehouse.{mart} where series_id = {series_id} order by time"
    return models.query(text).set_index("time")


def assert_many_values(
    actual: pd.DataFrame, expected: Measures, mart: str, interval: str, clock: str
) -> None:
    """An oracle that agrees on NULLs only proves nothing."""
    empty = NO_DEVIATION.get(interval, "").split()
    empty += NO_DEPTH.split() if clock == "true" else []
    if interval not in ("1m", "5m"):
        empty += ["next_15m_return_bps", "next_15m_mid_return_bps"]
    for name in expected:
        share = actual[name].notna().mean()
        if name in empty:
            assert share == 0, f"{mart}.{name} at {interval}: expected no value"
        else:
            assert share >= 0.3, f"{mart}.{name} at {interval}: only {share:.0%} values"


def assert_settlements(models: Models, series_id: int, panel: Panel, interval: str) -> None:
    actual = of_series(models, "funding_settlements", series_id)
    if interval == "1d":
        assert actual.empty  # a bar of a day hides two of its three settlements
        return
    index, expected = measures.funding_settlements(panel)
    assert actual.index.tolist() == index.tolist()
    assert_equal(actual, expected, of="funding_settlements")
    assert actual["settled_rate"].notna().mean() > 0.9


def assert_seasonality(models: Models, series_id: int, oracles: dict[str, Measures]) -> None:
    rows = models.query(
        f"select * from warehouse.seasonality where series_id = {series_id} order by weekday, hour"
    )
    for mart, names in SEASONAL.items():
        for name in names:
            values = oracles[mart][name].values.dropna()
            groups = values.groupby([values.index.day_of_week + 1, values.index.hour])
            told = rows[rows["measure"] == name].set_index(["weekday", "hour"])
            count = groups.count()
            assert told.index.tolist() == count.index.tolist()
            wanted = {
                "mean": Expected(groups.mean()),
                "median": Expected(groups.median()),
                "count": Expected(count),
            }
            assert_equal(told, wanted, of=f"seasonality {name}")


def assert_bars(models: Models, series_id: int, panel: Panel) -> None:
    actual = of_series(models, "bars", series_id)
    here = panel.has(*panel.rows)
    assert actual.index.tolist() == here[here].index.tolist()
    for dataset, frame in panel.frames.items():
        prefix = "" if dataset == "ohlcv" else f"{dataset}__"
        expected = {f"{prefix}{name}": Expected(frame[name]) for name in frame}
        assert_equal(actual, expected, of="bars", tolerance=0)
