"""Checks, repairs and prunes the objects of a bucket."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from warehouse.bucket.push import names_of, push_home
from warehouse.bucket.record import (
    Record,
    read_record,
    require_head,
    require_newest,
    require_not_pruned,
    write_record,
)
from warehouse.bucket.store import HEAD, Store
from warehouse.bucket.transfer import (
    FOLDERS,
    PARTS,
    digest_of,
    in_parallel,
    is_as_named,
    send_file,
)
from warehouse.display import counted
from warehouse.errors import OvertakenError, WarehouseError
from warehouse.home import Home

# Unneeded objects that are younger stay, because a reader may have an older generation open and a
# writer may be about to publish what it has sent.
GRACE = timedelta(days=1)
# Maximum duration of deleting in one prune.
_DELETES_FOR_S = 600
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class BucketDamage:
    """An object of the bucket that is missing or damaged."""

    name: str
    what: str


def check_bucket(home: Home, store: Store, *, quick: bool = False) -> list[BucketDamage]:
    """All damage of the objects that HEAD needs; reads every byte unless ``quick``.

    Raises
    ------
    NotFoundError
        The bucket holds no home.
    """
    head = require_head(store, store.read_head())
    parts = {part: blob.size_bytes for blob in head.state.blobs for part in blob.parts}
    there = {one.name: one.size_bytes for one in store.list()}
    damage = [
        BucketDamage(f"{PARTS}/{part}", "is missing")
        for part in sorted(parts)
        if f"{PARTS}/{part}" not in there
    ]
    broken = {one.name.removeprefix(f"{PARTS}/") for one in damage}
    if not quick:
        found = in_parallel(lambda part: _damage(store, f"{PARTS}/{part}"), parts.keys() - broken)
        damage += [one for one in found if one is not None]
    if any(one.name.removeprefix(f"{PARTS}/") in head.state.names.parts for one in damage):
        return damage
    names = sorted(name for name in names_of(store, head) if name)
    damage += [BucketDamage(name, "is missing") for name in names if name not in there]
    damage += [
        BucketDamage(name, f"has {counted(there[name], 'byte')} there and {size:,} here")
        for name in names
        if quick and name in there and (size := _size(home, name)) not in (None, there[name])
    ]
    if not quick:
        found = in_parallel(lambda name: _damage(store, name), [n for n in names if n in there])
        damage += [one for one in found if one is not None]
    return damage


def _damage(store: Store, name: str) -> BucketDamage | None:
    return None if is_as_named(store, name) else BucketDamage(name, "has other bytes")


def _size(home: Home, name: str) -> int | None:
    path = home.root / name
    return path.stat().st_size if path.is_file() else None


def repair_bucket(home: Home, store: Store, damage: Collection[BucketDamage]) -> list[str]:
    """Send objects again that are damaged there and intact here; returns a line for each."""
    lines = []
    for one in damage:
        if one.name.partition("/")[0] in FOLDERS:
            try:
                digest_of(one.name)
                send_file(store, home, one.name)
                lines.append(f"sent {one.name} again")
            except WarehouseError as error:
                lines.append(f"{one.name} cannot be sent again: {error.what}")
    if any(one.name.startswith(f"{PARTS}/") for one in damage):
        push_home(home, store, again=True)
        lines.append("sent the catalogs, the manifest and the journal again")
    return lines


def prune_bucket(
    home: Home,
    store: Store,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
) -> list[str]:
    """Remove the objects that HEAD does not need and that are older than ``grace``.

    Meanwhile HEAD is marked and nobody moves it; publications that have already begun start again
    afterwards. So no publication relies on an object that is removed here.
    """
    now = store.require_conditions()
    head = require_head(store, store.read_head())
    require_newest(store, head, read_record(home, store))
    require_not_pruned(store, head, now)
    needed = {f"{PARTS}/{part}" for blob in head.state.blobs for part in blob.parts}
    needed |= names_of(store, head) | {HEAD}

    def unneeded() -> list[str]:
        found = (one for one in store.list() if one.name not in needed and now - one.at > grace)
        return sorted(one.name for one in found if one.name.partition("/")[0] in _OURS)

    if dry_run or not unneeded():
        return unneeded()
    began = time.monotonic()
    store.move_head(head, head.state, prunes=True)
    marked = require_head(store, store.read_head())
    try:
        names = unneeded()
        for start in range(0, len(names), _DELETED_AT_ONCE):
            if time.monotonic() - began > _DELETES_FOR_S:
                raise OvertakenError(
                    f"{store.address}: has more unneeded objects than one prune can remove",
                    next_step="run the same command again",
                )
            store.delete(names[start : start + _DELETED_AT_ONCE])
    finally:
        tag = store.move_head(marked, head.state)
        write_record(home, Record(store.address, head.state, tag))
    return names


_OURS = (PARTS, *FOLDERS, "probe")
