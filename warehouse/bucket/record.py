"""A home's record of its bucket: the HEAD that it last pulled or pushed."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from warehouse.bucket.state import State
from warehouse.bucket.store import Head, Store
from warehouse.display import counted
from warehouse.errors import NotFoundError, OvertakenError, UsageError
from warehouse.files import write
from warehouse.home import Home

_PRUNE_LASTS_S = 900


@dataclass(frozen=True, slots=True)
class Record:
    """The state and the tag of HEAD; ``pending`` is a state that a push was about to move to."""

    address: str
    state: State | None = None
    tag: str | None = None
    pending: State | None = None


def read_record(home: Home, store: Store) -> Record:
    """The record of the bucket; empty if the home was never connected with it."""
    try:
        facts = json.loads(home.bucket_record.read_text("utf-8"))
        states = (facts["state"], facts["pending"])
        state, pending = (text and State.from_json(text.encode())[0] for text in states)
        found = Record(facts["address"], state or None, facts["tag"], pending or None)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Record(store.address)
    if found.address != store.address and not home.manifest.is_file():
        raise UsageError(
            f"{home.root}: holds files of {found.address}, and its warehouse.toml names"
            f" {store.address}",
            next_step="choose another home for the other bucket",
        )
    return found if found.address == store.address else Record(store.address)


def write_record(home: Home, record: Record) -> None:
    """Record a HEAD."""
    home.store.mkdir(parents=True, exist_ok=True)
    facts = {
        "address": record.address,
        "tag": record.tag,
        "state": record.state and record.state.to_json().decode(),
        "pending": record.pending and record.pending.to_json().decode(),
    }
    write(home.bucket_record, json.dumps(facts).encode())


def note_pending(home: Home, record: Record, state: State) -> None:
    """Record a state before HEAD is moved to it, in case the process is killed in between."""
    write_record(home, replace(record, pending=state))


def require_newest(store: Store, head: Head | None, record: Record) -> None:
    """Raise OvertakenError if the bucket has something that this home has not pulled."""
    if head is None or head.state in (record.state, record.pending):
        return
    raise OvertakenError(
        f"{store.address}: holds {_difference(head.state, record.state)}; another machine published"
        f" it {head.at:%F %T} UTC",
        next_step="run: warehouse pull, then the same command again; nothing of this home is lost",
    )


def _difference(theirs: State, ours: State | None) -> str:
    """Describe the bucket's state relative to the one that this home last pulled or pushed."""
    number = theirs.current
    held = "vendor files without a build" if number is None else f"generation {number}"
    if ours is None:
        return f"{held}, which this home has never pulled"
    if number != ours.current:
        last = "vendor files" if ours.current is None else f"generation {ours.current}"
        return f"{held}, and what this home last pulled or pushed was {last}"
    if number is not None and theirs.generation(number) != ours.generation(number):
        return f"a different {held} from the one that this home last pulled or pushed"
    return (
        f"the {held} that this home has, but other vendor files or earlier generations than when"
        " this home last pulled or pushed"
    )


def require_not_pruned(store: Store, head: Head | None, server_now: datetime) -> None:
    """Raise OvertakenError during a prune; one that was killed counts for a limited time."""
    if head is None or not head.is_pruned:
        return
    age_s = (server_now - head.at).total_seconds()
    if age_s < _PRUNE_LASTS_S:
        left = counted(int(_PRUNE_LASTS_S - age_s) // 60 + 1, "minute")
        raise OvertakenError(
            f"{store.address}: is being pruned by another machine",
            next_step=f"run the same command again, after {left} at the latest",
        )


def require_head(store: Store, head: Head | None) -> Head:
    """Raise NotFoundError if there is no home in the bucket."""
    if head is None:
        raise NotFoundError(
            f"{store.address}: has no home",
            next_step="publish one: warehouse build, in a home whose warehouse.toml has"
            f' store = "{store.address}"; or correct the address',
        )
    return head


@contextmanager
def locked(home: Home, name: str) -> Iterator[None]:
    """Wait for and hold a lock among the processes that share this home."""
    home.store.mkdir(parents=True, exist_ok=True)
    with (home.store / name).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
