"""Begin a build with a copy of the published catalog, and change in it only what has changed.

This requires the same built-in project, so that its models, comments and functions are the same.
Rows of ``meta`` for changed months and the views of their datasets are written as in a full build,
so the catalog is the same as after one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.catalog import beginning, read_lake
from warehouse.build.meta.change import change_meta
from warehouse.build.meta.inputs import Inputs
from warehouse.build.meta.rows import Subject, set_build, write_stored
from warehouse.build.months.stored import OnMonth
from warehouse.build.ticks.views import warn_of_left_out, write_ticks
from warehouse.build.vendor_views import write_vendor
from warehouse.errors import DamagedError, disk_errors
from warehouse.generations import current_generation, require_as_published
from warehouse.home import Home
from warehouse.lake import Manifest
from warehouse.project import OUR_SCHEMAS, PACKAGE, bar_end_in
from warehouse.sql import DATABASE, identifier
from warehouse.vendor import is_raw

_COLUMNS = 'select dataset, "column", type, unit, description from meta.columns order by rowid'
_PATHS = "select model[8:], path from meta.stored where starts_with(model, 'vendor.')"
_TICKS = "select 1 from meta.stored where starts_with(model, 'ticks.') limit 1"
_HELD = "select distinct dataset from meta.months where is_shown"


def begin_with_copy(
    file: BuildFile,
    *,
    generation: int,
    inputs: Inputs,
    published: Inputs | None,
    progress: OnMonth | None = None,
) -> bool:
    """Write the private build file as a copy of the published catalog that shows the current lake.

    The file is left open. It contains the built-in models, and none of the user's. If the lake has
    changed, the outcomes of tests are removed, and the marts still show their former months.
    ``published`` are the inputs of the published catalog, the others are as for ``write_catalog``.
    Returns False if no copy was made, so that the catalog must be written from the lake.
    """
    home = file.home
    if published is None or published.project != inputs.project or not _is_as_published(home):
        return False
    with beginning(file):
        with disk_errors(f"{home.build_catalog}: cannot be written"):
            shutil.copyfile(home.catalog, home.build_catalog)
        connection = file.open()
        if _is_mostly_free(connection):
            return False
        connection.begin()
        if inputs.lake == published.lake:
            set_build(connection, generation, inputs)
        elif not _show_lake(connection, file, generation, inputs, progress):
            connection.rollback()
            return False
        _forget_own_models(connection)
        connection.commit()
    return True


def _is_as_published(home: Home) -> bool:
    try:
        require_as_published(home, home.catalog, current_generation(home))
    except DamagedError:
        return False
    return True


def _is_mostly_free(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the file is more than twice the size of its contents."""
    ((used, free),) = connection.execute(
        "select used_blocks, free_blocks from pragma_database_size()"
        " where database_name = 'warehouse'"
    ).fetchall()
    return bool(free > used)


def _forget_own_models(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove them, and the schemas that dbt created for them, as for ``store_failures``."""
    schemas = "select schema_name from duckdb_schemas() where database_name = ? and not internal"
    for (schema,) in connection.execute(schemas, [DATABASE]).fetchall():
        if schema not in OUR_SCHEMAS:
            connection.execute(f"drop schema {DATABASE}.{identifier(schema)} cascade")
    connection.execute('create schema "user"')
    connection.execute("delete from meta.models where schema = 'user'")
    connection.execute(
        "delete from meta.results where package = ? or resource_type = 'audit'", [PACKAGE]
    )


def _show_lake(
    connection: duckdb.DuckDBPyConnection,
    file: BuildFile,
    generation: int,
    inputs: Inputs,
    progress: OnMonth | None,
) -> bool:
    """Show the current lake; False if the columns of a dataset changed, or it lost all its rows.

    Then the models must be created again, because they read the columns, and a mart without months
    is a plain view. False also with the first ticks, because their macros are missing.
    """
    home = file.home
    with Manifest(home.manifest) as manifest:
        lake, gathered, kept = read_lake(file, manifest, progress)
        columns, paths, held = (_rows(connection, text) for text in (_COLUMNS, _PATHS, _HELD))
        had_ticks = _rows(connection, _TICKS)
        end = bar_end_in(connection, DATABASE) if kept.days or had_ticks else None
        described = Subject(lake, manifest, file.settings, generation, inputs)
        changed = change_meta(connection, described)
        connection.execute("delete from meta.stored where starts_with(model, 'vendor.')")
        for months in gathered.values():
            write_stored(connection, home, months)
        warn_of_left_out(connection, kept)
        if kept.days or had_ticks:
            write_ticks(connection, home, kept.days)
            if end != bar_end_in(connection, DATABASE):  # the functions contain it
                return False
        now_held = _rows(connection, _HELD)
        if columns != _rows(connection, _COLUMNS) or set(held) - set(now_held):
            return False
        if _has_ticks(held) != _has_ticks(now_held):
            return False
        changed |= {dataset for dataset, _ in set(paths) ^ set(_rows(connection, _PATHS))}
        write_vendor(connection, lake, gathered, only=changed)
    connection.execute("delete from meta.results where resource_type = 'test'")
    connection.execute("delete from meta.tested")
    return True


def _has_ticks(datasets: Iterable[tuple[str]]) -> bool:
    return any(is_raw(name) for (name,) in datasets)


def _rows(connection: duckdb.DuckDBPyConnection, text: str) -> list[tuple[Any, ...]]:
    return connection.execute(text).fetchall()
