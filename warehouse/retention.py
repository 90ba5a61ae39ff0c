"""What is kept: snapshots by name, generations by age, and the only code that removes anything.

A kept generation pins every object and every stored month that it reads, so it gives the same
answers for ever. ``prune`` removes generations first and then what no kept one needs: killed at any
moment, it leaves nothing broken and the next prune finishes the work.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from warehouse.errors import NotFoundError, UsageError
from warehouse.home import Home, writing
from warehouse.manifest import Manifest
from warehouse.publish import current_generation, generation_path, generations, read_catalog

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MARK = ".snapshot"
KEEP_GENERATIONS = 5


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation on disk; ``built_at`` is naive UTC, ``snapshots`` are the names it bears."""

    number: int
    built_at: datetime
    is_current: bool
    snapshots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would remove."""

    generations: tuple[int, ...]
    objects: tuple[str, ...]
    files: tuple[Path, ...]
    size_bytes: int


def list_generations(home: Home) -> list[Generation]:
    """Every kept generation, the oldest first."""
    current = current_generation(home)
    return [
        Generation(
            number,
            _built_at(generation_path(home, number)),
            number == current,
            _snapshots(home, number),
        )
        for number in generations(home)
    ]


def find_generation(
    home: Home, *, snapshot: str | None = None, as_of: datetime | None = None
) -> int:
    """The generation that bears a name, or the newest that was built at or before a moment.

    Parameters
    ----------
    as_of
        Naive is UTC, aware is converted; included.

    Raises
    ------
    NotFoundError
        There is none; the message lists what there is.
    """
    kept = list_generations(home)
    if snapshot is not None:
        for generation in kept:
            if snapshot in generation.snapshots:
                return generation.number
        named = ", ".join(name for g in kept for name in g.snapshots) or "none"
        raise NotFoundError(f"no snapshot {snapshot!r}", next_step=f"snapshots: {named}")
    if as_of is None:
        return current_generation(home)
    moment = as_of if as_of.tzinfo is None else as_of.astimezone(UTC).replace(tzinfo=None)
    earlier = [generation for generation in kept if generation.built_at <= moment]
    if not earlier:
        first = kept[0].built_at if kept else "never"
        raise NotFoundError(
            f"no generation is as old as {moment} UTC", next_step=f"the oldest is of {first} UTC"
        )
    return earlier[-1].number


def take_snapshot(home: Home, name: str) -> int:
    """Name the current generation, so that it and all that it reads are never pruned.

    Raises
    ------
    UsageError
        The name is taken, or is no name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a snapshot",
            next_step="use up to 64 letters, digits, '.', '_' and '-', as in: paper-v1",
        )
    with writing(home, "snapshot"):
        generation = current_generation(home)
        taken = {other: g.number for g in list_generations(home) for other in g.snapshots}
        if name in taken:
            raise UsageError(
                f"the snapshot {name!r} is there already, of generation {taken[name]}",
                next_step="choose another name",
            )
        (generation_path(home, generation).parent / f"{name}{_MARK}").touch()
    return generation


def plan_prune(
    home: Home, *, keep: int = KEEP_GENERATIONS, older_than: datetime | None = None
) -> PrunePlan:
    """What would be removed: all but the current generation, named ones and the ``keep`` newest.

    With ``older_than`` (naive UTC) only generations that were built before it.
    """
    kept = list_generations(home)
    newest = {generation.number for generation in kept[len(kept) - keep :]} if keep > 0 else set()
    dropped = [
        g.number
        for g in kept
        if not (g.is_current or g.snapshots or g.number in newest)
        and (older_than is None or g.built_at < older_than)
    ]
    staying = [g.number for g in kept if g.number not in dropped]
    with Manifest(home.manifest) as manifest:
        files = manifest.files(superseded=True)
        refused = {refusal.object for refusal in manifest.quarantine()}
    needed_objects = {file.object for file in files if file.superseded_at is None}
    needed_marts: set[Path] = set()
    for number in staying:
        objects, marts = _reads(home, generation_path(home, number))
        needed_objects |= objects
        needed_marts |= marts
    objects = {file.object for file in files} - needed_objects
    unneeded = [home.object_path(object) for object in sorted(objects)]
    unneeded += [path for path in _mart_files(home) if not _is_needed(path, needed_marts)]
    unneeded += [p for p in sorted(home.quarantine.glob("*.refused")) if p.stem not in refused]
    catalogs = [generation_path(home, number) for number in dropped]
    size = sum(path.stat().st_size for path in (*unneeded, *catalogs) if path.is_file())
    return PrunePlan(tuple(dropped), tuple(sorted(objects)), tuple(unneeded), size)


def prune(
    home: Home, *, keep: int = KEEP_GENERATIONS, older_than: datetime | None = None
) -> PrunePlan:
    """Remove what :func:`plan_prune` names, and return it."""
    with writing(home, "prune"):
        plan = plan_prune(home, keep=keep, older_than=older_than)
        for number in plan.generations:
            shutil.rmtree(generation_path(home, number).parent)
        with Manifest(home.manifest) as manifest:
            manifest.forget_superseded(plan.objects)
        for path in plan.files:
            path.unlink(missing_ok=True)
    return plan


def _snapshots(home: Home, generation: int) -> tuple[str, ...]:
    """Names stand as empty files beside the catalog, so they need nothing else to survive."""
    folder = generation_path(home, generation).parent
    return tuple(sorted(path.name.removesuffix(_MARK) for path in folder.glob(f"*{_MARK}")))


def _built_at(catalog: Path) -> datetime:
    ((built_at,),) = read_catalog(catalog, "select built_at from warehouse.meta.build")
    assert isinstance(built_at, datetime)
    return built_at


def _reads(home: Home, catalog: Path) -> tuple[set[str], set[Path]]:
    """Objects and stored months that a catalog's views read."""
    objects = read_catalog(catalog, "select object from warehouse.meta.files")
    paths = read_catalog(catalog, "select path from warehouse.meta.stored")
    return {object for (object,) in objects}, {home.root / path for (path,) in paths}


def _mart_files(home: Home) -> Iterable[Path]:
    return sorted(path for path in home.marts.rglob("*") if path.is_file())


def _is_needed(path: Path, needed: set[Path]) -> bool:
    """A stored month that is read, or the carry that belongs to one."""
    if path.suffix == ".carry":
        return any(p.parent == path.parent and p.stem.endswith(path.stem) for p in needed)
    return path in needed
