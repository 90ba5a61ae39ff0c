"""Updates a home from its bucket: completely, or only the catalogs for a reader."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from warehouse.bucket.push import names_of
from warehouse.bucket.record import Record, locked, read_record, require_head, write_record
from warehouse.bucket.state import KeptGeneration, State
from warehouse.bucket.store import Store
from warehouse.bucket.transfer import fetch_blob, fetch_file, in_parallel
from warehouse.files import link_atomically, sha256_of, temporary
from warehouse.generations import SNAPSHOT_MARK, generations, is_open
from warehouse.home import Home, generation_path, writing
from warehouse.lake import Lake, Manifest, StoredFile


def pull_home(home: Home, store: Store) -> int | None:
    """Fetch everything in the bucket, so that the home can write there; returns the generation.

    Files that were synced here but not pushed stay in the lake for the next build. A catalog that
    was built here but not pushed is replaced; the next build finds its months.
    """
    with writing(home, "pull"):
        head = require_head(store, store.read_head())
        if read_record(home, store).state == head.state and home.manifest.is_file():
            return head.state.current
        missing = [n for n in names_of(store, head) if n and not (home.root / n).is_file()]
        in_parallel(lambda name: fetch_file(store, home, name), sorted(missing))
        with locked(home, "pull.lock"):
            _merge_manifests(home, store, head.state)
            numbers = [kept.number for kept in head.state.generations]
            take_generations(home, store, head.state, head.tag, numbers)
        return head.state.current


def _merge_manifests(home: Home, store: Store, state: State) -> None:
    """Replace the manifest by the bucket's, with the files that only this home has.

    Of two versions of a file the one that was fetched later is current.
    """
    unfinished = temporary(home.manifest)
    fetch_blob(store, state.manifest, unfinished)
    with Manifest(unfinished) as manifest:
        ours: list[StoredFile] = []
        if home.manifest.is_file():
            with Manifest(home.manifest) as mine:
                ours = mine.files_beyond(unfinished)
        lake = Lake(home, manifest)
        with lake.together():
            for file in ours:
                other = manifest.file(file.key)
                if other is None or other.fetched_at < file.fetched_at:
                    lake.admit(
                        file.key,
                        home.object_path(file.object),
                        origin=file.origin,
                        stamp=file.origin_stamp,
                        current=other,
                    )
        manifest.distrust_links()
        # former files that no generation reads are on the machine that synced them only
        superseded = {object for object, is_current, _ in manifest.objects() if not is_current}
        manifest.forget_superseded(o for o in superseded if not home.object_path(o).is_file())
    unfinished.replace(home.manifest)
    with Manifest(home.manifest) as manifest:
        Lake(home, manifest).sweep()


def take_generations(
    home: Home, store: Store, state: State, tag: str, numbers: Collection[int]
) -> None:
    """Make generations of the bucket and its journal those of the home, the current one last.

    The caller holds the lock ``pull.lock``. Those that the bucket no longer has are removed, unless
    a session has them open.
    """
    for number in generations(home):
        kept = state.generation(number)
        path = generation_path(home, number)
        if kept is None and is_open(home, number):
            continue
        if kept is None or sha256_of(path) != kept.catalog.sha256:
            shutil.rmtree(path.parent)  # with its native copy
    for number in sorted(numbers):
        if (kept := state.generation(number)) is not None:
            _take_generation(store, kept, generation_path(home, number))
    if state.journal is not None:
        fetch_blob(store, state.journal, home.publications)
    if state.current is not None:
        link_atomically(generation_path(home, state.current), home.catalog)
    write_record(home, Record(store.address, state, tag))


def _take_generation(store: Store, kept: KeptGeneration, path: Path) -> None:
    """Fetch a catalog unless it is there, and give it the names of its snapshots."""
    if not path.is_file():
        fetch_blob(store, kept.catalog, path, mode=0o444)
    marks = {f"{name}{SNAPSHOT_MARK}" for name in kept.snapshots}
    for mark in path.parent.glob(f"*{SNAPSHOT_MARK}"):
        if mark.name not in marks:
            mark.unlink()
    for name in marks:
        (path.parent / name).touch()
