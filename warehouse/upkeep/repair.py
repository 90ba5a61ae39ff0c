"""Repair a home: rebuild a lost manifest; set damage aside, so that sync and build replace it.

A damaged object is copied again from its link or the folder that it came from; where no copy is
left its row is dropped, so that the next sync fetches it. No bytes are deleted: damaged files
are in ``quarantine/`` afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from warehouse.build import remove_copy
from warehouse.display import counted
from warehouse.errors import FileRefusedError
from warehouse.files import copy, link_or_copy, put, sha256_of
from warehouse.generations import (
    generations,
    journal_copy,
    point_to,
    read_publications,
    snapshots_of,
    write_publications,
)
from warehouse.home import Home, generation_path, writing
from warehouse.lake import BadRowsError, Lake, Manifest, StoredFile, check_file, write_salvaged
from warehouse.upkeep.rebuild import rebuild_manifest
from warehouse.upkeep.verify import (
    WRITE_AGAIN,
    About,
    Finding,
    Severity,
    object_damage,
    readable,
    verify_home,
    wrong_facts,
)
from warehouse.vendor import load_contracts

# A function that builds and publishes a catalog; called without the home's lock.
Build = Callable[[], object]


def repair_home(home: Home, build: Build) -> list[str]:
    """Repair what can be repaired without the vendor; returns descriptions of what was done.

    A generation that cannot be read whole is set aside, unless it is a snapshot.

    Raises
    ------
    LockedError
        Another process writes to this home.
    """
    with writing(home, "verify"):
        done = [*_repair_lake(home), *_repair_catalogs(home)]
    if generations(home) or any(home.marts.rglob("*.parquet")):
        findings = verify_home(home)
        if any(f.about in (About.CATALOG, About.MONTH) for f in findings):
            done.append("building again")
            build()
            findings = verify_home(home)
        with writing(home, "verify"):
            done += _retire(home, findings)
    return done


# -- the lake ------------------------------------------------------------------------------------


def _repair_lake(home: Home) -> Iterator[str]:
    findings = verify_home(home, quick=True)
    if any(finding.about is About.MANIFEST for finding in findings):
        home.build.mkdir(exist_ok=True)
        for path in home.build.glob("manifest.sqlite*"):
            path.unlink()
        done = rebuild_manifest(home, home.build / "manifest.sqlite")
        for path in (home.manifest, home.manifest.with_name("manifest.sqlite-journal")):
            _set_aside(home, path)
        put(home.build / "manifest.sqlite", home.manifest)
        yield done
    with Manifest(home.manifest, create=True) as manifest:
        yield from _repair_objects(home, manifest)
        for path in Lake(home, manifest).sweep():
            yield f"removed {path.relative_to(home.root)}"
    links = sum(f.about is About.LINK and f.kind is not Severity.STRAY for f in findings)
    if links:
        yield f"restored {counted(links, 'link')} of the lake"


def _repair_objects(home: Home, manifest: Manifest) -> Iterator[str]:
    doubtful = [f for f in manifest.files(superseded=True) if not _is_as_recorded(home, f)]
    for file in doubtful:
        path = home.object_path(file.object)
        if object_damage(home, file) is not None:
            _set_aside(home, path)
            yield _restore(home, file) or _forget(home, manifest, file)
            continue
        try:
            if wrong_facts(home, file) is not None:
                facts = check_file(path, file.key, load_contracts().get(file.key.dataset))
                manifest.correct(file, facts=facts, size_bytes=path.stat().st_size)
                yield f"recorded the facts of {file.key} again"
        except FileRefusedError as refused:
            if file.superseded_at is None:
                yield _take_out(home, manifest, file, refused.what)


def _is_as_recorded(home: Home, file: StoredFile) -> bool:
    try:
        return object_damage(home, file) is None and wrong_facts(home, file) is None
    except FileRefusedError:
        return False


def _restore(home: Home, file: StoredFile) -> str | None:
    """Find a copy of a file's bytes and return what it was copied from; None if there is none."""
    for source, name in _sources(home, file):
        if source.is_file() and sha256_of(source) == file.object:
            copy(source, home.object_path(file.object))
            return f"restored {file.key} from {name}"
    return None


