"""Gathered months: the rows of all series of a dataset in one month, in one file.

A view over the vendor's files would plan every series, whatever a query selects. So
each month of bars is written once more, values untouched, to ``marts/vendor.<dataset>/``: views,
builds and queries read that. Raw data is read from the vendor's files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache

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
    with ExitStack() as opened:

        @cache
        def connection() -> duckdb.DuckDBPyConnection:
            connected = opened.enter_context(connect(settings.session))
            set_series(connected, bars)
            return connected

        return {
            dataset: list(_gather_dataset(connection, home, dataset, files, progress))
            for dataset, files in sorted(by_dataset.items())
        }


def _gather_dataset(
    connection: Callable[[], duckdb.DuckDBPyConnection],
    home: Home,
    dataset: str,
    files: list[OwnedFile],
    progress: OnMonth | None,
) -> Iterator[StoredMonth]:
    columns = view_columns(load_contracts().get(dataset), files)
    by_month: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        by_month[owned_file.file.key.period.month].append(owned_file)
    name = f"vendor.{dataset}"
    folder = home.marts / name
    folder.mkdir(parents=True, exist_ok=True)
    for month, of_month in sorted(by_month.items()):
        place = month_path(folder, month, _facts(columns, of_month))
        path = find_stored(place)
        reused = path is not None
        if path is None:
            lists: Lists = {}
            rows = view_sql(columns, of_month, home, lists=lists)
            set_lists(connection(), lists)
            path = write_month(connection(), f"select * from (\n{rows}\n)", place)
        gathered = stored_month(name, month, path, reused=reused)
        if progress is not None:
            progress(gathered)
        yield gathered


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
