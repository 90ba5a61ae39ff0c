"""The home, the folder with everything a user owns: its layout and its lock."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from warehouse.config import SETTINGS_FILE, Settings
from warehouse.errors import (
    REPAIR,
    DamagedError,
    LockedError,
    NotFoundError,
    disk_errors,
    how_to_begin,
)


class _Below:
    """A path below the root of a home."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, home: Home, _: type[Home]) -> Path:
        return home.root / self._name


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home; reading them creates nothing."""

    root: Path
    settings: Settings | None = field(default=None, compare=False, repr=False)

    # the published catalog, and the journal with a line for each time a generation becomes current
    catalog = _Below("warehouse.duckdb")
    generations = _Below("generations")
    publications = _Below("generations/published.jsonl")

    # vendor files by their hash, readable links to them, refused files, and the facts of all
    objects = _Below("objects")
    lake = _Below("lake")
    quarantine = _Below("quarantine")
    manifest = _Below("manifest.sqlite")

    # the stored months of the marts
    marts = _Below("marts")

    # files that the user writes
    models = _Below("models")
    macros = _Below("macros")
    queries = _Below("queries")
    importers = _Below("importers")
    subscription = _Below(SETTINGS_FILE)

    # the private file that a build fills, and its WAL; DuckDB names the database after its stem
    build = _Below(".build")
    build_catalog = _Below(".build/warehouse.duckdb")
    build_wal = _Below(".build/warehouse.duckdb.wal")

    # records and locks of the bucket that holds the home, without secrets; its last known state
    store = _Below(".store")
    bucket_record = _Below(".store/record.json")

    lock = _Below(".lock")

    @classmethod
    def of(cls, settings: Settings) -> Home:
        """The home named by the settings, which apply to every connection opened there."""
        return cls(settings.home, settings)

    @property
    def session(self) -> dict[str, str]:
        """DuckDB settings of every connection that works on this home."""
        return (self.settings or Settings(self.root)).session

    def object_path(self, sha256: str) -> Path:
        """Where the bytes with this sha256 are."""
        return self.objects / f"{sha256}.parquet"

    @property
    def has_links(self) -> bool:
        """Whether ``lake/`` has a link for each vendor file."""
        return (self.settings or Settings(self.root)).links

    def owns(self, path: Path) -> bool:
        """Whether a path belongs to the product: one of its files, or inside one of its folders."""
        beside = (self.catalog, self.manifest, self.lock)  # including their .wal and -journal files
        folders = (
            *(self.objects, self.lake, self.marts, self.generations),
            *(self.quarantine, self.build, self.store),
        )
        owned = {Path(os.path.realpath(folder)) for folder in folders}
        root = Path(os.path.realpath(self.root))
        for real in (Path(os.path.realpath(path.parent), path.name), Path(os.path.realpath(path))):
            if not owned.isdisjoint((real, *real.parents)):
                return True
            if real.parent == root and real.name.startswith(tuple(file.name for file in beside)):
                return True
        return False

    def holds_objects(self) -> bool:
        """Whether the lake contains vendor files, even if the manifest is lost."""
        return self.objects.is_dir() and any(
            path.suffix == ".parquet" for path in self.objects.iterdir()
        )

    def require_whole(self) -> None:
        """Raise NotFoundError if the home only reads from a bucket, so that it has no manifest."""
        if self.bucket_record.is_file() and not self.manifest.is_file():
            raise NotFoundError(
                f"{self.root}: this home only reads from a bucket",
                next_step="queries need nothing more; for this command first run: warehouse pull,"
                " which fetches everything",
            )

    def require_not_lost(self) -> None:
        """Raise DamagedError if the lake contains files although its manifest is lost or empty."""
        if self.holds_objects():
            raise DamagedError(
                f"{self.manifest}: missing, although the lake contains files", next_step=REPAIR
            )

    def require_lake(self) -> None:
        """Raise NotFoundError unless files were synced into this home."""
        if not self.manifest.is_file():
            self.require_whole()
            self.require_not_lost()
            raise NotFoundError(
                f"{self.root}: no files were synced into this home yet",
                next_step=how_to_begin(self.root),
                home=str(self.root),
            )


def removed_meanwhile(home: Home, error: OSError) -> str | None:
    """The message for one of the user's models or macros that was removed while it was read."""
    path = Path(str(error.filename))
    if not isinstance(error, FileNotFoundError) or not any(
        path.is_relative_to(folder) for folder in (home.models, home.macros)
    ):
        return None
    return f"{path.relative_to(home.root).as_posix()}: was removed while the build read it"


