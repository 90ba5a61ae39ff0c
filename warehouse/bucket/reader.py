"""A home that only reads from a bucket: its catalogs, and the fetched files.

Such a home has no manifest. Its ``objects/`` and ``marts/`` are a cache: the files of a query are
fetched before it runs and kept until its result is deleted. The least recently used other files are
removed if the cache exceeds its limit.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
import weakref
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from warehouse.bucket.pull import take_generations
from warehouse.bucket.record import locked, read_record, require_head
from warehouse.bucket.store import MissingError, Store, UnchangedError, UnreachableError
from warehouse.bucket.transfer import FOLDERS, fetch_file, in_parallel
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import NotFoundError, StoreError
from warehouse.files import write
from warehouse.generations import generations
from warehouse.home import Home, generation_path

log = logging.getLogger(__name__)

_LEFTOVER_S = 3600


class Hold:
    """Files that nobody removes from the cache while this object lives."""

    def __init__(self, handle: int, path: Path) -> None:
        self._release = weakref.finalize(self, _release, handle, path, os.getpid())


class Reader:
    """The files of a bucket in a home that only reads."""

    def __init__(self, settings: Settings) -> None:
        assert settings.store is not None
        self.home = Home.of(settings)
        self.limit_bytes = int(settings.cache_gb * 1e9)
        self.store = Store(settings.store)
        self._settings = settings

    def refresh(self, *, every: bool = False) -> None:
        """Fetch the newest generation, or with ``every`` all kept ones and the journal.

        If the bucket cannot be reached, earlier generations stay, with a warning.

        Raises
        ------
        NotFoundError
            The bucket holds no home or no build.
        StoreError
            The bucket cannot be reached or refuses, and nothing was fetched before.
        """
        home = self.home
        _name_store(home, self.store)
        with locked(home, "pull.lock"):
            record = read_record(home, self.store)
            is_here = record.state is not None and home.catalog.is_file()
            try:
                head = require_head(
                    self.store, self.store.read_head(record.tag if is_here else None)
                )
                state, tag = head.state, head.tag
            except UnchangedError:
                assert record.state is not None and record.tag is not None
                state, tag = record.state, record.tag
            except (StoreError, NotFoundError) as error:
                if not is_here:
                    raise
                log.warning(
                    "warning: %s\n  results use the local files of generation %s",
                    error.what,
                    record.state and record.state.current,
                )
                return
            current = state.current
            if current is None:
                raise NotFoundError(
                    f"{self.store.address}: has vendor files but no catalog yet",
                    next_step="on the machine that synced them, run: warehouse build",
                )
            wanted = [kept.number for kept in state.generations] if every else [current]
            here = {n for n in generations(home) if generation_path(home, n).is_file()}
            if state != record.state or not here.issuperset(wanted):
                take_generations(home, self.store, state, tag, wanted)

    def hold(self, names: Collection[str]) -> Hold:
        """Fetch those of these files that are missing here, and protect all from removal.

        Raises
        ------
        StoreError
            A file is missing here and cannot be fetched.
        DamagedError
            The bytes of a file in the bucket do not match the hash in its name.
        """
        with locked(self.home, "cache.lock"):
            hold = _hold(self.home, names)
        missing = []
        for name in sorted(names):
            try:
                os.utime(self.home.root / name)  # the time of its last use
            except FileNotFoundError:
                missing.append(name)
            except PermissionError:  # owned by another user, who shares the cache
                pass
        if missing:
            self._fetch(missing)
            self._shrink()
        return hold

    def _fetch(self, names: list[str]) -> None:
        try:
            in_parallel(lambda name: fetch_file(self.store, self.home, name), names)
        except MissingError as error:
            raise NotFoundError(
                f"{error.what}: its generation was pruned there",
                next_step="use the newest one: wh.refresh()",
                in_shell="run the same command again",
            ) from error
        except UnreachableError as error:
            lacking = [n for n in names if not (self.home.root / n).is_file()] or names
            more = f" and {counted(len(lacking) - 1, 'more file')}" if lacking[1:] else ""
            raise UnreachableError(
                f"{error.what}, and the query needs {lacking[0]}{more}, which no earlier query"
                " has fetched",
                next_step="connect and run it again; offline, queries can read only fetched files",
            ) from error

    def _shrink(self) -> None:
        """Remove the least recently used files until the cache is within its limit."""
        with locked(self.home, "cache.lock"):
            held = _held(self.home)
            found = []
            for folder in FOLDERS:
                for path in (self.home.root / folder).rglob("*.parquet"):
                    with suppress(FileNotFoundError):
                        facts = path.stat()
                        found.append((facts.st_mtime, facts.st_size, path))
                for path in (self.home.root / folder).rglob(".*.new"):
                    with suppress(FileNotFoundError):
                        if time.time() - path.stat().st_mtime > _LEFTOVER_S:
                            path.unlink()
            size = sum(one[1] for one in found)
            for _, size_bytes, path in sorted(found):
                if size <= self.limit_bytes:
                    return
                if str(path.relative_to(self.home.root)) not in held:
                    path.unlink(missing_ok=True)
                    size -= size_bytes


def _name_store(home: Home, store: Store) -> None:
    """Write the address into a new home, so that its path alone opens it."""
    if not home.subscription.is_file():
        home.root.mkdir(parents=True, exist_ok=True)
        text = store.address.replace("\\", "\\\\").replace('"', '\\"')
        write(home.subscription, f'store = "{text}"\n'.encode())


# -- files in use --------------------------------------------------------------------------------


def _hold(home: Home, names: Collection[str]) -> Hold:
    """Write names into a locked file, whose lock ends with this process."""
    folder = home.store / "held"
    folder.mkdir(exist_ok=True)
    path = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(handle, fcntl.LOCK_SH)
    os.write(handle, "\n".join(names).encode())
    return Hold(handle, path)


def _release(handle: int, path: Path, pid: int) -> None:
    if os.getpid() == pid:  # and not in a process that was forked from it
        path.unlink(missing_ok=True)
    os.close(handle)


def _held(home: Home) -> set[str]:
    """Names that living processes hold; the files of others are removed."""
    names: set[str] = set()
    for path in (home.store / "held").glob("*"):
        with suppress(FileNotFoundError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                names.update(file.read().split("\n"))
            else:
                path.unlink(missing_ok=True)
    return names
