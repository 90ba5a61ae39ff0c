"""Homes of 5,000 to 1,000,000 files: which costs grow with the number of files.

The manifest has every row of such a home and each row its object; the bytes are those of the row
in the last month only, because nothing that is measured reads older files. Months that an earlier
build would have stored are empty files under the names that it would have given them
(:mod:`benchmarks.files_home`). A million files take some minutes and 1.7 GB of disk.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data import BITCOIN
from benchmarks.files_home import NEW_SERIES
from benchmarks.measure import Run, costs, product, python, run
from benchmarks.table import Goal, Line, Part

SIZES = (5_000, 50_000, 500_000, 1_000_000)

NOTHING = "nothing new"
DAY = f"one new day of {NEW_SERIES} series"
OPENING = "opening"
PLANNING = "planning a question on one series"
UPKEEP = ("status",), ("verify", "--quick"), ("prune",)
ASKING = """
import json, sys, time
import warehouse
started = time.perf_counter()
wh = warehouse.open(sys.argv[1])
opened_s = time.perf_counter() - started
question = f"explain select * from l1_features where symbol = '{sys.argv[2]}'"
wh.sql(question).fetchall()
planned_s = []
for _ in range(5):
    started = time.perf_counter()
    wh.sql(question).fetchall()
    planned_s.append(time.perf_counter() - started)
print(json.dumps([opened_s, min(planned_s)]))
"""


def measure(data: Path, *, is_full: bool) -> Part:
    """The works in homes of each size; the larger two only where it is full."""
    part = Part("files", "homes of many files (seconds, processor seconds, peak MB)")
    sizes = SIZES if is_full else SIZES[:2]
    for count in sizes:
        for work, done in _works(data / f"files-{count}", count):
            sys.stderr.write(f"  {count:,} files  {work}  {done[0].wall_s:.2f} s\n")
            part.lines.append(Line(work, f"{count:,} files", costs(done)))
    smallest, largest = (f"{count:,} files" for count in (sizes[0], sizes[-1]))
    for work in (NOTHING, PLANNING):
        ratio = part.median(work, largest, "wall_s") / part.median(work, smallest, "wall_s")
        part.goals.append(Goal(f"{work}: {largest} / {smallest}", ratio, at_most=2))
    peak = max(line.median("peak_mb") for line in part.lines)
    part.goals.append(Goal("peak memory in 2 GB", peak / 2048, at_most=1))
    return part


def _works(folder: Path, count: int) -> Iterator[tuple[str, list[Run]]]:
    home, new = folder / "home", folder / "new"
    if not (home / "warehouse.duckdb").is_file() or not any(new.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        making = python("benchmarks.files_home", str(home), str(new), str(count))
        yield "making the home, all built", [run(making, accept=(0, 1))]
    yield NOTHING, [run(product(home, "build"), accept=(0, 1)) for _ in range(3)]
    asked = [run([sys.executable, "-c", ASKING, str(home), BITCOIN]) for _ in range(3)]
    for place, work in enumerate((OPENING, PLANNING)):
        yield work, [Run(r.said[place], r.processor_s, r.peak_mb) for r in asked]
    for verb in UPKEEP:
        yield " ".join(verb), [run(product(home, *verb))]
    day = min(new.iterdir())
    yield DAY, [run(product(home, "update", "--from", str(day)), accept=(0, 1))]
    shutil.rmtree(day)
