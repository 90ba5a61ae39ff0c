"""From a folder into the lake: make a plan, then apply it.

A plan is a value and changes nothing; ``--dry-run`` prints it. Applying it admits file by file, so
that the next run continues an interrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from warehouse.display import counted
from warehouse.errors import ExitCode, did_you_mean
from warehouse.files import sha256_of
from warehouse.home import Home
from warehouse.lake import Admission, Manifest, Outcome
from warehouse.progress import phase
from warehouse.sync.layout import FolderFault, FoundFile, Naming, printable, same_key, scan_folder
from warehouse.sync.report import SyncReport, sync_run
from warehouse.vendor import FileKey, load_contracts

_FILES_TOGETHER = 16

# Origin and stamp of the lake's file of a key.
_OriginOf = Callable[[FileKey], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file to import: its path, and the stamp that changes with its bytes."""

    key: FileKey
    source: Path
    size_bytes: int
    stamp: str


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """What a sync from a folder would do.

    Attributes
    ----------
    files
        Files to read and import.
    unchanged
        Files known by size and time of change; they are not read again.
    unrecognised
        Files that are no vendor file or cannot be read, with the reason.
    ambiguous
        Parquet files with the same key and different bytes; none of them is imported.
    others
        Data files in other formats.
    """

    files: tuple[PlannedFile, ...]
    unchanged: tuple[FileKey, ...]
    unrecognised: tuple[FoundFile, ...]
    ambiguous: tuple[FoundFile, ...] = ()
    others: tuple[FoundFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def exit_code(self) -> ExitCode:
        """The report of the run if every file passes its check."""
        problems = self.unrecognised or self.ambiguous
        return ExitCode.DATA_PROBLEMS if problems else ExitCode.DONE


def plan_folder(home: Home, folder: Path, naming: Naming | None = None) -> FolderPlan:
    """Compare a folder with the lake; reads names, sizes and times only.

    If several files have the same key and the same bytes, the first path is imported. If their
    bytes differ, none is imported, because it is unknown which is right, and the lake keeps its
    version.
    """
    files, unchanged = [], []
    scanned = scan_folder(folder, naming)
    with _known_origins(home) as origin_of:
        ambiguous, repeated = _settle_repeats(scanned, origin_of)
        for found in scanned:
            if found.key is None or found.path in repeated:
                continue
            status = found.path.stat()
            planned = PlannedFile(
                found.key, found.path, status.st_size, f"{status.st_size}@{status.st_mtime_ns}"
            )
            if origin_of(found.key) == (printable(found.path), planned.stamp):
                unchanged.append(found.key)
            else:
                files.append(planned)
    return FolderPlan(
        tuple(files),
        tuple(unchanged),
        tuple(f for f in scanned if f.key is None and f.fault is not FolderFault.NO_PARQUET),
        tuple(ambiguous),
        tuple(f for f in scanned if f.key is None and f.fault is FolderFault.NO_PARQUET),
    )


def _settle_repeats(
    scanned: list[FoundFile], origin_of: _OriginOf
) -> tuple[list[FoundFile], set[Path]]:
    """Files with the same key that differ, and all paths that another path represents."""
    ambiguous, repeated = [], set[Path]()
    for key, paths in same_key(scanned):
        if len({path.stat().st_size for path in paths}) > 1 or len(set(map(sha256_of, paths))) > 1:
            listed = " and ".join(map(printable, paths))
            ambiguous.append(FoundFile(paths[0], None, f"{key}: these files differ: {listed}"))
            repeated.update(paths)
        else:
            held, _ = origin_of(key) or ("", "")
            kept = next((path for path in paths if held == printable(path)), paths[0])
            repeated.update(path for path in paths if path != kept)
    return ambiguous, repeated


def sync_folder(
    home: Home, folder: Path, naming: Naming | None = None, *, salvage: bool = False
) -> SyncReport:
    """Import every vendor file of a folder into the lake; the folder is only read.

    With ``salvage`` the good rows of a file with a few bad ones are imported.

    Raises
    ------
    LockedError
        Another process writes to this home.
    DiskError
        The disk is full or not writable; files that were already imported stay.
    """
    with phase("compare the folder with the lake") as comparing:
        plan = plan_folder(home, folder, naming)
        comparing.counts.update(
            {"files to read": len(plan.files), "known and unchanged": len(plan.unchanged)}
        )
    admissions = []
    with (
        phase("check and import files") as taking,
        sync_run(home, salvage=salvage) as (lake, finish),
    ):
        for first in range(0, len(plan.files), _FILES_TOGETHER):
            with lake.together():
                for file in plan.files[first : first + _FILES_TOGETHER]:
                    admission = lake.admit(
                        file.key,
                        file.source,
                        origin=printable(file.source),
                        stamp=file.stamp,
                        current=lake.manifest.file(file.key),
                    )
                    admissions.append(admission)
                    taking.counts[str(admission.outcome)] += 1
        return finish(
            SyncReport(
                tuple(admissions),
                plan.unchanged,
                plan.unrecognised,
                plan.ambiguous,
                warnings=(
                    *_unknown_datasets({file.key.dataset for file in plan.files}),
                    *other_data(plan.others, folder),
                    *_same_bytes(admissions, lake.manifest),
                ),
                others=plan.others,
            )
        )


def other_data(others: Sequence[FoundFile], folder: Path) -> Iterator[str]:
    """A warning that names data files in other formats, because they are not imported."""
    if others:
        names = [printable(found.path.relative_to(folder.resolve())) for found in others]
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        yield f"{counted(len(names), 'file')} not imported, because only parquet is read: {shown}"


def _same_bytes(admissions: Sequence[Admission], manifest: Manifest) -> Iterator[str]:
    """New files with the same bytes as another one: one symbol may be mistyped."""
    for admission in admissions:
        if admission.outcome is not Outcome.ADDED or not admission.rows:
            continue
        other = manifest.first_with(admission.object)
        if other not in (None, admission.key):
            yield (
                f"{admission.key} has the same bytes as {other}: is one of the names wrong? "
                "warehouse forget removes a series"
            )


def _unknown_datasets(names: set[str]) -> tuple[str, ...]:
    """Warnings about unknown datasets: new ones of the vendor, or misspelt names."""
    known = load_contracts()
    warnings = []
    for name in sorted(names - known.keys()):
        guess = did_you_mean(name, known)
        warnings.append(f"{name} is not a known dataset, so no model reads it{guess}")
    return tuple(warnings)


@contextmanager
def _known_origins(home: Home) -> Iterator[_OriginOf]:
    """Origins of the lake's files; before the first sync there are none."""
    if not home.manifest.is_file():
        yield lambda _: None
        return
    with Manifest(home.manifest) as manifest:
        yield manifest.origin
