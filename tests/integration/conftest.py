"""The steps of one home, run once for all workers: sync, build by hand, update, failure, rollback.

Every build costs seconds, so the steps run once, in order, on one home; the tests check what each
step printed and left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import warehouse
from tests.market import Market, bars, write_market
from tests.support import (
    BTC,
    ROOT,
    Run,
    bar_table,
    catalog_differences,
    file_key,
    grid,
    once,
    quoted,
    run_warehouse,
    write_file,
)

SMALL = Market(
    symbols=(BTC,), intervals=("1h",), start=date(2025, 9, 1), end=date(2025, 11, 1), gaps=2
)
NOVEMBER = date(2025, 11, 1), date(2025, 11, 5)
POISON = ("dbt", "yaml", "duckdb", "warehouse")
"""Modules of these names lie in the working folder, as they may in any researcher's."""
HOME_NAME = "größe & co 'x'"
MINE = "select series_id, time, known_at, 2 * net_delta as twice from {{ ref('flow_features') }}\n"
"""A model of the user's own, in the home while generation 1 is published."""
KEPT = ("flow_features", "stg_flow", "stg_ohlcv", "keys", "_")
"""Beginnings of the model files that a broken checkout keeps beside the contracts."""
CHECKOUT = (
    "warehouse",
    "analyses",
    "models",
    "macros",
    "seeds",
    "tests/dbt",
    "dbt_project.yml",
    "profiles.yml",
)


class Readers:
    """Readers of a home while others write: some that stay open, one that opens it repeatedly."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.api = warehouse.open(home)
        self.raw = duckdb.connect()
        self.raw.execute(f"attach '{quoted(home / 'warehouse.duckdb')}' as w (read_only)")
        self.before = self.answers()
        self.seen: list[int] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._loop = threading.Thread(target=self._come_again)
        self._loop.start()

    def answers(self) -> list[Any]:
        text = "select count(*), max(time)::varchar from {}.flow_features"
        return [
            [list(row) for row in self.api.sql(text.format("main")).fetchall()],
            [list(row) for row in self.raw.sql(text.format("w.main")).fetchall()],
        ]

    def leave(self) -> dict[str, Any]:
        self._stop.set()
        self._loop.join()
        after, generation = self.answers(), self.api.generation
        self.api.close()
        self.raw.close()
        return {
            "before": self.before, "after": after, "generation": generation,
            "seen": sorted(set(self.seen)), "errors": self.errors,
        }  # fmt: skip

    def _come_again(self) -> None:
        """Read until ``leave``, and once after it, when the new catalog is certainly there."""
        stopped = False
        while not stopped:
            stopped = self._stop.wait(0.1)
            try:
                with warehouse.open(self.home) as fresh:
                    fresh.sql("select count(close) from flow_features").fetchall()
                    self.seen.append(fresh.generation)
            except Exception as error:
                self.errors.append(repr(error))


def odd_november(folder: Path) -> None:
    """A later file of each dataset; in flow's, shares of large trades beyond 1."""
    for dataset in SMALL.datasets:
        table = bars(
            SMALL, dataset, symbol=BTC, interval="1h", clock="true",
            start=NOVEMBER[0], end=NOVEMBER[1],
        )  # fmt: skip
        if dataset == "flow":
            place = table.column_names.index("taker_buy_large_order_count")
            many = pa.array([10**9] * len(table), pa.int64())
            table = table.set_column(place, "taker_buy_large_order_count", many)
        write_file(folder, file_key(dataset, "2025-11"), table)


DBT = """
import os, shutil, sys
from dbt.cli.main import dbtRunner

target = os.environ["DBT_TARGET_PATH"]
for command in sys.argv[1:]:
    if not dbtRunner().invoke([command]).success:
        sys.exit(f"dbt {command} failed")
    shutil.copytree(target, f"{target} after {command}")
"""
"""Some commands of dbt in one process, since each process takes seconds to load dbt."""


def dbt_by_hand(home: Path, folder: Path, *commands: str) -> Run:
    """``dbt build`` and other commands, in the checkout; dbt keeps its own files in ``folder``.

    What is in its target folder after each command is copied to one beside it.
    """
    finished = subprocess.run(
        [sys.executable, "-c", DBT, *commands],
        cwd=ROOT,
        env=os.environ
        | {
            "WAREHOUSE_HOME": str(home),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Run(finished.returncode, finished.stdout, finished.stderr)


def broken_checkout(folder: Path) -> Path:
    """A copy of the product with few models and one more structural test, which fails."""
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        elif (ROOT / name).is_file():
            shutil.copyfile(ROOT / name, folder / name)
    for path in (folder / "models").rglob("*"):
        if path.is_file() and not path.stem.startswith(KEPT) and path.parent.name != "vendor":
            path.unlink()
    (folder / "tests" / "dbt" / "no_bars_at_all.sql").write_text(
        "select * from {{ ref('flow_features') }} limit 1\n"
    )
    return folder


@pytest.fixture(scope="session")
def story(shared_folder: Path) -> dict[str, Any]:
    """All outputs and observations by step, with ``home`` and ``folder``."""
    folder = shared_folder / "story"
    home = folder / HOME_NAME

    def run(*arguments: object, **options: Any) -> dict[str, Any]:
        done = run_warehouse("--home", home, *arguments, cwd=folder, **options)
        return asdict(done) | {"objects": len(list((home / "objects").glob("*")))}

    def tell() -> dict[str, Any]:
        folder.mkdir()
        for name in POISON:
            (folder / f"{name}.py").write_text("raise SystemExit('a stray module was loaded')")
        said: dict[str, Any] = {}
        write_market(folder / "files", SMALL)
        ticks = file_key("raw_funding_rate", "2025-09-01")  # so that the macros of ticks are made
        write_file(folder / "files", ticks, bar_table(ticks.dataset, grid(ticks.period.start, 3)))
        said["sync"] = run("sync", "--from", folder / "files")
        said["no-dbt"] = run("build", "--no-dbt")
        said["publish too early"] = run("publish")
        said["dbt"] = asdict(dbt_by_hand(home, folder / "dbt", "build", "compile", "parse"))
        mine = home / "models" / "mine.sql"
        mine.parent.mkdir()
        mine.write_text(MINE)
        said["publish"] = run("publish", "--target", folder / "dbt" / "target", audits=False)
        mine.unlink()
        assert said["publish"]["exit_code"] == 0, said["publish"]["stderr"] + said["dbt"]["stdout"]
        again = shutil.copytree(home, folder / "again", symlinks=True)
        said["by product"] = asdict(
            run_warehouse("--home", again, "build", "--force", cwd=folder, audits=False)
        )
        by_dbt, by_product = catalog_differences(home, again)
        said["by dbt only"] = [row for row in by_dbt if "mine" not in row]
        said["by product only"] = by_product
        readers = Readers(home)
        odd_november(folder / "files")
        said["update"] = run("update", "--from", folder / "files", audits=False)
        said["readers"] = readers.leave()
        said["status"] = run("status")
        said["build again"] = run("build")
        said["broken"] = run("build", checkout=broken_checkout(folder / "checkout"))
        said["status after broken"] = run("status")
        said["after broken"] = run("sql", "select generation from meta.build", "--format", "csv")
        said["rollback"] = run("rollback")
        said["after rollback"] = run("sql", "select max(time) as t from flow_features",
                                     "--format", "csv")  # fmt: skip
        said["rollback too far"] = run("rollback")
        said["rollback to 2"] = run("rollback", "2")
        return said

    said = once(shared_folder / "story.json", tell)
    return {**said, "home": home, "folder": folder}
