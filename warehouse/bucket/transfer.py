"""Sends files of a home to its bucket and fetches them; each is compared with its name."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from warehouse.bucket.state import Blob
from warehouse.bucket.store import Store
from warehouse.errors import REPAIR, BuildError, DamagedError
from warehouse.files import path_in_errors, put, sum_in_name
from warehouse.home import Home

T = TypeVar("T")
R = TypeVar("R")

PARTS = "parts"
# Folders of the home whose files are named by their content.
FOLDERS = ("objects", "marts")
_PART_BYTES = 4 << 20
_AT_ONCE = 8
# Waiting work takes 2 kB each, and there may be a million files.
_SUBMITTED = 1000


def in_parallel(act: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Run in threads; results in order. The first error cancels work that has not begun.

    Examples
    --------
    >>> in_parallel(abs, range(-2500, 0)) == [*range(2500, 0, -1)]
    True
    """
    left, results = iter(items), list[R]()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while some := [*islice(left, _SUBMITTED)]:
            running = [pool.submit(act, item) for item in some]
            try:
                results += [one.result() for one in running]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return results


# -- files in parts ------------------------------------------------------------------------------


def send_blob(store: Store, content: Path | bytes, known: Collection[str] = ()) -> Blob:
    """Send a file in parts; those in ``known`` are already in the bucket."""
    whole, size, parts = hashlib.sha256(), 0, list[str]()
    sent = set(known)

    def send(part: bytes) -> None:
        nonlocal size
        name = hashlib.sha256(part).hexdigest()
        if name not in sent:
            store.put(f"{PARTS}/{name}", part)
            sent.add(name)
        whole.update(part)
        size += len(part)
        parts.append(name)

    if isinstance(content, bytes):
        for start in range(0, len(content), _PART_BYTES):
            send(content[start : start + _PART_BYTES])
    else:
        with content.open("rb") as file:
            while part := file.read(_PART_BYTES):
                send(part)
    return Blob(whole.hexdigest(), size, tuple(parts))


def fetch_part(store: Store, name: str) -> bytes:
    """A part, compared with its name."""
    content = store.get(f"{PARTS}/{name}")
    if hashlib.sha256(content).hexdigest() != name:
        raise _other_bytes(store, f"{PARTS}/{name}")
    return content


def fetch_bytes(store: Store, blob: Blob) -> bytes:
    """A small file that was sent in parts."""
    return b"".join(in_parallel(lambda name: fetch_part(store, name), blob.parts))


def fetch_blob(store: Store, blob: Blob, place: Path, *, mode: int = 0o644) -> None:
    """Fetch a file that was sent in parts; it appears atomically."""
    with _open_atomic(place, mode) as file:
        for start in range(0, len(blob.parts), _AT_ONCE):
            some = blob.parts[start : start + _AT_ONCE]
            for part in in_parallel(lambda name: fetch_part(store, name), some):
                file.write(part)


# -- vendor files and stored months --------------------------------------------------------------


def digest_of(name: str) -> str:
    """The hash in the name of a vendor file or stored month, or its first digits."""
    path = PurePosixPath(name)
    digest = path.stem if path.parts[0] == "objects" else sum_in_name(Path(name))
    if digest is None:
        raise BuildError(
            f"{name}: was stored by an early version, without the hash of its bytes, so it"
            " cannot be shared",
            next_step="warehouse build --force, then: warehouse prune --keep 1",
        )
    return digest


def send_file(store: Store, home: Home, name: str) -> int:
    """Send a vendor file or stored month, if its bytes are those of its name; returns its size."""
    path = home.root / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: is missing", next_step=REPAIR) from error
    if not found.startswith(digest_of(name)):
        raise DamagedError(f"{path}: its bytes do not match the hash in its name", next_step=REPAIR)
    store.put(name, path)
    return path.stat().st_size


def fetch_file(store: Store, home: Home, name: str) -> int:
    """Fetch a vendor file or stored month; returns its size.

    Raises
    ------
    DamagedError
        Its bytes do not match its name; nothing is kept.
    """
    digest = hashlib.sha256()
    with _open_atomic(home.root / name, 0o444) as file:
        for block in store.blocks(name):
            digest.update(block)
            file.write(block)
        if not digest.hexdigest().startswith(digest_of(name)):
            raise _other_bytes(store, name)
        return file.tell()


def is_as_named(store: Store, name: str) -> bool:
    """Whether the bytes in the bucket match their name, for a part, vendor file or month."""
    digest = hashlib.sha256()
    for block in store.blocks(name):
        digest.update(block)
    folder, _, rest = name.partition("/")
    return digest.hexdigest().startswith(rest if folder == PARTS else digest_of(name))


@contextmanager
def _open_atomic(place: Path, mode: int) -> Iterator[BinaryIO]:
    """Open a file for writing that appears atomically.

    Its temporary name is for this thread only, because several processes may fetch a file.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        with path_in_errors(place), unfinished.open("wb") as file:
            yield file
        unfinished.chmod(mode)
        put(unfinished, place)
    finally:
        unfinished.unlink(missing_ok=True)


def _other_bytes(store: Store, name: str) -> DamagedError:
    return DamagedError(
        f"{store.address}/{name}: its bytes do not match the hash in its name; they were not used",
        next_step="on the machine that writes the data, run: warehouse verify --repair",
    )
