"""Tests of the models before publication; outcomes are written to ``meta.results``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.checks.month_tests import TestedMonth, test_months
from warehouse.build.meta.rows import add_rows
from warehouse.build.models import OURS
from warehouse.engine import translating
from warehouse.project import CompiledProject, DataTest, broken_test

_MOST_DOUBTS = 20

_STORED = "select distinct model from meta.stored"


def test_models(
    file: BuildFile, compiled: CompiledProject, *, in_two_threads: bool
) -> list[TestedMonth]:
    """Run the tests on the build file; those that do not go by month may have their own thread.

    Returns the results of tests that go by month.
    """
    connection, root = file.open(), file.home.root
    apart: list[DataTest] = []
    if in_two_threads:
        stored = {name for (name,) in connection.execute(_STORED).fetchall()}
        apart = [t for t in compiled.tests if t.by_month is None or t.model not in stored]
    others = [test for test in compiled.tests if test not in apart]
    with file.beside() as other, ThreadPoolExecutor(1) as pool:
        found = pool.submit(_outcomes, other, apart, {}, root)
        by_month = test_months(file, compiled)
        outcomes = _outcomes(connection, others, by_month, root) | found.result()
    tested = [month for months in by_month.values() for month in months]
    connection.begin()
    add_rows(connection, "results", [outcomes[test.name] for test in compiled.tests])
    add_rows(connection, "tested", [(m.test, m.key, m.path, m.failures) for m in tested])
    connection.commit()
    return tested


def _outcomes(
    connection: duckdb.DuckDBPyConnection,
    tests: Sequence[DataTest],
    by_month: Mapping[str, Sequence[TestedMonth]],
    home: Path,
) -> dict[str, tuple[Any, ...]]:
    """Run tests; returns the row of ``meta.results`` of each by its name."""
    judge = cache(partial(_judged, connection))  # nearly all tests by month count 0 rows
    return {
        test.name: _outcome(connection, judge, test, by_month.get(test.name), home)
        for test in tests
    }


def _judged(
    connection: duckdb.DuckDBPyConnection, found: str, warn_if: str, error_if: str
) -> tuple[Any, ...]:
    """The failures that a query counts, and whether these cause a warning and an error."""
    (row,) = connection.execute(
        f"select failures, failures {warn_if}, failures {error_if} from ({found})"
    ).fetchall()
    return row


def _outcome(
    connection: duckdb.DuckDBPyConnection,
    judge: Callable[[str, str, str], tuple[Any, ...]],
    test: DataTest,
    months: Sequence[TestedMonth] | None,
    home: Path,
) -> tuple[Any, ...]:
    """Run one test, or sum up its results by month; returns its row of ``meta.results``.

    A failed ``holds`` is reported under its model's name, with the query that shows the rows.
    """
    limit = "" if test.limit is None else f"limit {test.limit}"
    found = f"select {test.fail_calc} as failures from (\n{test.sql}\n{limit}) as broken"
    if months is not None:
        found = f"select {sum(month.failures for month in months)} as failures"
    try:
        with translating(home):
            failures, warns, errs = judge(found, test.warn_if, test.error_if)
    except duckdb.Error as error:
        return (test.name, "test", OURS, "error", None, str(error).strip())
    if errs and not test.is_warning:
        status = "fail"
    elif warns:
        status = "warn"
    else:
        return (test.name, "test", OURS, "pass", failures, "")
    name = test.model if test.expression else test.name
    message = broken_test(failures, relation=name, expression=test.expression)
    if test.name == "funding_doubts":
        message = _funding_doubts(connection, test, failures)
    return (name, "test", OURS, status, failures, message)


def _funding_doubts(connection: duckdb.DuckDBPyConnection, test: DataTest, failures: int) -> str:
    """The message on doubtful funding schedules, with lines for ``warehouse.toml``."""
    lines = connection.execute(
        f"select toml_lines from (\n{test.sql}\n) limit {_MOST_DOUBTS}"
    ).fetchall()
    return (
        f"{failures} doubtful funding schedules (warehouse status lists the schedules)."
        " Put the correct lines into warehouse.toml, then run: warehouse build\n"
        + "\n".join(str(line) for (line,) in lines)
        + ("\n…" if failures > _MOST_DOUBTS else "")
    )
