"""Creates models, seeds, macros and functions from their compiled SQL, and runs the tests.

What is created is what ``dbt build`` creates: views with the same columns, comments and results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from warehouse.build.meta import add_rows
from warehouse.build.month_tests import TestedMonth, test_months
from warehouse.config import Settings
from warehouse.engine import connect, raise_fault
from warehouse.errors import BuildError
from warehouse.home import Home
from warehouse.project import (
    CompiledModel,
    CompiledProject,
    DataTest,
    broken_test,
    create_schemas,
    create_seeds,
)
from warehouse.sql import comment, identifier

OURS = "warehouse"
_MOST_DOUBTS = 20

# A row of ``meta.results``: name, kind of node, package, status, failures, message.
Result = tuple[str, str, str, str, int | None, str]


def create_models(settings: Settings, compiled: CompiledProject) -> None:
    """Create seeds, models and table macros in the build file.

    Raises
    ------
    BuildError
        A model's SQL fails on its inputs, or its columns differ from its yml.
    """
    with connect(settings.session, Home.of(settings).build_catalog, options="") as connection:
        connection.execute("use warehouse")
        connection.execute("begin")
        create_schemas(connection, compiled.project)
        create_seeds(connection, compiled.project)
        results: list[Result] = []
        for seed in compiled.seeds:
            ((rows,),) = connection.execute(f"select count(*) from {seed.relation.sql}").fetchall()
            _describe(connection, "table", seed)
            results.append((seed.relation.name, "seed", OURS, "success", None, f"INSERT {rows}"))
        for model in compiled.models:
            _create(connection, model, settings.home)
            results.append((model.relation.name, "model", OURS, "success", None, "OK"))
        connection.execute(compiled.table_macros)
        connection.execute("commit")
        results += _create_functions(connection, compiled.functions)
        _record(connection, results)
        connection.executemany(
            "insert into meta.models values (?, ?, ?, ?)",
            [(m.relation.schema, m.relation.name, m.sql, m.checksum) for m in compiled.models],
        )
        connection.execute("use memory")


def test_models(settings: Settings, compiled: CompiledProject) -> list[TestedMonth]:
    """Run the tests on the build file; their outcomes go to ``meta.results``.

    Returns what tests that go by month found in each month.
    """
    by_month = test_months(settings, compiled)
    tested = [month for months in by_month.values() for month in months]
    with connect(settings.session, Home.of(settings).build_catalog, options="") as connection:
        connection.execute("use warehouse")
        _record(
            connection,
            [
                _outcome(connection, test, by_month.get(test.name), settings.home)
                for test in compiled.tests
            ],
        )
        add_rows(connection, "tested", [(m.test, m.key, m.path, m.failures) for m in tested])
        connection.execute("use memory")
    return tested


def _create(connection: duckdb.DuckDBPyConnection, model: CompiledModel, home: Path) -> None:
    try:
        connection.execute(f"create or replace view {model.relation.sql} as (\n{model.sql}\n)")
    except duckdb.Error as error:
        raise_fault(error, home)
        raise _broken(model, str(error).strip()) from error
    if model.types is not None:
        _require_types(connection, model, model.types)
    _describe(connection, "view", model)
    if model.shows is not None:
        _describe_as_source(connection, model, model.shows)


def _broken(model: CompiledModel, reason: str) -> BuildError:
    return BuildError(
        f"the models could not be built; the old catalog stays\n{model.relation.name}: {reason}",
        next_step=f"correct {model.path}, then run: warehouse build",
        model=str(model.relation),
    )


def _create_functions(connection: duckdb.DuckDBPyConnection, statements: str) -> list[Result]:
    """Create the measures as functions, all or none of them; a warning where DuckDB refuses them.

    Their bodies name columns of the select that will call them, which DuckDB permits by a rule that
    it does not document: a version that does not must not stop a build.
    """
    connection.execute("begin")
    try:
        connection.execute(statements)
    except duckdb.Error as error:
        raise_fault(error)
        connection.execute("rollback")
        reason = f"not available under DuckDB {duckdb.__version__}: {str(error).splitlines()[0]}"
        return [("functions", "macro", OURS, "warn", None, reason)]
    connection.execute("commit")
    return []


def _require_types(
    connection: duckdb.DuckDBPyConnection, model: CompiledModel, promised: Mapping[str, str]
) -> None:
    """Raise BuildError if the columns differ from the model's yml."""
    found = dict(_columns(connection, model))
    asked = ", ".join(f"null::{kind} as {identifier(name)}" for name, kind in promised.items())
    wanted = {row[0]: row[1] for row in connection.execute(f"describe select {asked}").fetchall()}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, its yml has {wanted.get(name, 'nothing')}"
        for name in dict.fromkeys([*wanted, *found])
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise _broken(model, "its columns differ from its yml: " + "; ".join(wrong))


