"""The lake: vendor files, stored once by their hash and never changed, and readable links to them.

A file enters the lake in this order: bytes to a temporary name, check, rename to its hash under
``objects/``, row in the manifest (from then on it belongs to the lake), link under ``lake/``. A
process that is killed leaves at most a temporary file, an object without a row or a missing link. A
home may have no links; the manifest records whether they match the setting. ``sweep`` removes
temporary files and repairs links, ``settle_links`` makes missing links. An object without a row
does no harm: it is used when the same file arrives again, or removed by ``prune``. No other code
removes an object.

The libraries that read parquet are loaded for the first file, because many runs have none.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warehouse.errors import REPAIR, ROOM_OR_RIGHTS, DamagedError, DiskError, FileRefusedError
from warehouse.files import copy, flush, leftovers, link_atomically, sha256_of, temporary
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.lake.manifest.records import FileFacts, StoredFile
from warehouse.lake.manifest.sqlite_errors import DISK_CODES, primary_code
from warehouse.lake.notes import Note, notes_of
from warehouse.times import utc_now
from warehouse.vendor import FileKey, load_contracts

if TYPE_CHECKING:
    from warehouse.lake.validate.bad_rows import BadRowsError

_BLOCK_BYTES = 1 << 20


class Outcome(StrEnum):
    """The outcome of importing one file."""

    ADDED = "added"
    GROWN = "grown"
    RESTATED = "restated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Admission:
    """Outcome for one file.

    Attributes
    ----------
    reason
        Why it was refused.
    can_be_salvaged
        Whether a few rows are the reason of the refusal, so that ``salvage`` would import the rest.
    left_out
        Number, time in microseconds and fault of each row that ``salvage`` left out.
    notes
        Kind and text of unusual values.
    object
        sha256 of the lake's version; empty if the file was refused.
    """

    key: FileKey
    outcome: Outcome
    size_bytes: int
    rows: int = 0
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reason: str | None = None
    can_be_salvaged: bool = False
    left_out: tuple[tuple[int, int | None, str], ...] = ()
    notes: tuple[Note, ...] = ()
    object: str = ""


class Lake:
    """Objects and links of one home; the caller holds the home's lock.

    With ``salvage`` the good rows of a file with a few bad ones are imported. The file itself goes
    to quarantine; the facts of the imported file list the bad rows.
    """

    def __init__(self, home: Home, manifest: Manifest, *, salvage: bool = False) -> None:
        self.home = home
        self.manifest = manifest
        self._salvages = salvage
        self._admitted: list[tuple[FileKey, str]] | None = None
        for folder in (home.objects, home.quarantine):
            folder.mkdir(parents=True, exist_ok=True)

    def admit(
        self,
        key: FileKey,
        source: Path,
        *,
        origin: str,
        stamp: str,
        current: StoredFile | None,
        consume: bool = False,
        quarantine: bool = True,
    ) -> Admission:
        """Import one file, or put it into quarantine.

        Parameters
        ----------
        source
            The file; moved into the lake if ``consume`` is true (its bytes are durable then), else
            copied.
        origin, stamp
            Its origin (without query string), and a stamp that changes when it changes there.
        current
            The lake's current file of ``key``.
        quarantine
            Whether a file that fails its check goes to quarantine; if false it is only reported,
            for a caller that will fetch it again.
        Raises
        ------
        FileRefusedError
            The file failed its check and ``quarantine`` is false.
        DiskError
            The disk is full or not writable; nothing was imported.
        """
        with self._storing(key), self.together() as admitted:
            incoming, sha256 = (source, sha256_of(source)) if consume else self._copy_in(source)
            size = incoming.stat().st_size
            if current is not None and sha256 in (current.object, current.facts.original):
                incoming.unlink()
                self.manifest.record_stamp(current, origin=origin, stamp=stamp)
                return Admission(key, Outcome.UNCHANGED, size, current.facts.rows)
            from warehouse.lake.validate.bad_rows import BadRowsError

            try:
                facts = self._checked(key, incoming)
            except FileRefusedError as refused:
                if not quarantine:
                    incoming.unlink()
                    raise
                salvaged, can_be_salvaged = None, False
                if isinstance(refused, BadRowsError) and refused.can_be_salvaged:
                    can_be_salvaged = True
                    if self._salvages:
                        salvaged = self._salvage(key, incoming, sha256, refused)
                refusal = self._refuse(key, incoming, sha256, refused.what, origin)
                if salvaged is None:
                    return replace(refusal, can_be_salvaged=can_be_salvaged)
                incoming, sha256, facts = salvaged
                size = incoming.stat().st_size
            outcome, difference = self._compare(incoming, current, key)
            _move(incoming, self.home.object_path(sha256))
            self.manifest.record_file(
                key, object=sha256, size_bytes=size, facts=facts, origin=origin, stamp=stamp
            )
            if current is not None:
                self.manifest.record_restatement(
                    key,
                    kind=outcome,
                    old_object=current.object,
                    new_object=sha256,
                    difference=difference,
                )
            admitted.append((key, sha256))
            return Admission(
                key,
                outcome,
                size,
                facts.rows,
                facts.missing,
                facts.unexpected,
                left_out=facts.left_out,
                notes=tuple(notes_of(key, facts, utc_now())),
                object=sha256,
            )

    def _checked(self, key: FileKey, incoming: Path) -> FileFacts:
        """The facts of a file."""
        from warehouse.lake.validate.vendor_file import check_file

        facts = check_file(incoming, key, load_contracts().get(key.dataset))
        held = self.manifest.files_of(key.dataset, key.series, most=1) if key.is_raw else []
        for other in held:  # all files of a series are of one kind
            if (other.facts.imported is None) != (facts.imported is None):
                kind = "the vendor's own" if other.facts.imported is None else "imported"
                raise FileRefusedError(
                    f"{key.dataset} {key.series} holds {kind} ticks, such as"
                    f" {other.key.period.text}, which are not mixed with others: remove them with"
                    " warehouse forget first"
                )
        return facts

    @contextmanager
    def together(self) -> Iterator[list[tuple[FileKey, str]]]:
        """Add all files that are admitted inside to the lake together, at the end.

        One flush of the disk serves many files. After an error none of them is in the lake; their
        objects wait for the next run. A nested block is part of the outer one. Yields the
        admissions so far.
        """
        if self._admitted is not None:
            yield self._admitted
            return
        self._admitted = admitted = list[tuple[FileKey, str]]()
        try:
            with self.manifest.transaction():
                yield admitted
                if admitted:
                    flush(self.home.objects)  # flushed before the manifest refers to it
        finally:
            self._admitted = None
        if self.home.has_links:
            for key, sha256 in admitted:
                self._link(self.home.lake / key.path, sha256)

    def _link(self, path: Path, sha256: str) -> None:
        """Make a name in ``lake/`` a link to an object, or a copy if links fail."""
        path.parent.mkdir(parents=True, exist_ok=True)
        link_atomically(self.home.object_path(sha256), path)

    def settle_links(self) -> list[Path]:
        """Make or remove the links of files that have changed; returns those removed.

        The manifest records these files, even if a process was killed. If the setting in
        ``warehouse.toml`` has changed, all links are made or removed.

        Raises
        ------
        DamagedError
            The object of a current file is missing.
        """
        has_links = self.home.has_links
        if self.manifest.has_links() != has_links:
            return self.sweep()
        removed = []
        for key, sha256 in self.manifest.unlinked() if has_links else ():
            path = self.home.lake / key.path
            if sha256 is None:
                if path.is_file() and is_link(path):
                    path.unlink()
                    removed.append(path)
            elif not shows(path, self.home.object_path(sha256)):
                self._require_object(path, sha256)
                self._link(path, sha256)
        self.manifest.record_linked(has_links=has_links)
        return removed

    def sweep(self) -> list[Path]:
        """Clean up after a killed process, checking every link; returns the removed files.

        Removes temporary files and links of files that are not current; makes links that are
        missing or wrong. A file in ``lake/`` that is not a link belongs to the user and stays.

        Raises
        ------
        DamagedError
            The object of a current file is missing.
        """
        removed = []
        for path in leftovers(self.home.root):
            path.unlink()
            removed.append(path)
        missing = self.expected_links()
        for folder, _, names in os.walk(self.home.lake, topdown=False):
            for name in names:
                path = Path(folder, name)
                sha256 = missing.get(str(path))
                if sha256 is None:
                    if is_link(path):
                        path.unlink()
                        removed.append(path)
                elif shows(path, self.home.object_path(sha256)):
                    del missing[str(path)]
            if not self.home.has_links:
                with suppress(OSError):  # the user has a file there
                    Path(folder).rmdir()
        for text, sha256 in sorted(missing.items()):
            self._require_object(Path(text), sha256)
            self._link(Path(text), sha256)
        self.manifest.record_linked(has_links=self.home.has_links)
        return removed

    def expected_links(self) -> dict[str, str]:
        """Every path in ``lake/`` that should be a link, as text, with its object."""
        if not self.home.has_links:
            return {}
        current = self.manifest.current_objects()
        return {f"{self.home.lake}/{key.path}": sha256 for key, sha256 in current}

    def _require_object(self, path: Path, sha256: str) -> None:
        if not self.home.object_path(sha256).is_file():
            name = path.relative_to(self.home.root)
            raise DamagedError(
                f"{name}: its object is missing, {self.home.object_path(sha256)}", next_step=REPAIR
            )

    @contextmanager
    def _storing(self, key: FileKey) -> Iterator[None]:
        """Translate errors of the disk into a DiskError with the name of the file."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            if isinstance(error, sqlite3.Error) and primary_code(error) not in DISK_CODES:
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise DiskError(
                f"{key}: cannot be stored under {self.home.root} ({reason})",
                next_step=ROOM_OR_RIGHTS,
            ) from error

    def _copy_in(self, source: Path) -> tuple[Path, str]:
        """Copy the bytes to a temporary name beside the objects; returns it and their hash."""
        incoming = temporary(self.home.objects / f"{os.getpid()}-{_short_hash(source)}")
        digest = hashlib.sha256()
        try:
            with source.open("rb") as reader, incoming.open("wb") as writer:
                while block := reader.read(_BLOCK_BYTES):
                    digest.update(block)
                    writer.write(block)
            flush(incoming)
        except OSError:
            incoming.unlink(missing_ok=True)
            raise
        return incoming, digest.hexdigest()

    def _salvage(
        self, key: FileKey, incoming: Path, sha256: str, bad: BadRowsError
    ) -> tuple[Path, str, FileFacts]:
        """Write the good rows of a file."""
        from warehouse.lake.validate.bad_rows import write_salvaged
        from warehouse.lake.validate.vendor_file import check_file

        kept = temporary(self.home.objects / f"salvaged-{sha256}")
        write_salvaged(incoming, kept, sha256, bad)
        flush(kept)
        facts = check_file(kept, key, load_contracts().get(key.dataset))
        return kept, sha256_of(kept), facts

    def _refuse(
        self,
        key: FileKey,
        incoming: Path,
        sha256: str,
        reason: str,
        origin: str,
    ) -> Admission:
        kept = self.home.quarantine / f"{sha256}.refused"
        size = incoming.stat().st_size
        _move(incoming, kept)
        self.manifest.record_refusal(
            key, object=sha256, size_bytes=size, reason=reason, origin=origin
        )
        return Admission(key, Outcome.REFUSED, size, reason=reason)

    def _compare(
        self, incoming: Path, current: StoredFile | None, key: FileKey
    ) -> tuple[Outcome, dict[str, Any]]:
        if current is None:
            return Outcome.ADDED, {}
        import pyarrow as pa

        from warehouse.lake.diff import compare_files

        try:
            old = self.home.object_path(current.object)
            difference = compare_files(old, incoming, is_raw=key.is_raw)
        except (pa.ArrowException, OSError, ValueError, KeyError):
            return Outcome.RESTATED, {"unreadable": f"objects/{current.object}.parquet"}
        outcome = Outcome.GROWN if difference.only_grew else Outcome.RESTATED
        return outcome, difference.plain()


def is_link(path: Path) -> bool:
    """Whether a file in ``lake/`` is a link to something, or a link that was being made."""
    return path.is_symlink() or path.stat().st_nlink > 1


def _short_hash(path: Path) -> str:
    """A short name for a temporary file, the same each time for a path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _move(source: Path, target: Path) -> None:
    """Rename, or copy if the two are on different disks; the target is read-only."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(source, target)
        source.unlink()
    target.chmod(0o444)


def shows(link: Path, stored: Path) -> bool:
    """Whether a link, or a copy if links fail, has the content of an object."""
    try:
        found, wanted = link.stat(), stored.stat()
    except FileNotFoundError:
        return False
    return found.st_ino == wanted.st_ino or (
        found.st_size == wanted.st_size and sha256_of(link) == stored.stem
    )
