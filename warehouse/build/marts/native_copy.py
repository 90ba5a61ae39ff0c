"""The native copy: stored marts as sorted DuckDB tables, for sessions of Python and the CLI.

A small query of parquet spends most of its time opening one file per month; on a sorted table it
opens none. So after a catalog is published, the months that its marts read are copied into two
files beside it: ``native.duckdb`` holds the closed months, ``recent.duckdb`` the last few.
``session.duckdb`` is the same catalog with those marts as views of both. A session opens the three
if they exist. They are optional, and only the current generation has them.

No file is changed once it is written. A new month rewrites ``recent.duckdb`` only: the closed
months are a hard link to those of the generation before. New hours change the last month only, so
the second build of a month closes all others. The tables contain running columns as the marts show
them, so the recent months are linked only if the closed ones are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.marts.running_columns import continued
from warehouse.build.marts.views import comment_again, show_instead
from warehouse.build.months.compute_months import has_room_for_two, one_thread_each
from warehouse.build.months.stored import require_sound
from warehouse.config import Settings
from warehouse.engine import attach, connect
from warehouse.errors import DamagedError
from warehouse.files import link_or_copy, put, sha256_of, write
from warehouse.generations import current_generation, generations, is_open
from warehouse.home import COPY_DATABASES, Home, NativeCopy, generation_path, native_copy
from warehouse.sql import identifier, rows_of_files

# Months that stay out of the closed ones, because the next build may change them.
FIRST_RECENT = 2

# If more months than this are open, they are closed.
MOST_RECENT = 6

# Wider marts stay parquet: they cost more to copy than all others, and are rarely read whole.
MOST_COLUMNS = 64

# Bytes of stored months up to which a build writes the tables and runs two tests at a time.
_SMALL = 128 << 20

# The newest format finds rows of one symbol twice as fast; a DuckDB that cannot read it uses no
# copy.
_LAYOUT = "storage_version 'latest', row_group_size 40960"

# Paths of each mart's stored months, relative to the home, in order.
Months = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Written:
    """A written file.

    Attributes
    ----------
    sha256
        Hash of its bytes.
    months
        The months in its tables.
    is_continued
        Whether running columns are sums from the first bar of a series. In copies of earlier
        versions they are sums within each month, to which views add the earlier months.
    """

    sha256: str
    months: Months
    is_continued: bool = False


# The written files with tables, by name: closed months first.
Tables = dict[str, Written]


def copy_marts(
    settings: Settings,
    *,
    engine: duckdb.DuckDBPyConnection | None = None,
    tables: Tables | None = None,
    begins: Callable[[], None] | None = None,
) -> str | None:
    """Give the current generation its native copy, and remove those of others.

    The caller holds the home's lock. A complete copy stays; if the marts together exceed the size
    in the settings, there is none.

    Parameters
    ----------
    engine
        The DuckDB of a build that has ended, else a new one.
    tables
        What :func:`writing_tables` has written for the current generation.
    begins
        Called before something is copied.

    Returns
    -------
    str or None
        Why there is no copy although there should be one; nothing else is affected.
    """
    home = Home.of(settings)
    current = current_generation(home)
    reason = None
    try:
        if settings.native_gb <= 0:
            remove_copy(home, current)
        elif not _is_kept(settings, home, native_copy(home, current)):
            opened = connect(settings.session) if engine is None else nullcontext(engine)
            with _aside(home, is_begun=bool(tables)) as made, opened as connection:
                shutil.copyfile(generation_path(home, current), made.catalog)
                attach(connection, made.catalog, options="")
                connection.execute("use warehouse")
                stored, size_bytes = _stored(connection)
                if not stored or size_bytes > settings.native_gb * 1e9:
                    remove_copy(home, current)
                elif not native_copy(home, current).is_complete():
                    if begins is not None:
                        begins()
                    if tables is None or _months_of(tables) != stored:
                        tables = _written_aside(connection, home, made, stored)
                    _make(connection, native_copy(home, current), made, tables)
    except (duckdb.Error, OSError) as error:
        reason = str(error).splitlines()[0]
    except DamagedError as error:
        reason = str(error)
    for number in generations(home):
        with suppress(OSError):  # so the next build tries again
            if number != current and not is_open(home, number):
                remove_copy(home, number)
    return reason


def _is_kept(settings: Settings, home: Home, copy: NativeCopy) -> bool:
    """Whether a copy is complete and not too large, without opening a catalog."""
    written = _written(copy) if copy.is_complete() else None
    if written is None:
        return False
    paths = [
        home.root / name for part in written.values() for n in part.months.values() for name in n
    ]
    try:
        return sum(path.stat().st_size for path in paths) <= settings.native_gb * 1e9
    except OSError:
        return False


def remove_copy(home: Home, generation: int) -> None:
    """Remove a generation's native copy, beginning with the catalog, by which sessions find it."""
    _remove(native_copy(home, generation))


