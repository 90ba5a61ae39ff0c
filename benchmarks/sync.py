"""Sync beside the vendor's own client, the same files from the same server.

The vendor's client loads every series into a frame (it keeps nothing on disk); ``warehouse sync``
fills an empty home, then runs once more with nothing new. The server is our mirror.
"""

from __future__ import annotations

import shutil
import sys
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks.data import VENUE, files_of, home_of
from benchmarks.measure import Run, alternate, costs, product, run
from benchmarks.serving import served
from benchmarks.table import Goal, Line, Part
from tests.market import Market

START, END = date(2025, 3, 1), date(2026, 3, 1)
MONTHS = 12
DATASETS = ("ohlcv", "flow", "l1_price", "returns", "range", "basis", "funding")
INTERVALS = ("1h", "15m")
CLIENT_WAY = "vendor's client"
FIRST, AGAIN = "warehouse sync, first", "warehouse sync, nothing new"

CLIENT = f"""
import os, sys
from datetime import date
import aperiodic
symbols, datasets, intervals = (text.split(",") for text in sys.argv[1:4])
place = {{"exchange": "{VENUE}", "timestamp": "true", "show_progress": False,
          "base_url": os.environ["APERIODIC_API_URL"]}}
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


def measure(data: Path, *, is_full: bool) -> Part:
    """A dozen files, and with the full size 2,000."""
    part = Part("sync", "from a server on this machine (seconds, peak MB)")
    for files in (12, 2_000) if is_full else (12,):
        _with_files(part, data, files, runs=7 if files == 12 else 3)
    return part


def _with_files(part: Part, data: Path, files: int, *, runs: int) -> None:
    datasets, intervals = (DATASETS, INTERVALS) if files > MONTHS else (("flow",), ("1h",))
    per_symbol = len(datasets) * len(intervals) * MONTHS
    market = Market(
        symbols=tuple(f"perpetual-COIN{i}-USDT:USDT" for i in range(-(-files // per_symbol))),
        exchange=VENUE,
        datasets=datasets,
        intervals=intervals,
        start=START,
        end=END,
    )
    name = f"sync-{files}"
    written = sorted(files_of(data, name, market).rglob("*.parquet"))
    size_mb = sum(path.stat().st_size for path in written) / 1e6
    with served(home_of(data, name, market, built=False)) as url:
        ours = _sync_command(data / name / "synced", market)
        lists = (",".join(values) for values in (market.symbols, datasets, intervals))
        client = [sys.executable, "-c", CLIENT, *lists]
        environment = {"APERIODIC_API_URL": url, "APERIODIC_API_KEY": "any"}
        ways = {
            CLIENT_WAY: partial(run, client, environment=environment),
            FIRST: partial(_first, ours, data / name / "synced", environment),
            AGAIN: partial(run, ours, environment=environment),
        }
        done = alternate(ways, runs)
    shutil.rmtree(data / name / "synced")
    work = f"{len(written):,} files"
    for way, each in done.items():
        note = f"{size_mb:.0f} MB" if way == FIRST else ""
        part.lines.append(Line(work, way, costs(each), note))
    ratio = part.median(work, FIRST, "wall_s") / part.median(work, CLIENT_WAY, "wall_s")
    part.goals.append(Goal(f"{work}: first sync / vendor's client", ratio, at_most=1))


def _sync_command(home: Path, market: Market) -> list[str]:
    lists = [("--symbol", value) for value in market.symbols]
    lists += [("--interval", value) for value in market.intervals]
    options = [text for pair in lists for text in pair]
    options += ["--exchange", VENUE, "--clock", "true"]
    options += ["--start", "2025-03-01", "--end", "2026-02-28"]
    return product(home, "sync", *market.datasets, *options)


def _first(command: list[str], home: Path, environment: dict[str, str]) -> Run:
    shutil.rmtree(home, ignore_errors=True)
    return run(command, environment=environment)
