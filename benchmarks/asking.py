"""Run queries in one process: ``python -m benchmarks.asking WAY FOLDER KIND REPEATS [NAME]``.

``WAY`` is ``warehouse`` (its Python API), ``catalog`` (the published file in plain DuckDB) or
``native`` (sorted tables of one DuckDB file); ``KIND`` is ``ask`` or ``plan``. The vendor's data is
queried twice at most. Prints the seconds of each run by query, and the size of the result.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.questions import OF_VENDOR, PLANNED, QUESTIONS


def opened(way: str, folder: Path) -> Callable[[str], Any]:
    """The function that returns a result as an Arrow table; Arrow is already loaded."""
    import pyarrow  # noqa: F401

    if way == "warehouse":
        import warehouse

        face = warehouse.open(folder / "home")
        return lambda text: face.sql(text).arrow()
    import duckdb

    path = folder / ("home/warehouse.duckdb" if way == "catalog" else "native.duckdb")
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"attach '{path}' as warehouse (read_only)")
    connection.execute("use warehouse")
    return lambda text: connection.sql(text).to_arrow_table()


def main() -> None:
    way, folder, kind, repeats, *names = sys.argv[1:]
    questions = QUESTIONS | OF_VENDOR
    if kind == "plan":
        questions = {name: f"explain {text}" for name, text in PLANNED.items()}
    asked = names or list(questions)
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    rows: dict[str, int] = {}

    def ask(answer: Callable[[str], Any], name: str, times: int) -> None:
        for _ in range(times):
            started = time.perf_counter()
            rows[name] = answer(questions[name]).num_rows
            seconds[name].append(time.perf_counter() - started)

    if kind == "plan":
        for name in asked:
            ask(opened(way, Path(folder)), name, 1 + int(repeats))
    else:
        answer = opened(way, Path(folder))
        for name in asked:  # all, before any counts as warm
            ask(answer, name, 1)
        for name in asked:
            ask(answer, name, min(int(repeats), 2) if name in OF_VENDOR else int(repeats))
    print(json.dumps({"seconds": seconds, "rows": rows}))


if __name__ == "__main__":
    main()
