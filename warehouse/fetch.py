"""From the vendor into the lake: ask for lists, fetch what is new, check it, take it in.

Only the network runs in threads; the calling thread checks files and writes the manifest. Lists are
requested just before their files, because links expire. A killed run is completed by the next.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

from warehouse.contracts import load_contracts
from warehouse.coverage import Span, intersect
from warehouse.crew import Crew, Outcome
from warehouse.display import counted, render_size
from warehouse.download import Body, discard_part, download
from warehouse.errors import DiskError, FileRefusedError, VendorError
from warehouse.home import Home, writing
from warehouse.keys import FileKey
from warehouse.lake import Admission, Lake
from warehouse.lake import Outcome as LakeOutcome
from warehouse.manifest import Manifest
from warehouse.plan import (
    SETTLE_US,
    EmptyAnswer,
    PlannedFetch,
    SeriesPlan,
    VendorPlan,
    Wanted,
    open_part,
    plan_series,
    settled_spans,
)
from warehouse.progress import Meter, SilentMeter
from warehouse.sync import SyncReport, recorded_run
from warehouse.vendor import (
    KeyRefusedError,
    Links,
    Listing,
    NoAnswerError,
    RequestRefusedError,
    Vendor,
    clock_warning,
    unknown_symbol,
)

_FAILURES_IN_A_ROW = 10

log = logging.getLogger(__name__)


def plan_vendor(
    home: Home, wanted: Iterable[Wanted], vendor: Vendor, *, now: datetime, recheck: bool = False
) -> VendorPlan:
    """Ask the vendor for its lists and compare them with the lake; nothing is fetched or changed.

    Raises
    ------
    KeyRefusedError, NoAnswerError
        The vendor refuses the key, or is down.
    """
    manifest = Manifest(home.manifest) if home.manifest.is_file() else None
    fetches: list[PlannedFetch] = []
    try:
        asking = _Asking(manifest, vendor, now=now, recheck=recheck)
        asking.run(wanted, lambda series: fetches.extend(series.plan.fetches))
        return VendorPlan(
            fetches=tuple(sorted(fetches, key=lambda fetch: fetch.key)),
            unchanged=tuple(sorted(asking.unchanged)),
            settled=asking.settled,
            empty=tuple(asking.empty),
            failures=tuple(asking.failures),
            typical_bytes=manifest.typical_sizes() if manifest is not None else {},
            connections=vendor.connections,
        )
    finally:
        if manifest is not None:
            manifest.close()


def sync_vendor(
    home: Home,
    wanted: Iterable[Wanted],
    vendor: Vendor,
    *,
    now: datetime,
    recheck: bool = False,
    salvage: bool = False,
    meter: Meter | None = None,
) -> SyncReport:
    """Fetch everything wanted that the lake has not, or may have in an older version.

    Parameters
    ----------
    now
        The present moment, aware; it decides what is settled.
    recheck
        Ask again for what is settled, too.
    salvage
        Whether the good rows of a file with a few bad ones are taken in.

    Raises
    ------
    LockedError
        Another process writes to this home.
    KeyRefusedError, NoAnswerError
        The vendor refuses the key, or is down; what was taken in before stays in.
    DiskError
        The disk is full or may not be written; what was taken in before stays in.
    """
    started = time.monotonic()

    def clock() -> str:
        moment = now.astimezone(UTC) + timedelta(seconds=time.monotonic() - started)
        return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")

    with (
        writing(home, "sync"),
        Manifest(home.manifest, create=True, clock=clock) as manifest,
        recorded_run(manifest) as finish,
    ):
        lake = Lake(home, manifest, salvage=salvage)
        lake.sweep()
        asking = _Asking(manifest, vendor, now=now, recheck=recheck)
        fetching = _Fetching(lake, asking, meter or SilentMeter())
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


@dataclass(slots=True)
class _Series:
    """One list of the vendor, and what is still to be done of it."""

    plan: SeriesPlan
    links: Links
    settled: list[Span]
    left: set[FileKey]
    missing: set[FileKey] = field(default_factory=set)


class _Asking:
    """Asks for the lists of all wanted series that are not settled, and remembers the answers."""

    def __init__(
        self, manifest: Manifest | None, vendor: Vendor, *, now: datetime, recheck: bool
    ) -> None:
        self.manifest = manifest
        self.vendor = vendor
        self.settled = self.listings = 0
        self.unchanged: list[FileKey] = []
        self.failures: list[VendorError] = []
        self.empty: list[EmptyAnswer] = []
        self._now = now
        self._recheck = recheck
        self._refused: list[tuple[Wanted, VendorError]] = []
        self._doubtful: list[tuple[Wanted, _Series | None]] = []
        self._known_symbols: set[tuple[str, str]] = set()
        self._failures_in_a_row = 0

    def run(
        self,
        wanted: Iterable[Wanted],
        found: Callable[[_Series], None],
        other_work: Callable[[Crew], bool] = lambda threads: False,
        meanwhile: Callable[[], None] = lambda: None,
        together: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Ask for all.

        Parameters
        ----------
        found
            Called with each series that has an answer.
        other_work
            Gives the threads a piece of work that goes before the next question, if there is one.
        meanwhile
            Called each time before the threads are waited for.
        together
            Stands around the finishing of several pieces of work that have ended.
        """
        connections = self.vendor.connections
        wanted_parts = self._open_parts(wanted)
        with Crew(connections) as threads:
            try:
                while True:
                    while threads.busy < 3 * connections and (
                        other_work(threads) or self._ask_next(wanted_parts, threads, found)
                    ):
                        pass
                    if not threads.busy:
                        break
                    meanwhile()
                    ended = threads.wait(at_most=connections)
                    with together():
                        for finish in ended:
                            finish()
            except BaseException:
                self.vendor.stop.set()
                raise
        self._judge_refused()
        self._judge_doubtful()

    def fail(self, error: VendorError) -> None:
        """Note a failure; stop the run when failures are all that comes."""
        self.failures.append(error)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
            raise NoAnswerError(
                f"{error.what}; so did {self._failures_in_a_row} requests in a row",
                next_step="run the same command again later; what was fetched is kept",
            ) from error

    def succeed(self) -> None:
        """The vendor is there."""
        self._failures_in_a_row = 0

    def settle(self, series: _Series) -> None:
        """Remember what need not be asked about again."""
        if self.manifest is None or self.vendor.preview:
            return
        asked = series.plan.asked
        spans = settled_spans(series.plan, series.missing, now=self._now, before=series.settled)
        if spans != series.settled:
            self.manifest.record_settled(asked.dataset, asked.series, spans)

    def _open_parts(self, wanted: Iterable[Wanted]) -> Iterator[Wanted]:
        for one in wanted:
            asked = open_part(one, self._settled_of(one), now=self._now, recheck=self._recheck)
            if asked is not None:
                yield asked
            else:
                self.settled += 1

    def _settled_of(self, wanted: Wanted) -> list[Span]:
        if self.manifest is None or self.vendor.preview:
            return []
        return self.manifest.settled(wanted.dataset, wanted.series)

    def _ask_next(
        self, wanted_parts: Iterator[Wanted], threads: Crew, found: Callable[[_Series], None]
    ) -> bool:
        asked = next(wanted_parts, None)
        if asked is None:
            return False
        work = partial(self.vendor.list_files, asked)
        threads.submit(work, partial(self._listed, asked, found))
        return True

    def _listed(
        self, asked: Wanted, found: Callable[[_Series], None], outcome: Outcome[Listing]
    ) -> None:
        try:
            listing = outcome()
        except KeyRefusedError:
            raise
        except RequestRefusedError as error:
            self.succeed()
            self._refused.append((asked, error))
            if error.fields.get("status") in (400, 404):
                self._doubtful.append((asked, None))
            return
        except VendorError as error:
            self.fail(error)
            return
        self.succeed()
        self.listings += 1
        series = self._compare(asked, listing)
        self.unchanged.extend(series.plan.unchanged)
        if listing.links:
            self._note_empty(series)
        else:
            self._doubtful.append((asked, series))
        found(series)

    def _compare(self, asked: Wanted, listing: Listing) -> _Series:
        manifest = self.manifest
        held = [] if manifest is None else manifest.files_of(asked.dataset, asked.series)
        plan = plan_series(asked, listing.sizes, held, recheck=self._recheck)
        left = {fetch.key for fetch in plan.fetches}
        if held or listing.links:
            self._known_symbols.add((asked.series.exchange, asked.series.symbol))
        links = Links(self.vendor, asked, listing)
        return _Series(plan, links, self._settled_of(asked), left)

    def _note_empty(self, series: _Series) -> None:
        """Name the spans without a file; not the last two days, they may still come."""
        asked = series.plan.asked
        until = int(self._now.timestamp() * 1_000_000) - SETTLE_US
        spans = intersect(series.plan.empty, [(asked.span[0], max(until, asked.span[0]))])
        if spans:
            self.empty.append(EmptyAnswer(asked.dataset, asked.series, tuple(spans)))

    def _judge_refused(self) -> None:
        """A refusal is a failure; but the preview simply has not every dataset."""
        for asked, error in self._refused:
            if self.vendor.preview and self.listings:
                self.empty.append(EmptyAnswer(asked.dataset, asked.series, (asked.span,)))
            else:
                self.failures.append(error)

    def _judge_doubtful(self) -> None:
        """A series without any file is empty, or its symbol is misspelt: ask for the symbols."""

        def venue(doubt: tuple[Wanted, _Series | None]) -> str:
            return doubt[0].series.exchange

        known, reported = self._known_symbols, set()
        for exchange, group in groupby(sorted(self._doubtful, key=venue), key=venue):
            doubts = list(group)
            symbols = None
            if any((exchange, wanted.series.symbol) not in known for wanted, _ in doubts):
                symbols = self._symbols(exchange)
                known |= {(exchange, symbol) for symbol in symbols or ()}
            for wanted, series in doubts:
                place = exchange, wanted.series.symbol
                if symbols is not None and place not in known:
                    if place not in reported:
                        self.failures.append(unknown_symbol(*place, symbols))
                    reported.add(place)
                elif series is not None:
                    self._note_empty(series)
                    if place in known:
                        self.settle(series)

    def _symbols(self, exchange: str) -> list[str] | None:
        """All symbols of a venue; None where the vendor does not say them."""
        if self.vendor.preview:
            return None
        try:
            return self.vendor.symbols(exchange)
        except RequestRefusedError as error:  # then nothing else of that venue is there either
            self.failures.append(error)
            return None
        except VendorError as error:
            log.info("no list of symbols: %s", error.what)
            return None


