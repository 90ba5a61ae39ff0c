"""``warehouse sync`` and ``warehouse serve`` as a user runs them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support import Run, run_warehouse
from tests.vendor.conftest import BTC, VENUE
from tests.vendor.server import FOR_EVER, Fault, TestVendor
from warehouse.home import Home

GRID = ["--interval", "1h", "--clock", "exchange"]
PLACE = ["--exchange", VENUE, "--symbol", BTC]
DAYS = ["--start", "2025-09-01", "--end", "2025-10-31"]


def warehouse(vendor: TestVendor, folder: Path, *arguments: str, key: str = "any") -> Run:
    environment = {"APERIODIC_API_URL": vendor.url, "APERIODIC_API_KEY": key}
    return run_warehouse(*arguments, "--home", folder / "home", cwd=folder, environment=environment)


def test_sync_dry_run_then_sync_then_nothing_new(tmp_path: Path, test_vendor: TestVendor) -> None:
    arguments = ["sync", "flow", "l2_*", *PLACE, *GRID, *DAYS]
    planned = warehouse(test_vendor, tmp_path, *arguments, "--dry-run")
    assert planned.exit_code == 0
    assert planned.stdout.count("2025-10") == 3
    assert "would download 6 files" in planned.stderr
    assert not (tmp_path / "home").exists()
    done = warehouse(test_vendor, tmp_path, *arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "6 files imported (4,392 rows" in done.stderr
    again = warehouse(test_vendor, tmp_path, *arguments, "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["settled_series"] == 3
    assert "up to date" in warehouse(test_vendor, tmp_path, *arguments).stderr


def test_sync_without_a_dataset_takes_what_the_home_subscribes_to(
    tmp_path: Path, test_vendor: TestVendor
) -> None:
    for verb in ("sync", "update"):
        missing = warehouse(test_vendor, tmp_path, verb, key="")
        assert missing.exit_code == 2
        assert "there are no subscriptions:" in missing.stderr
        assert "warehouse.toml" in missing.stderr and "--from FOLDER" in missing.stderr
        assert "APERIODIC_API_KEY" not in missing.stderr
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "warehouse.toml").write_text(
        '[[sync]]\ndatasets = ["flow", "raw_trades"]\nexchanges = ["binance-futures"]\n'
        'symbols = ["perpetual-BTC-*"]\nintervals = ["1h"]\nclocks = ["true"]\n'
        "start = 2025-06-01\nend = 2025-09-30\n"
    )
    done = warehouse(test_vendor, tmp_path, "sync")
    assert done.exit_code == 0, done.stderr
    assert "2 files imported" in done.stderr


def test_the_preview_needs_no_key(tmp_path: Path, test_vendor: TestVendor) -> None:
    done = warehouse(test_vendor, tmp_path, "sync", "raw_trades", "--preview", key="")
    assert done.exit_code == 0, done.stderr
    assert "1 file imported" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["sync", "flow"], 2, "flow: --exchange, --symbol, --start must be given"),
        (["sync", "flow", *PLACE, "--start", "2025-09-01"], 2, "no interval"),
        (["sync", "flow", *PLACE, *GRID, "--start", "September"], 2, "--start"),
        (["sync", "flow", *PLACE, *GRID, *DAYS[2:], "--start", "2026-01-01"], 2, "ends before"),
        (["sync", "--dataset", "flow"], 2, "--dataset can only be used with --from"),
        (["sync", "--dataset", "ohlc", "--from", "."], 2, "did you mean ohlcv?"),
        (["sync", "flow", "--from", "."], 2, "--from imports a whole folder"),
        (["sync", "l9_*", *PLACE, *GRID, *DAYS], 2, "no dataset matches"),
        (
            ["sync", "flow", "--exchange", VENUE, "--symbol", "perpetual-BTC-USDT", *GRID, *DAYS],
            1,
            "did you mean perpetual-BTC-USDT:USDT?",
        ),
    ],
)
def test_wrong_calls_name_the_next_step(
    tmp_path: Path, test_vendor: TestVendor, arguments: list[str], code: int, said: str
) -> None:
    done = warehouse(test_vendor, tmp_path, *arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_no_key_and_a_vendor_that_is_down_exit_with_3(
    tmp_path: Path, test_vendor: TestVendor
) -> None:
    arguments = ["sync", "flow", *PLACE, *GRID, *DAYS, "--home", tmp_path / "home"]
    for url, said in (("https://192.0.2.1/api", "no API key"), ("ftp://x", "is not a base URL")):
        done = run_warehouse(*arguments, cwd=tmp_path, environment={"APERIODIC_API_URL": url})
        assert said in done.stderr
        assert done.exit_code == (3 if "key" in said else 2)
    test_vendor.faults.append(Fault("401", r"/data/", times=FOR_EVER))
    done = warehouse(test_vendor, tmp_path, "sync", "flow", *PLACE, *GRID, *DAYS)
    assert done.exit_code == 3
    assert "does not accept the API key" in done.stderr


def test_a_disk_without_room_exits_with_6(tmp_path: Path, test_vendor: TestVendor) -> None:
    june = ["--start", "2025-06-01", "--end", "2025-06-30"]
    body = json.dumps(
        {"files": [{"period": "2025-06", "url": "https://h/x?s=1", "size": 10**18}]}
    ).encode()
    test_vendor.faults.append(Fault("200", r"/data/raw/", body=body))
    done = warehouse(test_vendor, tmp_path, "sync", "raw_trades", *PLACE, *june)
    assert done.exit_code == 6
    assert "to download" in done.stderr


def test_a_disk_that_gets_full_exits_with_6_and_the_next_run_goes_on(
    tmp_path: Path, test_vendor: TestVendor
) -> None:
    june = ["--start", "2025-06-01", "--end", "2025-06-30"]
    sync = ["sync", "raw_quotes", *PLACE, *june, "--home", str(tmp_path / "home")]
    full = subprocess.run(
        [
            "bash",
            "-c",
            f"ulimit -f 400; exec {shlex.join([sys.executable, '-m', 'warehouse', *sync])}",
        ],
        env=os.environ | {"APERIODIC_API_URL": test_vendor.url, "APERIODIC_API_KEY": "any"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert full.returncode == 6, full.stderr
    assert "cannot be stored" in full.stderr and "free disk space" in full.stderr
    again = warehouse(test_vendor, tmp_path, "sync", "raw_quotes", *PLACE, *june)
    assert again.exit_code == 0, again.stderr


def test_serve_prints_its_url_first_and_responds_until_it_is_stopped(
    tmp_path: Path, market_home: Home
) -> None:
    command = [sys.executable, "-m", "warehouse", "serve", "--home", str(market_home.root)]
    process = subprocess.Popen(
        [*command, "--key"],
        env=os.environ | {"APERIODIC_API_KEY": "s3cret"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        asked = {"params": {"exchange": VENUE}, "headers": {"x-api-key": "s3cret"}}
        answer = httpx.get(f"{url}/metadata/symbols", **asked)  # type: ignore[arg-type]
        assert answer.json() == {"symbols": [BTC], "exchange": VENUE}
        assert httpx.get(f"{url}/metadata/symbols", params={"exchange": VENUE}).status_code == 401
        forwarded = {**asked["headers"], "x-forwarded-proto": "https", "x-forwarded-for": "1.2.3.4"}
        for_ever = {"start_date": "2020-01-01", "end_date": "9999-12-31"}
        bars = {"exchange": VENUE, "symbol": BTC, "interval": "1h", "timestamp": "true"}
        files = httpx.get(f"{url}/data/ohlcv", params={**bars, **for_ever}, headers=forwarded)
        links = [file["url"] for file in files.json()["files"]]
        assert links and all(link.startswith("http://127.0.0.1:") for link in links)
        ancient = {"exchange": VENUE, "symbol": BTC, "start_date": "0001-01-01"}
        raw = httpx.get(
            f"{url}/data/raw/trades", params=ancient | {"end_date": "0001-01-01"}, headers=forwarded
        )
        assert raw.status_code == 400 and "start_date" in raw.json()["error"]
        rebound = httpx.get(f"{url}/metadata/raw", headers={"host": "evil.example"})
        assert rebound.status_code == 400
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert "Traceback" not in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_serve_opens_the_lake_to_other_machines_with_a_key_only(
    tmp_path: Path, market_home: Home, host: str
) -> None:
    refused = run_warehouse("serve", "--host", host, "--home", str(market_home.root), cwd=tmp_path)
    assert refused.exit_code == 2
    assert "other machines" in refused.stderr and "--key" in refused.stderr


def test_serve_when_something_is_missing_then_names_it(tmp_path: Path, market_home: Home) -> None:
    root = str(market_home.root)
    nothing = run_warehouse("serve", "--home", tmp_path / "none", cwd=tmp_path)
    assert (nothing.exit_code, "no files were synced" in nothing.stderr) == (2, True)
    keyless = run_warehouse("serve", "--key", "--home", root, cwd=tmp_path)
    assert (keyless.exit_code, "APERIODIC_API_KEY" in keyless.stderr) == (2, True)
