"""The months that a catalog needs: found in an earlier build, or computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from warehouse.build.months.compute_months import Job, compute
from warehouse.build.months.lake_months import Kept
from warehouse.build.months.stored import (
    DUCKDB,
    OnMonth,
    StoredMonth,
    find_stored,
    stored_month,
)
from warehouse.config import Settings


@dataclass(frozen=True)
class WantedMonth:
    """A month of a mart or dataset.

    Attributes
    ----------
    key
        Hash of its inputs, with tokens in place of files.
    named
        Returns its path without the hash of its bytes; this reads the facts of all its files.
    job
        Returns the job that computes it, for this path.
    engine
        What computes it, with its version.
    """

    model: str
    month: str
    key: str
    named: Callable[[], Path]
    job: Callable[[Path], Job]
    engine: str = DUCKDB

    @cached_property
    def place(self) -> Path:
        """Its file, without the hash of its bytes."""
        return self.named()

    def found(self, kept: Kept) -> StoredMonth | None:
        """The month that an earlier build has stored."""
        if (known := kept.found(self.model, self.month, self.key)) is not None:
            return known
        path = find_stored(self.place)
        return None if path is None else self.at(path, reused=True)

    def at(self, path: Path, *, reused: bool) -> StoredMonth:
        """The month in a file."""
        return stored_month(
            self.model, self.month, path, reused=reused, engine=self.engine, key=self.key
        )


def find_or_compute(
    settings: Settings, wanted: Sequence[WantedMonth], kept: Kept, progress: OnMonth | None
) -> list[StoredMonth]:
    """All months in order; ``progress`` is called with each as soon as it exists.

    They are searched month by month, so that marts that read the same files do so together.
    """
    stored: dict[tuple[str, str], StoredMonth] = {}
    missing: dict[Path, WantedMonth] = {}

    def add(one: WantedMonth, month: StoredMonth) -> None:
        stored[one.model, one.month] = month
        if progress is not None:
            progress(month, len(missing))

    def done(job: Job, path: Path) -> None:
        one = missing.pop(job.place)
        add(one, one.at(path, reused=False))

    for one in sorted(wanted, key=lambda one: one.month):
        if (found := one.found(kept)) is None:
            missing[one.place] = one
        else:
            add(one, found)
    compute(settings, [one.job(place) for place, one in missing.items()], done)
    return [stored[one.model, one.month] for one in wanted]
