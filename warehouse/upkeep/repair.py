"""Mend a home: from what is left of it, from the folder that a file came from, else by asking anew.

What can be had again is had again; what cannot is forgotten, so that sync and build make it anew.
No bytes are thrown away: what was damaged lies in ``quarantine/`` afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from warehouse.build import remove_copy
from warehouse.display import counted
from warehouse.errors import FileRefusedError
from warehouse.files import copy, link_or_copy, sha256_of
from warehouse.generations import (
    generations,
    journal_copy,
    point_to,
    read_catalog,
    read_publications,
    snapshots_of,
    write_publications,
)
from warehouse.home import Home, generation_path, writing
from warehouse.lake import (
    BadRowsError,
    Lake,
    Manifest,
    Refusal,
    Restatement,
    StoredFile,
    check_file,
    write_salvaged,
)
from warehouse.sync import scan_folder
from warehouse.upkeep.verify import (
    WRITE_AGAIN,
    About,
    Finding,
    Kind,
    object_damage,
    readable,
    verify_home,
    wrong_facts,
)
from warehouse.vendor import FileKey, Period, SeriesKey, load_contracts

Build = Callable[[], object]
"""Builds and publishes a catalog; called without the home's lock."""


def repair_home(home: Home, build: Build) -> list[str]:
    """Mend what can be mended without the vendor; returns what was done, in words.

    A lost manifest is made again from lake and catalogs. A damaged object is brought again from
    its link or the folder that it came from, or forgotten, so that the next sync fetches it. What a
    build makes is built anew; an earlier generation that cannot be read goes to quarantine, unless
    it is a snapshot.

    Raises
    ------
    LockedError
        Another process writes to this home.
    """
    with writing(home, "verify"):
        done = list(_mend_lake(home))
        done += _mend_catalog(home)
    if generations(home) or any(home.marts.rglob("*.parquet")):
        findings = verify_home(home)
        if any(f.about in (About.CATALOG, About.MONTH) for f in findings):
            done.append("building anew")
            build()
            findings = verify_home(home)
        with writing(home, "verify"):
            done += _retire(home, findings)
    return done


def _mend_lake(home: Home) -> Iterator[str]:
    findings = verify_home(home, quick=True)
    if any(finding.about is About.MANIFEST for finding in findings):
        yield _rebuild_manifest(home)
    with Manifest(home.manifest, create=True) as manifest:
        yield from _mend_objects(home, manifest)
        for path in Lake(home, manifest).sweep():
            yield f"removed {path.relative_to(home.root)}"
    links = sum(f.about is About.LINK and f.kind is not Kind.STRAY for f in findings)
    if links:
        yield f"made {counted(links, 'link')} of the lake again"


# -- the manifest --------------------------------------------------------------------------------


def _rebuild_manifest(home: Home) -> str:
    """A manifest from what lake, objects and kept catalogs say, made aside and put in one rename.

    A file counts as fetched when its object was written, so that nothing unsettled seems settled.
    """
    aside = home.build / "manifest.sqlite"
    home.build.mkdir(exist_ok=True)
    for path in home.build.glob("manifest.sqlite*"):
        path.unlink()
    now = ""
    catalogs = _readable_catalogs(home)
    with Manifest(aside, create=True, clock=lambda: now) as manifest:
        manifest.restore_series(_remembered_series(home, catalogs))
        lost: list[str] = []
        for file in _files_to_restore(home, catalogs):
            path = home.object_path(file.object)
            now = _written_at(path)
            try:
                facts = check_file(path, file.key, load_contracts().get(file.key.dataset))
            except FileRefusedError:
                lost.append(file.object)
                continue
            manifest.record_file(
                file.key,
                object=file.object,
                size_bytes=path.stat().st_size,
                facts=facts,
                origin=file.origin,
                stamp="",
            )
            if not file.is_current:
                manifest.supersede(file.key)
        manifest.restore_history(
            _remembered_changes(home, catalogs), _remembered_refusals(home, catalogs)
        )
        count = len(manifest.files())
    _put_aside(home, home.manifest)
    _put_aside(home, home.manifest.with_name("manifest.sqlite-journal"))
    aside.replace(home.manifest)
    left_out = f"; {len(lost):,} did not pass their check" if lost else ""
    return f"made manifest.sqlite again from {counted(count, 'file')} of the lake{left_out}"


