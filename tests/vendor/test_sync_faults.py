"""A sync under faults ends complete and correct, or names what it could not fetch."""

from __future__ import annotations

import re
import time
from datetime import date

import pytest

from tests.vendor.conftest import (
    FILES_PER_SERIES,
    METRICS,
    NOW,
    client,
    lake_tree,
    objects_of,
    want,
)
from tests.vendor.server import FILE, FOR_EVER, LIST, Fault, TestVendor, serve_vendor
from warehouse.errors import ExitCode, VendorError
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.sync.from_vendor import plan_vendor, sync_vendor
from warehouse.sync.report import SyncReport
from warehouse.vendor.api import KeyRefusedError, NoAnswerError, VendorClient

TRANSIENT = ("429", "500", "502", "503", "reset", "wrong_length", "expired", "slow")
BAD_BODIES = ("truncated", "schema", "html")
TWO_MONTHS = {"start": date(2025, 9, 1), "end": date(2025, 11, 1)}


def stored(manifest: Manifest) -> set[str]:
    return {object for object, *_ in manifest.objects()}


def run(home: Home, vendor: TestVendor, *datasets: str, **options: object) -> SyncReport:
    """Sync hourly bars of some datasets."""
    with client(vendor) as ours:
        return sync_vendor(home, want(*datasets, **options), ours, now=NOW)  # type: ignore[arg-type]


def path_of(dataset: str, period: str) -> str:
    return rf"^/files/{dataset}/.*/{period}\.parquet$"


def test_sync_in_a_storm_of_faults_is_complete_and_correct(
    home: Home, test_vendor: TestVendor, market_home: Home
) -> None:
    months = ("2025-09", "2025-10", "2025-11", "2025-12", "2026-01")
    files = [path_of(dataset, month) for dataset in METRICS for month in months]
    for index, kind in enumerate(TRANSIENT * 4 + BAD_BODIES * 4):
        pause_s = 1.2 if kind == "slow" else 0.0
        times = 1 if kind in (*BAD_BODIES, "slow") else 2
        hint = "0" if kind == "429" else None
        test_vendor.faults.append(
            Fault(kind, files[2 * index], times=times, pause_s=pause_s, retry_after=hint)
        )
    for kind in ("429", "500", "503", "html", "reset"):
        if kind != "html":
            test_vendor.faults.append(Fault(kind, LIST, times=3))
    report = run(home, test_vendor, *METRICS)
    assert [str(failure) for failure in report.failures] == []
    assert report.exit_code is ExitCode.DONE
    assert len(report.taken_in) == len(METRICS) * FILES_PER_SERIES > 150
    assert all(fault.times == 0 for fault in test_vendor.faults)
    with Manifest(home.manifest) as manifest:
        assert stored(manifest) == objects_of(market_home, *METRICS)
        assert manifest.quarantine() == []
    assert not [path for path in lake_tree(home) if path.startswith((".build", "quarantine"))]


def test_files_that_cannot_be_had_are_named_and_the_rest_is_there(
    home: Home, test_vendor: TestVendor
) -> None:
    test_vendor.faults += [
        Fault("404", path_of("flow", "2025-10"), times=FOR_EVER),
        Fault("503", path_of("ohlcv", "2025-11"), times=FOR_EVER),
        Fault("html", path_of("basis", "2025-12"), times=FOR_EVER),
    ]
    report = run(home, test_vendor, *METRICS)
    assert len(report.taken_in) == len(METRICS) * FILES_PER_SERIES - 3
    failed = " ".join(failure.what for failure in report.failures)
    assert re.search(r"flow \S+ \S+ 1h exchange 2025-10: .*status 404", failed)
    assert re.search(r"ohlcv \S+ \S+ 1h exchange 2025-11: .*status 503", failed)
    assert [str(refused.key.period.text) for refused in report.refused] == ["2025-12"]
    assert report.exit_code is ExitCode.DATA_PROBLEMS
    assert test_vendor.count(path_of("flow", "2025-10")) == 1
    assert test_vendor.count(path_of("basis", "2025-12")) == 2

    test_vendor.clear()
    report = run(home, test_vendor, *METRICS)
    assert len(report.taken_in) == 3
    assert report.exit_code is ExitCode.DONE
    assert test_vendor.count(FILE) == test_vendor.count(LIST) == 3


