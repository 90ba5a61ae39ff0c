"""The catalog: schemas ``vendor`` and ``meta`` over the lake, in a private DuckDB file.

``prepare_catalog`` writes a new file from the manifest; then the models are added to it and
``publish`` makes it the catalog. Views list their files one by one, and key columns come from the
manifest, so queries depend on no globs, hive values or column names in files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.gathered_months import gather
from warehouse.build.meta.inputs import Inputs
from warehouse.build.meta.rows import Subject, write_meta, write_stored
from warehouse.build.months.lake_months import LakeByMonth, kept_in
from warehouse.build.months.stored import OnMonth, StoredMonth
from warehouse.build.ticks.kept import KeptTicks, keep_ticks, show_kept
from warehouse.build.ticks.views import warn_of_left_out, write_ticks
from warehouse.build.vendor_views import write_vendor
from warehouse.config import Settings
from warehouse.engine import abandoned_spills, translating
from warehouse.errors import disk_errors
from warehouse.home import Home
from warehouse.lake import Manifest
from warehouse.sql import comment, identifier, literal

# Oldest DuckDB that must be able to open the catalog.
STORAGE_VERSION = "v1.4.0"


def prepare_catalog(
    settings: Settings,
    *,
    generation: int,
    inputs: Inputs | None = None,
    progress: OnMonth | None = None,
) -> Path:
    """Write the private build file as :func:`write_catalog` does; it is closed, without a WAL."""
    Home.of(settings).require_lake()
    with BuildFile(settings) as file:
        write_catalog(file, generation=generation, inputs=inputs, progress=progress)
        file.close()
        return file.home.build_catalog


def write_catalog(
    file: BuildFile, *, generation: int, inputs: Inputs | None, progress: OnMonth | None
) -> None:
    """Write the private build file with the schemas ``vendor`` and ``meta``, and leave it open.

    ``generation`` is the number of the catalog once it is published, ``inputs`` go to
    ``meta.build``, and ``progress`` is called with each gathered month.
    """
    with beginning(file), Manifest(file.home.manifest) as manifest:
        lake, gathered, kept = read_lake(file, manifest, progress)
        connection = file.open(options=f"storage_version {literal(STORAGE_VERSION)}")
        connection.execute("begin")
        for schema in ("vendor", "meta", "user"):
            connection.execute(f"create schema {identifier(schema)}")
        write_vendor(connection, lake, gathered)
        write_meta(connection, Subject(lake, manifest, file.settings, generation, inputs))
        for months in gathered.values():
            write_stored(connection, file.home, months)
        write_ticks(connection, file.home, kept.days)
        warn_of_left_out(connection, kept)
        _write_macros(connection)
        connection.execute("commit")


@contextmanager
def beginning(file: BuildFile) -> Iterator[None]:
    """Remove an earlier build file before a new one is written, and translate DuckDB's errors."""
    home = file.home
    file.close()
    with disk_errors(f"{home.build}: cannot be written"):
        home.build.mkdir(parents=True, exist_ok=True)
        for leftover in home.build.glob("warehouse.duckdb*"):
            leftover.unlink()
        for folder in abandoned_spills(home.build):
            shutil.rmtree(folder, ignore_errors=True)
    with translating(home.root, context=f"{home.build_catalog}: cannot be written"):
        yield


def read_lake(
    file: BuildFile, manifest: Manifest, progress: OnMonth | None
) -> tuple[LakeByMonth, dict[str, list[StoredMonth]], KeptTicks]:
    """The lake including kept bars, the gathered months of each dataset, and the kept bars."""
    lake = LakeByMonth(file.home, manifest, kept_in(file.home, file.published))
    kept = keep_ticks(file.settings, lake, manifest, progress)
    show_kept(lake, kept.days)
    return lake, gather(file.settings, lake, progress=progress), kept


# -- macros --------------------------------------------------------------------------------------

_MACROS = {
    "help()": (
        "table",
        "Contents of this catalog: one row per table, view and function, with the first sentence of"
        " its comment. If another database is in use, the schema has the catalog's name: w.main.",
        """
        with catalogs as (
            select
                database_name,
                case when not database_name = current_database() then database_name || '.' end
                    as before
            from duckdb_tables()
            where schema_name = 'meta' and table_name = 'build'
            qualify database_name = current_database()
                or not bool_or(database_name = current_database()) over ()
        )

        select
            coalesce(before, '') || place as "schema",
            name,
            coalesce(
                nullif(regexp_extract(meaning, '^(.*?[.])( [A-Z]|$)', 1, 's'), ''), meaning
            ) as meaning
        from (
            select database_name, schema_name as place, view_name as name, comment as meaning
            from duckdb_views() where not internal
            union all
            select database_name, schema_name, table_name, comment from duckdb_tables()
            union all
            select database_name, schema_name, function_name || '()', comment
            from duckdb_functions() where not internal
        )
        join catalogs using (database_name)
        order by
            before,
            instr('main user vendor ticks meta staging', place), place, ends_with(name, '()'), name
        """,
    ),
    "utc_now()": (
        "scalar",
        "The current time as naive UTC, regardless of the shell's time zone.",
        "timezone('UTC', now())",
    ),
}


def _write_macros(connection: duckdb.DuckDBPyConnection) -> None:
    for signature, (kind, meaning, body) in _MACROS.items():
        table = " table" if kind == "table" else ""
        connection.execute(f"create macro main.{signature} as{table} {body}")
        name = signature.split("(")[0]
        comment(connection, "macro table" if table else "macro", f"main.{name}", meaning)