@dataclass(frozen=True, slots=True)
class _Restored:
    """A file whose object is there and sound."""

    key: FileKey
    object: str
    origin: str
    is_current: bool


def _files_to_restore(home: Home, catalogs: list[Path]) -> list[_Restored]:
    """Former files as kept catalogs remember them, then current ones as the lake shows them."""
    remembered = _remembered_files(home, catalogs)
    current: dict[FileKey, str] = {}
    for found in scan_folder(home.lake) if home.lake.is_dir() else ():
        if found.key is not None:
            object = sha256_of(found.path)
            path = home.object_path(object)
            if not path.is_file() and found.path.stat().st_nlink == 1:
                copy(found.path, path)
            if path.is_file() and sha256_of(path) == object:
                current[found.key] = object
    newest: dict[FileKey, str] = {}
    for object, (key, _) in remembered.items():
        newest[key] = object
    for key, object in newest.items():
        if key not in current and _is_sound(home, object):
            current[key] = object
    former = [
        _Restored(key, object, origin, is_current=False)
        for object, (key, origin) in remembered.items()
        if current.get(key) != object and _is_sound(home, object)
    ]
    shown = [
        _Restored(key, object, remembered.get(object, (key, "lake"))[1], is_current=True)
        for key, object in sorted(current.items())
    ]
    return [*former, *shown]


def _remembered_files(home: Home, catalogs: list[Path]) -> dict[str, tuple[FileKey, str]]:
    """Key and origin by object, as kept catalogs remember them, the oldest first."""
    columns = "object, dataset, exchange, symbol, interval, clock, period, origin"
    known: dict[str, tuple[FileKey, str]] = {}
    for catalog in reversed(catalogs):
        for row in read_catalog(home, catalog, f"select {columns} from warehouse.meta.files"):
            object, origin = row[0], row[7]
            known.pop(object, None)
            known[object] = (_key(*row[1:7]), origin)
    return known


def _remembered_series(home: Home, catalogs: list[Path]) -> dict[int, SeriesKey]:
    """Numbers of series as the newest readable catalog has them, so that they stay the same."""
    columns = "series_id, exchange, symbol, interval, clock"
    for catalog in catalogs:
        rows = read_catalog(home, catalog, f"select {columns} from warehouse.meta.series")
        return {number: SeriesKey(*parts) for number, *parts in rows}
    return {}


def _remembered_changes(home: Home, catalogs: list[Path]) -> list[Restatement]:
    columns = (
        "dataset, exchange, symbol, interval, clock, period, series_id, kind, old_object,"
        " new_object, rows_added, rows_removed, rows_changed, largest_relative_change, seen_at,"
        " columns_added, columns_removed"
    )
    older = "select null::varchar[] as columns_added, null::varchar[] as columns_removed"
    for catalog in catalogs:
        return [
            Restatement(
                _key(*row[:6]),
                row[6],
                row[7],
                row[8],
                row[9],
                {
                    "rows_added": row[10],
                    "rows_removed": row[11],
                    "rows_changed": row[12],
                    "largest_relative_change": {p["column"]: p["change"] for p in row[13] or ()},
                    "columns_added": row[15],
                    "columns_removed": row[16],
                },
                str(row[14]),
            )
            for row in read_catalog(
                home,
                catalog,
                f"select {columns} from (from warehouse.meta.restatements"
                f" union all by name ({older} where false))",
            )
        ]
    return []


