"""Publishes a home to its bucket: first the files, under the names of their content, then HEAD.

A push that is killed before it moves HEAD leaves files that nobody reads; the next push uses them.
If another machine has published in the meantime, HEAD stays (``record.require_newest``), and the
next pull merges the two (``pull``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from warehouse.bucket.record import (
    Record,
    note_pending,
    read_record,
    require_newest,
    require_not_pruned,
    write_record,
)
from warehouse.bucket.state import Blob, KeptGeneration, State
from warehouse.bucket.store import Head, Store
from warehouse.bucket.transfer import FOLDERS, fetch_bytes, in_parallel, send_blob, send_file
from warehouse.errors import OvertakenError
from warehouse.files import sha256_of
from warehouse.generations import catalog_reads, current_generation, generations, snapshots_of
from warehouse.home import Home, generation_path, writing
from warehouse.lake import Manifest

_ATTEMPTS = 5
# From this number of files on, a push first lists those that an interrupted push has sent.
_WORTH_LISTING = 50


@dataclass(frozen=True, slots=True)
class Pushed:
    """The new state of HEAD after a push, and the sent files."""

    generation: int | None
    files: int
    size_bytes: int


def require_pulled(home: Home, store: Store) -> None:
    """Raise OvertakenError if the bucket has something that this home lacks, before any work."""
    require_newest(store, store.read_head(), read_record(home, store))


def push_home(home: Home, store: Store, *, again: bool = False) -> Pushed | None:
    """Publish the home; None if the bucket is up to date.

    With ``again`` everything is sent as to an empty bucket, because some objects there are damaged.

    Raises
    ------
    OvertakenError
        Another machine has published since this home last pulled, or is pruning.
    StoreError
        The bucket cannot be reached or refuses; it is unchanged.
    """
    with writing(home, "push"):
        now = store.require_conditions()
        for _ in range(_ATTEMPTS):
            head, record = store.read_head(), read_record(home, store)
            require_newest(store, head, record)
            require_not_pruned(store, head, now)
            state, names = _state_of(home, store, None if again else head)
            if head is not None and state.means(head.state) and not again:
                write_record(home, Record(store.address, head.state, head.tag))
                return None
            sizes = _send(home, store, names - names_of(store, None if again else head))
            note_pending(home, record, state)
            try:
                tag = store.move_head(head, state)
            except OvertakenError:
                continue  # by a prune or a publication, which the next attempt finds
            write_record(home, Record(store.address, state, tag))
            return Pushed(state.current, len(sizes), sum(sizes))
    raise OvertakenError(
        f"{store.address}: other machines kept writing to it during every attempt",
        next_step="run the same command again",
    )


def names_of(store: Store, head: Head | None) -> set[str]:
    """Names of all vendor files and stored months that a HEAD needs."""
    return set() if head is None else set(fetch_bytes(store, head.state.names).decode().split("\n"))


def needed_names(home: Home, numbers: Collection[int]) -> set[str]:
    """Names of the vendor files and stored months of the manifest and of generations."""
    with Manifest(home.manifest) as manifest:
        names = {f"objects/{object}.parquet" for _, object in manifest.current_objects()}
    for number in numbers:
        reads = catalog_reads(home, generation_path(home, number))
        names |= {f"objects/{object}.parquet" for object in reads.objects} | reads.months.keys()
    return names


def _state_of(home: Home, store: Store, head: Head | None) -> tuple[State, set[str]]:
    """The state of the home; its catalogs, journal and manifest are sent."""
    known = {part for blob in (head.state.blobs if head else ()) for part in blob.parts}
    numbers = generations(home)
    kept = tuple(_generation(home, store, number, head, known) for number in numbers)
    names = needed_names(home, numbers)
    home.store.mkdir(parents=True, exist_ok=True)
    copy = home.store / ".manifest.sqlite.new"
    try:
        _copy_manifest(home.manifest, copy)
        manifest = send_blob(store, copy, known)
    finally:
        copy.unlink(missing_ok=True)
    journal = home.publications
    listed = send_blob(store, "\n".join(sorted(names)).encode(), known)
    return State(
        current_generation(home) if home.catalog.is_file() else None,
        kept,
        send_blob(store, journal, known) if journal.is_file() else None,
        manifest,
        listed,
    ), names


def _generation(
    home: Home, store: Store, number: int, head: Head | None, known: Collection[str]
) -> KeptGeneration:
    path = generation_path(home, number)
    before = head.state.generation(number) if head else None
    catalog: Blob
    if before is not None and before.catalog.sha256 == sha256_of(path):
        catalog = before.catalog
    else:
        catalog = send_blob(store, path, known)
    return KeptGeneration(number, catalog, snapshots_of(home, number))


def _copy_manifest(manifest: Path, copy: Path) -> None:
    """Copy page by page, so that a grown manifest has most parts in common with the former one."""
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(manifest)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def _send(home: Home, store: Store, names: Collection[str]) -> list[int]:
    """Send files; returns their sizes."""
    there: set[str] = set()
    if len(names) > _WORTH_LISTING:
        sizes = {one.name: one.size_bytes for folder in FOLDERS for one in store.list(folder)}
        there = {
            name
            for name in names
            if name in sizes and sizes[name] == (home.root / name).stat().st_size
        }
    return in_parallel(lambda name: send_file(store, home, name), sorted({*names} - there))
