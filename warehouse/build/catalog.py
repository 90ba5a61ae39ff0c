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

from warehouse.build.gathered_months import gather
from warehouse.build.meta.inputs import Inputs
from warehouse.build.meta.rows import Described, write_meta, write_stored
from warehouse.build.months.lake_months import LakeByMonth, kept_in
from warehouse.build.months.stored import OnMonth, StoredMonth
from warehouse.build.ticks.kept import KeptDay, keep_ticks, show_kept, write_ticks
from warehouse.build.vendor_views import write_vendor
from warehouse.config import Settings
from warehouse.engine import abandoned_spills, attach, connect, translating
from warehouse.errors import ROOM_OR_RIGHTS, DiskError
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
    """Write the private build file with the schemas ``vendor`` and ``meta``.

    Parameters
    ----------
    generation
        Number of the catalog once it is published.
    inputs
        The inputs of the build, which are stored in ``meta.build``.
    progress
        Called with each gathered month.

    Returns
    -------
    Path
        The build file, closed, without a WAL beside it.
    """
    home = Home.of(settings)
    home.require_lake()
    with beginning(home):
        _write(settings, home, generation, inputs, progress)
    return home.build_catalog


@contextmanager
def beginning(home: Home) -> Iterator[None]:
    """Remove an earlier build file before a new one is written, and translate DuckDB's errors."""
    try:
        home.build.mkdir(parents=True, exist_ok=True)
        for leftover in home.build.glob("warehouse.duckdb*"):
            leftover.unlink()
        for folder in abandoned_spills(home.build):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise DiskError(
            f"{home.build}: cannot be written ({error.strerror})", next_step=ROOM_OR_RIGHTS
        ) from error
    with translating(home.root, context=f"{home.build_catalog}: cannot be written"):
        yield


def read_lake(
    settings: Settings, home: Home, manifest: Manifest, progress: OnMonth | None
) -> tuple[LakeByMonth, dict[str, list[StoredMonth]], list[KeptDay]]:
    """The lake including kept bars, the gathered months of each dataset, and the kept bars."""
    lake = LakeByMonth(home, manifest, kept_in(home, home.catalog))
    kept = keep_ticks(settings, lake, manifest, progress)
    show_kept(lake, kept)
    return lake, gather(settings, lake, progress=progress), kept


def _write(
    settings: Settings,
    home: Home,
    generation: int,
    inputs: Inputs | None,
    progress: OnMonth | None,
) -> None:
    with Manifest(home.manifest) as manifest, connect(settings.session) as connection:
        storage = f"storage_version {literal(STORAGE_VERSION)}"
        attach(connection, home.build_catalog, options=storage)
        connection.execute("use warehouse")
        lake, gathered, kept = read_lake(settings, home, manifest, progress)
        connection.execute("begin")
        for schema in ("vendor", "meta", "user"):
            connection.execute(f"create schema {identifier(schema)}")
        write_vendor(connection, lake, gathered)
        write_meta(connection, Described(lake, manifest, settings, generation, inputs))
        for months in gathered.values():
            write_stored(connection, home, months)
        write_ticks(connection, home, kept)
        _write_macros(connection)
        connection.execute("commit")
        connection.execute("checkpoint warehouse")
        connection.execute("use memory")
        connection.execute("detach warehouse")


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
        "The present moment as naive UTC, whatever the time zone of the shell.",
        "timezone('UTC', now())",
    ),
}


def _write_macros(connection: duckdb.DuckDBPyConnection) -> None:
    for signature, (kind, meaning, body) in _MACROS.items():
        table = " table" if kind == "table" else ""
        connection.execute(f"create macro main.{signature} as{table} {body}")
        name = signature.split("(")[0]
        comment(connection, "macro table" if table else "macro", f"main.{name}", meaning)