def _remove(copy: NativeCopy) -> None:
    for path in reversed(copy):
        path.unlink(missing_ok=True)


def copy_damage(home: Home, generation: int) -> str | None:
    """Damage of a generation's native copy; None if it is undamaged or incomplete.

    No session reads an incomplete copy, and the next build replaces it.
    """
    copy = native_copy(home, generation)
    if not copy.is_complete():
        return None
    written = _written(copy)
    is_sound = written is not None and all(
        sha256_of(path) == written[path.name].sha256 for path in copy.databases
    )
    return None if is_sound else "its bytes are not those that were written"


# -- making --------------------------------------------------------------------------------------


@contextmanager
def writing_tables(file: BuildFile) -> Iterator[Future[Tables | None] | None]:
    """Write the tables of the next native copy in another thread, if the marts are small.

    Each connection computes on its own thread meanwhile. The build file shows the months. Yields
    None if the marts are large. The result is None if nothing was written; then :func:`copy_marts`
    writes the tables, and gives the reason if it fails.
    """
    connection = file.open()
    stored, size_bytes = _stored(connection)
    if size_bytes > _SMALL or not has_room_for_two(connection):
        yield None
        return
    if size_bytes > file.settings.native_gb * 1e9:
        stored = {}
    with one_thread_each(connection), file.beside() as other, ThreadPoolExecutor(1) as pool:
        yield pool.submit(_written_ahead, file, other, stored)


def _written_ahead(
    file: BuildFile, connection: duckdb.DuckDBPyConnection, stored: Months
) -> Tables | None:
    if not stored:
        return None
    try:
        shutil.rmtree(aside(file.home), ignore_errors=True)
        aside(file.home).mkdir(parents=True)
        return _written_aside(connection, file.home, _places(file.home), stored)
    except (duckdb.Error, OSError, DamagedError):
        with suppress(duckdb.Error):
            connection.execute("detach database if exists written")
        return None


def aside(home: Home) -> Path:
    """The folder in which a native copy is written."""
    return home.build / "native"


def _places(home: Home) -> NativeCopy:
    return NativeCopy(*(aside(home) / path.name for path in native_copy(home, 0)))


@contextmanager
def _aside(home: Home, *, is_begun: bool) -> Iterator[NativeCopy]:
    """Places where a native copy is written; they are empty unless it ``is_begun``."""
    try:
        if not is_begun:
            shutil.rmtree(aside(home), ignore_errors=True)
            aside(home).mkdir(parents=True)
        yield _places(home)
    finally:
        shutil.rmtree(aside(home), ignore_errors=True)


def _written_aside(
    connection: duckdb.DuckDBPyConnection, home: Home, made: NativeCopy, stored: Months
) -> Tables:
    """Write the tables of these months, or link those that an earlier generation has.

    The connection uses the catalog.
    """
    earlier = _newest_copy(home)
    places = made.closed, made.recent
    known = [earlier[1][path.name].months if earlier else {} for path in places]
    written: Tables = {}
    for path, months in zip(places, _split(stored, *known), strict=True):
        if earlier is not None and _linked(*earlier, months, path):
            written[path.name] = earlier[1][path.name]
        else:
            _write_tables(connection, home, months, path)
            written[path.name] = Written(sha256_of(path), months, is_continued=True)
            earlier = None
    return written


def _months_of(tables: Tables) -> Months:
    """The months of each mart in all files."""
    months: Months = {}
    for written in tables.values():
        for model, names in written.months.items():
            months[model] = months.get(model, []) + names
    return months


def _make(
    connection: duckdb.DuckDBPyConnection, copy: NativeCopy, made: NativeCopy, tables: Tables
) -> None:
    """Write the catalog of a copy, whose tables are written, and put all files in place.

    The catalog is the last. The connection uses the catalog.
    """
    try:
        _show_tables(connection, made, tables)
        connection.execute("use memory")
        for database in (*COPY_DATABASES, "warehouse"):
            connection.execute(f"detach {database}")
        written = tables | {made.catalog.name: Written(sha256_of(made.catalog), {})}
        facts = {name: asdict(each) for name, each in written.items()}
        write(made.facts, json.dumps(facts).encode())
        _remove(copy)
        for path, place in zip(made, copy, strict=True):
            path.chmod(0o444)
            put(path, place)
    except BaseException:
        _remove(copy)
        raise


def _newest_copy(home: Home) -> tuple[NativeCopy, dict[str, Written]] | None:
    """The newest native copy, and the facts of its files."""
    for number in reversed(generations(home)):
        copy = native_copy(home, number)
        written = _written(copy) if copy.is_complete() else None
        if written is not None:
            return copy, written
    return None


