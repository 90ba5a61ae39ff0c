"""The native copy: stored marts once more as sorted DuckDB tables, for sessions of Python and CLI.

A small question to parquet spends its time on opening a file for each month; one to a sorted table
opens none. So, once a catalog is published, the months that its marts read are copied into
``native.duckdb`` beside it, and ``session.duckdb`` is the same catalog with those marts as views of
the tables. A session opens this pair where it is there. Nothing needs it, only the current
generation has one, and removing it costs nothing but time.

A table holds its mart sorted by series and time, and then the mart's last months, one by one: a
new month, or one that was computed anew, changes the end of the copy before and leaves the rest.
The file before is moved and changed where nobody reads it, else copied.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import duckdb

from warehouse.build.partitions import month_of, require_sound
from warehouse.build.views import show_instead
from warehouse.config import Settings
from warehouse.engine import attach, connect
from warehouse.errors import DamagedError
from warehouse.files import link_or_copy, put, sha256_of, write
from warehouse.generations import current_generation, generations, is_held, is_open
from warehouse.home import Home, NativeCopy, generation_path, native_copy
from warehouse.sql import identifier, literal, moment
from warehouse.vendor import Period

FIRST_TAIL = 2
"""Months that a copy made anew does not sort in: the next build changes them."""

LONGEST_TAIL = 14
"""Months after the sorted part beyond which all is sorted anew."""

MOST_COLUMNS = 64
"""A wider mart stays parquet: it costs more to copy than all others, and few read all of it."""

_LAYOUT = "storage_version 'latest', row_group_size 40960"
"""The newest format finds rows of one symbol twice as fast; a DuckDB that cannot read it does
without the copy."""

Stored = dict[str, list[str]]
"""Paths below the home of the stored months of each mart, in order."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Months that a table holds, by their paths; the first ``sorted`` of them as one part."""

    months: list[str]
    sorted: int


def copy_marts(settings: Settings, *, begins: Callable[[], None] | None = None) -> str | None:
    """Give the current generation its native copy, and take those of others away.

    The caller holds the home's lock. A copy that is there stays; marts that are larger in all than
    the settings allow get none.

    Parameters
    ----------
    begins
        Called before something is copied.

    Returns
    -------
    str or None
        Why there is no copy although there should be one; nothing else suffers from that.
    """
    home = Home.of(settings)
    current = current_generation(home)
    _, catalog = native_copy(home, current)
    reason = None
    try:
        stored, size_bytes = _stored(home, generation_path(home, current))
        if not stored or size_bytes > settings.native_gb * 1e9:
            remove_copy(home, current)
        elif not catalog.is_file():
            if begins is not None:
                begins()
            _make(settings, home, current, stored)
    except (duckdb.Error, OSError) as error:
        reason = str(error).splitlines()[0]
    except DamagedError as error:
        reason = str(error)
    for number in generations(home):
        with suppress(OSError):  # the next build tries again
            if number != current and not is_open(home, number):
                remove_copy(home, number)
    return reason


def remove_copy(home: Home, generation: int) -> None:
    """Take a generation's native copy away; the catalog first, without which none looks for it."""
    copy = native_copy(home, generation)
    for path in (copy.catalog, copy.tables, copy.sums):
        path.unlink(missing_ok=True)


