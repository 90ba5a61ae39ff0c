"""Is everything in a home as it was left? Looks at all of it, changes nothing; ``repair`` mends.

Manifest, objects, links, catalogs and stored months are held against each other. What a finding
names as damaged cannot be trusted until it is repaired; what it names as stray is in nobody's way.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.check import check_file
from warehouse.contracts import load_contracts
from warehouse.errors import DamagedError, FileRefusedError
from warehouse.folder import scan_folder
from warehouse.home import Home, writing
from warehouse.keys import FileKey, Period, SeriesKey
from warehouse.lake import Lake
from warehouse.manifest import Manifest
from warehouse.publish import generation_path, generations, read_catalog
from warehouse.records import StoredFile


class Kind(StrEnum):
    """How much a finding matters."""

    DAMAGED = "damaged"
    STALE = "stale"
    STRAY = "stray"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, and what to do about it."""

    kind: Kind
    subject: str
    what: str
    next_step: str


_REPAIR = "run: warehouse verify --repair"
_BUILD = "run: warehouse build"


def verify(home: Home, *, quick: bool = False) -> list[Finding]:
    """Everything that is wrong in a home, in the order of the data's way.

    Parameters
    ----------
    quick
        Compare sizes only; do not read and check every file again.
    """
    if not home.lake.is_dir():
        home.require_lake()
    try:
        with Manifest(home.manifest) as manifest:
            files = manifest.files(superseded=True)
    except DamagedError as error:
        return [Finding(Kind.DAMAGED, "manifest.sqlite", error.what, _REPAIR)]
    current = [file for file in files if file.superseded_at is None]
    return [
        *_check_objects(home, files, quick=quick),
        *_check_links(home, current),
        *_check_catalogs(home, {file.object for file in current}),
        *_check_leftovers(home),
    ]


# -- looking -------------------------------------------------------------------------------------


def _check_objects(home: Home, files: list[StoredFile], *, quick: bool) -> Iterator[Finding]:
    contracts = load_contracts()
    named = {file.object: file for file in files}
    for object, file in named.items():
        path = home.object_path(object)
        what = None
        if not path.is_file():
            what = "is missing"
        elif path.stat().st_size != file.size_bytes:
            what = f"has {path.stat().st_size:,} bytes, the manifest says {file.size_bytes:,}"
        elif not quick and _sha256(path) != object:
            what = "holds other bytes than its name says"
        elif not quick:
            try:
                facts = check_file(path, file.key, contracts.get(file.key.dataset))
                if facts.rows != file.facts.rows:
                    what = f"has {facts.rows:,} rows, the manifest says {file.facts.rows:,}"
            except FileRefusedError as refused:
                what = f"does not pass its check any more: {refused.what}"
        if what is not None:
            yield Finding(Kind.DAMAGED, f"objects/{path.name}", f"({file.key}) {what}", _REPAIR)
    for path in sorted(home.objects.iterdir()) if home.objects.is_dir() else ():
        if path.stem not in named:
            step = "the next sync removes it, as does: warehouse verify --repair"
            yield Finding(Kind.STRAY, f"objects/{path.name}", "is no file of the manifest", step)


def _check_links(home: Home, current: list[StoredFile]) -> Iterator[Finding]:
    expected = {home.lake / file.key.path: file for file in current}
    for path, file in expected.items():
        if not path.is_file():
            yield Finding(Kind.STALE, _below(home, path), "is missing", _REPAIR)
        elif not _shows(path, home.object_path(file.object)):
            yield Finding(Kind.STALE, _below(home, path), "shows another object", _REPAIR)
    for folder, _, names in os.walk(home.lake):
        for name in names:
            path = Path(folder, name)
            if path not in expected:
                yield Finding(Kind.STRAY, _below(home, path), "is no file of the manifest", _REPAIR)


def _check_catalogs(home: Home, current: set[str]) -> Iterator[Finding]:
    if not home.catalog.is_file():
        yield Finding(Kind.STALE, "warehouse.duckdb", "is missing", _BUILD)
    else:
        shown = _catalog_reads(home.catalog)
        if isinstance(shown, str):
            yield Finding(Kind.DAMAGED, "warehouse.duckdb", shown, _BUILD)
        elif shown[0] != current:
            behind = len(shown[0] ^ current)
            what = f"does not show the lake as it is: {behind:,} files differ"
            yield Finding(Kind.STALE, "warehouse.duckdb", what, _BUILD)
    for number in generations(home):
        path = generation_path(home, number)
        reads = _catalog_reads(path)
        if isinstance(reads, str):
            yield Finding(Kind.DAMAGED, _below(home, path), reads, "run: warehouse prune")
            continue
        for object in sorted(reads[0] - current):
            if not home.object_path(object).is_file():
                what = f"reads objects/{object}.parquet, which is missing"
                yield Finding(Kind.DAMAGED, _below(home, path), what, "run: warehouse prune")
        for name, rows in sorted(reads[1].items()):
            wrong = _check_month(home.root / name, rows)
            if wrong is not None:
                yield Finding(Kind.DAMAGED, name, f"(of generation {number}) {wrong}", _REPAIR)


def _check_month(path: Path, rows: int) -> str | None:
    if not path.is_file():
        return "is missing"
    try:
        with pq.ParquetFile(path) as file:
            found = sum(batch.num_rows for batch in file.iter_batches())
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"cannot be read: {str(error).splitlines()[0][:200]}"
    return None if found == rows else f"has {found:,} rows, the catalog says {rows:,}"


