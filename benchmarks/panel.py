"""All features of many symbols, computed and kept; read back; and short of memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks.contestants.task import MEASURES, Task
from benchmarks.data import VENUE, files_of, home_of, symbols
from benchmarks.features import command, installed
from benchmarks.measure import Run, alternate, costs, python, run
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

KEEPING = {
    "Polars, written": "polars_lazy",
    "chDB, written": "chdb_sql",
    "DuckDB, globbed, written": "duckdb_globbed",
    "pandas by symbol, written": "notebook_pandas",
}
IN_MEMORY = {"Polars, in memory": "polars_lazy", "warehouse, read back": "warehouse_mart"}
MART = "flow_features"
BUILDING = f"warehouse, build {MART}"
DIGEST = """
import json, sys, warehouse
row = warehouse.open(sys.argv[1]).sql(
    "select count(*), bit_xor(hash(t))::varchar from flow_features as t"
).fetchall()[0]
print(json.dumps(row))
"""


def measure(data: Path, *, is_full: bool) -> Part:
    """50 symbols, 12 months of 5m bars; with the full size 200 symbols too, bounded in memory."""
    part = Part("panel", "features of many symbols, 5m bars (seconds, peak MB)")
    _compare(part, data, 50 if is_full else 5, runs=3)
    if is_full:
        _compare(part, data, 200, runs=1, ways=("Polars, written", "DuckDB, globbed, written"))
        for memory in ("2GB", "1GB"):
            _bounded(part, data, 200, memory)
    return part


def _market(count: int) -> Market:
    return Market(
        symbols=symbols(count),
        exchange=VENUE,
        datasets=("ohlcv", "flow"),
        intervals=("5m",),
        start=date(2025, 1, 1),
        end=date(2026, 1, 1),
    )


def _compare(
    part: Part, data: Path, count: int, *, runs: int, ways: tuple[str, ...] | None = None
) -> None:
    """Our store step and read-back beside the other ways, over the same files."""
    market, name = _market(count), f"panel-{count}"
    files, home = files_of(data, name, market), home_of(data, name, market)
    kept = data / name / "kept"
    task = Task(
        files=str(files),
        home=str(home),
        symbols=list(market.symbols),
        interval="5m",
        start=market.start.isoformat(),
        end="2025-12-31",
        measures=list(MEASURES),
    )
    writing = replace(task, keep=str(kept))
    contestants = {
        way: partial(_kept, module, writing, kept)
        for way, module in installed(KEEPING)
        if ways is None or way in ways
    }
    contestants |= {way: partial(run, command(way_of, task)) for way, way_of in IN_MEMORY.items()}
    contestants[BUILDING] = partial(_rebuild, home, {})
    done = alternate(contestants, runs)
    work = f"{count} symbols"
    for way, each in done.items():
        part.lines.append(Line(work, way, _figures(each)))
    _judge(part, work)


def _judge(part: Part, work: str) -> None:
    """The goals: the store step is the part of a build that computes and writes the mart."""
    store_s = part.median(work, BUILDING, "work_s")
    written = part.median(work, "Polars, written", "work_s")
    processor_s, written_processor_s = (
        part.median(work, way, "work_processor_s") for way in (BUILDING, "Polars, written")
    )
    in_memory = part.median(work, "Polars, in memory", "work_s")
    back = part.median(work, "warehouse, read back", "work_s")
    part.goals += [
        Goal(f"{work}: store step / Polars, written", store_s / written, at_most=2.0),
        Goal(
            f"{work}: store step / Polars, written, processor time",
            processor_s / written_processor_s,
            at_most=2.0,
        ),
        Goal(f"{work}: store step / Polars, in memory", store_s / in_memory, at_most=2.0),
        Goal(f"{work}: read back / Polars, in memory", back / in_memory, at_most=0.2),
    ]


def _figures(runs: Sequence[Run]) -> dict[str, list[float]]:
    copied = [each.said["copy_s"] for each in runs if "copy_s" in each.said]
    figures = {
        **costs(runs),
        "work_s": [_work_s(each) for each in runs],
        "work_processor_s": [each.said["processor_s"] for each in runs],
    }
    return figures | ({"copy_s": copied} if copied else {})


def _work_s(done: Run) -> float:
    """The time of the work alone, as the process reports it: without imports and dbt."""
    told = done.said
    return float(told["store_s"] if "store_s" in told else told["seconds"][0])


def _kept(module: str, task: Task, kept: Path) -> Run:
    """Compute and write into an empty place."""
    if kept.is_dir():
        shutil.rmtree(kept)
    kept.unlink(missing_ok=True)
    return run(command(module, task))


def _rebuild(home: Path, environment: dict[str, str]) -> Run:
    """A forced build after the mart's stored months are gone, and the copy of all; else reused."""
    shutil.rmtree(home / "marts" / MART)
    for copy in home.glob("generations/*/native.duckdb"):
        copy.unlink()
    return run(python("benchmarks.building", str(home)), environment=environment)


def _bounded(part: Part, data: Path, count: int, memory: str) -> None:
    """A build with a memory limit gives the same numbers, and stays within it."""
    home = home_of(data, f"panel-{count}", _market(count))
    before = _digest(home)
    cost = _rebuild(home, {"WAREHOUSE_MEMORY": memory})
    if _digest(home) != before:
        raise SystemExit(f"{count} symbols with {memory}: other numbers than without a limit")
    part.lines.append(Line(f"{count} symbols", f"warehouse, build with {memory}", _figures([cost])))
    if memory == "2GB":
        part.goals.append(Goal(f"{count} symbols: peak / 2 GB", cost.peak_mb / 2048, at_most=1))


def _digest(home: Path) -> object:
    return run([sys.executable, "-c", DIGEST, str(home)]).said
