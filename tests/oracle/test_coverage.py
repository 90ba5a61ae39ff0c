"""The var min_window_coverage loosens the window rule: pandas with that many ``min_periods``."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tests.market import Market, bars
from tests.oracle import measures
from tests.oracle.equal import assert_equal
from tests.oracle.measures import Panel
from tests.oracle.project import LOOSENED, Models, keyed, loosened_models
from warehouse.project import load_project

SYMBOL = "perpetual-BTC-USDT:USDT"


def test_windows_with_a_quarter_of_the_bars_as_pandas_min_periods(
    models: Models, tmp_path: Path
) -> None:
    loosened = Models(load_project(loosened_models(tmp_path)))
    market = Market(
        symbols=(SYMBOL,), start=date(2025, 9, 1), end=date(2025, 9, 21), missing_bars=0.05
    )
    tables = {
        name: bars(market, name, symbol=SYMBOL, interval="1h", clock="true")
        for name in ("ohlcv", "flow", "l1_price", "funding", "basis", "open_interest")
    }
    rows = {name: keyed(table, interval="1h") for name, table in tables.items()}
    frames = {name: table.to_pandas() for name, table in tables.items()}
    counts = {}
    for coverage, of in ((1.0, models), (LOOSENED, loosened)):
        of.fill(rows)
        panel = Panel.of(frames, 3600, coverage)
        for mart, oracle in (
            ("flow_features", measures.flow_features),
            ("l1_features", measures.l1_features),
            ("derivative_features", measures.derivative_features),
            ("market_state", measures.market_state),
        ):
            actual = of.rows(mart).set_index("time")
            assert_equal(actual, oracle(panel), of=mart)
            counts[coverage, mart] = int(actual.notna().to_numpy().sum())
    for mart in ("flow_features", "l1_features", "derivative_features"):
        assert counts[LOOSENED, mart] > counts[1.0, mart]
