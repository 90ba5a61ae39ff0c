"""Generations: a finished build becomes the catalog by one rename; old ones stay for rollback.

A reader opens ``warehouse.duckdb``, which is a hard link to the current generation's file.
Replacing the link interrupts no reader: an open session keeps the old file, and later sessions open
the new one.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse.display import counted, render_table
from warehouse.engine import attach, connect, reading_catalog
from warehouse.errors import (
    BUILD,
    REPAIR,
    BuildError,
    DamagedError,
    NotFoundError,
    disk_errors,
    how_to_begin,
)
from warehouse.files import flush, link_atomically, put, sha256_of, write
from warehouse.home import Home, generation_path, native_copy
from warehouse.sql import identifier
from warehouse.times import utc_now

STRUCTURAL_FAILURES = ("error", "fail", "runtime error", "partial success")

# The message of a failed test of the kind ``holds``, and the columns that identify its rows.
_SHOWN = re.compile(
    r"(condition not met by \d+ of its rows); to see them: warehouse sql"
    r' "(from \w+ where \((.*)\) is distinct from true)"',
    re.DOTALL,
)
_KEYS = ("symbol", "interval", "time")
_MOST_ROWS = 3


@dataclass(frozen=True, slots=True)
class NodeResult:
    """The outcome of one model, seed or test."""

    name: str
    resource_type: str
    package: str
    status: str
    failures: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Published:
    """The generation that became current, and its warnings."""

    generation: int
    catalog: Path
    warnings: tuple[NodeResult, ...]


@dataclass(frozen=True, slots=True)
class Publication:
    """A record that a generation became current ``at`` a moment (naive UTC, this machine's clock).

    ``sha256`` is that of its catalog then; empty if an earlier version recorded it.
    """

    at: datetime
    generation: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Reads:
    """The files that a published catalog reads.

    Attributes
    ----------
    generation
        Its number.
    home
        Folder of the home when it was built.
    objects
        Hashes of its vendor files.
    months
        Stored months, path below the home to number of rows.
    """

    generation: int
    home: str
    objects: frozenset[str]
    months: dict[str, int]


def generations(home: Home) -> list[int]:
    """Numbers of the generations on disk, in order."""
    return [number for number in _numbers(home) if generation_path(home, number).is_file()]


def next_generation(home: Home) -> int:
    """The number of the next published catalog; numbers are never reused."""
    return max(_numbers(home), default=0) + 1


def _numbers(home: Home) -> list[int]:
    """Folders of generations; that of a killed or pruned one may have no catalog."""
    if not home.generations.is_dir():
        return []
    names = (path.name for path in home.generations.iterdir())
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def is_open(home: Home, generation: int) -> bool:
    """Whether a session of the product, or any other DuckDB process, has a generation open."""
    catalogs = (generation_path(home, generation), native_copy(home, generation).catalog)
    return any(_is_held(path) for path in catalogs if path.is_file())


def _is_held(path: Path) -> bool:
    """Whether a session or a DuckDB of another process has the file open."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # the file system has no such lock
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        is_mac = sys.platform == "darwin"
        layout, place = ("qqihh", 3) if is_mac else ("hhqqi4x", 0)
        question = [0, 0, 0, 0, 0]
        question[place] = fcntl.F_WRLCK
        answer = fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(layout, *question))
        return bool(struct.unpack(layout, answer)[place] != fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(handle)


def publications(home: Home) -> list[Publication]:
    """Publications and rollbacks in order, without incomplete lines."""
    try:
        return read_publications(home.publications)[0]
    except FileNotFoundError:
        return []


def read_publications(path: Path) -> tuple[list[Publication], bool]:
    """The entries of a journal, and whether it is complete: all lines readable, the last ended."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    found, is_whole = [], text.endswith("\n")
    for line in filter(str.strip, text.splitlines()):
        try:
            note = json.loads(line)
            at, generation = datetime.fromisoformat(note["at"]), int(note["generation"])
            found.append(Publication(at, generation, str(note.get("sha256", ""))))
        except (ValueError, KeyError, TypeError, AttributeError):
            is_whole = False
    return found, is_whole


def write_publications(path: Path, entries: Iterable[Publication]) -> None:
    """Write a journal as a new file, so that copies of the home by hard links keep theirs."""
    lines = []
    for entry in entries:
        note = {"at": entry.at.isoformat(), "generation": entry.generation}
        lines.append(json.dumps(note | ({"sha256": entry.sha256} if entry.sha256 else {})))
    write(path, "".join(f"{line}\n" for line in lines).encode())


def journal_copy(home: Home, generation: int) -> Path:
    """The generation's copy of the journal from the last time it became current."""
    return generation_path(home, generation).with_name(home.publications.name)


def published_sum(home: Home, generation: int) -> str | None:
    """Hash of a generation's catalog when it was first published, if known."""
    noted = (n.sha256 for n in publications(home) if n.generation == generation and n.sha256)
    return next(noted, None)


def require_as_published(home: Home, catalog: Path, generation: int) -> None:
    """Raise DamagedError if a catalog differs from what was published."""
    if published_sum(home, generation) not in (None, sha256_of(catalog)):
        raise DamagedError(
            f"{catalog}: differs from what was published: another program has written to it",
            next_step=REPAIR,
        )


def publish_build(home: Home, engine: duckdb.DuckDBPyConnection | None = None) -> Published:
    """Make the build file the catalog, if every model was built and every structural test passed.

    The caller holds the home's lock. The file is opened to be read, as readers will open it, by
    ``engine`` or a new DuckDB.

    Raises
    ------
    NotFoundError
        There is no build file.
    BuildError
        dbt did not run on it, or a model or structural test failed; the old catalog stays.
    """
    require_build(home)
    generation, results = _inspect(home, home.build_catalog, engine)
    _require_passed(home, results)
    target = _new_place(home, generation)
    with disk_errors(
        f"{target}: cannot be published",
        "; the old catalog stays",
        next_step="free disk space or fix permissions, then run: warehouse build",
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        home.build_wal.unlink(missing_ok=True)
        home.build_catalog.chmod(0o444)
        put(home.build_catalog, target)
        point_to(home, target)
    return Published(generation, target, tuple(r for r in results if _is_warning(r)))


def require_catalog(home: Home) -> None:
    """Raise NotFoundError unless a catalog was published."""
    if not home.catalog.is_file():
        next_step = BUILD if home.manifest.is_file() else how_to_begin(home.root)
        if home.settings is not None and home.settings.store is not None:
            next_step = (
                "run: warehouse pull, which also completes an interrupted one; or, if the bucket"
                " has no catalog either, warehouse build"
            )
        elif (lost := lost_catalog(home)) is not None:
            raise NotFoundError(f"{home.catalog} {lost}", next_step=f"{REPAIR}, or warehouse build")
        raise NotFoundError(f"{home.root}: no catalog yet", next_step=next_step)


def lost_catalog(home: Home) -> str | None:
    """Message about a published catalog that is missing; None if none is missing."""
    if home.catalog.is_file() or not (published := publications(home)):
        return None
    return f"is missing, although generation {published[-1].generation} was published"


def current_generation(home: Home) -> int:
    """Number of the published generation.

    Raises
    ------
    NotFoundError
        Nothing was published yet.
    """
    require_catalog(home)
    for number in reversed(generations(home)):
        if generation_path(home, number).samefile(home.catalog):
            return number
    return _inspect(home, home.catalog)[0]


def rollback(home: Home, generation: int | None = None) -> int:
    """Make an earlier generation current again; the one before the current by default.

    The caller holds the home's lock.

    Raises
    ------
    NotFoundError
        No such generation is kept.
    DamagedError
        Its catalog cannot be read; the current one stays.
    """
    kept = generations(home)
    current = current_generation(home)
    earlier = [number for number in kept if number < current]
    wanted = generation if generation is not None else max(earlier, default=None)
    if wanted is None or wanted not in kept:
        listed = ", ".join(map(str, kept)) or "none"
        raise NotFoundError(
            f"generation {current} is the earliest that is kept, so there is none to go back to"
            if wanted is None
            else f"no generation {wanted} is kept",
            next_step=f"kept generations: {listed}",
        )
    target = generation_path(home, wanted)
    _inspect(home, target)
    require_as_published(home, target, wanted)
    with disk_errors(f"{home.catalog}: cannot be replaced", "; it is unchanged"):
        point_to(home, target)
    return wanted


def require_build(home: Home) -> None:
    """Raise NotFoundError unless there is a build file."""
    if not home.build_catalog.is_file():
        raise NotFoundError(f"{home.build_catalog}: nothing to publish", next_step=BUILD)


def require_unpublished(home: Home) -> None:
    """Raise BuildError if the build file is a copy of a published catalog."""
    require_build(home)
    _new_place(home, _inspect(home, home.build_catalog)[0])


def _new_place(home: Home, generation: int) -> Path:
    target = generation_path(home, generation)
    if target.exists():
        raise BuildError(
            f"generation {generation} is already published; nothing was changed", next_step=BUILD
        )
    return target


def read_catalog(home: Home, catalog: Path, *queries: str) -> list[list[tuple[Any, ...]]]:
    """The rows of queries on a catalog file, which is attached as ``warehouse``.

    Raises
    ------
    DamagedError
        The file cannot be read as a catalog.
    """
    with _opened(home, catalog) as connection:
        return [connection.execute(query).fetchall() for query in queries]


@contextmanager
def _opened(home: Home, catalog: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Use a catalog as ``warehouse``; errors of DuckDB become DamagedError."""
    with reading_catalog(catalog), connect(home.session, catalog) as connection:
        connection.execute("use warehouse")
        yield connection


_OBJECTS = "select object from warehouse.meta.files"


def _each(connection: duckdb.DuckDBPyConnection, text: str) -> Iterator[tuple[Any, ...]]:
    """Iterate over the rows of a query, which may be a million."""
    connection.execute(text)
    while rows := connection.fetchmany(10_000):
        yield from rows


def catalog_reads(home: Home, catalog: Path, *, whole: bool = False) -> Reads:
    """The files that a catalog of this or an earlier version reads.

    With ``whole`` every table is read too, so that DuckDB checks the checksum of each block.
    """
    with _opened(home, catalog) as connection:

        def rows(text: str) -> list[tuple[Any, ...]]:
            return connection.execute(text).fetchall()

        builds = rows("select generation, home from warehouse.meta.build")
        objects = frozenset(object for (object,) in _each(connection, _OBJECTS))
        months = []
        if rows(
            "select 1 from duckdb_tables() where database_name = 'warehouse'"
            " and schema_name = 'meta' and table_name = 'stored'"
        ):
            months = rows("select path, rows from warehouse.meta.stored")
        if whole:
            for schema, table in rows(
                "select schema_name, table_name from duckdb_tables()"
                " where database_name = 'warehouse'"
            ):
                name = f"warehouse.{identifier(schema)}.{identifier(table)}"
                rows(f"select bit_xor(hash(t)) from {name} as t")
    if len(builds) != 1:
        raise DamagedError(
            f"{catalog}: not a catalog of this package, meta.build is empty", next_step=BUILD
        )
    ((generation, place),) = builds
    return Reads(int(generation), str(place), objects, dict(months))


def _inspect(
    home: Home, catalog: Path, engine: duckdb.DuckDBPyConnection | None = None
) -> tuple[int, tuple[NodeResult, ...]]:
    queries = (
        "select generation from warehouse.meta.build",
        "select name, resource_type, package, status, failures, message"
        " from warehouse.meta.results",
    )
    if engine is None:
        rows, results = read_catalog(home, catalog, *queries)
    else:
        with reading_catalog(catalog):
            attach(engine, catalog)
            rows, results = [engine.execute(query).fetchall() for query in queries]
            engine.execute("detach warehouse")
    if not rows:
        raise DamagedError(
            f"{catalog}: not a catalog of this package, meta.build is empty", next_step=BUILD
        )
    return int(rows[0][0]), tuple(NodeResult(*result) for result in results)


def _require_passed(home: Home, results: tuple[NodeResult, ...]) -> None:
    ours = [result for result in results if result.package == "warehouse"]
    if not any(r.resource_type == "model" and r.status == "success" for r in ours):
        raise BuildError(
            "the build file has no models", next_step="run dbt build first, or: warehouse build"
        )
    failed = [r for r in ours if r.status in STRUCTURAL_FAILURES or r.status == "skipped"]
    if failed:
        lines = "\n".join(
            f"    {r.resource_type} {r.name}: {_with_rows(home, r.message.strip())}" for r in failed
        )
        raise BuildError(
            f"{counted(len(failed), 'model or test')} did not pass; the old catalog stays\n{lines}",
            next_step="correct the models or the data that they name, then run: warehouse build",
        )


def _with_rows(home: Home, message: str) -> str:
    """The message of a test with the first failing rows, which only the build file has."""
    found = _SHOWN.fullmatch(message)
    if found is None:
        return message
    count, text, condition = found.groups()
    with _opened(home, home.build_catalog) as connection:
        broken = connection.execute(f"{text}\nlimit {_MOST_ROWS}")
        names = [column[0] for column in broken.description or ()]
        rows = broken.fetchall()
    shown = [
        place
        for place, name in enumerate(names)
        if name in _KEYS or re.search(rf"\b{re.escape(name)}\b", condition)
    ]
    table = render_table([names[p] for p in shown], [[row[p] for p in shown] for row in rows])
    return "\n".join(
        [
            f"{count}, here the first",
            *(f"      {line}" for line in table.splitlines()),
            f"      all of them are in {home.build_catalog}, for any DuckDB: {text}",
        ]
    )


# The warnings of a catalog, which is the default database.
WARNED = (
    "select name, message from meta.results where status = 'warn'"
    " or (package <> 'warehouse' and status in ('error', 'fail')) order by name"
)


def _is_warning(result: NodeResult) -> bool:
    """Whether a result is a warning, as in :data:`WARNED`."""
    of_user = result.package != "warehouse" and result.status in STRUCTURAL_FAILURES
    return of_user or result.status == "warn"


def point_to(home: Home, target: Path) -> None:
    """Atomically point ``warehouse.duckdb`` at ``target``: a link, or a copy if links fail.

    The journal gets an entry. The caller holds the home's lock.
    """
    home.catalog.with_name("warehouse.duckdb.wal").unlink(missing_ok=True)
    link_atomically(target, home.catalog)
    flush(home.root)
    with suppress(OSError):  # it is still published; the time of its build is used
        _note(home, int(target.parent.name))


def _note(home: Home, generation: int) -> None:
    """Add an entry to the journal, then copy the journal to the generation."""
    digest = published_sum(home, generation) or sha256_of(generation_path(home, generation))
    entries = [*publications(home), Publication(utc_now(), generation, digest)]
    write_publications(home.publications, entries)
    write_publications(journal_copy(home, generation), entries)
