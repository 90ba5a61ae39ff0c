"""Months that a catalog wants: those that an earlier build has stored, and the others computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from warehouse.build.jobs import Job, compute
from warehouse.build.partitions import (
    DUCKDB,
    OnMonth,
    StoredMonth,
    find_stored,
    stored_month,
)
from warehouse.config import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """A month of a mart or dataset.

    Attributes
    ----------
    place
        Its file, without the hash of its bytes.
    job
        Makes the job that computes it.
    engine
        What computes it, with its version.
    """

    model: str
    month: str
    place: Path
    job: Callable[[], Job]
    engine: str = DUCKDB


def found_or_computed(
    settings: Settings, wanted: Sequence[Wanted], progress: OnMonth | None
) -> list[StoredMonth]:
    """All months in their order; ``progress`` is called with each as soon as it is there."""
    stored: dict[Path, StoredMonth] = {}

    def add(one: Wanted, path: Path, *, reused: bool) -> None:
        stored[one.place] = stored_month(
            one.model, one.month, path, reused=reused, engine=one.engine
        )
        if progress is not None:
            progress(stored[one.place])

    missing = {}
    for one in wanted:
        if (path := find_stored(one.place)) is None:
            missing[one.place] = one
        else:
            add(one, path, reused=True)
    jobs = [one.job() for one in missing.values()]
    compute(settings, jobs, lambda job, path: add(missing[job.place], path, reused=False))
    return [stored[one.place] for one in wanted]
