"""Gathered months: what many series of a dataset hold of one month, in one file.

A query over ``vendor.<dataset>`` plans each series that is there, whatever it selects. Where a
dataset has more than :data:`WIDE_SERIES` of them, each month is written once more, values
untouched, to ``marts/vendor.<dataset>/``, beside the vendor's own files, and views, builds and
queries read that instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import duckdb

from warehouse.build.partitions import (
    OnMonth,
    StoredMonth,
    find_stored,
    month_path,
    stored_month,
    write_month,
)
from warehouse.build.vendor_views import Lists, set_lists, set_series, view_columns, view_sql
from warehouse.config import Settings
from warehouse.engine import connect
from warehouse.home import Home
from warehouse.lake import OwnedFile
from warehouse.vendor import DatasetColumn, load_contracts

WIDE_SERIES = 64
"""Largest number of series that a dataset's view plans one by one, in some 50 ms."""

GATHER_VERSION = 3
"""Raised when the way months are gathered changes, so that no older file is reused."""


def gather(
    settings: Settings,
    home: Home,
    owned: Iterable[OwnedFile],
    *,
    progress: OnMonth | None = None,
) -> dict[str, list[StoredMonth]]:
    """Write what is new of every wide dataset; all its months by dataset, in order.

    The caller holds the home's lock.
    """
    by_dataset: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in owned:
        if owned_file.spans and owned_file.file.key.dataset in load_contracts():
            by_dataset[owned_file.file.key.dataset].append(owned_file)
    return {
        dataset: _gather_dataset(settings, home, dataset, files, progress)
        for dataset, files in sorted(by_dataset.items())
        if not files[0].file.key.is_raw
        and len({owned_file.file.series_id for owned_file in files}) > WIDE_SERIES
    }


def _gather_dataset(
    settings: Settings,
    home: Home,
    dataset: str,
    files: list[OwnedFile],
    progress: OnMonth | None,
) -> list[StoredMonth]:
    columns = view_columns(load_contracts()[dataset], files)
    by_month: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        by_month[owned_file.file.key.period.month].append(owned_file)
    name = f"vendor.{dataset}"
    folder = home.marts / name
    folder.mkdir(parents=True, exist_ok=True)
    gathered = []
    for month, of_month in sorted(by_month.items()):
        place = month_path(folder, month, _facts(columns, of_month))
        path = find_stored(place)
        reused = path is not None
        if path is None:
            with connect(settings.session) as connection:
                lists: Lists = {}
                rows = view_sql(columns, of_month, home, lists=lists)
                set_series(connection, of_month)
                set_lists(connection, lists)
                path = write_month(connection, f"select * from (\n{rows}\n)", place)
        gathered.append(stored_month(name, month, path, reused=reused))
        if progress is not None:
            progress(gathered[-1])
    return gathered


def _facts(columns: list[DatasetColumn], files: list[OwnedFile]) -> object:
    """All that a month's rows depend on."""
    return {
        "gather": GATHER_VERSION,
        "duckdb": duckdb.__version__,
        "columns": [(column.name, column.type) for column in columns],
        "files": [
            (f.file.series_id, str(f.file.key.series), f.file.object, f.spans) for f in files
        ],
    }
