"""Creates models, seeds, macros and functions from their compiled SQL.

They are the same as after ``dbt build``: views with the same columns, comments and results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.meta.rows import add_rows
from warehouse.engine import translating
from warehouse.errors import BuildError
from warehouse.project import (
    BAR_END,
    CompiledModel,
    CompiledProject,
    bar_end_in,
    create_schemas,
    create_seeds,
)
from warehouse.sql import DATABASE, Relation, comment_all, identifier

OURS = "warehouse"

# Only a catalog with ticks has their macros, of which every opening parses half a million
# characters. The dbt hook that creates them checks the same condition.
_TICKS = "select 1 from meta.months where is_shown and starts_with(dataset, 'raw_') limit 1"


def create_models(file: BuildFile, compiled: CompiledProject) -> None:
    """Create seeds, models and table macros in the build file, and close it.

    It is closed because DuckDB prints a macro that it has read from a file differently from one
    that it has just created, and earlier audits are looked up by that text.

    Raises
    ------
    BuildError
        A model's SQL fails on its inputs, or its columns differ from its yml.
    """
    connection = file.open()
    connection.execute("begin")
    create_schemas(connection, compiled.project)
    create_seeds(connection, compiled.project)
    results: list[tuple[Any, ...]] = []
    for seed in compiled.seeds:
        ((rows,),) = connection.execute(f"select count(*) from {seed.relation.sql}").fetchall()
        results.append((seed.relation.name, "seed", OURS, "success", None, f"INSERT {rows}"))
    for model in compiled.models:
        _create(connection, model, file.home.root)
        results.append((model.relation.name, "model", OURS, "success", None, "OK"))
    connection.execute(compiled.table_macros)
    if connection.execute(_TICKS).fetchall():
        connection.execute(compiled.ticks)
    connection.execute("commit")
    _create_functions(connection, compiled.functions)
    add_rows(connection, "results", results)
    rows = [(m.relation.schema, m.relation.name, m.sql, m.checksum) for m in compiled.models]
    add_rows(connection, "models", rows)
    file.close()


def describe_models(file: BuildFile, compiled: CompiledProject) -> None:
    """Set the comments of seeds and models, when the marts' views read their stored months.

    Staging has the comments of the vendor's columns.
    """
    connection = file.open()
    connection.execute("begin")
    there: dict[Relation, dict[str, str]] = defaultdict(dict)
    for schema, table, column, text in connection.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns()"
        " where database_name = 'warehouse' order by column_index"
    ).fetchall():
        there[Relation(schema, table)][column] = text
    for kind, models in (("table", compiled.seeds), ("view", compiled.models)):
        for model in models:
            meaning, texts = model.description, model.columns
            if model.shows is not None:
                meaning = f"vendor.{model.shows} with NaN and infinity as NULL."
                texts = there[Relation("vendor", model.shows)]
            found = {name: texts.get(name) for name in there[model.relation]}
            comment_all(connection, kind, model.relation.sql, meaning, found)
    connection.execute("commit")


def _create(connection: duckdb.DuckDBPyConnection, model: CompiledModel, home: Path) -> None:
    with translating(home, blaming=lambda error: _broken(model, str(error).strip())):
        connection.execute(f"create or replace view {model.relation.sql} as (\n{model.sql}\n)")
    if model.types is not None:
        _require_types(connection, model, model.types)


def _broken(model: CompiledModel, reason: str) -> BuildError:
    return BuildError(
        f"the models could not be built; the old catalog stays\n{model.relation.name}: {reason}",
        next_step=f"correct {model.path}, then run: warehouse build",
        model=str(model.relation),
    )


def _create_functions(connection: duckdb.DuckDBPyConnection, statements: str) -> None:
    """Create the measures as functions.

    Their bodies name columns of the calling SELECT, which DuckDB permits but does not document.
    """
    connection.execute("begin")
    connection.execute(statements.replace(BAR_END, f"({bar_end_in(connection, DATABASE)})"))
    connection.execute("commit")


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
