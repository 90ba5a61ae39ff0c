"""Stored months: immutable parquet files below ``marts/``, named by a hash of their inputs.

A name is the month, a hash of everything that its rows depend on, and a hash of the file's own
bytes. So a build finds the months of earlier builds, catalogs of any generation may read them, and
``verify`` finds every flipped bit. Files of early homes lack the last part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.display import counted
from warehouse.errors import REPAIR, DamagedError
from warehouse.files import SUM_DIGITS, hash_of, put, sha256_of, sum_in_name, temporary
from warehouse.sql import identifier, literal

# The default engine of stored months.
DUCKDB = f"duckdb {duckdb.__version__}"

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
        Whether an earlier build wrote it.
    engine
        Name and version of the engine that computed it: ``duckdb 2.0.1``.
    key
        Hash of its inputs, by which the next build finds it; empty if it is not searched by key.
    """

    model: str
    month: str
    path: Path
    rows: int
    size_bytes: int
    reused: bool
    engine: str
    key: str = ""


# Called with a month that exists, and the number of those that still have to be computed.
OnMonth = Callable[[StoredMonth, int], None]


def month_path(folder: Path, month: str, facts: object) -> Path:
    """Name of a month whose rows depend on these facts, which can be any JSON values.

    The name of the written file also has the hash of its bytes.

    Examples
    --------
    >>> month_path(Path("marts/bars"), "2025-09", ["sql", "files"]).name
    '2025-09-bb621a45e8636707eebe.parquet'
    """
    return folder / f"{month}-{hash_of(facts)[:20]}.parquet"


def write_month(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    path: Path,
    *,
    selected: str = "*",
    metadata: Mapping[str, str] | None = None,
    is_sorted: bool = False,
) -> Path:
    """Write the rows of a query that has series_id and time, as :func:`write_whole` does.

    ``selected`` are the columns of the file, computed from each row after sorting, which is left
    out if the query ``is_sorted``; ``metadata`` are texts that its footer has, by name.
    """
    order = "" if is_sorted else ' order by series_id, "time"'
    rows = f"select {selected} from ({query}{order})"
    options = _FORMAT
    if metadata:
        texts = ", ".join(f"{identifier(name)}: {literal(t)}" for name, t in metadata.items())
        options += f", kv_metadata {{{texts}}}"
    return write_whole(connection, rows, path, options)


def write_whole(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, options: str = "format parquet"
) -> Path:
    """Write the rows of a query in their order; the file appears complete, and is returned.

    Its name is that of ``path`` with the hash of its bytes.
    """
    building = temporary(path)
    connection.execute(f"copy ({query}) to {literal(str(building))} ({options})")
    digest = sha256_of(building)[:SUM_DIGITS]
    written = path.with_name(f"{path.stem}-{digest}{path.suffix}")
    put(building, written)
    return written


def find_stored(path: Path) -> Path | None:
    """The readable file that was written under this name, or None."""
    for found in sorted(path.parent.glob(f"{path.stem}-*{path.suffix}")):
        if sum_in_name(found) is not None and month_damage(found, quick=True) is None:
            return found
    return None


def month_damage(path: Path, rows: int | None = None, *, quick: bool = False) -> str | None:
    """Damage of a stored file; None if its bytes are those that were written.

    ``rows`` is the expected number; with ``quick`` only the footer is read.
    """
    import pyarrow as pa  # local, as below: most builds need neither
    import pyarrow.parquet as pq

    if not path.is_file():
        return "is missing"
    digest = sum_in_name(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            found = file.metadata.num_rows
            if not quick and digest is None:
                found = sum(batch.num_rows for batch in file.iter_batches())
        if not quick and digest is not None and sha256_of(path)[:SUM_DIGITS] != digest:
            return "its bytes do not match the hash in its name"
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"cannot be read: {str(error).splitlines()[0][:200]}"
    return (
        None if rows in (None, found) else f"has {counted(found, 'row')}, the catalog has {rows:,}"
    )


def require_sound(path: Path) -> None:
    """Raise DamagedError if a stored file has changed."""
    what = month_damage(path)
    if what is not None:
        raise DamagedError(f"{path}: {what}", next_step=REPAIR)


def stored_month(
    model: str, month: str, path: Path, *, reused: bool, engine: str = DUCKDB, key: str = ""
) -> StoredMonth:
    """An existing file with the facts of its footer."""
    import pyarrow.parquet as pq

    rows = pq.read_metadata(path).num_rows
    return StoredMonth(model, month, path, rows, path.stat().st_size, reused, engine, key)


def stored_event(month: StoredMonth, waiting: int) -> dict[str, Any]:
    """A month as an event of the build; ``is_day`` for a day of kept bars."""
    return {
        "step": "stored",
        "is_day": month.model.startswith("ticks."),
        "model": month.model,
        "month": month.month,
        "rows": month.rows,
        "reused": month.reused,
        "waiting": waiting,
    }
