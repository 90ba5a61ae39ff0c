"""From the vendor into the lake: request lists, download new files, check and import them.

Only the network runs in threads; the calling thread checks files and writes the manifest. Lists are
requested just before their files, because links expire. A killed run is completed by the next.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from warehouse.display import counted, render_size
from warehouse.errors import DiskError, FileRefusedError, VendorError
from warehouse.home import Home
from warehouse.lake import Admission, Lake, Manifest, Outcome
from warehouse.progress import Meter
from warehouse.sync.listings import ListedSeries, Listings
from warehouse.sync.plan import (
    PlannedFetch,
    VendorPlan,
)
from warehouse.sync.report import SyncReport, sync_run
from warehouse.sync.workers import WorkerPool, WorkResult
from warehouse.vendor import (
    Body,
    FileKey,
    KeyRefusedError,
    NoAnswerError,
    VendorClient,
    Wanted,
    clock_warning,
    discard_part,
    download_file,
)

log = logging.getLogger(__name__)


def plan_vendor(
    home: Home,
    wanted: Iterable[Wanted],
    vendor: VendorClient,
    *,
    now: datetime,
    recheck: bool = False,
) -> VendorPlan:
    """Compare the vendor's lists with the lake; nothing is downloaded or changed.

    Raises
    ------
    KeyRefusedError, NoAnswerError
        The vendor refuses the key, or is down.
    """
    manifest = Manifest(home.manifest) if home.manifest.is_file() else None
    fetches: list[PlannedFetch] = []
    try:
        asking = Listings(manifest, vendor, now=now, recheck=recheck)
        asking.run(wanted, lambda series: fetches.extend(series.plan.fetches))
        return VendorPlan(
            fetches=tuple(sorted(fetches, key=lambda fetch: fetch.key)),
            unchanged=tuple(sorted(asking.unchanged)),
            settled=asking.settled,
            empty=tuple(asking.empty),
            failures=tuple(asking.failures),
            typical_bytes=manifest.typical_sizes() if manifest is not None else {},
        )
    finally:
        if manifest is not None:
            manifest.close()


def sync_vendor(
    home: Home,
    wanted: Iterable[Wanted],
    vendor: VendorClient,
    *,
    now: datetime,
    recheck: bool = False,
    salvage: bool = False,
    meter: Meter | None = None,
) -> SyncReport:
    """Download all wanted files that the lake lacks or may have in an older version.

    Parameters
    ----------
    now
        The current time, aware; it decides what is settled.
    recheck
        Request settled files again, too.
    salvage
        Whether the good rows of a file with a few bad ones are imported.

    Raises
    ------
    LockedError
        Another process writes to this home.
    KeyRefusedError, NoAnswerError
        The vendor refuses the key, or is down; files that were already imported stay.
    DiskError
        The disk is full or not writable; files that were already imported stay.
    """
    started = time.monotonic()

    def clock() -> str:
        moment = now.astimezone(UTC) + timedelta(seconds=time.monotonic() - started)
        return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")

    with sync_run(home, salvage=salvage, clock=clock) as (lake, finish):
        asking = Listings(lake.manifest, vendor, now=now, recheck=recheck)
        fetching = _Fetching(lake, asking, meter or Meter())
        fetching.run(wanted)
        warning = clock_warning(vendor.skew_s)
        return finish(
            SyncReport(
                admissions=tuple(fetching.admissions),
                unchanged=tuple(asking.unchanged),
                failures=tuple(asking.failures),
                empty=tuple(asking.empty),
                warnings=(warning,) if warning else (),
                settled=asking.settled,
                listings=asking.listings,
                received_bytes=fetching.received_bytes,
                seconds=time.monotonic() - started,
            )
        )


class _Fetching:
    """Downloads the files of the lists, checks and imports them."""

    def __init__(self, lake: Lake, asking: Listings, meter: Meter) -> None:
        self.admissions: list[Admission] = []
        self.received_bytes = 0
        self._lake = lake
        self._asking = asking
        self._meter = meter
        self._incoming = lake.home.build / "incoming"
        self._ready: deque[tuple[ListedSeries, PlannedFetch, bool]] = deque()
        self._resumable: set[str] = set()

    def run(self, wanted: Iterable[Wanted]) -> None:
        """Download everything that is wanted and not settled."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._asking.run(wanted, self._found, self._fetch_next, self._lake.together)
        for path in self._incoming.iterdir():
            if path.stem not in self._resumable:
                path.unlink()

    def _found(self, series: ListedSeries) -> None:
        """Queue the files of a series."""
        fetches = series.plan.fetches
        known_bytes = sum(fetch.size_bytes or 0 for fetch in fetches)
        self._require_space(series.plan.asked, known_bytes)
        self._meter.add(expected=len(fetches))
        self._ready.extend((series, fetch, False) for fetch in fetches)
        if series.plan.unchanged and not fetches:
            self._asking.settle(series)

    def _fetch_next(self, threads: WorkerPool) -> bool:
        """Let a thread download the next file of the queue."""
        if not self._ready:
            return False
        series, fetch, is_second = self._ready.popleft()
        part = self._incoming / f"{_short_hash(fetch.key)}.part"
        known = None if is_second or fetch.held is None else fetch.held.origin_stamp
        work = partial(
            download_file,
            self._asking.vendor.transport,
            partial(series.links.url, fetch.key.period),
            part,
            about=str(fetch.key),
            known_stamp=known,
            received=lambda size_bytes: self._meter.add(size_bytes=size_bytes),
        )
        threads.submit(work, partial(self._fetched, series, fetch, is_second, part))
        return True

    def _fetched(
        self,
        series: ListedSeries,
        fetch: PlannedFetch,
        is_second: bool,
        part: Path,
        outcome: WorkResult[Body | None],
    ) -> None:
        try:
            body = outcome()
        except KeyRefusedError:
            raise
        except VendorError as error:
            if isinstance(error, NoAnswerError):
                self._resumable.add(part.stem)
            self._finish(series, fetch, is_missing=True)
            self._asking.fail(error)
            return
        self._asking.succeed()
        try:
            admission = self._admit(fetch, body, is_second=is_second)
        except FileRefusedError as refused:
            log.info("%s: %s; fetching it once more", fetch.key, refused.what)
            self._ready.appendleft((series, fetch, True))
            return
        finally:
            discard_part(part)
        self.admissions.append(admission)
        self._finish(series, fetch, is_missing=admission.outcome is Outcome.REFUSED)

    def _admit(self, fetch: PlannedFetch, body: Body | None, *, is_second: bool) -> Admission:
        """Import a download; a bad one is downloaded once more, then goes to quarantine."""
        key, held = fetch.key, fetch.held
        if body is None and held is not None:
            stamp = held.origin_stamp
            self._lake.manifest.record_stamp(held, origin=held.origin, stamp=stamp)
            return Admission(key, Outcome.UNCHANGED, held.size_bytes, held.facts.rows)
        if body is None:
            raise NoAnswerError(f"{key}: 304 Not Modified for a file that is not in the lake")
        self.received_bytes += body.size_bytes
        if not is_second and fetch.size_bytes not in (None, body.size_bytes):
            raise FileRefusedError(
                f"has {counted(body.size_bytes, 'byte')}, but the vendor lists {fetch.size_bytes:,}"
            )
        return self._lake.admit(
            key,
            body.path,
            origin=body.origin,
            stamp=body.stamp,
            current=held,
            consume=True,
            quarantine=is_second,
        )

    def _finish(self, series: ListedSeries, fetch: PlannedFetch, *, is_missing: bool) -> None:
        """Count a finished file; after the last one of its series, record what is settled."""
        series.left.discard(fetch.key)
        if is_missing:
            series.missing.add(fetch.key)
        if not series.left:
            self._asking.settle(series)
        self._meter.add(files=1)

    def _require_space(self, asked: Wanted, size_bytes: int) -> None:
        free_bytes = shutil.disk_usage(self._lake.home.root).free
        if size_bytes > free_bytes:
            raise DiskError(
                f"{asked}: {render_size(size_bytes)} to download,"
                f" {render_size(free_bytes)} are free at {self._lake.home.root}",
                next_step="free disk space, select less, or choose another disk with --home",
            )


def _short_hash(key: FileKey) -> str:
    """Name of a file being downloaded; it contains nothing from the vendor."""
    return hashlib.sha256(str(key).encode()).hexdigest()[:32]
