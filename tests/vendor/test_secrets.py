"""No key, signature or query string is left anywhere: canaries are searched in all output."""

from __future__ import annotations

import io
import logging
import traceback
from datetime import date
from pathlib import Path

import duckdb
import pytest

from tests.support import run_warehouse
from tests.vendor.conftest import BTC, NOW, VENUE, want
from tests.vendor.server import FILE, FOR_EVER, LIST, Fault, TestVendor, serve_vendor
from warehouse.build.catalog import prepare_catalog
from warehouse.config import Settings
from warehouse.errors import VendorError, WarehouseError
from warehouse.home import Home
from warehouse.sync.from_vendor import sync_vendor
from warehouse.sync.report import SyncReport
from warehouse.vendor.api import VendorClient

CANARY = "canary-key-7f3a"
TRACES = ("X-Amz", "Signature", CANARY)


def faults(vendor: TestVendor) -> None:
    """One fault of each kind, some permanent; the vendor repeats the key in its errors."""
    echo = f'{{"error": "key {CANARY} may not: https://h/x?X-Amz-Signature=1"}}'.encode()
    vendor.faults += [
        Fault("reset", r"flow/.*2025-09"),
        Fault("truncated", r"flow/.*2025-10"),
        Fault("expired", r"flow/.*2025-11"),
        Fault("html", r"flow/.*2025-12", times=FOR_EVER),
        Fault("404", r"ohlcv/.*2025-09", times=FOR_EVER),
        Fault("500", r"ohlcv/.*2025-10", times=2),
        Fault("redirect", r"ohlcv/.*2025-11", target="http://192.0.2.9/x?X-Amz-Signature=2"),
        Fault("redirect", r"ohlcv/.*2025-12", target="http://[bad?X-Amz-Signature=3"),
        Fault("503", LIST, body=echo),
        Fault("400", r"/data/basis$", times=FOR_EVER, body=echo),
        Fault("403", r"/data/funding$", times=FOR_EVER, body=echo),
    ]


def search(text: str, vendor: TestVendor) -> None:
    assert vendor.signatures
    for trace in (*TRACES, *vendor.signatures):
        assert trace not in text


def search_home(home: Home, vendor: TestVendor) -> None:
    for path in home.root.rglob("*"):
        if path.is_file():
            search(path.read_bytes().decode("latin-1"), vendor)


def test_a_run_with_faults_leaves_no_secret(tmp_path: Path, test_vendor: TestVendor) -> None:
    faults(test_vendor)
    root = tmp_path / "home"
    place = ["--exchange", VENUE, "--symbol", BTC, "--interval", "1h", "--clock", "exchange"]
    days = ["--start", "2025-09-01", "--end", "2025-12-31"]
    run = run_warehouse(
        "--debug", "sync", "flow", "ohlcv", "basis", "funding", *place, *days,
        "--home", root, "--json",
        cwd=tmp_path,
        environment={"APERIODIC_API_URL": test_vendor.url, "APERIODIC_API_KEY": CANARY},
    )  # fmt: skip
    assert run.exit_code == 1, run.stderr
    assert "httpcore" in run.stderr and "HTTP Request: GET" in run.stderr
    assert test_vendor.count(FILE) > 10
    search(run.stdout + run.stderr, test_vendor)
    search_home(Home(root), test_vendor)
    prepare_catalog(Settings(home=root), generation=1)
    search_home(Home(root), test_vendor)
    with duckdb.connect(str(Home(root).build_catalog), read_only=True) as connection:
        tables = connection.sql("select table_name from duckdb_tables() where schema_name = 'meta'")
        for (table,) in tables.fetchall():
            search(str(connection.sql(f"from meta.{table}").fetchall()), test_vendor)
        search(str(connection.sql("select sql from duckdb_views()").fetchall()), test_vendor)


def test_errors_and_their_traces_hold_no_secret(
    tmp_path: Path, test_vendor: TestVendor, market_home: Home
) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with serve_vendor(market_home, key="another") as strict:
            with pytest.raises(WarehouseError) as caught:
                _sync(Home(tmp_path / "a"), strict.url)
            written.write("".join(traceback.format_exception(caught.value)))
            written.write(repr(caught.value.fields))
        for failure in _sync(Home(tmp_path / "c"), "http://127.0.0.1:1/api").failures:
            written.write("".join(traceback.format_exception(failure)))
        faults(test_vendor)
        for failure in _sync(Home(tmp_path / "d"), test_vendor.url).failures:
            written.write("".join(traceback.format_exception(failure)))
        test_vendor.faults[:] = [Fault("expired", times=FOR_EVER)]
        with pytest.raises(VendorError) as caught:
            _sync(Home(tmp_path / "b"), test_vendor.url)
        written.write("".join(traceback.format_exception(caught.value)))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert "Traceback" in written.getvalue() and "GET http" in written.getvalue()
    search(written.getvalue(), test_vendor)
    search_home(Home(tmp_path), test_vendor)


@pytest.mark.parametrize("key", [f"{CANARY}\nx", f"{CANARY} x", f"{CANARY}é"])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(WarehouseError) as caught:
        VendorClient("https://example.org/api/v1", key)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_nothing_shows_the_key(test_vendor: TestVendor) -> None:
    with VendorClient(test_vendor.url, CANARY) as vendor:
        listing = vendor.list_files(want("flow")[0])
    search(repr(vendor) + repr(listing), _with_signatures(test_vendor, str(listing.links)))


def _sync(home: Home, url: str) -> SyncReport:
    from warehouse.vendor.http import RetryPolicy

    hasty = RetryPolicy(tries=2, first_wait_s=0.01, longest_wait_s=0.01, timeout_s=1.0)
    wanted = want("flow", "ohlcv", start=date(2025, 9, 1))
    with VendorClient(url, CANARY, retry=hasty) as vendor:
        return sync_vendor(home, wanted, vendor, now=NOW)


def _with_signatures(vendor: TestVendor, links: str) -> TestVendor:
    from tests.vendor.server import Seen

    vendor.seen.append(Seen("", links, {}))
    return vendor
