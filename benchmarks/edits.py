"""What a change costs: an edited model, nothing new, one more hour, the whole demo.

All goals except the demo's are ratios to ``python -c "import dbt.cli.main"``, the time that a user
of plain dbt waits before dbt does anything.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import BITCOIN, VENUE, files_of, home_of, symbols
from benchmarks.measure import Run, alternate, costs, product, run
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

DBT = 'python -c "import dbt.cli.main"'
PREVIEW = "edited model, previewed in a new process"
AGAIN = "edited model, previewed in a running process"
PUBLISHED = "edited model, built, audited, published"
NOTHING = "nothing changed"
HOUR = "one more hour of 2 series, published"
DEMO = "warehouse demo"
MODEL = """-- Edit {number}: how unusual the spread is.
select
    series_id, exchange, symbol, "interval", clock, "time", known_at,
    {{{{ rolling_zscore('spread_bps', '1 day') }}}} + {number} as spread_z
from {{{{ ref('l1_features') }}}}
{{{{ windows('1 day') }}}}
"""
IN_PROCESS = """
import json, sys, time
import warehouse
with warehouse.open(sys.argv[1]) as wh:
    wh.preview(sys.argv[2]).fetchall()
    started = time.perf_counter()
    wh.preview(sys.argv[2]).fetchall()
    print(json.dumps(time.perf_counter() - started))
"""


def measure(data: Path, *, is_full: bool) -> Part:
    """Commands on the demo's home, alternated with the import of dbt."""
    home = home_of(data, "edits", Market())
    model = home / "models" / "spread_z.sql"
    model.parent.mkdir(exist_ok=True)
    numbers = count(1)

    def edited(command: list[str]) -> Callable[[], Run]:
        def edit_and_run() -> Run:
            model.write_text(MODEL.format(number=next(numbers)), encoding="utf-8")
            return run(command, accept=(0, 1))

        return edit_and_run

    hourly = _hourly(data)
    ways: dict[str, Callable[[], Run]] = {
        DBT: partial(run, [sys.executable, "-c", "import dbt.cli.main"]),
        PREVIEW: edited(product(home, "preview", str(model), "--symbol", BITCOIN)),
        AGAIN: edited([sys.executable, "-c", IN_PROCESS, str(home), str(model)]),
        PUBLISHED: edited(product(home, "build")),
        NOTHING: partial(run, product(home, "build"), accept=(0, 1)),
        HOUR: hourly,
        DEMO: partial(_demo, data / "edits-demo"),
    }
    part = Part("edits", "what a change costs (seconds, peak MB)")
    for name, runs in alternate(ways, 7 if is_full else 3).items():
        figures = costs(runs)
        if name == AGAIN:
            figures["wall_s"] = [float(each.said) for each in runs]
        part.lines.append(Line(name, "", figures))
    dbt_s = part.median(DBT, "", "wall_s")
    for name, at_most in (
        (PREVIEW, 0.4), (AGAIN, 0.1), (PUBLISHED, 0.9), (NOTHING, 0.2), (HOUR, 1.0),
    ):  # fmt: skip
        ratio = part.median(name, "", "wall_s") / dbt_s
        part.goals.append(Goal(f"{name} / {DBT}", ratio, at_most=at_most))
    part.goals.append(Goal(f"{DEMO} in 15 s", part.median(DEMO, "", "wall_s") / 15, at_most=1.0))
    return part


def _demo(home: Path) -> Run:
    shutil.rmtree(home, ignore_errors=True)
    return run(product(home, "demo"))


def _hourly(data: Path) -> Callable[[], Run]:
    """One more hour of bars of two series at each call, as a newer file of the last day."""
    market = Market(
        symbols=symbols(2),
        exchange=VENUE,
        datasets=("ohlcv", "flow", "l1_price"),
        intervals=("5m",),
        start=date(2025, 9, 1),
        end=date(2025, 12, 3),
        daily_from=date(2025, 12, 1),
    )
    home, files = home_of(data, "edits-hourly", market), files_of(data, "edits-hourly", market)
    days = sorted(files.rglob("2025-12-02.parquet"))
    whole = {path: pq.read_table(path) for path in days}
    hours = count(1)

    def one_more() -> Run:
        rows = 12 * (next(hours) % 23 + 1)
        for path, table in whole.items():
            pq.write_table(table.slice(0, min(rows, len(table))), path)
        return run(product(home, "update", "--from", str(files)), accept=(0, 1))

    assert days and all(isinstance(table, pa.Table) for table in whole.values())
    return one_more