def _sources(home: Home, file: StoredFile) -> Iterator[tuple[Path, str]]:
    """Files that may be copies of a file, each with its description."""
    origin, refused = Path(file.origin), home.quarantine / f"{file.facts.original}.refused"
    for path in (home.lake / file.key.path, *([origin] if origin.is_absolute() else [])):
        yield path, str(path)
    if refused.is_file() and sha256_of(refused) == file.facts.original:
        home.build.mkdir(exist_ok=True)
        made = home.build / f"salvaged-{file.object}"
        try:
            check_file(refused, file.key, load_contracts().get(file.key.dataset))
        except BadRowsError as bad:
            write_salvaged(refused, made, file.facts.original, bad)
            yield made, "the vendor's file in quarantine/, salvaged again"
        except FileRefusedError:
            return
        finally:
            made.unlink(missing_ok=True)


def _take_out(home: Home, manifest: Manifest, file: StoredFile, reason: str) -> str:
    """Refuse an undamaged file that fails the current check; generations keep it."""
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
        f"removed {file.key} from the lake, because it no longer passes its check: {reason}; "
        f"its bytes and the generations with it are kept\n  next: {WRITE_AGAIN}"
    )


def _forget(home: Home, manifest: Manifest, file: StoredFile) -> str:
    if file.superseded_at is None:
        _set_aside(home, home.lake / file.key.path)
    manifest.forget(file)
    if file.superseded_at is not None:
        return f"dropped the former version {file.object[:12]} of {file.key}"
    option = " --salvage" if file.facts.original else ""
    return f"dropped {file.key}, so that the next sync{option} fetches it"


# -- catalogs ------------------------------------------------------------------------------------


def _repair_catalogs(home: Home) -> Iterator[str]:
    """Point the catalog to the newest readable generation until the build is done."""
    findings = verify_home(home)
    for finding in findings:
        path = home.root / finding.subject
        if finding.about is About.COPY:
            remove_copy(home, int(path.parent.name))
            yield f"removed {finding.subject}; the next build creates it again"
        elif finding.about is About.MONTH and path.is_file():
            _set_aside(home, path)
            yield f"moved {finding.subject} to quarantine/"
    journals = [home.root / f.subject for f in findings if f.about is About.JOURNAL]
    if journals:
        yield _rewrite_journal(home, journals)
    if home.catalog.is_file() and not isinstance(readable(home, home.catalog), str):
        return
    for number in reversed(generations(home)):
        if not isinstance(readable(home, generation_path(home, number)), str):
            point_to(home, generation_path(home, number))
            yield f"returned to generation {number}, which is readable"
            return
    if home.catalog.is_file():
        _set_aside(home, home.catalog)
        yield "moved warehouse.duckdb to quarantine/"


def _rewrite_journal(home: Home, damaged: list[Path]) -> str:
    """Restore the journal of publications from its longest copy."""
    copies = [journal_copy(home, number) for number in generations(home)]
    noted = {p: read_publications(p)[0] for p in (home.publications, *copies) if p.is_file()}
    entries = max(noted.values(), key=len)
    for path in damaged:
        _set_aside(home, path)
    last = {journal_copy(home, entry.generation) for entry in entries[-1:]}
    for path in (home.publications, *copies):
        held = noted.get(path, []) if path.is_file() else []
        if path == home.publications or path in last or entries[: len(held)] != held:
            write_publications(path, entries)
    place = home.publications.relative_to(home.root)
    return f"wrote {place} again: {counted(len(entries), 'entry')}"


def _retire(home: Home, findings: list[Finding]) -> Iterator[str]:
    """Move generations that are still damaged to quarantine, except snapshots."""
    broken = {f.subject for f in findings if f.kind is Severity.DAMAGED}
    for number in generations(home):
        path = generation_path(home, number)
        reads = readable(home, path)
        is_broken = str(path.relative_to(home.root)) in broken or (
            not isinstance(reads, str) and not broken.isdisjoint(reads.months)
        )
        if is_broken and not snapshots_of(home, number) and not path.samefile(home.catalog):
            _set_aside(home, path)
            yield f"moved the catalog of generation {number}, which is damaged, to quarantine/"


def _set_aside(home: Home, path: Path) -> None:
    """Move a damaged file to ``quarantine/``, under its name and a number."""
    if not path.is_file():
        return
    home.quarantine.mkdir(exist_ok=True)
    stem = "-".join(path.relative_to(home.root).parts)[-200:]
    number = 1
    while (target := home.quarantine / f"{stem}.{number}.damaged").exists():
        number += 1
    path.replace(target)
