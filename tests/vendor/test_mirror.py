"""The mirror serves the vendor's API to the vendor's own client and to plain requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import cycle, product
from pathlib import Path

import httpx
import polars as pl
import pytest

from tests.vendor.conftest import (
    BTC,
    DAILY_FROM,
    END,
    METRICS,
    NOW,
    OF_5M,
    START,
    VENUE,
    client,
    want,
)
from tests.vendor.server import TestVendor, serve_vendor
from warehouse.build.catalog import prepare_catalog
from warehouse.config import Settings
from warehouse.home import Home
from warehouse.sync.from_vendor import sync_vendor
from warehouse.vendor.contracts import load_contracts

aperiodic = pytest.importorskip("aperiodic")

LAST = END - timedelta(days=1)
DERIVATIVES = ("basis", "funding", "open_interest", "derivative_price")
OVERLAP = 2
# The mirror treats all datasets alike, so that most have one interval and one of the clocks.
COMPARED = [
    *zip(METRICS, cycle(["1h"]), cycle(["true", "exchange"])),
    *product(OF_5M, ["5m"], ["true", "exchange"]),
]


@pytest.fixture(scope="module")
def synced(
    tmp_path_factory: pytest.TempPathFactory, running_vendor: TestVendor
) -> Iterator[Settings]:
    """A home that our sync filled from the test vendor, with its catalog."""
    running_vendor.clear()
    settings = Settings(home=tmp_path_factory.mktemp("synced"))
    wanted = [
        one
        for dataset, interval, clock in COMPARED
        for one in want(dataset, interval=interval, clock=clock)
    ] + want("raw_trades", "raw_funding_rate", start=date(2025, 6, 1), end=date(2025, 6, 4))
    with client(running_vendor) as ours:
        report = sync_vendor(Home(settings.home), wanted, ours, now=NOW)
    assert report.exit_code == 0, report.failures
    prepare_catalog(settings, generation=1)
    yield settings


@pytest.fixture(autouse=True, scope="module")
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The vendor's client loads all certificates for every file; one is enough here."""
    import certifi

    first, end, _ = Path(certifi.where()).read_text("utf-8").partition("-----END CERTIFICATE-----")
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first + end + "\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


