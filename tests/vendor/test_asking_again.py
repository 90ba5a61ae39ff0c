"""What is requested again, and what happens to files that grew or changed at the vendor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.support import bar_table, file_key, grid, write_file
from tests.vendor.conftest import client, want
from tests.vendor.server import FILE, LIST, TestVendor, serve_vendor
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.lake.objects import Outcome
from warehouse.sync.from_folder import sync_folder
from warehouse.sync.report import SyncReport

MARCH = {"clock": "true", "start": date(2026, 3, 1), "end": date(2026, 4, 1)}


@pytest.fixture
def vendor_home(tmp_path: Path) -> Home:
    return Home(tmp_path / "vendor-home")


@pytest.fixture
def small_vendor(vendor_home: Home) -> Iterator[TestVendor]:
    with serve_vendor(vendor_home) as vendor:
        yield vendor


def offer(vendor_home: Home, period: str, days: int, **columns: object) -> None:
    """Give the vendor hourly flow for this many days of a month, or for a day."""
    start = date.fromisoformat(period if len(period) == 10 else f"{period}-01")
    folder = vendor_home.root.parent / "offered"
    table = bar_table("flow", grid(start, 24 * days), **columns)
    write_file(folder, file_key("flow", period), table)
    sync_folder(vendor_home, folder)


def run(
    home: Home, vendor: TestVendor, now: tuple[int, ...], *, recheck: bool = False
) -> SyncReport:
    from warehouse.sync.from_vendor import sync_vendor

    moment = datetime(*now, tzinfo=UTC)  # type: ignore[misc, arg-type]
    vendor.seen.clear()
    with client(vendor) as ours:
        return sync_vendor(home, want("flow", **MARCH), ours, now=moment, recheck=recheck)


def test_a_month_that_grows_is_asked_for_until_two_days_after_its_end(
    home: Home, vendor_home: Home, small_vendor: TestVendor
) -> None:
    offer(vendor_home, "2026-03", 5)
    assert run(home, small_vendor, (2026, 3, 6)).count(Outcome.ADDED) == 1
    assert run(home, small_vendor, (2026, 3, 6)).count(Outcome.UNCHANGED) == 1
    assert small_vendor.count(FILE, 304) == 1
    offer(vendor_home, "2026-03", 9)
    assert run(home, small_vendor, (2026, 3, 10)).count(Outcome.GROWN) == 1
    offer(vendor_home, "2026-03", 31)
    assert run(home, small_vendor, (2026, 4, 2)).count(Outcome.GROWN) == 1
    assert run(home, small_vendor, (2026, 4, 4)).count(Outcome.UNCHANGED) == 1
    assert run(home, small_vendor, (2026, 4, 5)).settled == 1
    assert small_vendor.seen == []


def test_a_restated_file_is_found_by_recheck_and_distinguished(
    home: Home, vendor_home: Home, small_vendor: TestVendor
) -> None:
    offer(vendor_home, "2026-03", 31)
    run(home, small_vendor, (2026, 4, 5))
    before = _objects(home)
    offer(vendor_home, "2026-03", 31, taker_buy_volume=[2.0] * 744)
    assert run(home, small_vendor, (2026, 4, 6)).settled == 1
    report = run(home, small_vendor, (2026, 4, 6), recheck=True)
    assert report.count(Outcome.RESTATED) == 1
    with Manifest(home.manifest) as manifest:
        (change,) = manifest.restatements()
    assert (change.kind, change.difference["rows_changed"]) == ("restated", 744)
    assert change.difference["largest_relative_change"] == {"taker_buy_volume": 1.0}
    assert before < _objects(home)  # the old one is kept
    report = run(home, small_vendor, (2026, 4, 6), recheck=True)
    assert report.count(Outcome.UNCHANGED) == 1
    assert small_vendor.count(FILE, 304) == 1


def test_daily_files_settle_day_by_day(
    home: Home, vendor_home: Home, small_vendor: TestVendor
) -> None:
    offer(vendor_home, "2026-03", 3)
    for day in ("2026-03-03", "2026-03-04", "2026-03-05"):
        offer(vendor_home, day, 1)
    assert run(home, small_vendor, (2026, 3, 7)).count(Outcome.ADDED) == 4
    report = run(home, small_vendor, (2026, 3, 7, 12))
    assert {a.key.period.text for a in report.admissions} == {"2026-03", "2026-03-05"}
    offer(vendor_home, "2026-03-06", 1)
    report = run(home, small_vendor, (2026, 3, 8, 12))
    assert [a.key.period.text for a in report.taken_in] == ["2026-03-06"]
    assert small_vendor.count(LIST) == 1


def test_a_month_without_a_file_is_asked_about_until_it_has_ended(
    home: Home, vendor_home: Home, small_vendor: TestVendor
) -> None:
    offer(vendor_home, "2026-02", 28)
    run(home, small_vendor, (2026, 3, 20))
    assert run(home, small_vendor, (2026, 3, 21)).settled == 0
    offer(vendor_home, "2026-03", 31)
    assert run(home, small_vendor, (2026, 4, 3)).count(Outcome.ADDED) == 1


def test_a_file_from_a_folder_is_asked_for_only_if_it_was_copied_too_early(
    home: Home, vendor_home: Home, small_vendor: TestVendor, tmp_path: Path
) -> None:
    import os

    offer(vendor_home, "2026-03", 31)
    folder = tmp_path / "copied"
    path = write_file(
        folder, file_key("flow", "2026-03"), bar_table("flow", grid(MARCH["start"], 240))
    )
    early, late = (datetime(2026, 3, 11, tzinfo=UTC), datetime(2026, 4, 20, tzinfo=UTC))
    os.utime(path, (late.timestamp(), late.timestamp()))
    sync_folder(home, folder)
    assert run(home, small_vendor, (2026, 4, 21)).admissions == ()
    other = Home(tmp_path / "other")
    os.utime(path, (early.timestamp(), early.timestamp()))
    sync_folder(other, folder)
    assert run(other, small_vendor, (2026, 4, 21)).count(Outcome.GROWN) == 1


def test_rows_outside_their_month_are_refused_after_a_second_check(
    home: Home, vendor_home: Home, small_vendor: TestVendor
) -> None:
    offer(vendor_home, "2026-03", 31)
    with Manifest(vendor_home.manifest) as manifest:
        (file,) = manifest.files()
    object_path = vendor_home.objects / f"{file.object}.parquet"
    bad = write_file(
        vendor_home.root.parent / "bad",
        file_key("flow", "2026-03"),
        bar_table("flow", grid(date(2026, 2, 20), 24)),
    )
    object_path.unlink()
    bad.rename(object_path)
    report = run(home, small_vendor, (2026, 4, 6))
    assert "rows: time outside 2026-03" in (report.refused[0].reason or "")
    assert small_vendor.count(FILE) == 2
    assert run(home, small_vendor, (2026, 4, 6)).settled == 0


def _objects(home: Home) -> set[str]:
    return {path.name for path in home.objects.iterdir()}