class _Fetching:
    """Fetches the files that the lists name, has them checked and takes them in."""

    def __init__(self, lake: Lake, asking: _Asking, meter: Meter) -> None:
        self.admissions: list[Admission] = []
        self.received_bytes = 0
        self._lake = lake
        self._asking = asking
        self._meter = meter
        self._incoming = lake.home.build / "incoming"
        self._contracts = load_contracts()
        self._ready: deque[tuple[_Series, PlannedFetch, bool]] = deque()
        self._resumable: set[str] = set()
        self._is_begun = False

    def run(self, wanted: Iterable[Wanted]) -> None:
        """Fetch all that is wanted and not settled."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._asking.run(
            wanted, self._found, self._fetch_next, self._load_check, self._lake.together
        )
        for path in self._incoming.iterdir():
            if path.stem not in self._resumable:
                path.unlink()

    def _load_check(self) -> None:
        """Load what checks files while the first of them is under way: both take as long."""
        if self._is_begun:
            from warehouse.check import prepare

            prepare()

    def _found(self, series: _Series) -> None:
        """Put the files of a series into the queue."""
        fetches = series.plan.fetches
        known_bytes = sum(fetch.size_bytes or 0 for fetch in fetches)
        self._require_space(series.plan.asked, known_bytes)
        self._meter.expect(files=len(fetches), size_bytes=known_bytes)
        self._ready.extend((series, fetch, False) for fetch in fetches)
        if series.plan.unchanged and not fetches:
            self._asking.settle(series)

    def _fetch_next(self, threads: Crew) -> bool:
        """Let a thread fetch the next file of the queue."""
        if not self._ready:
            return False
        series, fetch, is_second = self._ready.popleft()
        part = self._incoming / f"{_short_hash(fetch.key)}.part"
        known = None if is_second or fetch.held is None else fetch.held.origin_stamp
        work = partial(
            download,
            self._asking.vendor.transport,
            partial(series.links.url, fetch.key.period),
            part,
            about=str(fetch.key),
            known_stamp=known,
            received=self._meter.received,
        )
        self._is_begun = True
        threads.submit(work, partial(self._fetched, series, fetch, is_second, part))
        return True

    def _fetched(
        self,
        series: _Series,
        fetch: PlannedFetch,
        is_second: bool,
        part: Path,
        outcome: Outcome[Body | None],
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
            log.info("%s: %s; it is fetched once more", fetch.key, refused.what)
            self._ready.appendleft((series, fetch, True))
            return
        finally:
            discard_part(part)
        self.admissions.append(admission)
        self._finish(series, fetch, is_missing=admission.outcome is LakeOutcome.REFUSED)

    def _admit(self, fetch: PlannedFetch, body: Body | None, *, is_second: bool) -> Admission:
        """Take a body in; at its second coming a bad one goes into quarantine."""
        key, held = fetch.key, fetch.held
        if body is None and held is not None:
            stamp = held.origin_stamp
            self._lake.manifest.record_stamp(held, origin=held.origin, stamp=stamp)
            return Admission(key, LakeOutcome.UNCHANGED, held.size_bytes, held.facts.rows)
        if body is None:
            raise NoAnswerError(f"{key}: storage says that nothing changed, of nothing")
        self.received_bytes += body.size_bytes
        if not is_second and fetch.size_bytes not in (None, body.size_bytes):
            raise FileRefusedError(
                f"has {counted(body.size_bytes, 'byte')}, the vendor lists {fetch.size_bytes:,}"
            )
        return self._lake.admit(
            key,
            body.path,
            origin=body.origin,
            stamp=body.stamp,
            contract=self._contracts.get(key.dataset),
            current=held,
            consume=True,
            quarantine=is_second,
        )

    def _finish(self, series: _Series, fetch: PlannedFetch, *, is_missing: bool) -> None:
        """One file is dealt with; after the last one of its series, remember what is settled."""
        series.left.discard(fetch.key)
        if is_missing:
            series.missing.add(fetch.key)
        if not series.left:
            self._asking.settle(series)
        self._meter.finished()

    def _require_space(self, asked: Wanted, size_bytes: int) -> None:
        free_bytes = shutil.disk_usage(self._lake.home.root).free
        if size_bytes > free_bytes:
            raise DiskError(
                f"{asked}: {render_size(size_bytes)} are to come,"
                f" {render_size(free_bytes)} are free at {self._lake.home.root}",
                next_step="free some space, ask for less, or choose another disk with --home",
            )


def _short_hash(key: FileKey) -> str:
    """Name of a file under way; our own, never one that the vendor gave."""
    return hashlib.sha256(str(key).encode()).hexdigest()[:32]
