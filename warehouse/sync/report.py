"""The report of a sync, as a value and as a row of the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from warehouse.errors import ExitCode, VendorError, WarehouseError
from warehouse.home import Home, writing
from warehouse.lake import Admission, Lake, Manifest, Outcome
from warehouse.sync.layout import FoundFile
from warehouse.sync.plan import EmptyAnswer
from warehouse.vendor import FileKey


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The report of a sync.

    Attributes
    ----------
    admissions
        The outcome of each file that was fetched or requested again.
    unchanged
        Files that were known and not read again.
    unrecognised
        Files of a folder that are not vendor files or cannot be read, with the reason.
    ambiguous
        Parquet files of a folder with the same key and different bytes; none was imported.
    failures
        Requests that the vendor refused, and files that it did not deliver.
    empty
        Spans for which the vendor has no data.
    warnings
        Other messages for the user.
    settled, listings
        Number of wanted series whose lists were not requested, and of successful requests.
    received_bytes, seconds
        Size of the downloaded files, and duration of the run.
    others
        Data files of a folder in other formats.
    """

    admissions: tuple[Admission, ...]
    unchanged: tuple[FileKey, ...] = ()
    unrecognised: tuple[FoundFile, ...] = ()
    ambiguous: tuple[FoundFile, ...] = ()
    failures: tuple[VendorError, ...] = ()
    empty: tuple[EmptyAnswer, ...] = ()
    warnings: tuple[str, ...] = ()
    settled: int = 0
    listings: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    others: tuple[FoundFile, ...] = ()

    def count(self, *outcomes: Outcome) -> int:
        return sum(admission.outcome in outcomes for admission in self.admissions)

    @property
    def refused(self) -> list[Admission]:
        return [a for a in self.admissions if a.outcome is Outcome.REFUSED]

    @property
    def taken_in(self) -> list[Admission]:
        new = (Outcome.ADDED, Outcome.GROWN, Outcome.RESTATED)
        return [admission for admission in self.admissions if admission.outcome in new]

    @property
    def exit_code(self) -> ExitCode:
        if self.failures and not self.listings:
            return ExitCode.VENDOR
        salvaged = any(admission.left_out for admission in self.admissions)
        problems = self.refused or self.unrecognised or self.ambiguous or self.failures or salvaged
        return ExitCode.DATA_PROBLEMS if problems else ExitCode.DONE


@contextmanager
def sync_run(
    home: Home,
    *,
    salvage: bool,
    clock: Callable[[], str] | None = None,
    verb: str = "sync",
) -> Iterator[tuple[Lake, Callable[[SyncReport], SyncReport]]]:
    """Lock a home, remove leftovers of a killed run, and record the run and its outcome.

    Yields the lake, and a function that takes the finished report and returns it.
    """
    with writing(home, verb), Manifest(home.manifest, create=True, clock=clock) as manifest:
        run, follows_killed = manifest.start_run(verb)
        outcome = "interrupted"

        def finish(report: SyncReport) -> SyncReport:
            nonlocal outcome
            outcome = f"{len(report.taken_in)} taken in, {len(report.refused)} refused"
            if report.failures:
                outcome += f", {len(report.failures)} failed"
            return report

        try:
            lake = Lake(home, manifest, salvage=salvage)
            if follows_killed:
                lake.sweep()
            else:
                lake.settle_links()
            yield lake, finish
        except WarehouseError as error:
            outcome = f"stopped: {error.what}"
            raise
        finally:
            manifest.end_run(run, outcome)