@pytest.mark.parametrize("kind", [*TRANSIENT, *BAD_BODIES])
def test_each_fault_alone_costs_a_request_more(
    home: Home, test_vendor: TestVendor, kind: str
) -> None:
    test_vendor.faults.append(Fault(kind, path_of("flow", "2025-09"), pause_s=1.2))
    report = run(home, test_vendor, "flow", **TWO_MONTHS)
    assert (len(report.taken_in), report.exit_code) == (2, ExitCode.DONE)
    assert test_vendor.count(FILE) == (4 if kind == "wrong_length" else 3)


@pytest.mark.parametrize("kind", ["reset", "slow"])
def test_a_broken_off_body_goes_on_where_it_stopped(
    home: Home, test_vendor: TestVendor, market_home: Home, kind: str
) -> None:
    test_vendor.faults.append(Fault(kind, r"2025-10\.parquet", pause_s=1.2))
    report = run(home, test_vendor, "flow", interval="5m")
    assert report.exit_code is ExitCode.DONE
    assert test_vendor.count(FILE, 206) == 1
    with Manifest(home.manifest) as manifest:
        assert stored(manifest) == objects_of(market_home, "flow", interval="5m")


def test_a_later_run_goes_on_with_what_an_earlier_one_left(
    home: Home, test_vendor: TestVendor
) -> None:
    test_vendor.faults += [
        Fault("reset", r"2025-10\.parquet"),
        Fault("503", r"2025-10\.parquet", times=FOR_EVER),
    ]
    report = run(home, test_vendor, "flow", interval="5m", **TWO_MONTHS)
    assert len(report.failures) == 1
    assert [path for path in lake_tree(home) if path.endswith(".part")]
    test_vendor.clear()
    report = run(home, test_vendor, "flow", interval="5m", **TWO_MONTHS)
    assert report.exit_code is ExitCode.DONE
    assert [seen.status for seen in test_vendor.seen if "/files/" in seen.path] == [206]
    assert not [path for path in lake_tree(home) if path.startswith(".build")]


def test_retry_after_is_waited_for(home: Home, test_vendor: TestVendor) -> None:
    test_vendor.faults.append(Fault("429", LIST, retry_after="1"))
    started = time.monotonic()
    report = run(home, test_vendor, "flow", **TWO_MONTHS)
    assert time.monotonic() - started >= 1.0
    assert report.exit_code is ExitCode.DONE


def test_a_wait_beyond_patience_is_a_failure_that_reports_it(
    home: Home, test_vendor: TestVendor
) -> None:
    test_vendor.faults.append(Fault("429", LIST, times=FOR_EVER, retry_after="3600"))
    report = run(home, test_vendor, "flow", **TWO_MONTHS)
    assert "asks to wait 3600 s" in report.failures[0].what
    assert report.exit_code is ExitCode.VENDOR
    assert test_vendor.count(LIST) == 1


def test_links_when_old_then_are_requested_again(home: Home, market_home: Home) -> None:
    with serve_vendor(market_home, link_s=2) as vendor:
        vendor.faults.append(Fault("slow", r"2025-(09|10)\.parquet", times=2, pause_s=0.8))
        with client(vendor, connections=1) as ours:
            report = sync_vendor(home, want("flow"), ours, now=NOW)
        assert report.exit_code is ExitCode.DONE
        assert len(report.taken_in) == FILES_PER_SERIES
        assert vendor.count(LIST) >= 2
        assert vendor.count(FILE, 403) == 0


def test_storage_that_refuses_every_link_is_given_up(home: Home, test_vendor: TestVendor) -> None:
    test_vendor.faults.append(Fault("expired", times=FOR_EVER))
    with pytest.raises(NoAnswerError, match="requests failed"):
        run(home, test_vendor, *METRICS)


