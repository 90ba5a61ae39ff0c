"""The files to import: their identity, and their content as an importer's SQL may read it."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from warehouse.errors import FileRefusedError, NotFoundError, UsageError
from warehouse.files import absolute, path_in_errors, sha256_of
from warehouse.sync import printable

_BLOCK_BYTES = 1 << 20
_NOT_DATA = ("__MACOSX/", ".")

# First bytes of compressed files.
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to import: its name in the lake, path, size, and the hash of its bytes."""

    name: str
    path: Path
    size_bytes: int
    sha256: str


def source_files(paths: Sequence[Path]) -> tuple[list[SourceFile], list[str]]:
    """The files by name, and warnings about files with the same content as others."""
    found: dict[str, SourceFile] = {}
    warnings = []
    for path in dict.fromkeys(absolute(Path(path)) for path in paths):
        if path.is_dir():
            raise UsageError(f"{path}: is a folder", next_step=f"give its files: {path}/*")
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file")
        try:
            source = SourceFile(printable(path), path, path.stat().st_size, sha256_of(path))
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
        other = found.setdefault(source.sha256, source)
        if other != source:
            warnings.append(f"{source.name} is the same as {other.name}, so it is read once")
    return sorted(found.values(), key=lambda source: source.name), warnings


def unpack(source: SourceFile, folder: Path, *, unzips: bool) -> list[Path]:
    """The value of ``$files``: a link to the file in a folder, or the members of the zip archive.

    Links and members get plain names, because DuckDB reads ``[``, ``?`` and ``*`` as patterns.
    """
    folder.mkdir(parents=True)
    if not (unzips and zipfile.is_zipfile(source.path)):
        link = folder / f"0{_ending(source.path.name)}"
        link.symlink_to(source.path.resolve())
        _require_whole(link)
        return [link]
    members: list[Path] = []
    try:
        with zipfile.ZipFile(source.path) as archive:
            for member in sorted(archive.infolist(), key=lambda info: info.filename):
                name = PurePosixPath(member.filename).name
                if member.is_dir() or member.filename.startswith(_NOT_DATA) or name[:1] == ".":
                    continue
                place = folder / f"{len(members)}{_ending(name)}"
                with (
                    path_in_errors(place),
                    archive.open(member) as packed,
                    place.open("wb") as plain,
                ):
                    shutil.copyfileobj(packed, plain, _BLOCK_BYTES)
                _require_whole(place)
                members.append(place)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FileRefusedError(f"cannot be unzipped: {error}") from error
    if not members:
        raise FileRefusedError("is a zip archive without a file")
    return members


def _require_whole(path: Path) -> None:
    """Read a file to its end if it is compressed.

    DuckDB, including 2.0.1, does not compare the checksum of gzip, so that a flipped bit can become
    another price, and takes the first part of a zstd file for the whole. Remove when the oldest
    supported version refuses both; https://github.com/duckdb/duckdb/pull/25905 refuses only gzip
    that was cut off.
    """
    with path.open("rb") as file:
        begins = file.read(4)
    kind = next((kind for first, kind in _COMPRESSED.items() if begins.startswith(first)), None)
    if kind is None:
        return
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression=kind) as stream:
            while stream.read(_BLOCK_BYTES):
                pass
    except OSError as error:
        raise FileRefusedError(f"is a damaged {kind} file: {error}") from error


def _ending(name: str) -> str:
    """The suffixes of a name, such as ``.csv.gz``, by which DuckDB recognises compression."""
    return "".join(s for s in PurePosixPath(name).suffixes[-2:] if s[1:].isalnum()).lower()