def copy_damage(home: Home, generation: int) -> str | None:
    """What is wrong with a generation's native copy; None where it is whole, or not there.

    A copy that an earlier version made has no hashes: there every block is read, of which DuckDB
    checks the sums, unless only a newer DuckDB can.
    """
    tables, catalog = copy = native_copy(home, generation)
    if not catalog.is_file():
        return None
    is_sound = _is_as_written(copy)
    if is_sound is not None:
        return None if is_sound else "holds other bytes than were written"
    try:
        with connect(home.session, catalog) as connection:
            attach(connection, tables, "native")
            attach(connection, generation_path(home, generation), "published")
            for model, rows in connection.execute(
                "select model, sum(rows) from warehouse.meta.stored"
                " where model in (select model from native.copied.marts)"
                " group by model order by model"
            ).fetchall():
                found = connection.execute(
                    f"select count(*), bit_xor(hash(t)) from {_table(model)} as t"
                ).fetchone()
                if found is None or found[0] != rows:
                    return f"{model}: holds other rows than the stored months"
                if _kept_columns(connection, "native", f"{model}_copy") != _kept_columns(
                    connection, "published", model
                ):
                    return f"{model}: has other columns than the catalog"
    except duckdb.Error as error:
        if "newer version of DuckDB" not in str(error):
            return f"cannot be read ({str(error).splitlines()[0]})"
    return None


def _is_as_written(copy: NativeCopy) -> bool | None:
    """Whether both files hold the bytes that were written; None where no hashes were noted."""
    if not copy.sums.is_file():
        return None
    try:
        sums = json.loads(copy.sums.read_bytes())
        known = {path: str(sums[path.name]) for path in copy}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all(path.is_file() and sha256_of(path) == digest for path, digest in known.items())


def continues(copied: dict[str, Copied], stored: Stored) -> bool:
    """Whether tables that hold the one come to hold the other without being sorted anew.

    Examples
    --------
    >>> stored = {"bars": ["2025-09-a", "2025-10-c", "2025-11-d"]}
    >>> continues({"bars": Copied(["2025-09-a", "2025-10-b"], sorted=1)}, stored)
    True
    >>> continues({"bars": Copied(["2025-09-a", "2025-10-b"], sorted=2)}, stored)
    False
    """
    return copied.keys() == stored.keys() and all(
        stored[model][: held.sorted] == held.months[: held.sorted]
        and len(stored[model]) - held.sorted <= LONGEST_TAIL
        for model, held in copied.items()
    )


def _kept_columns(
    connection: duckdb.DuckDBPyConnection, database: str, table: str
) -> list[tuple[str, str]]:
    """Names and types as a database keeps them: no file is opened, which may have moved."""
    return connection.execute(
        "select column_name, data_type from duckdb_columns()"
        " where database_name = ? and schema_name = 'main' and table_name = ?"
        " order by column_index",
        [database, table],
    ).fetchall()


# -- making --------------------------------------------------------------------------------------


def _make(settings: Settings, home: Home, generation: int, stored: Stored) -> None:
    """Write both files aside and put them in place, the tables first."""
    tables, catalog = copy = native_copy(home, generation)
    aside = home.build / "native"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    new_tables, new_catalog = aside / tables.name, aside / catalog.name
    try:
        with connect(settings.session) as connection:
            _write_tables(connection, home, stored, new_tables)
            new_tables.chmod(0o444)
            put(new_tables, tables)
            shutil.copyfile(generation_path(home, generation), new_catalog)
            attach(connection, tables, "native")
            attach(connection, new_catalog, options="")
            show_instead(connection, {("main", model): _table(model) for model in stored})
            connection.execute("detach warehouse")
        new_catalog.chmod(0o444)
        sums = {tables.name: sha256_of(tables), catalog.name: sha256_of(new_catalog)}
        write(copy.sums, json.dumps(sums).encode())
        put(new_catalog, catalog)
    except BaseException:
        remove_copy(home, generation)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_tables(
    connection: duckdb.DuckDBPyConnection, home: Home, stored: Stored, path: Path
) -> None:
    """A database with a table for each mart: the newest one there is, continued if that can be."""
    earlier = _newest_copy(home)
    copied = (
        {} if earlier is None else _copied_months(connection, native_copy(home, earlier).tables)
    )
    if earlier is not None and {m: held.months for m, held in copied.items()} == stored:
        link_or_copy(native_copy(home, earlier).tables, path)
        return
    if earlier is not None and continues(copied, stored):
        _move_or_copy(home, earlier, path)
    else:
        copied = {}
    attach(connection, path, "native", options=_LAYOUT)
    connection.execute("create schema if not exists native.copied")
    connection.execute(
        "create or replace table native.copied.marts"
        " (model varchar, months varchar[], sorted integer)"
    )
    for model, months in stored.items():
        count = _write_table(connection, home, model, months, copied.get(model))
        connection.execute(
            "insert into native.copied.marts values (?, ?, ?)", [model, months, count]
        )
    connection.execute("detach native")