def test_a_vendor_that_is_down_ends_the_run(home: Home) -> None:
    with (
        VendorClient("http://127.0.0.1:1/api/v1", "k", retry=_quick()) as ours,
        pytest.raises(NoAnswerError, match="does not respond"),
    ):
        sync_vendor(home, want(*METRICS), ours, now=NOW)


def test_a_key_that_is_refused_ends_the_run(home: Home, market_home: Home) -> None:
    with (
        serve_vendor(market_home, key="another") as vendor,
        client(vendor) as ours,
        pytest.raises(KeyRefusedError, match="does not accept the API key"),
    ):
        sync_vendor(home, want("flow"), ours, now=NOW)


def test_no_key_is_said_before_anything_is_asked() -> None:
    with pytest.raises(KeyRefusedError, match="no API key") as caught:
        VendorClient("https://example.org/api/v1")
    assert "APERIODIC_API_KEY" in str(caught.value)
    assert caught.value.exit_code is ExitCode.VENDOR


def test_a_plan_without_the_interval_fails_for_that_series_only(
    home: Home, test_vendor: TestVendor
) -> None:
    body = b'{"error": "15s needs Tier 3", "upgrade_url": "https://example.org/pricing?u=1"}'
    test_vendor.faults.append(Fault("403", r"/data/flow$", times=FOR_EVER, body=body))
    report = run(home, test_vendor, "flow", "ohlcv", **TWO_MONTHS)
    assert len(report.taken_in) == 2
    assert "not in your plan: 15s needs Tier 3" in report.failures[0].what
    assert "https://example.org/pricing," in str(report.failures[0].next_step)
    assert test_vendor.count(r"/data/flow$") == 1
    assert report.exit_code is ExitCode.DATA_PROBLEMS


def test_an_unknown_symbol_is_distinguished_from_an_empty_series(
    home: Home, test_vendor: TestVendor
) -> None:
    wrong = want("flow", symbol="perpetual-BTC-USD:USDT")
    for _ in range(2):
        with client(test_vendor) as ours:
            report = sync_vendor(home, wrong, ours, now=NOW)
        assert "did you mean perpetual-BTC-USDT:USDT?" in report.failures[0].what
        assert report.exit_code is ExitCode.DATA_PROBLEMS


def test_an_empty_answer_is_a_note_and_is_not_asked_for_again(
    home: Home, test_vendor: TestVendor
) -> None:
    report = run(home, test_vendor, "l2_imbalance", clock="true")
    assert report.exit_code is ExitCode.DONE
    assert str(report.empty[0]).endswith("1h true: nothing for 2025-09 to 2026-01")
    test_vendor.clear()
    report = run(home, test_vendor, "l2_imbalance", clock="true")
    assert (report.settled, test_vendor.seen) == (1, [])


def test_months_before_the_listing_are_not_asked_for_again(
    home: Home, test_vendor: TestVendor
) -> None:
    report = run(home, test_vendor, "flow", start=date(2024, 1, 1))
    assert str(report.empty[0]).endswith("nothing for 2024-01 to 2025-08")
    test_vendor.clear()
    run(home, test_vendor, "flow", start=date(2023, 6, 1))
    queries = [seen.query for seen in test_vendor.seen]
    assert len(queries) == 1
    assert "start_date=2023-06-01&end_date=2023-12-31" in queries[0]


def test_a_second_sync_asks_for_nothing(home: Home, test_vendor: TestVendor) -> None:
    run(home, test_vendor, *METRICS)
    test_vendor.clear()
    report = run(home, test_vendor, *METRICS)
    assert (report.settled, test_vendor.seen) == (len(METRICS), [])
    assert report.exit_code is ExitCode.DONE


def test_a_plan_changes_nothing_and_is_what_the_sync_then_does(
    home: Home, test_vendor: TestVendor
) -> None:
    with client(test_vendor) as ours:
        plan = plan_vendor(home, want("flow", "raw_trades", **TWO_MONTHS), ours, now=NOW)
    assert not home.root.exists()
    assert test_vendor.count(FILE) == 0
    assert [fetch.key.period.text for fetch in plan.fetches] == ["2025-09", "2025-10"]
    report = run(home, test_vendor, "flow", **TWO_MONTHS)
    assert {a.key for a in report.taken_in} == {fetch.key for fetch in plan.fetches}
    with client(test_vendor) as ours:
        assert plan_vendor(home, want("flow", **TWO_MONTHS), ours, now=NOW).fetches == ()


