"""How long the product takes to start."""

from __future__ import annotations

import sys
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks.data import BITCOIN, VENUE, home_of
from benchmarks.measure import alternate, product, run
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

IMPORTING = """
import json, time
started = time.perf_counter()
import {name}
print(json.dumps(time.perf_counter() - started))
"""
LAST_CLOSE = """
import json, time
started = time.perf_counter()
{opening}
rows = {opened}.sql("select max(close) from flow_features where symbol = '{symbol}'").fetchall()
assert len(rows) == 1
print(json.dumps(time.perf_counter() - started))
"""


def measure(data: Path, *, is_full: bool) -> Part:
    """Imports timed inside their process, without the interpreter's own start, and commands."""
    market = Market(
        symbols=(BITCOIN,),
        exchange=VENUE,
        datasets=("ohlcv", "flow"),
        intervals=("1h",),
        start=date(2025, 12, 1),
        end=date(2026, 3, 1),
    )
    home = home_of(data, "startup", market)
    imports = {f"import {name}": _importing(name) for name in ("json", "duckdb", "warehouse")}
    imports |= {
        "import warehouse, open, one query": _asking(
            "import warehouse", f"warehouse.open({str(home)!r})"
        ),
        "import duckdb, connect, the same": _asking(
            "import duckdb", f"duckdb.connect({str(home / 'warehouse.duckdb')!r}, read_only=True)"
        ),
    }
    commands = {
        "warehouse --version": [sys.executable, "-m", "warehouse", "--version"],
        'warehouse sql "select 1"': product(home, "sql", "select 1"),
        "warehouse status": product(home, "status"),
        'python -c "import duckdb; duckdb.sql(…)"': [
            sys.executable,
            "-c",
            "import duckdb; print(duckdb.sql('select 1'))",
        ],
    }
    ways = {
        name: partial(run, command, accept=(0, 1)) for name, command in (imports | commands).items()
    }
    part = Part("startup", "of imports and commands (milliseconds, peak MB)")
    for name, runs in alternate(ways, 11 if is_full else 7).items():
        figures = {"process_ms": [1e3 * each.wall_s for each in runs]}
        if name in imports:
            figures = {"inside_ms": [1e3 * each.said for each in runs]} | figures
        figures["peak_mb"] = [each.peak_mb for each in runs]
        part.lines.append(Line(name, "", figures))
    ours, theirs = (
        part.median(f"import {name}", "", "inside_ms") for name in ("warehouse", "duckdb")
    )
    part.goals.append(Goal("import warehouse / import duckdb", ours / theirs, at_most=1.2))
    return part


def _asking(opening: str, opened: str) -> list[str]:
    text = LAST_CLOSE.format(opening=opening, opened=opened, symbol=BITCOIN)
    return [sys.executable, "-c", text]


def _importing(name: str) -> list[str]:
    return [sys.executable, "-c", IMPORTING.format(name=name)]
