"""Check that nothing in a home is damaged; reads everything and changes nothing.

Manifest, objects, links, catalogs and stored months are compared with each other. Damaged files
cannot be trusted until they are repaired (``upkeep.repair``); stale ones are replaced by the next
build; stray ones do no harm; a note is about a former version of a file. What the data lacks is not
checked here: ``warehouse status`` shows missing bars and unusual values.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from warehouse.build import copy_damage, month_damage
from warehouse.display import counted
from warehouse.errors import BUILD, REPAIR, DamagedError, FileRefusedError, NewerHomeError
from warehouse.files import leftovers, sha256_of
from warehouse.generations import (
    Reads,
    catalog_reads,
    generations,
    journal_copy,
    lost_catalog,
    read_publications,
    require_as_published,
    snapshots_of,
)
from warehouse.home import Home, generation_path, native_copy
from warehouse.lake import (
    FileFacts,
    Manifest,
    StoredFile,
    check_file,
    is_link,
    shows,
)
from warehouse.vendor import OTHER_TYPE, load_contracts


class Severity(StrEnum):
    """Severity of a finding."""

    DAMAGED = "damaged"
    STALE = "stale"
    STRAY = "stray"
    NOTE = "note"


class About(StrEnum):
    """The part of the home that a finding is about; repair depends on it."""

    MANIFEST = "manifest"
    OBJECT = "object"
    LINK = "link"
    CATALOG = "catalog"
    GENERATION = "generation"
    JOURNAL = "journal"
    MONTH = "month"
    COPY = "copy"
    LEFTOVER = "leftover"
    BUCKET = "bucket"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, and what to do about it; ``subject`` is a path below the home."""

    kind: Severity
    about: About
    subject: str
    what: str
    next_step: str


WRITE_AGAIN = "correct the file so that it passes, then: warehouse sync --from FOLDER"


def verify_home(home: Home, *, quick: bool = False) -> list[Finding]:
    """All problems of a home, in the order of the data flow.

    With ``quick`` names and sizes are compared, without reading files.

    Raises
    ------
    NotFoundError
        Nothing was synced into this home yet.
    NewerHomeError
        A newer version of the product wrote it.
    """
    if not home.manifest.is_file() and not home.holds_objects():
        home.require_lake()
    try:
        with Manifest(home.manifest) as manifest:
            manifest.require_sound()
            manifest.quarantine()
            manifest.restatements()
            seen = _look_through(home, manifest, quick=quick)
    except NewerHomeError:
        raise
    except DamagedError as error:
        return [Finding(Severity.DAMAGED, About.MANIFEST, "manifest.sqlite", error.what, REPAIR)]
    return [
        *seen.of_objects,
        *_check_stray_objects(home, seen.damage),
        *seen.of_links,
        *_check_stray_links(home, seen.links),
        *_check_catalogs(home, seen, quick=quick),
        *_check_journal(home),
        *_check_leftovers(home),
    ]


@dataclass(slots=True)
class _Seen:
    """Objects and links named by the manifest, and the findings on them.

    Attributes
    ----------
    damage
        Every object, current or former, with its damage.
    shown
        The objects of current files.
    links
        Paths in ``lake/`` that should be links.
    """

    damage: dict[str, str | None] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    of_objects: list[Finding] = field(default_factory=list)
    of_links: list[Finding] = field(default_factory=list)


# -- objects and links ---------------------------------------------------------------------------


def object_damage(home: Home, file: StoredFile, *, quick: bool = False) -> str | None:
    """Damage of a file's bytes; None if they are unchanged since the import."""
    path = home.object_path(file.object)
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if quick and size != file.size_bytes:
        return f"has {counted(size, 'byte')}, the manifest has {file.size_bytes:,}"
    if not quick and sha256_of(path) != file.object:
        return "its bytes do not match the hash in its name"
    return None


def wrong_facts(home: Home, file: StoredFile) -> str | None:
    """How the manifest differs from the content of an undamaged file; None if it does not.

    Raises
    ------
    FileRefusedError
        The file passed the check of an earlier version, but not that of this one.
    """
    path = home.object_path(file.object)
    facts = check_file(path, file.key, load_contracts().get(file.key.dataset))
    vague = {name for name, kind in file.facts.columns if kind == OTHER_TYPE}
    columns = tuple((name, OTHER_TYPE if name in vague else kind) for name, kind in facts.columns)
    facts = replace(facts, columns=columns)
    for name in _LASTING_FACTS:
        found, recorded = getattr(facts, name), getattr(file.facts, name)
        if found != recorded:
            return f"{name}: holds {_shortened(found)}, the manifest has {_shortened(recorded)}"
    if path.stat().st_size != file.size_bytes:
        return f"has {counted(path.stat().st_size, 'byte')}, the manifest has {file.size_bytes:,}"
    return None