def _remembered_refusals(home: Home, catalogs: list[Path]) -> list[Refusal]:
    columns = (
        "dataset, exchange, symbol, interval, clock, period, object, size_bytes, reason, origin,"
        " refused_at"
    )
    for catalog in catalogs:
        return [
            Refusal(_key(*row[:6]), row[6], row[7], row[8], row[9], str(row[10]))
            for row in read_catalog(
                home, catalog, f"select {columns} from warehouse.meta.quarantine"
            )
        ]
    return []


def _key(
    dataset: str, exchange: str, symbol: str, interval: str | None, clock: str | None, period: str
) -> FileKey:
    return FileKey(dataset, SeriesKey(exchange, symbol, interval, clock), Period(period))


def _written_at(path: Path) -> str:
    moment = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
    return moment.isoformat(sep=" ", timespec="seconds")


# -- objects -------------------------------------------------------------------------------------


def _mend_objects(home: Home, manifest: Manifest) -> Iterator[str]:
    contracts = load_contracts()
    for file in manifest.files(superseded=True):
        path = home.object_path(file.object)
        if object_damage(home, file) is not None:
            yield _mend_bytes(home, manifest, file)
            continue
        try:
            if wrong_facts(home, file) is not None:
                facts = check_file(path, file.key, contracts.get(file.key.dataset))
                manifest.correct(file, facts=facts, size_bytes=path.stat().st_size)
                yield f"recorded again what {file.key} holds"
        except FileRefusedError as refused:
            if file.superseded_at is None:
                yield _take_out(home, manifest, file, refused.what)


def _take_out(home: Home, manifest: Manifest, file: StoredFile, reason: str) -> str:
    """A file of sound bytes that today's check refuses: refused now, and kept for generations."""
    home.quarantine.mkdir(exist_ok=True)
    kept = home.quarantine / f"{file.object}.refused"
    if not kept.exists():
        link_or_copy(home.object_path(file.object), kept)
    with manifest.transaction():
        manifest.record_refusal(
            file.key,
            object=file.object,
            size_bytes=file.size_bytes,
            reason=reason,
            origin=file.origin,
        )
        manifest.supersede(file.key)
    return (
        f"took {file.key} out of the lake, because it does not pass its check any more: {reason}; "
        f"its bytes stay, and so do the generations that show it\n  next: {WRITE_AGAIN}"
    )


def _mend_bytes(home: Home, manifest: Manifest, file: StoredFile) -> str:
    path, link = home.object_path(file.object), home.lake / file.key.path
    origin = Path(file.origin)
    for source in (link, *([origin] if origin.is_absolute() else [])):
        if source.is_file() and sha256_of(source) == file.object:
            _put_aside(home, path)
            copy(source, path)
            return f"brought {file.key} again from {source}"
    if _salvage_again(home, file):
        return f"salvaged {file.key} once more from the vendor's file in quarantine/"
    return _forget(home, manifest, file)


def _salvage_again(home: Home, file: StoredFile) -> bool:
    """Make a salvaged file from the vendor's once more, if that gives the same bytes."""
    source = home.quarantine / f"{file.facts.original}.refused"
    if not source.is_file() or sha256_of(source) != file.facts.original:
        return False
    home.build.mkdir(exist_ok=True)
    made = home.build / f"salvaged-{file.object}"
    try:
        check_file(source, file.key, load_contracts().get(file.key.dataset))
    except BadRowsError as bad:
        write_salvaged(source, made, file.facts.original, bad)
    except FileRefusedError:
        return False
    is_same = made.is_file() and sha256_of(made) == file.object
    if is_same:
        _put_aside(home, home.object_path(file.object))
        copy(made, home.object_path(file.object))
    made.unlink(missing_ok=True)
    return is_same