def test_raw_files_are_planned_with_their_sizes_and_imported(
    home: Home, test_vendor: TestVendor, market_home: Home
) -> None:
    june = {"start": date(2024, 1, 1), "end": date(2025, 7, 1)}
    with client(test_vendor) as ours:
        plan = plan_vendor(home, want("raw_trades", **june), ours, now=NOW)
    assert plan.size_bytes == plan.fetches[0].size_bytes
    assert test_vendor.count(LIST) == 2  # at most 366 days in one request
    report = run(home, test_vendor, "raw_trades", "raw_quotes", **june)
    assert report.exit_code is ExitCode.DONE
    with Manifest(home.manifest) as manifest:
        assert stored(manifest) == objects_of(market_home, "raw_trades", "raw_quotes")


def test_a_redirect_is_followed_here_but_not_to_plain_http_elsewhere(
    home: Home, test_vendor: TestVendor
) -> None:
    test_vendor.faults.append(Fault("redirect", target="http://192.0.2.1/x.parquet"))
    report = run(home, test_vendor, "flow", **TWO_MONTHS)
    assert "a link must be https" in report.failures[0].what
    assert len(report.taken_in) == 1


def test_the_key_goes_to_the_api_only(home: Home, test_vendor: TestVendor) -> None:
    with serve_vendor(home) as elsewhere:
        target = elsewhere.url.replace("/api/v1", "/files/x")
        test_vendor.faults += [
            Fault("redirect", path_of("flow", "2025-09"), target=target),
            Fault("redirect", r"/data/ohlcv$", target=target),
        ]
        run(home, test_vendor, "flow", "ohlcv", **TWO_MONTHS)
        assert elsewhere.count(FILE) >= 2
        for seen in elsewhere.seen:
            assert "x-api-key" not in seen.headers
    for seen in test_vendor.seen:
        assert ("x-api-key" in seen.headers) == ("/api/v1/" in seen.path)


def test_an_answer_that_is_no_json_is_said_so(home: Home, test_vendor: TestVendor) -> None:
    test_vendor.faults.append(Fault("html", LIST, times=FOR_EVER))
    report = run(home, test_vendor, "flow", **TWO_MONTHS)
    assert "the response is not from the vendor's API" in report.failures[0].what
    assert report.exit_code is ExitCode.VENDOR


def test_the_preview_needs_no_key_and_remembers_nothing_as_empty(
    home: Home, test_vendor: TestVendor
) -> None:
    may = {"start": date(2025, 5, 1), "end": date(2025, 6, 1), "interval": "5m"}
    with client(test_vendor, preview=True) as ours:
        report = sync_vendor(home, want("flow", **may), ours, now=NOW)
    assert isinstance(report.failures, tuple) and not report.failures
    assert test_vendor.seen[0].headers["x-api-key"] == "DEMO-KEY"
    assert test_vendor.seen[0].path.startswith("/api/v1/data/preview/")
    test_vendor.clear()
    run(home, test_vendor, "flow", **may)
    assert test_vendor.count(LIST) == 1


def test_a_clock_that_is_off_is_warned_of(home: Home, test_vendor: TestVendor) -> None:
    with client(test_vendor) as ours:
        sync_vendor(home, want("flow", **TWO_MONTHS), ours, now=NOW)
        ours.skew_s = -3_600.0
        report = sync_vendor(home, want("flow", **TWO_MONTHS), ours, now=NOW)
    assert report.warnings[0].startswith("this machine's clock is 60 minutes behind")


def test_errors_are_of_the_vendors_kind() -> None:
    assert issubclass(NoAnswerError, VendorError)
    assert issubclass(KeyRefusedError, VendorError)


def _quick() -> object:
    from warehouse.vendor.http import RetryPolicy

    return RetryPolicy(tries=2, first_wait_s=0.01, longest_wait_s=0.01, timeout_s=1.0)