# Facts that depend on the bytes alone; missing and new columns depend on the contract.
_LASTING_FACTS = ("rows", "first_us", "last_us", "runs", "columns", "nulls", "is_sorted")
assert set(_LASTING_FACTS) < set(FileFacts.__slots__)


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _look_through(home: Home, manifest: Manifest, *, quick: bool) -> _Seen:
    """Check the rows of the manifest with their objects and links."""
    seen = _Seen()
    for file in manifest.files(superseded=True):
        seen.of_objects += _check_object(home, file, seen.damage, quick=quick)
        if file.superseded_at is not None:
            continue
        seen.shown.add(file.object)
        if home.has_links:
            path = home.lake / file.key.path
            seen.links.add(str(path))
            seen.of_links += _check_link(home, path, home.object_path(file.object))
    return seen


def _check_object(
    home: Home, file: StoredFile, damage: dict[str, str | None], *, quick: bool
) -> Iterator[Finding]:
    """``damage`` remembers the finding on each object."""
    if file.object not in damage:
        damage[file.object] = object_damage(home, file, quick=quick)
    subject = f"objects/{file.object}.parquet"
    what = damage[file.object]
    try:
        if what is None and not quick:
            what = wrong_facts(home, file)
    except FileRefusedError as refused:
        yield _outdated(file, subject, refused.what)
        return
    if what is not None:
        yield Finding(Severity.DAMAGED, About.OBJECT, subject, f"({file.key}) {what}", REPAIR)


