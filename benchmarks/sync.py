"""Sync against the vendor's own client: the same files from the same server on this machine.

For each number of files: the vendor's client loads every series into a frame (it keeps nothing on
disk), then ``warehouse sync`` into an empty home, then once more with nothing new. Each is a
process of its own; wall time, processor time and peak memory are the kernel's. The server is our
mirror.

    python benchmarks/sync.py [--files 12 2000]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from warehouse.home import Home
from warehouse.market import Market, write_market
from warehouse.sync import sync_folder

VENUE, CLOCK = "binance-futures", "true"
START, END = date(2025, 3, 1), date(2026, 3, 1)
MONTHS = 12
DATASETS = ("ohlcv", "flow", "l1_price", "returns", "range", "basis", "funding")
INTERVALS = ("1h", "15m")

CLIENT = f"""
import os, sys
from datetime import date
import aperiodic
symbols, datasets, intervals = (text.split(",") for text in sys.argv[1:4])
place = {{"exchange": "{VENUE}", "timestamp": "{CLOCK}", "show_progress": False}}
days = {{"start_date": date(2025, 3, 1), "end_date": date(2026, 2, 28)}}
rows = 0
for dataset in datasets:
    for symbol in symbols:
        for interval in intervals:
            arguments = dict(place, **days, symbol=symbol, interval=interval)
            if dataset == "ohlcv":
                frame = aperiodic.get_ohlcv("any", **arguments)
            elif dataset in ("basis", "funding"):
                frame = aperiodic.get_derivative_metrics("any", metric=dataset, **arguments)
            else:
                frame = aperiodic.get_metrics("any", metric=dataset, **arguments)
            rows += len(frame)
print(rows)
"""

# A small process starts the measured one: peak memory counts what a process was before exec.
LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime,
                  usage.ru_maxrss / 1024]))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process cost."""

    wall_s: float
    processor_s: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[12, 2_000])
    parser.add_argument("--connections", default="8")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-sync-"))
    print(f"{'files':>6} {'what':<28} {'wall s':>8} {'cpu s':>8} {'peak MB':>8}")
    try:
        for files in arguments.files:
            run(folder / str(files), files, arguments.connections)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, files: int, connections: str) -> None:
    """Build a vendor with at least so many files and measure both."""
    datasets, intervals = (DATASETS, INTERVALS) if files > MONTHS else (("flow",), ("1h",))
    series = len(datasets) * len(intervals)
    symbols = tuple(
        f"perpetual-COIN{number}-USDT:USDT" for number in range(-(-files // (series * MONTHS)))
    )
    market = Market(
        symbols=symbols,
        exchange=VENUE,
        datasets=datasets,
        intervals=intervals,
        clocks=(CLOCK,),
        start=START,
        end=END,
    )
    written = write_market(folder / "files", market)
    sync_folder(Home(folder / "vendor"), folder / "files")
    size_mb = sum(path.stat().st_size for path in written) / 1e6
    with served(folder / "vendor") as url:
        client = [
            sys.executable,
            "-c",
            CLIENT,
            *(",".join(v) for v in (symbols, datasets, intervals)),
        ]
        lists = [("--symbol", value) for value in symbols]
        lists += [("--interval", value) for value in intervals]
        options = [text for pair in lists for text in pair]
        options += ["--exchange", VENUE, "--clock", CLOCK, "--connections", connections]
        options += ["--start", "2025-03-01", "--end", "2026-02-28"]
        ours = [sys.executable, "-m", "warehouse", "--home", str(folder / "home"), "sync"]
        for what, command in (
            (f"vendor's client ({size_mb:.0f} MB)", client),
            ("warehouse sync, first", [*ours, *datasets, *options]),
            ("warehouse sync, nothing new", [*ours, *datasets, *options]),
        ):
            cost = measure(command, url)
            print(
                f"{len(written):>6} {what:<28} {cost.wall_s:>8.2f} {cost.processor_s:>8.2f}"
                f" {cost.peak_mb:>8.0f}",
                flush=True,
            )


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The mirror of a home in a process of its own."""
    command = [sys.executable, "-m", "warehouse", "--home", str(home), "serve"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def measure(command: list[str], url: str) -> Cost:
    """Run a command to its end."""
    environment = os.environ | {"APERIODIC_API_URL": url, "APERIODIC_API_KEY": "any"}
    started = time.monotonic()
    launched = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    wall_s = time.monotonic() - started
    exit_code, processor_s, peak_mb = json.loads(launched.stdout)
    if exit_code:
        raise SystemExit(f"{command[:6]} ended with {exit_code}:\n{launched.stderr}")
    return Cost(wall_s, processor_s, peak_mb)


if __name__ == "__main__":
    main()