def _forget(home: Home, manifest: Manifest, file: StoredFile) -> str:
    link = home.lake / file.key.path
    if file.superseded_at is None and link.is_file():
        _put_aside(home, link)
    _put_aside(home, home.object_path(file.object))
    manifest.forget(file)
    if file.superseded_at is not None:
        return f"forgot the former version {file.object[:12]} of {file.key}"
    option = " --salvage" if file.facts.original else ""
    return f"forgot {file.key}, so that the next sync{option} fetches it"


# -- catalogs ------------------------------------------------------------------------------------


def _mend_catalog(home: Home) -> Iterator[str]:
    """Let readers have the newest generation that can be read, until the build is done."""
    for finding in verify_home(home):
        path = home.root / finding.subject
        if finding.about is About.LEFTOVER and path.is_file():
            path.unlink()
            yield f"removed {finding.subject}"
        elif finding.about is About.COPY:
            remove_copy(home, int(path.parent.name))
            yield f"removed {finding.subject}; the next build makes it again"
        elif finding.about is About.MONTH and path.is_file():
            _put_aside(home, path)
            yield f"put {finding.subject} aside"
    yield from _mend_journal(home)
    if home.catalog.is_file() and not isinstance(readable(home, home.catalog), str):
        return
    for number in reversed(generations(home)):
        if not isinstance(readable(home, generation_path(home, number)), str):
            point_to(home, generation_path(home, number))
            yield f"went back to generation {number}, which can be read"
            return
    if home.catalog.is_file():
        _put_aside(home, home.catalog)
        yield "put warehouse.duckdb aside"


def _mend_journal(home: Home) -> Iterator[str]:
    """Write what was published when again, from the longest that is left of it."""
    found = [f for f in verify_home(home, quick=True) if f.about is About.JOURNAL]
    if not found:
        return
    paths = [home.publications, *(journal_copy(home, number) for number in generations(home))]
    kept = [read_publications(path)[0] for path in paths if path.is_file()]
    entries = max(kept, key=len)
    for finding in found:
        _put_aside(home, home.root / finding.subject)
    write_publications(home.publications, entries)
    for path in paths[1:]:
        is_last = bool(entries) and path == journal_copy(home, entries[-1].generation)
        noted = read_publications(path)[0] if path.is_file() else []
        if is_last or entries[: len(noted)] != noted:
            write_publications(path, entries)
    count = counted(len(entries), "entry")
    yield f"wrote {home.publications.relative_to(home.root)} again: {count}"


def _retire(home: Home, findings: list[Finding]) -> Iterator[str]:
    """Put generations aside that still cannot be read whole; snapshots stay."""
    broken = {f.subject for f in findings if f.kind is Kind.DAMAGED}
    for number in generations(home):
        path = generation_path(home, number)
        reads = readable(home, path)
        is_broken = str(path.relative_to(home.root)) in broken or (
            not isinstance(reads, str) and not broken.isdisjoint(reads.months)
        )
        if is_broken and not snapshots_of(home, number) and not path.samefile(home.catalog):
            _put_aside(home, path)
            yield f"put generation {number} aside, which could not be read whole"


# -- helpers -------------------------------------------------------------------------------------


def _readable_catalogs(home: Home) -> list[Path]:
    """Published catalogs that can be read whole, the current one first, then the newest."""
    kept = [generation_path(home, number) for number in reversed(generations(home))]
    found = (path for path in (home.catalog, *kept) if path.is_file())
    return [path for path in found if not isinstance(readable(home, path), str)]


def _is_sound(home: Home, object: str) -> bool:
    path = home.object_path(object)
    return path.is_file() and sha256_of(path) == object


def _put_aside(home: Home, path: Path) -> None:
    """Keep what is damaged under ``quarantine/``, by its name and a number."""
    if not path.is_file():
        return
    home.quarantine.mkdir(exist_ok=True)
    stem = "-".join(path.relative_to(home.root).parts)[-200:]
    number = 1
    while (target := home.quarantine / f"{stem}.{number}.damaged").exists():
        number += 1
    path.replace(target)