def _check_leftovers(home: Home) -> Iterator[Finding]:
    """Files that only a killed process leaves."""
    patterns = ("*.wal", ".*.new", "generations/*/*.wal", "marts/*/*.building")
    for pattern in patterns:
        for path in sorted(home.root.glob(pattern)):
            step = "the next build removes it, as does: warehouse verify --repair"
            yield Finding(Kind.STRAY, _below(home, path), "was left by a killed process", step)


# -- mending -------------------------------------------------------------------------------------


def repair(home: Home) -> list[str]:
    """Mend what can be mended without the vendor; returns what was done, in words.

    A lost manifest is made again from the lake, with the series numbers of the catalog. A damaged
    object is brought again from the folder that it came from, or forgotten, so that the next sync
    fetches it; its bytes stay in quarantine. What a build makes is removed for the next build.
    """
    done: list[str] = []
    with writing(home, "verify"):
        findings = verify(home)
        if any(finding.subject == "manifest.sqlite" for finding in findings):
            done.append(_rebuild_manifest(home))
        with Manifest(home.manifest, create=True) as manifest:
            done += _mend_objects(home, manifest)
            removed = Lake(home, manifest).sweep()
            done += [f"removed {_below(home, path)}" for path in removed]
        for finding in findings:
            path = home.root / finding.subject
            is_month = finding.kind is Kind.DAMAGED and finding.subject.startswith("marts/")
            is_leftover = finding.kind is Kind.STRAY and not finding.subject.startswith("lake/")
            if (is_month or is_leftover) and path.is_file():
                path.unlink()
                done.append(f"removed {finding.subject}")
    return done


def _rebuild_manifest(home: Home) -> str:
    """A manifest from what the lake shows; former files come from the kept generations."""
    if home.manifest.exists():
        home.manifest.replace(home.manifest.with_suffix(".damaged"))
    contracts = load_contracts()
    remembered = _remembered(home)
    with Manifest(home.manifest, create=True) as manifest:
        manifest.restore_series(_remembered_series(home))
        shown = {_sha256(found.path): found for found in scan_folder(home.lake)}
        former = [object for object in remembered if object not in shown]
        for object in (*former, *shown):
            key, origin = remembered.get(object, (None, "lake"))
            path = home.object_path(object)
            if object in shown:
                key = shown[object].key
                if not path.is_file():
                    shutil.copyfile(shown[object].path, path)
            if key is None or not path.is_file():
                continue
            manifest.record_file(
                key,
                object=object,
                size_bytes=path.stat().st_size,
                facts=check_file(path, key, contracts.get(key.dataset)),
                origin=origin,
                stamp="",
            )
            if object in former:
                manifest.supersede(key)
        count = len(manifest.files())
    return f"made manifest.sqlite again from {count:,} files of the lake"


def _remembered(home: Home) -> dict[str, tuple[FileKey | None, str]]:
    """Key and origin by object, as kept catalogs remember them, the oldest first."""
    columns = "object, dataset, exchange, symbol, interval, clock, period, origin"
    known: dict[str, tuple[FileKey | None, str]] = {}
    for catalog in reversed(_readable_catalogs(home)):
        for row in read_catalog(catalog, f"select {columns} from warehouse.meta.files"):
            object, dataset, exchange, symbol, interval, clock, period, origin = row
            series = SeriesKey(exchange, symbol, interval, clock)
            known[object] = (FileKey(dataset, series, Period(period)), origin)
    return known


def _remembered_series(home: Home) -> dict[int, SeriesKey]:
    """Numbers of series as the newest readable catalog has them, so that they stay the same."""
    columns = "series_id, exchange, symbol, interval, clock"
    for catalog in _readable_catalogs(home):
        rows = read_catalog(catalog, f"select {columns} from warehouse.meta.series")
        return {number: SeriesKey(*parts) for number, *parts in rows}
    return {}


def _mend_objects(home: Home, manifest: Manifest) -> list[str]:
    done = []
    for file in manifest.files(superseded=True):
        path = home.object_path(file.object)
        if path.is_file() and _sha256(path) == file.object:
            continue
        if path.is_file():
            path.replace(home.quarantine / f"{file.object}.damaged")
        source = Path(file.origin)
        if source.is_absolute() and source.is_file() and _sha256(source) == file.object:
            _restore(source, path)
            done.append(f"brought {file.key} again from {source}")
        else:
            manifest.forget(file)
            done.append(f"forgot {file.key}, so that the next sync fetches it")
    return done


def _restore(source: Path, path: Path) -> None:
    temporary = path.with_name(f".incoming-{path.stem}")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o444)
    temporary.replace(path)


# -- helpers -------------------------------------------------------------------------------------


def _readable_catalogs(home: Home) -> list[Path]:
    """Published catalogs that open, the newest first."""
    kept = [generation_path(home, number) for number in reversed(generations(home))]
    found = (path for path in (home.catalog, *kept) if path.is_file())
    return [path for path in found if not isinstance(_catalog_reads(path), str)]


def _catalog_reads(catalog: Path) -> tuple[set[str], dict[str, int]] | str:
    """Objects and stored months that a catalog reads, or why it cannot be read."""
    try:
        objects = read_catalog(catalog, "select object from warehouse.meta.files")
        months = read_catalog(catalog, "select path, rows from warehouse.meta.stored")
    except DamagedError as error:
        return error.what
    return {object for (object,) in objects}, dict(months)


def _shows(link: Path, object: Path) -> bool:
    if not object.is_file():
        return False
    found, wanted = link.stat(), object.stat()
    return found.st_ino == wanted.st_ino or (
        found.st_size == wanted.st_size and _sha256(link) == object.stem
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _below(home: Home, path: Path) -> str:
    return str(path.relative_to(home.root))
