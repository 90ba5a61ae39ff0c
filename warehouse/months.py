"""Stored months: immutable parquet files below ``marts/``, each named by all its rows depend on.

What is in such a file never changes, so catalogs of any generation may read it, and a build that
finds it does not compute it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from warehouse.sqltext import literal

ROW_GROUP_ROWS = 20_480
_FORMAT = (
    f"format parquet, parquet_version v2, compression lz4_raw, row_group_size {ROW_GROUP_ROWS}"
)


@dataclass(frozen=True, slots=True)
class StoredMonth:
    """A UTC month of a mart or of a dataset: one file, sorted by series_id and time.

    Attributes
    ----------
    model
        The mart, or ``vendor.<dataset>``.
    reused
        Whether an earlier build had written it.
    """

    model: str
    month: str
    path: Path
    rows: int
    size_bytes: int
    reused: bool


Progress = Callable[[StoredMonth], None]


def month_path(folder: Path, month: str, facts: object) -> Path:
    """Where a month stands whose rows depend on these facts, which are anything JSON can write.

    Examples
    --------
    >>> month_path(Path("marts/bars"), "2025-09", ["sql", "files"]).name
    '2025-09-bb621a45e8636707eebe.parquet'
    """
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return folder / f"{month}-{digest[:20]}.parquet"


def month_of(path: Path) -> str:
    """The month that stands in the name of such a file.

    Examples
    --------
    >>> month_of(Path("marts/bars/2025-09-bb621a45e8636707eebe.parquet"))
    '2025-09'
    """
    return path.name[: len("2025-09")]


def write_month(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, *, selected: str = "*"
) -> None:
    """Write the rows of a query that has series_id and time; the file appears when it is whole.

    ``selected`` is what is written of them, said of each row after they were sorted.
    """
    rows = f'select {selected} from ({query} order by series_id, "time")'
    write_whole(connection, rows, path, _FORMAT)


def write_whole(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, options: str = "format parquet"
) -> None:
    """Write the rows of a query as they come; the file appears when it is whole."""
    building = path.with_suffix(".building")
    connection.execute(f"copy ({query}) to {literal(str(building))} ({options})")
    building.replace(path)


def stored_month(model: str, month: str, path: Path, *, reused: bool) -> StoredMonth:
    """A file that is there, with the facts of its footer."""
    rows = pq.read_metadata(path).num_rows
    return StoredMonth(model, month, path, rows, path.stat().st_size, reused)


def stored_event(month: StoredMonth) -> dict[str, Any]:
    """A month as an event of the build."""
    return {
        "step": "stored",
        "model": month.model,
        "month": month.month,
        "rows": month.rows,
        "reused": month.reused,
    }
