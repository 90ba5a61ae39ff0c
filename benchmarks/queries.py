"""Usual questions on a catalog of 20,000 files, beside sorted native tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import duckdb

from benchmarks.data import VENUE, home_of, symbols
from benchmarks.measure import Run, alternate, median, python, run
from benchmarks.questions import OF_VENDOR, PLANNED, QUESTIONS
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

MARTS = ("flow_features", "l1_features", "forward_returns")
VENDOR = ("flow", "ohlcv")
WAYS = ("warehouse", "catalog", "native")
REPEATS = 25
PLAN_LIMIT_MS = {"flow": 50.0, "vend": 200.0}


def measure(data: Path, *, is_full: bool) -> Part:
    """Every question warm, and the planning of some in fresh connections."""
    market = Market(
        symbols=symbols(139 if is_full else 14),
        exchange=VENUE,
        datasets=("ohlcv", "flow", "l1_price"),
        intervals=("1h", "4h"),
        start=date(2024, 3, 1),
        end=date(2026, 3, 1),
    )
    folder = data / ("queries" if is_full else "queries-small")
    home_of(data, folder.name, market)
    write_native(folder)
    files = sum(1 for _ in (folder / "files").rglob("*.parquet"))
    part = Part("queries", f"on {files:,} files (milliseconds, to an Arrow table)")
    runs = 7 if is_full else 3
    _ask(part, alternate(_commands(folder, WAYS, "ask"), runs))
    _plan(part, alternate(_commands(folder, WAYS[:2], "plan"), runs, settle=False))
    return part


def write_native(folder: Path) -> None:
    """The same rows as the marts and vendor views have, as tables sorted by series and time."""
    path, catalog = folder / "native.duckdb", folder / "home" / "warehouse.duckdb"
    if path.is_file() and path.stat().st_mtime > catalog.stat().st_mtime:
        return
    path.unlink(missing_ok=True)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach '{path}' as native")
        connection.execute(f"attach '{catalog}' as warehouse (read_only)")
        connection.execute("create schema native.vendor")
        for name in (*MARTS, *(f"vendor.{dataset}" for dataset in VENDOR)):
            connection.execute(
                f"create table native.{name} as from warehouse.{name} order by series_id, time"
            )


def _commands(folder: Path, ways: tuple[str, ...], kind: str) -> dict[str, Callable[[], Run]]:
    repeats = str(REPEATS if kind == "ask" else 1)
    return {
        way: partial(run, python("benchmarks.asking", way, str(folder), kind, repeats))
        for way in ways
    }


def _ask(part: Part, done: dict[str, list[Run]]) -> None:
    for question in (*QUESTIONS, *OF_VENDOR):
        counted = {each.said["rows"][question] for runs in done.values() for each in runs}
        if len(counted) != 1:
            raise SystemExit(f"{question}: the ways give {sorted(counted)} rows")
        for way, runs in done.items():
            seconds = [each.said["seconds"][question] for each in runs]
            warm = [1e3 * median(each[1:]) for each in seconds]
            first = [1e3 * each[0] for each in seconds]
            note = f"{counted.pop():,} rows" if counted else ""
            part.lines.append(Line(question, way, {"warm_ms": warm, "first_ms": first}, note))
        ours, native = (part.median(question, way, "warm_ms") for way in ("warehouse", "native"))
        limit = 1.2 if question in QUESTIONS else None
        part.goals.append(Goal(f"{question}: warehouse / native", ours / native, at_most=limit))


def _plan(part: Part, done: dict[str, list[Run]]) -> None:
    """The first EXPLAIN of a fresh connection; the second one shows what the first one cached."""
    for query in PLANNED:
        for way, runs in done.items():
            first = [1e3 * each.said["seconds"][query][0] for each in runs]
            warm = [1e3 * min(each.said["seconds"][query][1:]) for each in runs]
            work = f"plan {query}"
            part.lines.append(Line(work, way, {"warm_ms": warm, "first_ms": first}))
            limit = PLAN_LIMIT_MS[query[:4]]
            if way == "warehouse":
                part.goals.append(Goal(f"{work}, ms", median(first), at_most=limit))
