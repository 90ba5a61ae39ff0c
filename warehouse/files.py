"""Atomic file writes: temporary names, flush and rename, and the leftovers of killed processes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# What :func:`sha256_of` gives, and so the name of an object of the lake.
SHA256 = re.compile(r"[0-9a-f]{64}")


# The part of the hash that the name of a stored month ends with.
SUM_DIGITS = 16
_SUMMED = re.compile(r"(?:^|-)[0-9a-f]{20}-([0-9a-f]{16})$")


# Below the home: what DuckDB or we were writing; names with ``building`` and ``incoming`` are of
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

    A file of these names whose writer is alive may be among them for a caller without the lock.
    With ``of_lake``, those in the lake too, which looks at the name of every file there.
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
    whole = path.absolute()
    plain = Path(os.path.normpath(whole))
    return plain if os.path.realpath(plain) == os.path.realpath(whole) else whole


def temporary(place: Path) -> Path:
    """The name of a file while it is written, beside its place.

    Examples
    --------
    >>> temporary(Path("marts/bars/2025-09.parquet")).name
    '.2025-09.parquet.new'
    """
    return place.with_name(f".{place.name}.new")


def flush(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put(finished: Path, place: Path) -> None:
    """Give a finished file its final name: whole or not at all, after a power failure too.

    Where the two lie on different disks, because a folder of the home is a link, it is copied.
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


def write(place: Path, content: bytes) -> None:
    """Write a small file, whole or not at all; names that link to the one before keep it."""
    unfinished = temporary(place)
    unfinished.write_bytes(content)
    put(unfinished, place)


def copy(source: Path, place: Path) -> None:
    """Copy a file, whole or not at all, with its times; the copy is read-only."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary(place)
    shutil.copy2(source, unfinished)
    unfinished.chmod(0o444)
    put(unfinished, place)


def show(file: Path, place: Path) -> None:
    """Atomically make ``place`` a link to a file, or a copy if links fail."""
    unfinished = temporary(place)
    unfinished.unlink(missing_ok=True)
    if not link_or_copy(file, unfinished):
        flush(unfinished)
    unfinished.replace(place)
    # where both names are links to one file, rename leaves both
    unfinished.unlink(missing_ok=True)


@contextmanager
def appearing(target: Path) -> Iterator[BinaryIO]:
    """A file that the user named, to write into: it appears whole or not at all; links to it stay.

    A pipe or device, such as ``/dev/stdout``, is never replaced: it is written into.
    """
    if target.exists() and not target.is_file():
        with target.open("wb") as sink:
            yield sink
        return
    place = Path(os.path.realpath(target))
    unfinished = temporary(place)
    try:
        with unfinished.open("wb") as sink:
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


def sum_in_name(path: Path) -> str | None:
    """The hash of a stored month's bytes, or its first digits, that is in its name.

    Examples
    --------
    >>> sum_in_name(Path("2025-09-bb621a45e8636707eebe-0123456789abcdef.parquet"))
    '0123456789abcdef'
    >>> sum_in_name(Path("2025-09-bb621a45e8636707eebe.parquet"))
    """
    found = _SUMMED.search(path.stem)
    return None if found is None else found[1]


def ends_of(path: Path, count: int) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file; fewer where it is shorter."""
    with path.open("rb") as file:
        first = file.read(count)
        file.seek(max(file.seek(0, os.SEEK_END) - count, 0))
        return first, file.read(count)
