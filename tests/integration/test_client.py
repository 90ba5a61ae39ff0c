"""The vendor's client against the mirror, and our client on the same lake: equal frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import uvicorn

import warehouse
from tests.market import Market, write_market
from tests.support import BTC, VENUE
from warehouse.compat.server import create_app
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder

aperiodic = pytest.importorskip("aperiodic")

MARKET = Market(
    symbols=(BTC,),
    datasets=("ohlcv", "flow", "vtwap", "l2_imbalance", "funding", "raw_trades"),
    intervals=("1h",),
    clocks=("true", "exchange"),
    start=date(2025, 9, 1),
    end=date(2025, 10, 5),
    daily_from=date(2025, 10, 2),
    overlap_days=1,
    missing_bars=0.02,
)
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("get_ohlcv", {}),
    ("get_vwap", {}),
    ("get_twap", {}),
    ("get_metrics", {"metric": "flow"}),
    ("get_metrics", {"metric": "l2_imbalance"}),
    ("get_derivative_metrics", {"metric": "funding"}),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("client")
    write_market(root / "files", MARKET)
    sync_folder(Home(root / "home"), root / "files")
    return root / "home"


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    config = uvicorn.Config(create_app(Home(home)), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/api/v1"
    server.should_exit = True
    thread.join(10)


def same(ours: Any, theirs: Any) -> None:
    """Equal to the client's frame, except that a bar in two files appears once (the daily one)."""
    if isinstance(ours, pd.DataFrame):
        if len(theirs):
            theirs = theirs.drop_duplicates("time", keep="last").reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, theirs)
        return
    theirs = theirs.unique("time", keep="last", maintain_order=True) if len(theirs) else theirs
    assert ours.schema == theirs.schema
    assert ours.equals(theirs)


@pytest.mark.parametrize("output", ["polars", "pandas"])
@pytest.mark.parametrize(("name", "more"), ASKED, ids=[f"{n} {m}" for n, m in ASKED])
def test_face_when_the_client_asks_the_same_then_frames_are_equal(
    home: Path, url: str, name: str, more: dict[str, Any], output: str
) -> None:
    for clock in ("true", "exchange"):
        for start, end in (
            (date(2025, 9, 3), date(2025, 9, 4)),
            (date(2025, 9, 29), date(2025, 10, 4)),
        ):
            asked = {
                "timestamp": clock, "interval": "1h", "exchange": VENUE, "symbol": BTC,
                "start_date": start, "end_date": end, "show_progress": False, "output": output,
            }  # fmt: skip
            theirs = getattr(aperiodic, name)(api_key="any", base_url=url, **asked, **more)
            ours = getattr(warehouse, name)(api_key="any", home=home, **asked, **more)
            same(ours, theirs)


def test_raw_when_the_client_asks_the_same_then_frames_are_equal(home: Path, url: str) -> None:
    asked = {
        "dataset": "trades", "exchange": VENUE, "symbol": BTC, "show_progress": False,
        "start_date": date(2025, 9, 2), "end_date": date(2025, 9, 3),
    }  # fmt: skip
    theirs = aperiodic.get_raw("any", base_url=url, **asked)
    ours = warehouse.get_raw("any", home=home, **asked)
    assert isinstance(ours, pl.DataFrame)
    assert ours.equals(theirs) and ours.schema == theirs.schema
    assert warehouse.get_symbols("any", VENUE, home=home) == aperiodic.get_symbols(
        "any", VENUE, base_url=url
    )
