"""A simulated market in a home, once for all workers, and the test vendor in front of it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.market import DATASETS, EVENTS, Market, write_market
from tests.vendor.server import TestVendor, serve_vendor
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder
from warehouse.vendor.api import VendorClient
from warehouse.vendor.http import RetryPolicy
from warehouse.vendor.keys import SeriesKey
from warehouse.vendor.request import Wanted

BTC = "perpetual-BTC-USDT:USDT"
VENUE = "binance-futures"
START, END = date(2025, 9, 1), date(2026, 2, 1)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAILY_FROM = date(2026, 1, 29)
FILES_PER_SERIES = 5 + 3
METRICS = tuple(DATASETS)
OF_5M = ("flow", "ohlcv", "l2_imbalance", "funding")
IMPATIENT = RetryPolicy(first_wait_s=0.01, longest_wait_s=0.05, longest_hint_s=2.0, timeout_s=1.0)


@pytest.fixture(scope="session")
def market_home(shared_folder: Path) -> Home:
    """All 19 metric datasets at 1h and ``OF_5M`` at 5m, both clocks, five months, the last one
    partly by day; and a month of raw data. For reading only."""
    home = Home(shared_folder / "market-home")
    with (shared_folder / "market-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.root.exists():
            files = shared_folder / "market-files"
            hourly = Market(
                symbols=(BTC,),
                datasets=METRICS,
                intervals=("1h",),
                clocks=("true", "exchange"),
                start=START,
                end=END,
                daily_from=DAILY_FROM,
                overlap_days=2,
            )
            raw = Market(
                symbols=(BTC,),
                datasets=tuple(EVENTS),
                start=date(2025, 6, 1),
                end=date(2025, 6, 4),
            )
            write_market(files, hourly)
            write_market(files, replace(hourly, datasets=OF_5M, intervals=("5m",)))
            write_market(files, raw)
            sync_folder(home, files)
    return home


@pytest.fixture(scope="session")
def running_vendor(market_home: Home) -> Iterator[TestVendor]:
    with serve_vendor(market_home) as vendor:
        yield vendor


@pytest.fixture
def test_vendor(running_vendor: TestVendor) -> Iterator[TestVendor]:
    """The test vendor in front of ``market_home``, without faults and with an empty record."""
    running_vendor.clear()
    yield running_vendor
    running_vendor.clear()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def client(vendor: TestVendor, **options: object) -> VendorClient:
    """Our client, with short waits and few tries."""
    settings = {"retry": IMPATIENT, **options}
    return VendorClient(vendor.url, "test-key", **settings)  # type: ignore[arg-type]


def want(
    *datasets: str,
    interval: str = "1h",
    clock: str = "exchange",
    start: date = START,
    end: date = END,
    symbol: str = BTC,
) -> list[Wanted]:
    """Series of the simulated market; the default span is all of it."""
    return [
        Wanted(
            dataset,
            SeriesKey(VENUE, symbol)
            if dataset.startswith("raw_")
            else SeriesKey(VENUE, symbol, interval, clock),
            start,
            end,
        )
        for dataset in datasets
    ]


def lake_tree(home: Home) -> dict[str, str]:
    """Path below the home to content hash, of everything that a sync writes except the manifest."""
    import hashlib

    return {
        str(path.relative_to(home.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in (home.objects, home.lake, home.quarantine, home.build)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def objects_of(
    home: Home, *datasets: str, interval: str = "1h", clock: str = "exchange"
) -> set[str]:
    """Objects that the vendor's home has for these series."""
    from warehouse.lake.manifest.manifest import Manifest

    with Manifest(home.manifest) as manifest:
        return {
            file.object
            for file in manifest.files()
            if file.key.dataset in datasets
            and (file.key.is_raw or file.key.series.interval == interval)
            and (file.key.is_raw or file.key.series.clock == clock)
        }
