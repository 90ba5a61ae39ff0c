"""Every mart against pandas on simulated data of all datasets, with missing bars and holes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pandas as pd
import pyarrow as pa
import pytest

from tests.oracle import measures
from tests.oracle.equal import Expected, assert_equal
from tests.oracle.measures import Measures, Panel
from tests.oracle.project import Models, joined, keyed
from warehouse.contracts import load_contracts
from warehouse.keys import interval_us
from warehouse.market import Market, bars

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
    " stress_regime"
    " price_return_bps_1h oi_change_1h_pct",
}
NO_DEPTH = "depth_5 depth_10 depth_20 depth_25 dollar_depth_20 depth_rank_7d"


@dataclass(frozen=True)
class World:
    """One interval and clock of the simulated market."""

    interval: str
    clock: str
    tables: dict[str, dict[int, pa.Table]]

    def panel(self, series_id: int) -> Panel:
        frames = {name: by_series[series_id].to_pandas() for name, by_series in self.tables.items()}
        return Panel.of(frames, interval_us(self.interval) // 1_000_000)


@pytest.fixture(
    scope="module",
    params=[f"{interval}-{clock}" for interval in SPANS for clock in ("exchange", "true")],
)
def world(request: pytest.FixtureRequest, models: Models) -> World:
    """The market in the vendor's tables of ``models``."""
    interval, clock = request.param.split("-")
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
        name: {
            number: bars(market, name, symbol=symbol, interval=interval, clock=clock)
            for number, symbol in enumerate(SYMBOLS, start=1)
        }
        for name in served
    }
    models.fill(
        {
            name: joined(
                keyed(
                    rows,
                    interval=interval,
                    clock=clock,
                    series_id=number,
                    symbol=SYMBOLS[number - 1],
                )
                for number, rows in by_series.items()
            )
            for name, by_series in tables.items()
        }
    )
    return World(interval, clock, tables)


@pytest.mark.parametrize("mart", MARTS)
def test_mart_as_pandas_has_it(world: World, models: Models, mart: str) -> None:
    base, oracle = MARTS[mart]
    rows = models.rows(mart)
    for series_id, of_series in rows.groupby("series_id"):
        panel = world.panel(series_id)
        actual = of_series.set_index("time")
        expected = oracle(panel)
        here = panel.has(*base)
        assert actual.index.tolist() == here[here].index.tolist()
        assert set(expected) == set(actual.columns) - set(KEYS)
        assert_equal(actual, expected, of=mart)
        assert_many_values(world, actual, expected, mart)


KEYS = ("series_id", "exchange", "symbol", "interval", "clock", "known_at")


def assert_many_values(world: World, actual: pd.DataFrame, expected: Measures, mart: str) -> None:
    """An oracle that agrees on NULLs only proves nothing."""
    empty = NO_DEVIATION.get(world.interval, "").split()
    empty += NO_DEPTH.split() if world.clock == "true" else []
    empty += ["next_15m_return_bps", "next_15m_mid_return_bps"] * (
        world.interval not in ("1m", "5m", "15m")
    )
    for name in expected:
        share = actual[name].notna().mean()
        if name in empty:
            assert share == 0, f"{mart}.{name} at {world.interval}: expected no value"
        else:
            assert share >= 0.3, f"{mart}.{name} at {world.interval}: only {share:.0%} values"


def test_funding_settlements_as_pandas_has_them(world: World, models: Models) -> None:
    rows = models.rows("funding_settlements")
    if world.interval == "1d":
        assert rows.empty  # a bar of a day hides two of its three settlements
        return
    for series_id, of_series in rows.groupby("series_id"):
        index, expected = measures.funding_settlements(world.panel(series_id))
        actual = of_series.set_index("time")
        assert actual.index.tolist() == index.tolist()
        assert_equal(actual, expected, of="funding_settlements")
        assert actual["settled_rate"].notna().mean() > 0.9


def test_seasonality_as_pandas_groups_it(world: World, models: Models) -> None:
    rows = models.rows("seasonality", order="series_id, measure, weekday, hour")
    sources = {
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
    for series_id, of_series in rows.groupby("series_id"):
        panel = world.panel(series_id)
        for mart, names in sources.items():
            oracle = MARTS[mart][1](panel)
            for name in names:
                values = oracle[name].values.dropna()
                groups = values.groupby([values.index.day_of_week + 1, values.index.hour])
                told = of_series[of_series["measure"] == name].set_index(["weekday", "hour"])
                count = groups.count()
                assert told.index.tolist() == count.index.tolist()
                wanted = {
                    "mean": Expected(groups.mean()),
                    "median": Expected(groups.median()),
                    "count": Expected(count),
                }
                assert_equal(told, wanted, of=f"seasonality {name}")


def test_bars_as_pandas_merges_them(world: World, models: Models) -> None:
    for series_id, of_series in models.rows("bars").groupby("series_id"):
        panel = world.panel(series_id)
        here = panel.has(*world.tables)
        actual = of_series.set_index("time")
        assert actual.index.tolist() == here[here].index.tolist()
        for dataset, frame in panel.frames.items():
            prefix = "" if dataset == "ohlcv" else f"{dataset}__"
            expected = {f"{prefix}{name}": Expected(frame[name]) for name in frame}
            assert_equal(actual, expected, of="bars", tolerance=0)
