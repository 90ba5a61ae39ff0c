"""A build after one new month on top of 24, beside a full build."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

from benchmarks.data import VENUE, files_of, symbols
from benchmarks.measure import Run, costs, median, product, run
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

MONTHS, LAST = 25, "2026-02"


def measure(data: Path, *, is_full: bool) -> Part:
    """Full, after one month, and with nothing to compute (what dbt costs), all in one home."""
    market = Market(
        symbols=symbols(20 if is_full else 3),
        exchange=VENUE,
        datasets=("ohlcv", "flow", "l1_price"),
        intervals=("5m",),
        start=date(2024, 2, 1),
        end=date(2026, 3, 1),
    )
    folder = data / ("incremental" if is_full else "incremental-small")
    files = files_of(data, folder.name, market)
    done: dict[str, list[Run]] = {}
    for _ in range(3):
        for way, cost in _builds(folder, files).items():
            done.setdefault(way, []).append(cost)
    part = Part("incremental", f"{len(market.symbols)} symbols, 5m bars, {MONTHS} months (seconds)")
    for way, runs in done.items():
        part.lines.append(Line("build", way, costs(runs)))
    wall_s = {way: median([each.wall_s for each in runs]) for way, runs in done.items()}
    overhead = wall_s["nothing to compute"]
    share = (wall_s[f"all {MONTHS} months"] - overhead) / MONTHS
    spent = wall_s["one new month"]
    part.goals += [
        Goal("one new month / (2 shares + overhead)", spent / (2 * share + overhead), at_most=1),
        Goal("shares that one new month costs", (spent - overhead) / share),
    ]
    part.notes.append(f"a month's share is {share:.2f} s, what every build costs {overhead:.2f} s")
    return part


def _builds(folder: Path, files: Path) -> dict[str, Run]:
    """One new home: 24 months, then the last one, then nothing new, then a full build."""
    home, first = folder / "home", folder / "first"
    for old in (home, first):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(files, first, ignore=shutil.ignore_patterns(f"{LAST}.parquet"))
    run(product(home, "sync", "--from", str(first)))
    run(product(home, "build"), accept=(0, 1))
    run(product(home, "sync", "--from", str(files)))
    month = run(product(home, "build"), accept=(0, 1))
    nothing = run(product(home, "build", "--force"), accept=(0, 1))
    shutil.rmtree(home / "marts")
    everything = run(product(home, "build", "--force"), accept=(0, 1))
    for old in (home, first):
        shutil.rmtree(old, ignore_errors=True)
    return {
        f"all {MONTHS} months": everything,
        "one new month": month,
        "nothing to compute": nothing,
    }
