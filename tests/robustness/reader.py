"""A reader in a separate process: queries repeatedly, and reports the results.

``python -m tests.robustness.reader KIND HOME STOP`` runs until the file STOP exists and prints one
JSON object: the number of results, each distinct one, and every error.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

import warehouse
from tests.robustness.support import ROUND_SQL

PAUSE_S = 0.5
"""Between questions, so that two cores are enough for readers and builds."""

Ask = Callable[[], tuple[Any, ...]]


def fresh(home: Path) -> Ask:
    """The API, opened for each query."""

    def ask() -> tuple[Any, ...]:
        with warehouse.open(home) as opened:
            return tuple(opened.sql(ROUND_SQL).fetchall()[0])

    return ask


def refreshed(home: Path) -> Ask:
    """The API, opened once: its results must not change until it refreshes."""
    opened = warehouse.open(home)

    def ask() -> tuple[Any, ...]:
        opened.refresh()
        first = opened.sql(ROUND_SQL).fetchall()[0]
        time.sleep(0.05)
        assert opened.sql(ROUND_SQL).fetchall()[0] == first, "it changed without being asked to"
        return tuple(first)

    return ask


def raw(home: Path) -> Ask:
    """Plain DuckDB, read-only, like a shell or another tool."""

    def ask() -> tuple[Any, ...]:
        with duckdb.connect() as connection:
            connection.execute(f"attach '{home / 'warehouse.duckdb'}' as w (read_only)")
            connection.execute("use w")
            return tuple(connection.sql(ROUND_SQL).fetchall()[0])

    return ask


def command(home: Path) -> Ask:
    """``warehouse sql``."""
    line = [sys.executable, "-m", "warehouse", "--home", str(home), "sql", ROUND_SQL]

    def ask() -> tuple[Any, ...]:
        done = subprocess.run(
            [*line, "--format", "csv"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return tuple(float(text) for text in done.stdout.splitlines()[1].split(","))

    return ask


KINDS: dict[str, Callable[[Path], Ask]] = {f.__name__: f for f in (fresh, refreshed, raw, command)}


def main() -> None:
    kind, home, stop = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    ask = KINDS[kind](home)
    heard: set[tuple[Any, ...]] = set()
    errors: list[str] = []
    count = 0
    while not stop.exists():
        try:
            heard.add(ask())
            count += 1
            time.sleep(PAUSE_S)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:500])
    print(json.dumps({"count": count, "heard": sorted(heard), "errors": errors}))


if __name__ == "__main__":
    main()
