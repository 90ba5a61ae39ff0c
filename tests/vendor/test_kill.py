"""After a kill or interrupt at any moment the next run completes, and the lake is the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.vendor.conftest import BTC, VENUE, lake_tree
from tests.vendor.server import FOR_EVER, Fault, TestVendor
from warehouse.errors import ExitCode
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest

DATASETS = ("flow", "ohlcv", "l1_price", "basis")
ALL_MOMENTS = range(20)


def command(home: Home) -> list[str]:
    place = ["--exchange", VENUE, "--symbol", BTC, "--interval", "5m", "--clock", "exchange"]
    days = ["--start", "2025-09-01", "--end", "2026-01-31"]
    root = ["--home", str(home.root)]
    return [sys.executable, "-m", "warehouse", "sync", *DATASETS, *place, *days, *root]


def start(home: Home, vendor: TestVendor) -> subprocess.Popen[str]:
    environment = os.environ | {"APERIODIC_API_URL": vendor.url, "APERIODIC_API_KEY": "any"}
    return subprocess.Popen(
        command(home), env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


def finish(home: Home, vendor: TestVendor) -> str:
    process = start(home, vendor)
    _, said = process.communicate()
    assert process.returncode == ExitCode.DONE, said
    return said


def files_of(home: Home) -> list[tuple[str, str, str]]:
    with Manifest(home.manifest) as manifest:
        return [(str(f.key), f.object, f.origin_stamp) for f in manifest.files()]


def slow_down(vendor: TestVendor) -> None:
    """Spread the bodies over time, so that moments fall into every step."""
    vendor.clear()
    vendor.faults.append(Fault("slow", times=FOR_EVER, pause_s=0.05))


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, running_vendor: TestVendor
) -> tuple[Home, float]:
    """A home that was synced undisturbed, and how many seconds that took."""
    slow_down(running_vendor)
    home = Home(tmp_path_factory.mktemp("undisturbed"))
    started = time.monotonic()
    finish(home, running_vendor)
    return home, time.monotonic() - started


@pytest.mark.parametrize(
    "moment",
    [pytest.param(m, marks=[] if m in (6, 13) else pytest.mark.long) for m in ALL_MOMENTS],
)
def test_killed_at_a_moment_the_next_run_completes(
    tmp_path: Path, test_vendor: TestVendor, undisturbed: tuple[Home, float], moment: int
) -> None:
    expected, seconds = undisturbed
    home = Home(tmp_path / "home")
    slow_down(test_vendor)
    process = start(home, test_vendor)
    chance = random.Random(moment)
    time.sleep(seconds * (moment + chance.random()) / len(ALL_MOMENTS))
    process.kill()
    process.communicate()
    finish(home, test_vendor)
    assert lake_tree(home) == lake_tree(expected)
    assert sorted(files_of(home)) == sorted(files_of(expected))
    assert "up to date" in finish(home, test_vendor)


def test_sync_when_interrupted_then_ends_soon_and_the_next_run_completes(
    tmp_path: Path, test_vendor: TestVendor, undisturbed: tuple[Home, float]
) -> None:
    expected, _ = undisturbed
    home = Home(tmp_path / "home")
    test_vendor.faults.append(Fault("slow", times=FOR_EVER, pause_s=30.0))
    process = start(home, test_vendor)
    deadline = time.monotonic() + 30
    while test_vendor.count("^/files/") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    try:
        _, said = process.communicate()
    finally:
        process.kill()
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert "interrupted" in said
    assert time.monotonic() - started < 20
    test_vendor.clear()
    finish(home, test_vendor)
    assert lake_tree(home) == lake_tree(expected)
