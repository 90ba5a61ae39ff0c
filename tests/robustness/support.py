"""Small homes, and checks of a home's integrity and contents."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

import warehouse
from tests.support import bar_table, file_key, grid, without_comments, write_file
from warehouse.build.catalog import prepare_catalog
from warehouse.build.marts.native_copy import copy_marts
from warehouse.build.meta.inputs import fingerprint
from warehouse.build.months.stored import find_stored, stored_month, write_month
from warehouse.config import Settings
from warehouse.generations.publish import catalog_reads, next_generation, publish_build
from warehouse.home import Home, writing
from warehouse.lake.manifest.manifest import Manifest
from warehouse.sql import files_below
from warehouse.sync.from_folder import sync_folder
from warehouse.upkeep.verify import Finding, Severity, verify_home

ROWS = 48
DATASETS = ("flow", "ohlcv")
MONTHS = ("2025-09", "2025-10")
FILES = len(DATASETS) * len(MONTHS)
ROUND_SQL = (
    "select (select generation from meta.build) as generation, min(v), max(v), count(*)"
    " from (select taker_buy_volume as v from vendor.flow"
    "   union all select open from vendor.ohlcv"
    "   union all select taker_buy_volume from main.flow_features)"
)
"""Every value is the number of its round, so two different values are two generations."""


def write_round(folder: Path, number: int, *, datasets: tuple[str, ...] = DATASETS) -> None:
    """Files of a vendor that restates everything in every round."""
    for dataset in datasets:
        for month in MONTHS:
            first = date.fromisoformat(f"{month}-01")
            table = bar_table(dataset, grid(first, ROWS))
            for name in ("taker_buy_volume", "open"):
                if name in table.column_names:
                    place = table.column_names.index(name)
                    values = [float(number)] * ROWS
                    table = table.set_column(place, name, [values])
            write_file(folder, file_key(dataset, month), table)


def sync_round(home: Home, folder: Path, number: int) -> None:
    write_round(folder, number)
    sync_folder(home, folder)


def quick_build(home: Home) -> int:
    """Publish a catalog without dbt: one stored mart, and results that report success."""
    settings = Settings(home.root)
    with writing(home, "build"):
        inputs = replace(fingerprint(settings), project="quick")
        with without_comments():
            prepare_catalog(settings, generation=next_generation(home), inputs=inputs)
        with Manifest(home.manifest) as manifest:
            held = sorted(f"{key} {sha256}" for key, sha256 in manifest.current_objects())
        digest = hashlib.sha256(repr(held).encode()).hexdigest()
        name = f"marts/flow_features/2025-09-{digest[:20]}.parquet"
        with duckdb.connect(home.build_catalog) as connection:
            month = stored_month(
                "flow_features", "2025-09", _store(connection, home.root / name), reused=False
            )
            name = str(month.path.relative_to(home.root))
            listed = files_below(home.root, [name])
            connection.execute(
                "create view main.flow_features as"
                f" select * from read_parquet({listed}, hive_partitioning = false)"
            )
            connection.execute(
                "insert into meta.stored values"
                " ('flow_features', '2025-09', ?, ?, ?, false, 'duckdb', '')",
                [name, month.rows, month.size_bytes],
            )
            connection.execute(
                "insert into meta.results values"
                " ('flow_features', 'model', 'warehouse', 'success', 0, '')"
            )
        generation = publish_build(home).generation
        assert copy_marts(settings) is None
        return generation


def _store(connection: duckdb.DuckDBPyConnection, path: Path) -> Path:
    """The mart's file, made once as the store makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = find_stored(path)
    return found or write_month(connection, "from vendor.flow", path)


def keep_aside(home: Home) -> None:
    """Record the state of a home, including hard links, for :func:`put_back`."""
    _copy(home.root, home.root.with_name("kept"))


def put_back(home: Home) -> None:
    """Restore a home at the same path, by which its catalogs name files."""
    subprocess.run(["chmod", "-R", "u+w", home.root], check=False)
    shutil.rmtree(home.root, ignore_errors=True)
    _copy(home.root.with_name("kept"), home.root)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)


def answer(home: Home, generation: int | None = None) -> tuple[Any, ...]:
    """The result of a reader: generation, least and largest round, rows."""
    with warehouse.open(home.root, generation=generation) as opened:
        (row,) = opened.sql(ROUND_SQL).fetchall()
    return tuple(row)


# -- whole? --------------------------------------------------------------------------------------


def faults(home: Home) -> list[Finding]:
    """The findings of ``verify`` without notes on the data."""
    return [finding for finding in verify_home(home) if finding.kind is not Severity.NOTE]


def damage(home: Home) -> list[Finding]:
    return [finding for finding in verify_home(home) if finding.kind is Severity.DAMAGED]


def tree(home: Home) -> dict[str, str]:
    """Everything that must be equal after any events: bytes by path, rows of the manifest.

    Files with a time in them (catalogs, stamps) are left out; the contents of catalogs are
    included.
    """
    found = {
        str(path.relative_to(home.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in (home.objects, home.lake, home.marts)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    with Manifest(home.manifest) as manifest:
        for file in manifest.files():
            found[f"manifest {file.key}"] = f"{file.series_id} {file.object} {file.facts}"
        for refusal in manifest.quarantine():
            found[f"quarantine {refusal.key}"] = f"{refusal.object} {refusal.reason}"
    return found


def current_tree(home: Home) -> dict[str, str]:
    """As :func:`tree`, without former versions and months, which differ in an undisturbed home.

    Months are those that the published catalog reads.
    """
    with Manifest(home.manifest) as manifest:
        current = {f"objects/{file.object}.parquet" for file in manifest.files()}
    if home.catalog.is_file():
        current |= set(catalog_reads(home, home.catalog).months)
    return {
        path: digest
        for path, digest in tree(home).items()
        if not path.startswith(("objects/", "marts/")) or path in current
    }


def require_no_leftovers(home: Home) -> None:
    """Assert that no lock is held and no temporary file exists."""
    with writing(home, "test"):
        pass
    patterns = ("**/*.wal", "**/*.new", "**/*.part")
    left = [path for pattern in patterns for path in home.root.glob(pattern)]
    left += list(home.root.glob("manifest.sqlite-*"))
    assert not left, left


def sqlite_rows(home: Home, text: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(home.manifest)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def change_manifest(home: Home, text: str) -> None:
    connection = sqlite3.connect(home.manifest)
    try:
        connection.execute(text)
        connection.commit()
    finally:
        connection.close()
