"""Real errors of DuckDB, and their translations."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from warehouse.engine import (
    Fault,
    attach,
    connect,
    fault_of,
    reading_catalog,
    translated,
    translating,
)
from warehouse.errors import DiskError, LockedError, MemoryLimitError, UsageError, WarehouseError

ROWS = "select range as i, md5(range::varchar) as s from range(20000)"
SESSION = {"threads": "1", "temp_directory": ""}
Act = Callable[[duckdb.DuckDBPyConnection, Path], object]


def _read(connection: duckdb.DuckDBPyConnection, home: Path) -> object:
    return connection.execute(
        f"select bit_xor(hash(i, s)) from read_parquet('{home}/objects/a.parquet')"
    ).fetchall()


def _damaged_object(position: int, text: bytes) -> Act:
    def act(connection: duckdb.DuckDBPyConnection, home: Path) -> object:
        path = home / "objects/a.parquet"
        connection.execute(f"copy ({ROWS}) to '{path}' (row_group_size 5000)")
        data = bytearray(path.read_bytes())
        start = position % len(data)
        data[start : start + len(text)] = text
        path.write_bytes(bytes(data))
        return _read(connection, home)

    return act


def _damaged_catalog(keep: float, text: bytes) -> Act:
    def act(connection: duckdb.DuckDBPyConnection, home: Path) -> object:
        path = home / "warehouse.duckdb"
        attach(connection, path, options="")
        connection.execute(f"create table warehouse.t as {ROWS}")
        connection.execute("detach warehouse")
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)] + text)
        attach(connection, path)
        return connection.execute("select bit_xor(hash(i, s)) from warehouse.t").fetchall()

    return act


def _little_memory(connection: duckdb.DuckDBPyConnection, _: Path) -> object:
    connection.execute("set memory_limit = '20MB'")
    return connection.execute("select list(md5(i::varchar)) from range(1000000) as t(i)").fetchall()


def _full_spill(connection: duckdb.DuckDBPyConnection, home: Path) -> object:
    connection.execute(f"set memory_limit = '20MB'; set temp_directory = '{home}/spill'")
    connection.execute("set max_temp_directory_size = '1MB'")
    return connection.execute(
        "from (select md5(range::varchar) as s from range(1000000)) order by s"
    ).fetchmany()


@contextmanager
def _full_disk() -> Iterator[None]:
    """Files may not grow beyond 50 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def _full_parquet(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    with _full_disk():
        connection.execute(f"copy ({ROWS}) to '{home}/b.parquet' (row_group_size 5000)")


def _full_catalog(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    with _full_disk():
        attach(connection, home / "b.duckdb", options="")
        connection.execute(f"create table warehouse.t as {ROWS}")


@pytest.mark.parametrize(
    ("act", "fault"),
    [
        (_full_parquet, Fault.DISK),
        (_full_catalog, Fault.DISK),
        (_little_memory, Fault.MEMORY),
        (_read, Fault.DAMAGE),
        (_damaged_object(5000, b"\0" * 5000), Fault.DAMAGE),
        (_damaged_object(-8, b"\xff\xff\xff\x7fPAR1"), Fault.DAMAGE),
        (_damaged_object(-2000, b"\x7f" * 1900), Fault.DAMAGE),
        (_damaged_catalog(0, b"x" * 100_000), Fault.DAMAGE),
        (_damaged_catalog(0.5, b""), Fault.DAMAGE),
        (_damaged_catalog(0.5, b"\x7f" * 1_000_000), Fault.DAMAGE),
    ],
)
def test_errors_of_files_disk_and_memory_when_real_then_are_known(
    tmp_path: Path, act: Act, fault: Fault
) -> None:
    (tmp_path / "objects").mkdir()
    with connect(SESSION) as connection, pytest.raises(duckdb.Error) as caught:
        connection.execute("set parquet_metadata_cache = false")
        act(connection, tmp_path)
    assert fault_of(caught.value, tmp_path) is fault, str(caught.value)
    ours = translated(caught.value, tmp_path, context="the build failed")
    assert isinstance(ours, WarehouseError)
    assert ours.next_step and str(ours).startswith("the build failed\n")


def test_spilling_to_a_full_disk_is_a_fault_of_the_disk(tmp_path: Path) -> None:
    with connect(SESSION) as connection, pytest.raises(duckdb.Error) as caught:
        _full_spill(connection, tmp_path)
    assert fault_of(caught.value) is Fault.DISK, str(caught.value)


def test_a_catalog_that_another_program_writes_is_locked_not_damaged(tmp_path: Path) -> None:
    catalog = tmp_path / "warehouse.duckdb"
    holds = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(catalog)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()
        with (
            pytest.raises(LockedError, match="open it read-only") as caught,
            reading_catalog(catalog),
        ):
            connect(SESSION, catalog)
        other.stdin.write(b"\n")
    assert str(other.pid) in str(caught.value) and caught.value.exit_code == 5


@pytest.mark.parametrize(
    "text",
    [
        "select error('Corrupt database file: no')",
        "select error('No space left on device')",
        "select '{home}/objects/x.parquet'::int",
        "select 'x is not a valid DuckDB database'::int",
        "select * from missing_table",
        "from read_parquet('{home}/other/x.parquet')",
    ],
)
def test_errors_of_the_sql_are_none_whatever_text_they_quote(tmp_path: Path, text: str) -> None:
    with connect(SESSION) as connection, pytest.raises(duckdb.Error) as caught:
        connection.execute(text.format(home=tmp_path)).fetchall()
    assert fault_of(caught.value, tmp_path) is None, str(caught.value)
    assert translated(caught.value, tmp_path) is None


def test_a_mistake_in_the_sql_is_blamed_and_a_fault_is_not() -> None:
    blamed = UsageError("correct it")
    full, wrong = duckdb.OutOfMemoryException("Out of Memory Error: x"), duckdb.BinderException("x")
    for error, but, raised in (
        (wrong, None, UsageError),
        (full, None, MemoryLimitError),
        (full, Fault.MEMORY, UsageError),
        (OSError(), None, OSError),
    ):
        with pytest.raises(raised), translating(but=but, blaming=lambda _: blamed):
            raise error
    with pytest.raises(duckdb.BinderException), translating():
        raise wrong


def test_a_full_disk_is_found_in_a_message_of_several_lines_or_json() -> None:
    reason = 'Could not write file "x.parquet": No space left on device'
    detached = "IO Error: Detached database 'w', but CHECKPOINT during DETACH failed. \n"
    assert isinstance(translated(f"{detached}Original error: {reason}"), DiskError)
    facts = json.dumps({"exception_type": "IO", "exception_message": reason, "errno": "28"})
    error = translated(f"IO Error: Async write failed for range [offset=27, size=9]: {facts}")
    assert isinstance(error, DiskError) and error.what == f"IO Error: {reason}"


def test_a_fault_is_found_in_what_dbt_passes_on() -> None:
    passed = "my_model: Runtime Error in model my_model (models/my_model.sql)\n  IO Error: {}"
    assert fault_of(passed.format('Could not write file "x": No space left on device'))
    lost = passed.format('No files found that match the pattern "/data/objects/a.parquet"')
    assert fault_of(lost, Path("/data")) is Fault.DAMAGE
    assert fault_of(lost, Path("/other")) is None
