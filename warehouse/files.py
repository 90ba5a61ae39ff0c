"""Atomic file writes: temporary names, flush and rename, and the leftovers of killed processes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from warehouse.errors import UsageError

# Result of :func:`sha256_of`, and so the name of an object of the lake.
SHA256 = re.compile(r"[0-9a-f]{64}")


# The part of the hash at the end of a stored month's name.
SUM_DIGITS = 16
_SUMMED = re.compile(r"(?:^|-)[0-9a-f]{20}-([0-9a-f]{16})$")


# Below the home: unfinished files of DuckDB or the product; ``building`` and ``incoming`` are from
# earlier versions.
_OF_BUILDS = (
    "warehouse.duckdb.wal",
    ".warehouse.duckdb.new",
    "generations/**/*.wal",
    "generations/**/.*.new",
    "marts/**/.*.new",
    "marts/**/*.building",
    ".store/.*.new",
)
_OF_LAKE = ("objects/.*.new", "lake/**/.*.parquet.new", "objects/.incoming-*")


def leftovers(home: Path, *, of_lake: bool = True) -> list[Path]:
    """Leftovers of killed processes below a home; the caller holds the home's lock.

    Without the lock, files whose writer is still alive may be among them. ``of_lake`` includes
    leftovers in the lake, which reads the name of every file there.
    """
    patterns = _OF_BUILDS + (_OF_LAKE if of_lake else ())
    return sorted({path for pattern in patterns for path in home.glob(pattern)})


def absolute(path: Path) -> Path:
    """The path from the root, without ``..`` unless that follows a link to another folder.

    Examples
    --------
    >>> absolute(Path("/usr/../usr/bin"))
    PosixPath('/usr/bin')
    """
    try:
        whole = path.absolute()
    except FileNotFoundError as error:
        raise UsageError(
            "the current folder no longer exists",
            next_step="cd to another folder, then run the command again",
        ) from error
    plain = Path(os.path.normpath(whole))
    return plain if os.path.realpath(plain) == os.path.realpath(whole) else whole


def temporary(place: Path) -> Path:
    """The temporary name of a file while it is written, in the same folder.

    Examples
    --------
    >>> temporary(Path("marts/bars/2025-09.parquet")).name
    '.2025-09.parquet.new'
    """
    return place.with_name(f".{place.name}.new")


def flush(path: Path) -> None:
    """Flush a file's bytes, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put(finished: Path, place: Path) -> None:
    """Give a finished file its final name, atomically even in a power failure.

    It is copied if the two are on different disks, because a folder of the home is a link.
    """
    flush(finished)
    try:
        finished.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        unfinished = temporary(place)
        shutil.copy(finished, unfinished)
        flush(unfinished)
        unfinished.replace(place)
        finished.unlink()
    flush(place.parent)


@contextmanager
def path_in_errors(written: Path | str) -> Iterator[None]:
    """Add the name of a file to an error of its disk.

    The error of a failed write, as on a full disk, has no name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(written)
        raise


def write(place: Path, content: bytes) -> None:
    """Write a small file atomically; hard links to the former file keep its content."""
    unfinished = temporary(place)
    with path_in_errors(place):
        unfinished.write_bytes(content)
    put(unfinished, place)


def copy(source: Path, place: Path) -> None:
    """Copy a file atomically, with its times; the copy is read-only."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary(place)
    shutil.copy2(source, unfinished)
    unfinished.chmod(0o444)
    put(unfinished, place)


def link_atomically(file: Path, place: Path) -> None:
    """Atomically make ``place`` a link to a file, or a copy if links fail."""
    unfinished = temporary(place)
    unfinished.unlink(missing_ok=True)
    if not link_or_copy(file, unfinished):
        flush(unfinished)
    unfinished.replace(place)
    # if both names are links to one file, rename keeps both
    unfinished.unlink(missing_ok=True)


@contextmanager
def open_atomic(target: Path) -> Iterator[BinaryIO]:
    """Open a file that the user named for writing; it appears atomically, and links to it stay.

    A pipe or device, such as ``/dev/stdout``, is never replaced: it is written into.
    """
    if target.exists() and not target.is_file():
        with path_in_errors(target), target.open("wb") as sink:
            yield sink
        return
    place = Path(os.path.realpath(target))
    unfinished = temporary(place)
    try:
        with path_in_errors(target), unfinished.open("wb") as sink:
            yield sink
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


def link_or_copy(file: Path, path: Path) -> bool:
    """Link a file, or copy it if links fail; returns whether it is a link."""
    try:
        os.link(file, path)
    except OSError:
        shutil.copy(file, path)
        return False
    return True


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(facts: object) -> str:
    """Hash of values that JSON can hold, such as the inputs of a file."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def sum_in_name(path: Path) -> str | None:
    """The hash of a stored month's bytes, or its first digits, from its name.

    Examples
    --------
    >>> sum_in_name(Path("2025-09-bb621a45e8636707eebe-0123456789abcdef.parquet"))
    '0123456789abcdef'
    >>> sum_in_name(Path("2025-09-bb621a45e8636707eebe.parquet"))
    """
    found = _SUMMED.search(path.stem)
    return None if found is None else found[1]


def ends_of(path: Path, count: int) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file; fewer if it is shorter."""
    with path.open("rb") as file:
        first = file.read(count)
        file.seek(max(file.seek(0, os.SEEK_END) - count, 0))
        return first, file.read(count)