def our_frame(
    settings: Settings, dataset: str, interval: str | None, clock: str | None
) -> pl.DataFrame:
    import duckdb

    columns = [c.name for c in load_contracts()[dataset].columns if c.expected and c.name != "time"]
    shown = ", ".join(f'"{name}"' for name in columns)
    with duckdb.connect(str(Home(settings.home).build_catalog), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        arrow = connection.sql(
            f"select time, {shown} from vendor.{dataset}"
            " where interval is not distinct from $interval and clock is not distinct from $clock"
            " order by time",
            params={"interval": interval, "clock": clock},
        ).to_arrow_table()
    return pl.from_arrow(arrow)  # type: ignore[return-value]


def their_frame(vendor: TestVendor, dataset: str, interval: str, clock: str) -> pl.DataFrame:
    get = aperiodic.get_derivative_metrics if dataset in DERIVATIVES else aperiodic.get_metrics
    if dataset == "ohlcv":
        return aperiodic.get_ohlcv(**_arguments(vendor, interval, clock))
    if dataset == "vtwap":
        return aperiodic.get_vwap(**_arguments(vendor, interval, clock))
    return get(metric=dataset, **_arguments(vendor, interval, clock))


def _arguments(vendor: TestVendor, interval: str, clock: str) -> dict[str, object]:
    return {
        "api_key": "any",
        "timestamp": clock,
        "interval": interval,
        "exchange": VENUE,
        "symbol": BTC,
        "start_date": START,
        "end_date": LAST,
        "base_url": vendor.url,
        "show_progress": False,
    }


def _as_doubles(frame: pl.DataFrame) -> pl.DataFrame:
    """Widened as the contract has it: every real a double, every whole number 64 bits."""
    return frame.with_columns(
        pl.col(pl.Float32).cast(pl.Float64), pl.selectors.integer().cast(pl.Int64)
    ).with_columns(pl.col("time").cast(pl.Datetime("us")))


def assert_equal_frames(
    vendor: TestVendor, settings: Settings, dataset: str, interval: str, clock: str
) -> None:
    theirs = their_frame(vendor, dataset, interval, clock)
    ours = our_frame(settings, dataset, interval, clock)
    if dataset.startswith("l2_") and clock == "true":
        assert theirs.shape == (0, 0)
        assert ours.is_empty()
        return
    assert ours["time"].is_unique().all()
    bars_a_day = {"1h": 24, "5m": 288}[interval]
    assert len(theirs) - len(ours) == OVERLAP * bars_a_day
    twice = theirs.filter(theirs["time"].is_duplicated())["time"]
    daily_from = datetime.fromisoformat(DAILY_FROM.isoformat())
    assert twice.min() == daily_from
    assert twice.max() == daily_from + timedelta(days=OVERLAP) - timedelta(days=1) / bars_a_day
    once = theirs.unique("time", keep="last").sort("time")
    assert once.columns == ours.columns
    assert _as_doubles(once).equals(_as_doubles(ours), null_equal=True)


@pytest.mark.parametrize(("dataset", "interval", "clock"), COMPARED)
def test_the_vendors_client_and_the_warehouse_give_equal_frames(
    running_vendor: TestVendor, synced: Settings, dataset: str, interval: str, clock: str
) -> None:
    assert_equal_frames(running_vendor, synced, dataset, interval, clock)


def test_the_vendors_client_gets_raw_data_symbols_and_coverage(
    running_vendor: TestVendor, synced: Settings, tmp_path: object
) -> None:
    june = {"start_date": date(2025, 6, 1), "end_date": date(2025, 6, 3)}
    place = {"exchange": VENUE, "symbol": BTC, "base_url": running_vendor.url}
    trades = aperiodic.get_raw("any", dataset="trades", show_progress=False, **place, **june)
    ours = our_frame(synced, "raw_trades", None, None)
    assert trades.columns == [c for c in ours.columns if c != "time"]
    assert trades.equals(ours.select(trades.columns))
    paths = aperiodic.download_raw(
        "any", dataset="funding_rate", output_dir=tmp_path, show_progress=False, **place, **june
    )
    assert [path.is_file() for path in paths] == [True]
    assert aperiodic.get_symbols("any", VENUE, running_vendor.url) == [BTC]
    coverage = aperiodic.get_raw_coverage(base_url=running_vendor.url)
    facts = coverage["coverage"]["trades"][VENUE][BTC]
    assert (facts["first"], facts["last"], facts["days"]) == ("2025-06-01", "2025-06-03", 3)


# -- by itself -----------------------------------------------------------------------------------


def get(vendor: TestVendor, path: str, **parameters: str) -> httpx.Response:
    return httpx.get(f"{vendor.url}/{path}", params=parameters)


GRID = {"exchange": VENUE, "symbol": BTC, "interval": "1h", "timestamp": "true"}
DAYS = {"start_date": "2025-09-01", "end_date": "2025-09-30"}


def link(vendor: TestVendor) -> str:
    return str(get(vendor, "data/flow", **GRID, **DAYS).json()["files"][0]["url"])


def test_links_die_and_cannot_be_bent(market_home: Home) -> None:
    with serve_vendor(market_home, link_s=1) as vendor:
        url = link(vendor)
        assert httpx.get(url).status_code == 200
        for bent in (
            url.replace("X-Amz-Expires=1", "X-Amz-Expires=9999"),
            url.replace("2025-09", "2025-10"),
            re.sub("object=[0-9a-f]{4}", "object=0000", url),
            re.sub(r"\?.*", "", url),
        ):
            refused = httpx.get(bent)
            assert (refused.status_code, "AccessDenied" in refused.text) == (403, True)
        import time

        time.sleep(1.1)
        assert httpx.get(url).status_code == 403


def test_files_have_etag_and_range(test_vendor: TestVendor) -> None:
    url = link(test_vendor)
    whole = httpx.get(url)
    etag = whole.headers["etag"]
    assert httpx.get(url, headers={"if-none-match": etag}).status_code == 304
    part = httpx.get(url, headers={"range": "bytes=4-9", "if-range": etag})
    assert (part.status_code, part.content) == (206, whole.content[4:10])
    assert httpx.get(url, headers={"range": "bytes=4-9", "if-range": '"x"'}).status_code == 200
    assert httpx.get(url, headers={"range": "bytes=999999999-"}).status_code == 416


def test_wrong_questions_get_the_vendors_errors(test_vendor: TestVendor) -> None:
    backwards = {"start_date": "2025-09-02", "end_date": "2025-09-01"}
    assert get(test_vendor, "data/flow", **GRID, **backwards).status_code == 400
    assert get(test_vendor, "data/flow", **GRID).json() == {"error": "missing parameter start_date"}
    assert get(test_vendor, "data/flow", **{**GRID, **DAYS, "interval": "7m"}).status_code == 400
    assert get(test_vendor, "data/nothing", **GRID, **DAYS).status_code == 404
    assert get(test_vendor, "metadata/symbols", exchange="nowhere").status_code == 400
    long = {"start_date": "2023-01-01", "end_date": "2025-01-01"}
    place = {"exchange": VENUE, "symbol": BTC}
    assert get(test_vendor, "data/raw/trades", **place, **long).json()["code"] == "range_too_long"


def test_the_preview_is_one_series_and_month(test_vendor: TestVendor) -> None:
    slice_ = {**GRID, "interval": "5m", "timestamp": "exchange"}
    may = {"start_date": "2025-04-01", "end_date": "2025-12-31"}
    assert get(test_vendor, "data/preview/flow", **slice_, **may).json() == {"files": []}
    assert get(test_vendor, "data/preview/flow", **GRID, **may).status_code == 400
    assert get(test_vendor, "data/preview/flow", **slice_, **DAYS).status_code == 400
    raw = get(test_vendor, "data/raw/preview/trades", exchange=VENUE, symbol=BTC).json()
    assert [file["period"] for file in raw["files"]] == ["2025-06"]


def test_the_catalog_lists_the_contracts(test_vendor: TestVendor) -> None:
    metrics = get(test_vendor, "metadata/catalog").json()["metrics"]
    assert {metric["id"] for metric in metrics} == set(METRICS)
    assert all(field["description"] for metric in metrics for field in metric["fields"])


def test_a_key_is_asked_for_if_one_was_set(market_home: Home) -> None:
    with serve_vendor(market_home, key="s3cret") as vendor:
        assert get(vendor, "data/flow", **GRID, **DAYS).status_code == 401
        for key, status in (("s3cret", 200), ("DEMO-KEY", 401)):
            headers = {"x-api-key": key}
            answer = httpx.get(f"{vendor.url}/data/flow", params=GRID | DAYS, headers=headers)
            assert answer.status_code == status
        headers = {"x-api-key": "DEMO-KEY"}
        place = {"exchange": VENUE, "symbol": BTC}
        url = f"{vendor.url}/data/raw/preview/trades"
        assert httpx.get(url, params=place, headers=headers).status_code == 200
        assert get(vendor, "metadata/raw").status_code == 200
