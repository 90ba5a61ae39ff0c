"""A process that checks hostile files; it may crash, hang or use too much memory, and is replaced.

Reads one JSON line per case (``{"path", "dataset", "period"}``), has the file checked as sync does,
lets DuckDB read what was accepted through the catalog's view, and answers with one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import file_key
from warehouse.build.months.compute_months import Lists, set_lists
from warehouse.build.vendor_views import lists_of_series, view_columns, view_sql
from warehouse.errors import FileRefusedError
from warehouse.home import Home
from warehouse.lake.manifest.records import FileFacts, StoredFile
from warehouse.lake.ownership import assign_ownership
from warehouse.lake.validate.vendor_file import check_file
from warehouse.vendor.contracts import load_contracts
from warehouse.vendor.keys import FileKey, time_columns


def judge(path: Path, key: FileKey) -> dict[str, Any]:
    started, worked = time.monotonic(), time.process_time()
    contract = load_contracts().get(key.dataset)
    verdict: dict[str, Any] = {}
    try:
        facts = check_file(path, key, contract)
    except FileRefusedError as refused:
        verdict = {"refused": refused.what}
    # whichever is less: a busy machine prolongs the first, several threads the second
    seconds = min(time.monotonic() - started, time.process_time() - worked)
    verdict["check_s"] = round(seconds, 3)
    verdict["peak_mb"] = peak_memory_mb()
    if "refused" not in verdict:
        verdict["rows"] = facts.rows
        verdict["wrong"] = shown_wrongly(path, key, facts)
    return verdict


def peak_memory_mb() -> int:
    """Peak memory of this process; ``ru_maxrss`` would include its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def shown_wrongly(path: Path, key: FileKey, facts: FileFacts) -> str | None:
    """How DuckDB's rows of an accepted file, read through the view, differ from its facts."""
    stored = StoredFile(1, key, 1, path.stem, path.stat().st_size, facts, "test", "", "2026-01-01")
    owned = assign_ownership([stored])
    columns = view_columns(key.dataset, {f.file.facts.columns for f in owned})
    home = Home(path.parent.parent)
    for is_bulk in (False, True):
        lists: Lists = {}
        sql = view_sql(columns, owned, home, lists=lists if is_bulk else None)
        with duckdb.connect(config={"memory_limit": "1GB", "threads": 1}) as connection:
            connection.execute("set timezone = 'UTC'")
            try:
                set_lists(
                    connection,
                    lists_of_series({f.file.series_id: f.file.key.series for f in owned}),
                )
                set_lists(connection, lists)
                connection.execute(f"create view shown as {sql}")
                connection.execute("select bit_xor(hash(shown)) from shown").fetchall()
                times = connection.sql("select epoch_us(time) as t from shown").fetchnumpy()["t"]
            except duckdb.Error as error:
                return f"DuckDB cannot read it: {str(error)[:300]}"
        if len(times) != facts.rows:
            return f"{len(times)} rows are shown, {facts.rows} were checked"
        name = time_columns(key.dataset)[0]
        expected = pq.ParquetFile(path).read(columns=[name])[name]
        zone = expected.type.tz
        checked = expected.cast(pa.timestamp("us", tz=zone)).cast(pa.int64()).to_numpy()
        if not np.array_equal(np.sort(np.asarray(times)), np.sort(checked)):
            return "other times are shown than were checked"
    return None


def main() -> None:
    for line in sys.stdin:
        case = json.loads(line)
        try:
            verdict = judge(Path(case["path"]), file_key(case["dataset"], case["period"]))
        except BaseException as error:
            verdict = {"wrong": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(verdict) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