def _check_link(home: Home, path: Path, stored: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding(Severity.STALE, About.LINK, _below(home, path), "is missing", REPAIR)
    elif not shows(path, stored):
        what = "points to another object"
        yield Finding(Severity.STALE, About.LINK, _below(home, path), what, REPAIR)


def _check_stray_objects(home: Home, known: Collection[str]) -> Iterator[Finding]:
    paths = home.objects.iterdir() if home.objects.is_dir() else ()
    for path in sorted(p for p in paths if p.stem not in known and not p.name.startswith(".")):
        step = "a sync reuses it if the same file arrives again, else: warehouse prune"
        what = "is not in the manifest"
        if home.bucket_record.is_file():
            what += "; former files that no generation reads are dropped from it when a machine"
            what += " that never had them publishes"
        yield Finding(Severity.STRAY, About.OBJECT, f"objects/{path.name}", what, step)


def _outdated(file: StoredFile, subject: str, reason: str) -> Finding:
    """An undamaged file that this version would refuse; a former one may stay."""
    what = f"({file.key}) no longer passes its check: {reason}"
    if file.superseded_at is None:
        return Finding(Severity.DAMAGED, About.OBJECT, subject, what, REPAIR)
    step = f"{WRITE_AGAIN}; kept generations still contain it"
    return Finding(Severity.NOTE, About.OBJECT, subject, what, step)


def _check_stray_links(home: Home, expected: Collection[str]) -> Iterator[Finding]:
    left = set(leftovers(home.root))
    for folder, _, names in os.walk(home.lake):
        for name in names:
            path = Path(folder, name)
            if str(path) in expected or path in left:
                continue
            if not home.has_links and is_link(path):  # the next sync removes it
                continue
            lake = shlex.quote(str(home.lake))
            step = f"import it with: warehouse sync --from {lake}, or move it elsewhere"
            what = "is not in the manifest"
            yield Finding(Severity.STRAY, About.LINK, _below(home, path), what, step)


# -- catalogs and stored months ------------------------------------------------------------------


def _check_catalogs(home: Home, seen: _Seen, *, quick: bool) -> Iterator[Finding]:
    reads: Reads | str = "is missing"
    if not home.catalog.is_file():
        kind, what, step = Severity.STALE, "is missing", BUILD
        if (lost := lost_catalog(home)) is not None:
            kind, what, step = Severity.DAMAGED, lost, REPAIR
        yield Finding(kind, About.CATALOG, "warehouse.duckdb", what, step)
    else:
        reads = readable(home, home.catalog, quick=quick)
        if isinstance(reads, str):
            yield Finding(Severity.DAMAGED, About.CATALOG, "warehouse.duckdb", reads, REPAIR)
        elif reads.objects != seen.shown:
            differing = counted(len(reads.objects ^ seen.shown), "different file")
            what = f"differs from the lake: {differing}"
            yield Finding(Severity.STALE, About.CATALOG, "warehouse.duckdb", what, BUILD)
        elif reads.home != str(home.root) and not (home.settings and home.settings.store):
            what = f"was built when the home was {reads.home}"
            yield Finding(Severity.STALE, About.CATALOG, "warehouse.duckdb", what, BUILD)
    months: dict[str, str | None] = {}
    for number in generations(home):
        path = generation_path(home, number)
        found = reads if _is_of(reads, home, number) else readable(home, path, quick=quick)
        yield from _check_generation(home, number, found, seen.damage, months, quick=quick)
    yield from _check_unread(home, months, quick=quick)


def _is_of(reads: Reads | str, home: Home, number: int) -> bool:
    """Whether the catalog that was read is a generation's own file, so that one read is enough."""
    with suppress(FileNotFoundError):  # pruned or published meanwhile
        if isinstance(reads, Reads) and reads.generation == number:
            return generation_path(home, number).samefile(home.catalog)
    return False


def _check_journal(home: Home) -> Iterator[Finding]:
    """Findings on the journal, of which each generation keeps a copy up to its own entry."""
    copies = {}
    for number in generations(home):  # read first: the journal only grows meanwhile
        path = journal_copy(home, number)
        if path.is_file():
            copies[number], is_whole = read_publications(path)
            if not is_whole:
                what = "is truncated or changed"
                yield Finding(Severity.DAMAGED, About.JOURNAL, _below(home, path), what, REPAIR)
    subject = _below(home, home.publications)
    if not home.publications.is_file():
        if copies:
            yield Finding(Severity.DAMAGED, About.JOURNAL, subject, "is missing", REPAIR)
        return
    entries, is_whole = read_publications(home.publications)
    lacking = [n for n, noted in copies.items() if entries[: len(noted)] != noted]
    if not is_whole or lacking:
        what = "is truncated or changed" + "".join(
            f": the copy in generation {number} has more entries" for number in lacking[-1:]
        )
        yield Finding(Severity.DAMAGED, About.JOURNAL, subject, what, REPAIR)


def _check_generation(
    home: Home,
    number: int,
    reads: Reads | str,
    known: Collection[str],
    months: dict[str, str | None],
    *,
    quick: bool,
) -> Iterator[Finding]:
    """``known`` objects are checked elsewhere; ``months`` caches the findings on stored months."""
    path = generation_path(home, number)
    names = snapshots_of(home, number)
    step = REPAIR
    if names:
        drop = " and ".join(f"warehouse snapshot {name} --drop" for name in names)
        step = f"restore it from a backup, or drop it: {drop}, then verify --repair"
    if isinstance(reads, str):
        yield Finding(Severity.DAMAGED, About.GENERATION, _below(home, path), reads, step)
        return
    for object in sorted(o for o in reads.objects if o not in known):
        if not home.object_path(object).is_file():
            what = f"reads objects/{object}.parquet, which is missing"
            yield Finding(Severity.DAMAGED, About.GENERATION, _below(home, path), what, step)
    damage = None if quick else copy_damage(home, number)
    if damage is not None:
        subject = _below(home, native_copy(home, number).closed)
        what = f"(the native copy of generation {number}) {damage}"
        yield Finding(Severity.DAMAGED, About.COPY, subject, what, REPAIR)
    for name, rows in sorted(reads.months.items()):
        if name not in months:
            months[name] = month_damage(home.root / name, rows, quick=quick)
            if months[name] is not None:
                what = f"(of generation {number}) {months[name]}"
                yield Finding(Severity.DAMAGED, About.MONTH, name, what, REPAIR)


def readable(home: Home, catalog: Path, *, quick: bool = False) -> Reads | str:
    """The files that a catalog reads, or a description of its damage.

    Unless ``quick`` all its tables are read, and its bytes must be those that were published.
    """
    try:
        reads = catalog_reads(home, catalog, whole=not quick)
        if not quick:
            require_as_published(home, catalog, reads.generation)
    except DamagedError as error:
        return error.what
    return reads


def _check_unread(home: Home, months: Iterable[str], *, quick: bool) -> Iterator[Finding]:
    """Check files of ``marts/`` that no catalog reads, because the next build may reuse them."""
    read = {home.root / name for name in months}
    for path in sorted(home.marts.rglob("*")):
        if path.suffix == ".parquet" and path not in read:
            damage = month_damage(path, quick=quick)
            if damage is not None:
                yield Finding(Severity.DAMAGED, About.MONTH, _below(home, path), damage, REPAIR)


def _check_leftovers(home: Home) -> Iterator[Finding]:
    """Find the leftovers of killed processes."""
    for path in leftovers(home.root):
        step = "the next sync or build removes it; so does: warehouse verify --repair"
        what = "was left by a killed process"
        yield Finding(Severity.STRAY, About.LEFTOVER, _below(home, path), what, step)


# -- helpers -------------------------------------------------------------------------------------


def _below(home: Home, path: Path) -> str:
    return str(path.relative_to(home.root))
