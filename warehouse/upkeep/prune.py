"""Snapshots, and the removal of old generations; no other code removes vendor files.

A kept generation keeps every object and every stored month that it reads, so its results never
change. ``prune_home`` removes generations first and then what no kept one needs: if it is killed,
nothing is broken and the next prune finishes the work. A generation that another process has open
stays.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from warehouse.build import remove_copy
from warehouse.errors import NotFoundError, UsageError
from warehouse.files import SHA256
from warehouse.generations import (
    SNAPSHOT_MARK,
    catalog_reads,
    current_generation,
    generations,
    is_open,
    list_generations,
    snapshots_of,
)
from warehouse.home import Home, generation_path, native_copy, writing
from warehouse.lake import Manifest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEEP_GENERATIONS = 5


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would remove; generations ``in_use`` stay because a session has them open."""

    generations: tuple[int, ...]
    objects: tuple[str, ...]
    files: tuple[Path, ...]
    size_bytes: int
    in_use: tuple[int, ...] = ()


def take_snapshot(home: Home, name: str) -> int:
    """Name the current generation, so that it and all that it reads are never pruned."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid name for a snapshot",
            next_step="use up to 64 letters, digits, '.', '_' and '-', as in: paper-v1",
        )
    with writing(home, "snapshot"):
        generation = current_generation(home)
        taken = {other: g.number for g in list_generations(home) for other in g.snapshots}
        if name in taken:
            raise UsageError(
                f"the snapshot {name!r} already exists, of generation {taken[name]}",
                next_step="choose another name",
            )
        (generation_path(home, generation).parent / f"{name}{SNAPSHOT_MARK}").touch()
    return generation


def drop_snapshot(home: Home, name: str) -> int:
    """Drop a name; the generation stays until it is pruned like any other."""
    with writing(home, "snapshot"):
        for number in generations(home):
            if name in snapshots_of(home, number):
                (generation_path(home, number).parent / f"{name}{SNAPSHOT_MARK}").unlink()
                return number
    raise NotFoundError(f"no snapshot {name!r}", next_step="list them with: warehouse snapshot")


def plan_prune(home: Home, *, keep: int = KEEP_GENERATIONS) -> PrunePlan:
    """Plan to remove all but the current generation, named ones and the ``keep`` newest.

    Raises
    ------
    DamagedError
        A generation cannot be read; nothing may be removed, because its files are unknown.
    """
    found = list_generations(home)
    aged = [
        g.number for g in found[: max(len(found) - keep, 0)] if not (g.is_current or g.snapshots)
    ]
    in_use = tuple(n for n in aged if is_open(home, n))
    dropped = tuple(n for n in aged if n not in in_use)
    objects, files = _unneeded(home, [g.number for g in found if g.number not in dropped])
    catalogs = [generation_path(home, number) for number in dropped]
    catalogs += [file for number in dropped for file in native_copy(home, number)]
    size = sum(path.stat().st_size for path in (*files, *catalogs) if path.is_file())
    return PrunePlan(dropped, objects, files, size, in_use)


def _unneeded(home: Home, staying: Sequence[int]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Objects that neither the lake nor a staying generation needs, and all such files."""
    with Manifest(home.manifest) as manifest:
        refused = {refusal.object for refusal in manifest.quarantine()}
        needed_objects = set[str]()
        objects = set(_objects_on_disk(home))
        salvaged: dict[str, str] = {}
        for object, is_current, original in manifest.objects():
            (needed_objects if is_current else objects).add(object)
            if original is not None:
                salvaged[object] = original
    needed_marts: set[Path] = set()
    for number in staying:
        reads = catalog_reads(home, generation_path(home, number))
        needed_objects |= reads.objects
        needed_marts |= {home.root / path for path in reads.months}
    refused |= {original for object, original in salvaged.items() if object in needed_objects}
    unneeded = tuple(sorted(objects - needed_objects))
    files = [home.object_path(object) for object in unneeded]
    files += [p for p in sorted(home.marts.rglob("*")) if p.is_file() and p not in needed_marts]
    files += [p for p in sorted(home.quarantine.glob("*.refused")) if p.stem not in refused]
    return unneeded, tuple(files)


def prune_home(home: Home, *, keep: int = KEEP_GENERATIONS) -> PrunePlan:
    """Remove what :func:`plan_prune` names, and return it."""
    with writing(home, "prune"):
        plan = plan_prune(home, keep=keep)
        for number in plan.generations:
            remove_copy(home, number)
            generation_path(home, number).unlink()
        _sweep_folders(home)
        objects = {home.object_path(object) for object in plan.objects}
        # first files that the manifest does not record, because it cannot be written on a full disk
        for path in plan.files:
            if path not in objects:
                path.unlink(missing_ok=True)
        with Manifest(home.manifest) as manifest:
            manifest.forget_superseded(plan.objects)
        for path in objects:
            path.unlink(missing_ok=True)
    return plan


def _objects_on_disk(home: Home) -> Iterable[str]:
    """All objects on disk, including those that a killed sync left without a row."""
    return (path.stem for path in home.objects.glob("*.parquet") if SHA256.fullmatch(path.stem))


def _sweep_folders(home: Home) -> None:
    """Remove folders without a catalog except the last, so that no number is used twice."""
    folders = [path for path in home.generations.iterdir() if path.name.isdigit()]
    last = max(folders, key=lambda path: int(path.name), default=None)
    for folder in folders:
        if folder != last and not (folder / "warehouse.duckdb").exists():
            shutil.rmtree(folder)