def _newest_copy(home: Home) -> int | None:
    """The newest generation that has tables, if they hold the bytes that were written."""
    for number in reversed(generations(home)):
        copy = native_copy(home, number)
        if copy.tables.is_file():
            return number if _is_as_written(copy) else None
    return None


def _move_or_copy(home: Home, generation: int, path: Path) -> None:
    """Make a generation's tables a file that may be changed: themselves, if nobody reads them.

    A session holds its catalog before it looks for tables. So once these are out of their place,
    who may be reading them holds the catalog already, or has them open under another name.
    """
    tables, catalog = native_copy(home, generation)
    tables.replace(path)
    if path.stat().st_nlink > 1 or is_open(home, generation) or is_held(path):
        path.replace(tables)
        shutil.copyfile(tables, path)
    else:
        catalog.unlink(missing_ok=True)
        path.chmod(0o644)


def _copied_months(connection: duckdb.DuckDBPyConnection, tables: Path) -> dict[str, Copied]:
    """What tables hold; nothing where that cannot be read, as of a newer DuckDB."""
    try:
        attach(connection, tables, "earlier")
        rows = connection.execute("from earlier.copied.marts").fetchall()
        connection.execute("detach earlier")
    except duckdb.Error:
        return {}
    return {model: Copied(months, count) for model, months, count in rows}


def _write_table(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    model: str,
    months: list[str],
    held: Copied | None,
) -> int:
    """Let a mart's table hold these months; how many of them are its sorted part."""
    table = _table(model)
    first = _rows_of(home, months[:1])
    if held is None or _columns(connection, table) != _columns(connection, first):
        connection.execute(f"create or replace table {table} as {first} limit 0")
        held = Copied([], max(len(months) - FIRST_TAIL, 0))
        parts = [months[: held.sorted], *([month] for month in months[held.sorted :])]
    else:
        pairs = zip(held.months, months, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        for outdated in held.months[same : same + 1]:
            start = moment(Period(month_of(Path(outdated))).start_us)
            connection.execute(f'delete from {table} where "time" >= {start}')
        parts = [[month] for month in months[same:]]
    for part in parts:
        if part:
            for name in part:
                require_sound(home.root / name)
            rows = _rows_of(home, part)
            connection.execute(f'insert into {table} {rows} order by series_id, "time"')
    return held.sorted


def _rows_of(home: Home, months: list[str]) -> str:
    listed = ", ".join(literal(str(home.root / path)) for path in months)
    return f"from read_parquet([{listed}], hive_partitioning = false)"


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    rows = connection.execute(f"describe {table}").fetchall()
    return [(name, kind) for name, kind, *_ in rows]


def _stored(home: Home, catalog: Path) -> tuple[Stored, int]:
    """The stored months of a catalog's marts that are not too wide, and their bytes."""
    stored: Stored = {}
    size_bytes = 0
    with connect(home.session, catalog) as connection:
        for model, path, size in connection.execute(
            "select model, path, size_bytes from warehouse.meta.stored"
            " where model in (select table_name from duckdb_columns()"
            "   where database_name = 'warehouse' and schema_name = 'main'"
            f"   group by table_name having count(*) <= {MOST_COLUMNS})"
            " order by model, month"
        ).fetchall():
            stored.setdefault(model, []).append(path)
            size_bytes += size
    return stored, size_bytes


def _table(model: str) -> str:
    """Named so that no listing of all databases shows the mart's columns twice."""
    return f"native.main.{identifier(f'{model}_copy')}"
