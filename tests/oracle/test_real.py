"""The marts against pandas on real exchange data, if it is available.

The folder is ``$WAREHOUSE_REAL_DATA``, else ``../shared/data/real`` beside the repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.oracle import measures
from tests.oracle.equal import assert_equal
from tests.oracle.measures import Panel
from tests.oracle.project import Models, joined, keyed
from tests.support import ROOT
from warehouse.vendor.keys import interval_us

FOLDER = Path(os.environ.get("WAREHOUSE_REAL_DATA", ROOT.parent / "shared" / "data" / "real"))
MARTS = {
    "flow_features": (("flow",), measures.flow_features),
    "l1_features": (("l1_price",), measures.l1_features),
    "forward_returns": (("ohlcv", "l1_price"), measures.forward_returns),
    "order_sizes": (("flow", "trade_size"), measures.order_sizes),
    "execution_costs": (("l1_price",), measures.execution_costs),
    "market_state": (("l1_price", "flow"), measures.market_state),
}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real data at {FOLDER}")

Series = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def market() -> dict[Series, dict[str, pa.Table]]:
    """Tables by series and dataset."""
    found: dict[Series, dict[str, list[pa.Table]]] = {}
    for path in sorted(FOLDER.glob("*/exchange=*/symbol=*/interval=*/timestamp=*/*.parquet")):
        dataset, *parts = path.relative_to(FOLDER).parts[:-1]
        exchange, symbol, interval, clock = (unquote(part.split("=", 1)[1]) for part in parts)
        tables = found.setdefault((exchange, symbol, interval, clock), {})
        tables.setdefault(dataset, []).append(pq.ParquetFile(path).read())
    return {
        series: {name: joined(tables) for name, tables in datasets.items()}
        for series, datasets in found.items()
    }


@pytest.fixture(scope="module")
def filled(models: Models, market: dict[Series, dict[str, pa.Table]]) -> Models:
    rows: dict[str, list[pa.Table]] = {}
    for number, (series, tables) in enumerate(market.items(), start=1):
        exchange, symbol, interval, clock = series
        for name, table in tables.items():
            rows.setdefault(name, []).append(
                keyed(
                    table,
                    interval=interval,
                    series_id=number,
                    symbol=symbol,
                    exchange=exchange,
                    clock=clock,
                )
            )
    models.fill({name: joined(tables) for name, tables in rows.items()})
    return models


@pytest.mark.parametrize("mart", MARTS)
def test_mart_on_real_data_as_pandas_has_it(
    filled: Models, market: dict[Series, dict[str, pa.Table]], mart: str
) -> None:
    base, oracle = MARTS[mart]
    rows = filled.rows(mart)
    for number, (series, tables) in enumerate(market.items(), start=1):
        of_series = rows[rows["series_id"] == number].set_index("time")
        compared = 0
        for frames in stretches({name: table.to_pandas() for name, table in tables.items()}):
            panel = Panel.of(frames, interval_us(series[2]) // 1_000_000)
            actual = of_series[panel.grid[0] : panel.grid[-1]]
            here = panel.has(*base)
            assert actual.index.tolist() == here[here].index.tolist(), series
            assert_equal(actual, oracle(panel), of=f"{mart} of {series}")
            compared += len(actual)
        assert compared == len(of_series)


def stretches(frames: dict[str, pd.DataFrame]) -> Iterator[dict[str, pd.DataFrame]]:
    """Data years apart is split, because a grid over all of it would be mostly empty."""
    starts = pd.concat([frame["time"] for frame in frames.values()]).sort_values()
    edges = starts[starts.diff() > pd.Timedelta(days=30)].tolist()
    for first, last in pairwise([starts.min(), *edges, pd.Timestamp.max]):
        held = {
            name: frame[(frame["time"] >= first) & (frame["time"] < last)]
            for name, frame in frames.items()
        }
        yield {name: frame for name, frame in held.items() if not frame.empty}


def test_hourly_wld_as_in_the_folder_then_2160_rows_with_values(filled: Models) -> None:
    rows = filled.rows("flow_features")
    hourly = rows[(rows["symbol"] == "perpetual-WLD-USDT:USDT") & (rows["interval"] == "1h")]
    assert len(hourly) == 2160
    for name in ("rolling_net_delta_1d", "abs_delta_zscore_1d", "delta_size_zscore_1d"):
        assert hourly[name].notna().mean() > 0.9, name
    assert isinstance(hourly["time"].iloc[0], pd.Timestamp)