def _written(copy: NativeCopy) -> dict[str, Written] | None:
    """The facts of each file; None if they cannot be read."""
    try:
        facts = json.loads(copy.facts.read_bytes())
        return {path.name: Written(**facts[path.name]) for path in copy.databases}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _split(stored: Months, closed: Months, recent: Months) -> tuple[Months, Months]:
    """Split months into closed and recent ones; those that were ``closed`` stay so if possible.

    If nothing but the last month of each mart has changed since the earlier copy, all others are
    closed, so that each further hour of a month rewrites this month only.

    Examples
    --------
    >>> stored = {"bars": ["2025-09-a", "2025-10-c", "2025-11-d", "2025-12-e"]}
    >>> _split(stored, {"bars": ["2025-09-a"]}, {"bars": ["2025-10-c", "2025-11-b"]})
    ({'bars': ['2025-09-a']}, {'bars': ['2025-10-c', '2025-11-d', '2025-12-e']})
    >>> _split(stored, {"bars": ["2025-09-b"]}, {"bars": ["2025-10-c"]})
    ({'bars': ['2025-09-a', '2025-10-c']}, {'bars': ['2025-11-d', '2025-12-e']})
    >>> _split(stored, {"bars": ["2025-09-a"]}, {"bars": ["2025-10-c", "2025-11-d", "2025-12-b"]})
    ({'bars': ['2025-09-a', '2025-10-c', '2025-11-d']}, {'bars': ['2025-12-e']})
    """
    counts = {model: len(months) for model, months in closed.items()}
    earlier = {model: months + recent[model] for model, months in closed.items()}
    if stored != earlier and _but_last(stored) == _but_last(earlier):
        counts = {model: len(months) - 1 for model, months in stored.items()}
    elif counts.keys() != stored.keys() or any(
        stored[model][:count] != closed[model] or len(stored[model]) - count > MOST_RECENT
        for model, count in counts.items()
    ):
        counts = {model: max(len(months) - FIRST_RECENT, 0) for model, months in stored.items()}
    return (
        {model: months[: counts[model]] for model, months in stored.items()},
        {model: months[counts[model] :] for model, months in stored.items()},
    )


def _but_last(months: Months) -> Months:
    return {model: paths[:-1] for model, paths in months.items()}


def _linked(copy: NativeCopy, written: dict[str, Written], months: Months, path: Path) -> bool:
    """Link the file of that name as ``path`` if it has these months; returns whether it has."""
    earlier, expected = copy.facts.with_name(path.name), written[path.name]
    if not expected.is_continued or expected.months != months:
        return False
    if sha256_of(earlier) != expected.sha256:
        return False
    link_or_copy(earlier, path)
    return True


def _write_tables(
    connection: duckdb.DuckDBPyConnection, home: Home, stored: Months, path: Path
) -> None:
    """A database with a sorted table for each mart that has months."""
    attach(connection, path, "written", options=_LAYOUT)
    sources: dict[tuple[str, str], str] = {}
    for model, months in stored.items():
        for name in months:
            require_sound(home.root / name)
        if months:
            sources["main", model] = rows_of_files(home.root / name for name in months)
    for (_, model), source in continued(connection, sources).items():
        connection.execute(
            f'create table {_table("written", model)} as from {source} order by series_id, "time"'
        )
    connection.execute("detach written")


def _show_tables(connection: duckdb.DuckDBPyConnection, made: NativeCopy, tables: Tables) -> None:
    """Make the marts of the copied catalog views of the tables."""
    sources: dict[tuple[str, str], list[str]] = {}
    for database, path in zip(COPY_DATABASES, made, strict=False):
        attach(connection, path, database)
        for model, held in tables[path.name].months.items():
            if held:
                sources.setdefault(("main", model), []).append(_table(database, model))
    with one_thread_each(connection):
        connection.begin()
        comments = show_instead(connection, sources)
        connection.commit()
        comment_again(connection, comments)


def _stored(connection: duckdb.DuckDBPyConnection) -> tuple[Months, int]:
    """The stored months of a catalog's marts that are not too wide, and their bytes."""
    stored: Months = {}
    size_bytes = 0
    for model, path, size in connection.execute(
        "select model, path, size_bytes from meta.stored"
        " where model in (select table_name from duckdb_columns()"
        "   where database_name = 'warehouse' and schema_name = 'main'"
        f"   group by table_name having count(*) <= {MOST_COLUMNS})"
        " order by model, month"
    ).fetchall():
        stored.setdefault(model, []).append(path)
        size_bytes += size
    return stored, size_bytes


def _table(database: str, model: str) -> str:
    """A table name under which listings of all databases do not show the mart's columns twice."""
    return f"{database}.main.{identifier(f'{model}_copy')}"
