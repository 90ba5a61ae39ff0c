"""Tests of stored marts month by month: a build tests the months that no earlier one has tested.

A test with ``config.meta.by_month`` finds the same failures in single months of its mart as in all
of them together. Its result for a month depends on the test's SQL, the month's file, whose name has
a hash of its bytes, the other tables that the test reads, and DuckDB. It is stored in
``meta.tested``, and the next build reads it from the published catalog.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.config import Settings
from warehouse.engine import attach, connect
from warehouse.errors import DamagedError
from warehouse.generations import read_catalog
from warehouse.home import Home
from warehouse.project import (
    BAR_END,
    CompiledProject,
    DataTest,
    Model,
    bar_end_in,
    create_schemas,
)
from warehouse.sql import identifier, literal


@dataclass(frozen=True, slots=True)
class TestedMonth:
    """The result of a test in a month.

    Attributes
    ----------
    test, key, path, failures
        A row of ``meta.tested``.
    reused
        Whether an earlier build tested the month.
    """

    test: str
    key: str
    path: str
    failures: int
    reused: bool


def test_months(settings: Settings, compiled: CompiledProject) -> dict[str, list[TestedMonth]]:
    """Run each test that goes by month on the months of the build file; results by test name.

    Tests whose SQL fails are left out.
    """
    home = Home.of(settings)
    known = _known(home)
    found = {}
    with connect(settings.session) as connection:
        connection.execute("attach ':memory:' as warehouse")
        connection.execute("use warehouse")
        create_schemas(connection, compiled.project)
        connection.execute("create schema if not exists meta")
        attach(connection, home.build_catalog, "built")
        connection.execute(
            f"create or replace macro main.{BAR_END} as {bar_end_in(connection, 'built')}"
        )
        months = defaultdict(list)
        stored = connection.execute("select model, path from built.meta.stored order by all")
        for model, path in stored.fetchall():
            months[model].append(path)
        for table in {name for test in compiled.tests for name in test.by_month or ()}:
            name = identifier(table)
            connection.execute(f"create table meta.{name} as from built.meta.{name}")
        for test in compiled.tests:
            if not months[test.model]:
                continue
            model = compiled.project.model(test.model)
            if _goes_by_month(test, model):
                try:
                    found[test.name] = _test(
                        connection, home, test, model, months[test.model], known
                    )
                except duckdb.Error:
                    continue  # the test also fails on the whole mart, and reports the reason there
    return found


def _known(home: Home) -> dict[tuple[str, str], int]:
    """Failing rows of tests in the published catalog, by the test's key and the month's path.

    Empty for a catalog of an earlier version, and if nothing was published.
    """
    try:
        (rows,) = read_catalog(
            home, home.catalog, "select key, path, failures from warehouse.meta.tested"
        )
    except DamagedError:
        return {}
    return {(key, path): failures for key, path, failures in rows}


def _goes_by_month(test: DataTest, model: Model) -> bool:
    """Whether the test goes by month on this mart; running columns continue from month to month."""
    reads_running = any(column in test.sql for column in model.accumulates)
    counts = test.fail_calc == "count(*)" and test.limit is None
    return test.by_month is not None and counts and not reads_running


def _test(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    test: DataTest,
    model: Model,
    paths: Sequence[str],
    known: dict[tuple[str, str], int],
) -> list[TestedMonth]:
    key = _key(connection, test)
    new = [path for path in paths if (key, path) not in known]
    broken = _failures(connection, home, test, model, new) if new else 0
    if broken and len(new) > 1:
        counts = {path: _failures(connection, home, test, model, [path]) for path in new}
    else:
        counts = dict.fromkeys(new, broken)
    return [
        TestedMonth(test.name, key, path, counts[path], reused=False)
        if path in counts
        else TestedMonth(test.name, key, path, known[key, path], reused=True)
        for path in paths
    ]


def _key(connection: duckdb.DuckDBPyConnection, test: DataTest) -> str:
    """Hash of everything that the outcome depends on, other than the month's file."""
    beside = [
        sorted(map(str, connection.execute(f"from meta.{identifier(table)}").fetchall()))
        for table in test.by_month or ()
    ]
    facts = [duckdb.__version__, test.sql, beside]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _failures(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    test: DataTest,
    model: Model,
    paths: Sequence[str],
) -> int:
    """The number of rows that fail the test if its mart shows these files."""
    listed = ", ".join(literal(str(home.root / path)) for path in paths)
    connection.execute(
        f"create or replace view {model.relation.sql} as"
        f" select * from read_parquet([{listed}], hive_partitioning = false)"
    )
    ((failures,),) = connection.execute(
        f"select count(*) from (\n{test.sql}\n) as broken"
    ).fetchall()
    return int(failures)
