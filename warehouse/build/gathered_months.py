"""Gathered months: the rows of all series of a dataset in one month, in one file.

A view over the vendor's files would plan every series in every query. So each month of bars is also
written to ``marts/vendor.<dataset>/``, with unchanged values, and views, builds and queries read
these files. Raw data is read from the vendor's files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from warehouse.build.months.compute_months import Job, Lists, set_lists
from warehouse.build.months.find_or_compute import WantedMonth, find_or_compute
from warehouse.build.months.lake_months import LakeByMonth, stored_key
from warehouse.build.months.stored import OnMonth, StoredMonth, month_path
from warehouse.build.vendor_views import (
    lists_of_series,
    view_columns,
    view_sql,
)
from warehouse.config import Settings
from warehouse.lake import OwnedFile
from warehouse.vendor import DatasetColumn, is_raw

# Increase it if the way months are gathered changes, so that no older file is reused.
GATHER_VERSION = 3


def gather(
    settings: Settings, lake: LakeByMonth, *, progress: OnMonth | None = None
) -> dict[str, list[StoredMonth]]:
    """Write the new months of every dataset of bars; returns all months by dataset, in order.

    The caller holds the home's lock.
    """
    task = _Gathering(lists_of_series(lake.series))
    wanted = [
        month
        for dataset in lake.datasets
        if not is_raw(dataset)
        for month in _months(lake, task, dataset)
    ]
    gathered: dict[str, list[StoredMonth]] = defaultdict(list)
    for month in find_or_compute(settings, wanted, lake.kept, progress):
        gathered[month.model.removeprefix("vendor.")].append(month)
    return dict(gathered)


@dataclass(frozen=True, slots=True)
class _Gathering:
    """Shared by the months of all datasets: the keys of the series."""

    series: Lists

    def open(self, connection: duckdb.DuckDBPyConnection) -> str:
        # row groups of rows that are not sorted here could depend on the number of threads
        connection.execute("set threads = 1")
        self.begin(connection)
        return "*"

    def begin(self, connection: duckdb.DuckDBPyConnection) -> None:
        set_lists(connection, self.series)


def _months(lake: LakeByMonth, task: _Gathering, dataset: str) -> Iterator[WantedMonth]:
    columns = view_columns(dataset, lake.columns_shown(dataset))
    name = f"vendor.{dataset}"
    folder = lake.home.marts / name
    folder.mkdir(parents=True, exist_ok=True)
    for month in lake.shown_months(dataset):
        yield WantedMonth(
            name,
            month.month,
            stored_key(_facts(columns) | {"token": month.shown}),
            partial(_place, lake, dataset, month.month, columns, folder),
            partial(_job, lake, task, dataset, month.month, columns),
        )


def _bars(lake: LakeByMonth, dataset: str, month: str) -> list[OwnedFile]:
    return [file for file in lake.files(dataset, month) if file.spans]


def _place(
    lake: LakeByMonth, dataset: str, month: str, columns: list[DatasetColumn], folder: Path
) -> Path:
    files = [
        (f.file.series_id, str(f.file.key.series), *f.shown_from)
        for f in _bars(lake, dataset, month)
    ]
    return month_path(folder, month, _facts(columns) | {"files": files})


def _job(
    lake: LakeByMonth,
    task: _Gathering,
    dataset: str,
    month: str,
    columns: list[DatasetColumn],
    place: Path,
) -> Job:
    lists: Lists = {}
    files = sorted(_bars(lake, dataset, month), key=lambda f: (f.file.series_id, f.spans))
    rows = f"select * from (\n{view_sql(columns, files, lake.home, lists=lists)}\n)"
    return Job(
        f"vendor.{dataset} {month}",
        task,
        rows,
        lists,
        {},
        place,
        size_bytes=sum(f.file.size_bytes for f in files),
        is_sorted=_are_read_in_order(files, lists),
    )


def _are_read_in_order(files: Sequence[OwnedFile], lists: Lists) -> bool:
    """Whether the rows of files that are sorted by series and time need no sort.

    ``lists`` are those of their view: if one list has all files, they are not read as a union.
    """
    are_in_one_list = [len(values) for _, values in lists.values()] == [len(files)] * 2
    return are_in_one_list and all(f.file.facts.is_sorted and not f.late for f in files)


def _facts(columns: list[DatasetColumn]) -> dict[str, object]:
    """What a month's rows depend on, other than its files."""
    return {
        "gather": GATHER_VERSION,
        "duckdb": duckdb.__version__,
        "columns": [(column.name, column.type) for column in columns],
    }
