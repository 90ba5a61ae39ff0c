"""Tests of stored marts month by month: a build tests the months that no earlier one has tested.

A test with ``config.meta.by_month`` finds the same failures in single months of its mart as in all
of them together. Its result for a month depends on the test's SQL, the month's file, whose name has
a hash of its bytes, the other tables that the test reads, and DuckDB. It is stored in
``meta.tested``, and the next build reads it from the published catalog.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.errors import DamagedError
from warehouse.files import hash_of
from warehouse.project import CompiledProject, DataTest, Model
from warehouse.sql import DATABASE, Relation, identifier, rows_of_files

_RELATION = re.compile(rf'"{DATABASE}"\."(\w+)"\."(\w+)"')


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


def test_months(file: BuildFile, compiled: CompiledProject) -> dict[str, list[TestedMonth]]:
    """Run each test that goes by month on the months of the build file; results by test name.

    Tests whose SQL fails are left out: they also fail on the whole mart, which gives the reason.
    """
    known, connection = _known(file), file.open()
    months = defaultdict(list)
    stored = connection.execute("select model, path from meta.stored order by all").fetchall()
    for model, path in stored:
        months[model].append(path)
    tests = [
        test
        for test in compiled.tests
        if months[test.model] and _goes_by_month(test, compiled.project.model(test.model))
    ]
    rows = {
        name: sorted(map(str, connection.execute(f"from meta.{identifier(name)}").fetchall()))
        for name in {name for test in tests for name in test.by_month or ()}
    }
    keys = {test.name: _key(test, rows) for test in tests}
    new: dict[tuple[str, tuple[str, ...]], list[DataTest]] = defaultdict(list)
    for test in tests:
        paths = [path for path in months[test.model] if (keys[test.name], path) not in known]
        new[test.model, tuple(paths)].append(test)
    counts: dict[tuple[str, str], int] = {}
    for (name, new_paths), of_months in new.items():
        if new_paths:
            relation = compiled.project.model(name).relation
            counts |= _counts(file, relation, new_paths, of_months)
    found = {}
    for test in tests:
        key = keys[test.name]
        tested = [
            TestedMonth(test.name, key, path, failures, reused=(test.name, path) not in counts)
            for path in months[test.model]
            if (failures := counts.get((test.name, path), known.get((key, path)))) is not None
        ]
        if len(tested) == len(months[test.model]):
            found[test.name] = tested
    return found


def _known(file: BuildFile) -> dict[tuple[str, str], int]:
    """Failing rows of tests in the published catalog, by the test's key and the month's path.

    Empty for a catalog of an earlier version, and if nothing was published.
    """
    try:
        (rows,) = file.published("select key, path, failures from meta.tested")
    except DamagedError:
        return {}
    return {(key, path): failures for key, path, failures in rows}


def _goes_by_month(test: DataTest, model: Model) -> bool:
    """Whether the test goes by month on this mart; running columns continue from month to month.

    It may read only the mart and the tables that it declares.
    """
    read = {Relation(*names) for names in _RELATION.findall(test.sql)}
    if read - {model.relation, *(Relation("meta", name) for name in test.by_month or ())}:
        return False
    reads_running = any(column in test.sql for column in model.accumulates)
    counts = test.fail_calc == "count(*)" and test.limit is None
    return test.by_month is not None and counts and not reads_running


def _key(test: DataTest, rows: Mapping[str, Sequence[str]]) -> str:
    """Hash of what the outcome depends on, other than the month's file; ``rows`` are of tables."""
    beside = [rows[table] for table in test.by_month or ()]
    return hash_of([duckdb.__version__, test.sql, beside])


def _counts(
    file: BuildFile, mart: Relation, paths: Sequence[str], tests: Sequence[DataTest]
) -> dict[tuple[str, str], int]:
    """The number of rows that fail each test in each file, without tests whose SQL fails."""
    together = _failures(file, mart, paths, tests)
    counts = {(name, path): 0 for name, failures in together.items() for path in paths}
    broken = [test for test in tests if together.get(test.name)]
    for path in paths if broken else ():
        alone = together if len(paths) == 1 else _failures(file, mart, [path], broken)
        counts |= {(test.name, path): alone[test.name] for test in broken}
    return counts


def _failures(
    file: BuildFile, mart: Relation, paths: Sequence[str], tests: Sequence[DataTest]
) -> dict[str, int]:
    """The number of rows that fail each test if the mart shows these files.

    Tests whose SQL fails are left out. The mart shows the files in transactions that are rolled
    back.
    """
    connection = file.open()
    rows = rows_of_files(file.home.root / path for path in paths)
    found = {}

    def show() -> None:
        connection.begin()
        connection.execute(f"create or replace view {mart.sql} as select * from {rows}")

    show()
    for test in tests:
        try:
            ((failures,),) = connection.execute(
                f"select count(*) from (\n{test.sql}\n) as broken"
            ).fetchall()
        except duckdb.Error:
            connection.rollback()
            show()
        else:
            found[test.name] = int(failures)
    connection.rollback()
    return found
