"""Tests of stored marts by month: kept results of old months and those of new ones are combined."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from tests.support import copy_home
from warehouse.build.build_file import BuildFile
from warehouse.build.checks.model_tests import test_models as run_tests
from warehouse.config import Settings
from warehouse.home import Home
from warehouse.project import CompiledProject, shipped_or_kept

BROKEN = "path like 'marts/flow_features/2025-11-%'"
"""The month with shares of large trades beyond 1; see ``odd_november``."""


def execute(catalog: Path, statements: Sequence[str]) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{str(catalog).replace(chr(39), chr(39) * 2)}' as w")
        for statement in statements:
            connection.execute(statement)
        return connection.fetchall()


def copy_catalog(catalog: Path, copy: Path, *statements: str) -> None:
    copy.unlink(missing_ok=True)
    shutil.copyfile(catalog, copy)
    execute(copy, statements)


def test_results_when_months_were_tested_before_then_are_those_of_a_whole_run(
    story: dict[str, Any], tmp_path: Path
) -> None:
    home = Home(copy_home(story["home"], tmp_path / "home"))
    catalog = story["home"] / "generations" / "2" / "warehouse.duckdb"
    compiled = shipped_or_kept(home)
    assert compiled is not None

    def results(compiled: CompiledProject, *changes: str) -> tuple[set[str], int, int]:
        """Outcomes where the published catalog was changed so: all, new months, reused months."""
        copy_catalog(catalog, home.catalog, *changes)
        copy_catalog(
            catalog, home.build_catalog, "delete from w.meta.results", "delete from w.meta.tested"
        )
        with BuildFile(Settings(home.root)) as file:
            tested = run_tests(file, compiled, in_two_threads=bool(changes))
        reused = sum(month.reused for month in tested)
        found = execute(home.build_catalog, ["from w.meta.results"])
        return set(map(str, found)), len(tested) - reused, reused

    whole = replace(compiled, tests=tuple(replace(t, by_month=None) for t in compiled.tests))
    expected, *counts = results(whole)
    assert counts == [0, 0]
    assert any("'flow_features', 'test', 'warehouse', 'warn'" in row for row in expected)
    number = len(execute(catalog, ["from w.meta.tested"]))
    in_broken = len(execute(catalog, [f"from w.meta.tested where {BROKEN}"]))
    assert number > in_broken > 5
    for change, new in (
        ("drop table w.meta.tested", number),
        (f"delete from w.meta.tested where {BROKEN}", in_broken),
        (f"delete from w.meta.tested where not {BROKEN}", number - in_broken),
        ("delete from w.meta.tested where false", 0),
    ):
        assert results(compiled, change) == (expected, new, number - new), change

    # what is kept of an old month counts, and a new series asks for the keys of all months again
    more, *_ = results(compiled, "update w.meta.tested set failures = failures + 1")
    assert not more & {row for row in expected if "'unique_grain_flow_features_'" in row}
    keys = len(execute(catalog, ["from w.meta.tested where test like 'keys_of_series%'"]))
    changed = [replace(t, sql=f"{t.sql} ") if t.by_month == () else t for t in compiled.tests]
    same, new, reused = results(replace(compiled, tests=tuple(changed)))
    assert (same, new, reused) == (expected, number - keys, keys)