def own_files(folder: Path, *suffixes: str) -> list[Path]:
    """The user's files below a folder such as ``models``, in order of their paths.

    Linked folders are included, each once. Names that begin with a dot are left out, because
    editors keep copies there, such as JupyterLab's ``.ipynb_checkpoints/mine-checkpoint.sql``.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if name[0] != "."]
        if real not in seen:
            found += [Path(place, name) for name in names if name[0] != "."]
        seen.add(real)
    return sorted(p for p in found if p.is_file() and (not suffixes or p.suffix in suffixes))


def own_text(path: Path) -> str:
    """Read one of the user's files as text; bytes that are not UTF-8 are replaced."""
    return path.read_text("utf-8", errors="replace")


def generation_path(home: Home, generation: int) -> Path:
    """Path of the catalog of a generation."""
    return home.generations / str(generation) / "warehouse.duckdb"


# Names under which a session attaches the tables of a native copy.
COPY_DATABASES = ("native", "native_recent")


class NativeCopy(NamedTuple):
    """The marts of a generation as tables, in the order in which the files are written.

    Attributes
    ----------
    closed, recent
        Tables of the closed months and of the last few.
    facts
        Hash of each database and the months in it, as JSON.
    catalog
        The generation's catalog with the marts as views of the tables.
    """

    closed: Path
    recent: Path
    facts: Path
    catalog: Path

    @property
    def databases(self) -> tuple[Path, Path, Path]:
        """The files that a session attaches."""
        return self.closed, self.recent, self.catalog

    def is_complete(self) -> bool:
        """Whether every file is there."""
        return all(path.is_file() for path in self)


def native_copy(home: Home, generation: int) -> NativeCopy:
    """Paths of the native copy of a generation; few generations have one."""
    folder = generation_path(home, generation).parent
    names = ("native.duckdb", "recent.duckdb", "native.json", "session.duckdb")
    return NativeCopy(*(folder / name for name in names))


def published_copies(home: Home) -> list[int]:
    """Numbers of the generations that have a native copy."""
    numbers = (path.parent.name for path in home.generations.glob("*/session.duckdb"))
    return [int(number) for number in numbers if number.isascii() and number.isdigit()]


_held: dict[Path, int] = {}

# Verbs that create a home.
_BEGINNING = ("sync", "import", "build", "pull")


@contextmanager
def writing(home: Home, verb: str) -> Iterator[int]:
    """Hold the home's lock, so that one process writes at a time.

    The kernel releases the lock when the process ends, even if it is killed. Yields the lock's
    descriptor; a child process that inherits it holds the lock until it ends.

    Raises
    ------
    LockedError
        Another process holds it; the message names that process.
    DiskError
        The home cannot be created or written.
    NotFoundError
        There is no home, and the verb does not create one.
    """
    if verb not in _BEGINNING and not home.root.is_dir():
        raise NotFoundError(
            f"{home.root}: this folder is not a home", next_step=how_to_begin(home.root)
        )
    with disk_errors(
        f"{home.root}: cannot be written",
        next_step="choose another folder with --home, or fix its permissions",
    ):
        home.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                f"{home.root}: {_holder(handle)} is writing to this home",
                next_step="wait until it has finished, or stop it; queries work in the meantime",
            ) from error
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        note = {"pid": os.getpid(), "verb": verb, "since": since}
        os.ftruncate(handle, 0)
        with suppress(OSError):  # on a full disk, where prune must work to free it
            os.pwrite(handle, json.dumps(note).encode(), 0)
        _held[home.root] = handle
        yield handle
        os.ftruncate(handle, 0)
    finally:
        _held.pop(home.root, None)
        os.close(handle)


def held_lock(home: Home) -> int | None:
    """Descriptor of the lock of a home while this process is :func:`writing` to it."""
    return _held.get(home.root)


def _holder(handle: int) -> str:
    try:
        note = json.loads(os.pread(handle, 4096, 0))
        return f"`warehouse {note['verb']}` (process {note['pid']}, since {note['since']} UTC)"
    except (ValueError, KeyError, TypeError):
        return "another process"
