"""The features of order flow, of one symbol and of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.contestants.task import NOTEBOOK, Task
from benchmarks.data import BITCOIN, VENUE, files_of, home_of, symbols
from benchmarks.measure import Run, alternate, python, run
from benchmarks.serving import served
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

WAYS = {
    "pandas, local files": "notebook_pandas",
    "pandas, vendor's client": "client_pandas",
    "Polars, lazy": "polars_lazy",
    "chDB": "chdb_sql",
    "DuckDB, globbed files": "duckdb_globbed",
    "warehouse": "warehouse_mart",
}
PANDAS, CLIENT, OURS = "pandas, local files", "pandas, vendor's client", "warehouse"
START, END, LAST = date(2025, 9, 1), date(2026, 3, 1), date(2026, 2, 28)
REPEATS = 5
Floats = NDArray[np.float64]


def measure(data: Path, *, is_full: bool) -> Part:
    """One symbol, six months, to a frame: warm in one process, and as a whole fresh process."""
    market = Market(
        symbols=symbols(4),
        exchange=VENUE,
        datasets=("ohlcv", "flow"),
        intervals=("1h", "5m", "1m") if is_full else ("1h", "5m"),
        start=START,
        end=END,
    )
    name = "features" if is_full else "features-small"
    files, home = files_of(data, name, market), home_of(data, name, market)
    part = Part("features", "of one symbol, 6 months, as a frame (seconds, peak MB)")
    with served(home) as url:
        for interval in market.intervals:
            task = Task(
                files=str(files),
                home=str(home),
                symbols=[BITCOIN],
                interval=interval,
                start=START.isoformat(),
                end=LAST.isoformat(),
                measures=list(NOTEBOOK),
            )
            environment = {"APERIODIC_API_URL": url}
            part.notes += differences(task, WAYS, data / name, environment)
            _one_interval(part, task, environment, runs=9 if is_full else 3)
    return part


def _one_interval(part: Part, task: Task, environment: dict[str, str], runs: int) -> None:
    again = replace(task, repeats=REPEATS)
    fresh = alternate(_commands(task, environment), runs)
    warm = alternate(_commands(again, environment), max(3, runs - 2))
    for way in WAYS:
        if way not in fresh:
            part.lines.append(Line(task.interval, way, {}, "not installed"))
            continue
        seconds = [done.said["seconds"] for done in warm[way]]
        runs_of = {
            "warm_s": [min(each[1:]) for each in seconds],
            "first_s": [each[0] for each in seconds],
            "process_s": [done.wall_s for done in fresh[way]],
            "peak_mb": [done.peak_mb for done in fresh[way]],
        }
        part.lines.append(Line(task.interval, way, runs_of))
    work = task.interval
    part.goals += [
        Goal(f"{work} warm: pandas / warehouse", _ratio(part, work, PANDAS, "warm_s"), at_least=3),
        Goal(
            f"{work} fresh process: warehouse / pandas",
            1 / _ratio(part, work, PANDAS, "process_s"),
            at_most=1,
        ),
        Goal(
            f"{work} warm: client and pandas / warehouse",
            _ratio(part, work, CLIENT, "warm_s"),
            at_least=20,
        ),
    ]


def _ratio(part: Part, work: str, way: str, measure: str) -> float:
    return part.median(work, way, measure) / part.median(work, OURS, measure)


def _commands(task: Task, environment: dict[str, str]) -> dict[str, Callable[[], Run]]:
    return {
        way: partial(run, command(module, task), environment=environment)
        for way, module in installed(WAYS)
    }


def installed(ways: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Ways whose engine is installed; chDB is large and optional."""
    from importlib.util import find_spec

    for way, module in ways.items():
        if not module.startswith("chdb") or find_spec("chdb"):
            yield way, module


def command(module: str, task: Task) -> list[str]:
    return python(f"benchmarks.contestants.{module}", task.as_argument())


def differences(
    task: Task, ways: dict[str, str], folder: Path, environment: dict[str, str]
) -> list[str]:
    """The largest difference of each way from the warehouse, relative to the column's scale.

    Raises
    ------
    SystemExit
        Other rows, other missing values, or another number.
    """
    results = {}
    for way, module in installed(ways):
        kept = folder / f"{module}.parquet"
        run(command(module, replace(task, keep=str(kept))), environment=environment)
        results[way] = {name: _numbers(kept, name) for name in ("time", *task.measures)}
        kept.unlink()
    ours, notes = results.pop(OURS), []
    for way, theirs in results.items():
        worst = max((_apart(ours[name], theirs[name]), name) for name in ours)
        if not worst[0] <= 1e-9:
            raise SystemExit(f"{task.interval}: {way} differs by {worst[0]:.1e} in {worst[1]}")
        notes.append(f"{task.interval}: {way} equals ours to {worst[0]:.0e} ({worst[1]})")
    return notes


def _numbers(path: Path, column: str) -> Floats:
    values = pq.read_table(path, columns=[column])[column]
    if column == "time":
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
    return np.asarray(values.to_pandas(), dtype=np.float64)


def _apart(ours: Floats, theirs: Floats) -> float:
    """Largest difference over the column's scale; infinite where other values are missing."""
    if ours.shape != theirs.shape or (np.isnan(ours) != np.isnan(theirs)).any():
        return float("inf")
    scale = np.nanmax(np.abs(ours), initial=1.0)
    return float(np.nanmax(np.abs(ours - theirs), initial=0.0) / scale)