def _columns(connection: duckdb.DuckDBPyConnection, model: CompiledModel) -> list[tuple[str, str]]:
    return connection.execute(
        "select column_name, data_type from duckdb_columns() where database_name = 'warehouse'"
        " and schema_name = ? and table_name = ? order by column_index",
        [model.relation.schema, model.relation.name],
    ).fetchall()


def _describe(connection: duckdb.DuckDBPyConnection, kind: str, model: CompiledModel) -> None:
    """Set the comments that the model's yml has."""
    if model.description:
        comment(connection, kind, model.relation.sql, model.description)
    _describe_columns(connection, model, model.columns)


def _describe_as_source(
    connection: duckdb.DuckDBPyConnection, model: CompiledModel, dataset: str
) -> None:
    """Set the comments from the vendor's dataset, which may have columns that the view lacks."""
    meaning = f"vendor.{dataset} with NaN and infinity as NULL."
    comment(connection, "view", model.relation.sql, meaning)
    texts = connection.execute(
        "select column_name, comment from duckdb_columns() where database_name = 'warehouse'"
        " and schema_name = 'vendor' and table_name = ? and comment is not null",
        [dataset],
    ).fetchall()
    _describe_columns(connection, model, dict(texts))


def _describe_columns(
    connection: duckdb.DuckDBPyConnection, model: CompiledModel, texts: Mapping[str, str]
) -> None:
    """Set the comments of those columns that the view or table has."""
    there = {name for name, _ in _columns(connection, model)} if texts else set()
    for name, text in texts.items():
        if name in there:
            comment(connection, "column", f"{model.relation.sql}.{identifier(name)}", text)


# -- tests ---------------------------------------------------------------------------------------


def _outcome(
    connection: duckdb.DuckDBPyConnection,
    test: DataTest,
    months: Sequence[TestedMonth] | None,
    home: Path,
) -> Result:
    """Run one test, or sum up what it found by month.

    A broken ``holds`` goes by its model's name and shows how to see the rows.
    """
    limit = "" if test.limit is None else f"limit {test.limit}"
    found = f"(select {test.fail_calc} as failures from (\n{test.sql}\n{limit}) as broken)"
    if months is not None:
        found = f"(select {sum(month.failures for month in months)} as failures)"
    try:
        ((failures, warns, errs),) = connection.execute(
            f"select failures, failures {test.warn_if}, failures {test.error_if} from {found}"
        ).fetchall()
    except duckdb.Error as error:
        raise_fault(error, home)
        return (test.name, "test", OURS, "error", None, str(error).strip())
    if errs and not test.is_warning:
        status, configured = "fail", f"fail if {test.error_if}"
    elif warns:
        status, configured = "warn", f"warn if {test.warn_if}"
    else:
        return (test.name, "test", OURS, "pass", failures, "")
    name = test.model if test.expression else test.name
    message = broken_test(failures, configured, relation=name, expression=test.expression)
    if test.name == "funding_doubts":
        message = _funding_doubts(connection, test, failures)
    return (name, "test", OURS, status, failures, message)


def _funding_doubts(connection: duckdb.DuckDBPyConnection, test: DataTest, failures: int) -> str:
    """The doubts about funding schedules, with lines for ``warehouse.toml``."""
    lines = connection.execute(
        f"select toml_lines from (\n{test.sql}\n) limit {_MOST_DOUBTS}"
    ).fetchall()
    return (
        f"{failures} doubts about funding schedules (warehouse status lists the schedules)."
        " Put the correct lines into warehouse.toml, then run: warehouse build\n"
        + "\n".join(str(line) for (line,) in lines)
        + ("\n…" if failures > _MOST_DOUBTS else "")
    )


def _record(connection: duckdb.DuckDBPyConnection, results: Iterable[Result]) -> None:
    connection.executemany("insert into meta.results values (?, ?, ?, ?, ?, ?)", list(results))
