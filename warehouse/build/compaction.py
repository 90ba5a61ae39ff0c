"""Gathered months: the rows of all series of a dataset in one month, in one file.

A view over the vendor's files would plan every series, whatever a query selects. So
each month of bars is written once more, values untouched, to ``marts/vendor.<dataset>/``: views,
builds and queries read that. Raw data is read from the vendor's files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from warehouse.build.jobs import Job
from warehouse.build.partitions import OnMonth, StoredMonth, month_path
from warehouse.build.stored import Wanted, found_or_computed
from warehouse.build.vendor_views import (
    Lists,
    lists_of_series,
    set_lists,
    view_columns,
    view_sql,
)
from warehouse.config import Settings
from warehouse.home import Home
from warehouse.lake import OwnedFile
from warehouse.vendor import DatasetColumn, load_contracts

# Increase it when the way months are gathered changes, so that no older file is reused.
GATHER_VERSION = 3


def gather(
    settings: Settings,
    home: Home,
    owned: Iterable[OwnedFile],
    *,
    progress: OnMonth | None = None,
) -> dict[str, list[StoredMonth]]:
    """Write what is new of every dataset of bars; all its months by dataset, in order.

    The caller holds the home's lock.
    """
    bars = [f for f in owned if f.spans and not f.file.key.is_raw]
    by_dataset: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in bars:
        by_dataset[owned_file.file.key.dataset].append(owned_file)
    task = _Gathering(lists_of_series(bars))
    wanted = [
        month
        for dataset, files in sorted(by_dataset.items())
        for month in _months(home, task, dataset, files)
    ]
    gathered: dict[str, list[StoredMonth]] = {dataset: [] for dataset in sorted(by_dataset)}
    for month in found_or_computed(settings, wanted, progress):
        gathered[month.model.removeprefix("vendor.")].append(month)
    return gathered


@dataclass(frozen=True, slots=True)
class _Gathering:
    """What the months of all datasets need: the keys of the series."""

    series: Lists

    def open(self, connection: duckdb.DuckDBPyConnection) -> str:
        set_lists(connection, self.series)
        return "*"


def _months(home: Home, task: _Gathering, dataset: str, files: list[OwnedFile]) -> Iterator[Wanted]:
    columns = view_columns(load_contracts().get(dataset), files)
    by_month: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        by_month[owned_file.file.key.period.month].append(owned_file)
    name = f"vendor.{dataset}"
    folder = home.marts / name
    folder.mkdir(parents=True, exist_ok=True)
    for month, of_month in sorted(by_month.items()):
        place = month_path(folder, month, _facts(columns, of_month))
        job = partial(_job, home, task, f"{name} {month}", columns, of_month, place)
        yield Wanted(name, month, place, job)


def _job(
    home: Home,
    task: _Gathering,
    name: str,
    columns: list[DatasetColumn],
    files: list[OwnedFile],
    place: Path,
) -> Job:
    lists: Lists = {}
    rows = f"select * from (\n{view_sql(columns, files, home, lists=lists)}\n)"
    size_bytes = sum(f.file.size_bytes for f in files)
    return Job(name, task, rows, lists, {}, place, size_bytes)


def _facts(columns: list[DatasetColumn], files: list[OwnedFile]) -> object:
    """The inputs that a month's rows depend on."""
    return {
        "gather": GATHER_VERSION,
        "duckdb": duckdb.__version__,
        "columns": [(column.name, column.type) for column in columns],
        "files": [
            (f.file.series_id, str(f.file.key.series), f.file.object, f.spans) for f in files
        ],
    }
