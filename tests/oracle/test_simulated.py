"""Every mart against pandas on simulated data of all datasets, with missing bars and gaps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import product

import pandas as pd
import pyarrow as pa
import pytest

from tests.market import Market, bars
from tests.oracle import measures
from tests.oracle.equal import Expected, assert_equal
from tests.oracle.measures import Measures, Panel
from tests.oracle.project import Models, joined, keyed
from warehouse.vendor.contracts import load_contracts
from warehouse.vendor.keys import interval_us

SYMBOLS = ("perpetual-BTC-USDT:USDT", "perpetual-ETH-USDT:USDT")
DATASETS = tuple(name for name in load_contracts() if not name.startswith("raw_"))

# Long enough that windows of 7 days have values, short enough to be quick.
SPANS = {
    "1m": (date(2025, 9, 1), date(2025, 9, 11)),
    "5m": (date(2025, 9, 27), date(2025, 10, 11)),
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
    "market_state": (("l1_price", "flow"), measures.market_state),
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
    " realized_vol_rank_30d spread_instability_1d net_delta_zscore_1d"
    " stress_regime next_bar_funding_bps next_bar_return_after_funding_bps"
    " price_return_bps_1h oi_change_1h_pct",
}
TOO_SHORT = {"1m": "realized_vol_rank_30d"}  # needs a quarter of 30 days
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


Series = tuple[str, str, str]
"""Symbol, interval and clock; the number of a series is its place in ``SERIES``."""
SERIES: tuple[Series, ...] = tuple(
    series
    for series in product(SYMBOLS, SPANS, ("exchange", "true"))
    if series[1] != "1m" or series == (SYMBOLS[0], "1m", "exchange")  # which takes most of the time
)


@pytest.fixture(scope="module")
def panels(models: Models) -> dict[Series, Panel]:
    """The panel of each series, all of which are in the vendor's tables at once."""
    filled: dict[str, list[pa.Table]] = {name: [] for name in DATASETS}
    made = {}
    books: dict[
        tuple[str, str], pd.DataFrame | None
    ] = {}  # of the clock exchange, which comes first
    for number, (symbol, interval, clock) in enumerate(SERIES):
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
            gaps=6,
        )
        tables = {
            name: bars(market, name, symbol=symbol, interval=interval, clock=clock)
            for name in DATASETS
            if clock == "exchange" or not name.startswith("l2_")
        }
        for name, table in tables.items():
            filled[name].append(
                keyed(table, interval=interval, clock=clock, series_id=number, symbol=symbol)
            )
        frames = {name: table.to_pandas() for name, table in tables.items()}
        books.setdefault((symbol, interval), frames.get("l2_liquidity"))
        made[symbol, interval, clock] = Panel.of(
            frames, interval_us(interval) // 1_000_000, book=books[symbol, interval]
        )
    models.fill({name: joined(tables) for name, tables in filled.items()})
    return made


@pytest.fixture(scope="module")
def oracles(panels: dict[Series, Panel]) -> dict[Series, dict[str, Measures]]:
    return {
        series: {mart: oracle(panel) for mart, (_, oracle) in MARTS.items()}
        for series, panel in panels.items()
    }


@pytest.mark.parametrize("mart", MARTS)
def test_mart_as_pandas_has_it(
    models: Models,
    panels: dict[Series, Panel],
    oracles: dict[Series, dict[str, Measures]],
    mart: str,
) -> None:
    base, _ = MARTS[mart]
    actual = by_series(models, mart)
    for series, panel in panels.items():
        rows, expected = actual[series], oracles[series][mart]
        here = panel.has(*base)
        assert rows.index.tolist() == here[here].index.tolist(), series
        assert set(expected) == set(rows.columns) - KEYS
        assert_equal(rows, expected, of=f"{mart} of {series}")
        assert_many_values(rows, expected, mart, series)
    one = len(SERIES) // 2
    filtered = models.query(
        f"select * from warehouse.{mart} where series_id = {one} order by time"
    ).set_index("time")
    pd.testing.assert_frame_equal(
        filtered, actual[SERIES[one]], rtol=1e-9, atol=1e-9, check_dtype=False
    )


def by_series(models: Models, mart: str) -> dict[Series, pd.DataFrame]:
    """The mart's rows of each series by time."""
    rows = models.rows(mart).set_index("time")
    return {series: rows[rows["series_id"] == n] for n, series in enumerate(SERIES)}


def assert_many_values(actual: pd.DataFrame, expected: Measures, mart: str, series: Series) -> None:
    """An oracle that agrees only on NULLs proves nothing, so each column must have values."""
    _, interval, clock = series
    empty = NO_DEVIATION.get(interval, "").split()
    empty += TOO_SHORT.get(interval, "").split()
    empty += NO_DEPTH.split() if clock == "true" else []
    if interval not in ("1m", "5m"):
        empty += ["next_15m_return_bps", "next_15m_mid_return_bps"]
    for name in expected:
        share = actual[name].notna().mean()
        if name in empty:
            assert share == 0, f"{mart}.{name} at {interval}: expected no value"
        else:
            assert share >= 0.2, f"{mart}.{name} at {interval}: only {share:.0%} values"


def test_settlements_as_pandas_has_them(models: Models, panels: dict[Series, Panel]) -> None:
    for series, actual in by_series(models, "funding_settlements").items():
        if series[1] == "1d":
            assert actual.empty  # a bar of a day hides two of its three settlements
            continue
        index, expected = measures.funding_settlements(panels[series])
        assert actual.index.tolist() == index.tolist()
        assert_equal(actual, expected, of=f"funding_settlements of {series}")
        assert actual["settled_rate"].notna().mean() > 0.9


def test_seasonality_as_pandas_has_it(
    models: Models, oracles: dict[Series, dict[str, Measures]]
) -> None:
    rows = models.rows("seasonality", "series_id, weekday, hour").set_index(["weekday", "hour"])
    for number, series in enumerate(SERIES):
        of_series = rows[rows["series_id"] == number]
        for mart, names in SEASONAL.items():
            for name in names:
                values = oracles[series][mart][name].values.dropna()
                groups = values.groupby([values.index.day_of_week + 1, values.index.hour])
                told = of_series[of_series["measure"] == name]
                count = groups.count()
                assert told.index.tolist() == count.index.tolist()
                wanted = {
                    "mean": Expected(groups.mean()),
                    "median": Expected(groups.median()),
                    "count": Expected(count),
                }
                assert_equal(told, wanted, of=f"seasonality {name} of {series}")


def test_bars_as_the_files_have_them(models: Models, panels: dict[Series, Panel]) -> None:
    for series, actual in by_series(models, "bars").items():
        panel = panels[series]
        here = panel.has(*panel.rows)
        assert actual.index.tolist() == here[here].index.tolist()
        for dataset, frame in panel.frames.items():
            prefix = "" if dataset == "ohlcv" else f"{dataset}__"
            expected = {f"{prefix}{name}": Expected(frame[name]) for name in frame}
            assert_equal(actual, expected, of=f"bars of {series}", tolerance=0)
