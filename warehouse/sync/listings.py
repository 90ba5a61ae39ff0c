"""The vendor's lists of files: requested in threads, compared with the lake."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby

from warehouse.errors import VendorError
from warehouse.lake import Manifest
from warehouse.sync.plan import (
    SETTLE_US,
    EmptyAnswer,
    SeriesPlan,
    open_part,
    plan_series,
    settled_spans,
)
from warehouse.sync.workers import WorkerPool, WorkResult
from warehouse.times import Span, datetime_us, intersect
from warehouse.vendor import (
    FileKey,
    KeyRefusedError,
    Links,
    Listing,
    NoAnswerError,
    RequestRefusedError,
    VendorClient,
    Wanted,
    unknown_symbol,
)

_FAILURES_IN_A_ROW = 10

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ListedSeries:
    """One list of the vendor, and the remaining work on it."""

    plan: SeriesPlan
    links: Links
    settled: list[Span]
    left: set[FileKey]
    missing: set[FileKey] = field(default_factory=set)


class Listings:
    """Requests the lists of all wanted series that are not settled, and records the responses."""

    def __init__(
        self, manifest: Manifest | None, vendor: VendorClient, *, now: datetime, recheck: bool
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
        self._doubtful: list[tuple[Wanted, ListedSeries | None]] = []
        self._known_symbols: set[tuple[str, str]] = set()
        self._failures_in_a_row = 0

    def run(
        self,
        wanted: Iterable[Wanted],
        found: Callable[[ListedSeries], None],
        other_work: Callable[[WorkerPool], bool] = lambda threads: False,
        together: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Request all lists.

        ``found`` is called with each series for which there is a response. Before each request
        ``other_work`` may do a piece of work. ``together`` is entered around several completions.
        """
        connections = self.vendor.connections
        wanted_parts = self._open_parts(wanted)
        with WorkerPool(connections) as threads:
            try:
                while True:
                    while threads.busy < 3 * connections and (
                        other_work(threads) or self._ask_next(wanted_parts, threads, found)
                    ):
                        pass
                    if not threads.busy:
                        break
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
        """Record a failure; stop the run after several requests in a row have failed."""
        self.failures.append(error)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
            raise NoAnswerError(
                f"{error.what}; the last {self._failures_in_a_row} requests failed",
                next_step="run the same command again later; what was fetched is kept",
            ) from error

    def succeed(self) -> None:
        """Record that a request succeeded."""
        self._failures_in_a_row = 0

    def settle(self, series: ListedSeries) -> None:
        """Record the spans that need not be requested again."""
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
        self,
        wanted_parts: Iterator[Wanted],
        threads: WorkerPool,
        found: Callable[[ListedSeries], None],
    ) -> bool:
        asked = next(wanted_parts, None)
        if asked is None:
            return False
        work = partial(self.vendor.list_files, asked)
        threads.submit(work, partial(self._listed, asked, found))
        return True

    def _listed(
        self, asked: Wanted, found: Callable[[ListedSeries], None], outcome: WorkResult[Listing]
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

    def _compare(self, asked: Wanted, listing: Listing) -> ListedSeries:
        manifest = self.manifest
        held = [] if manifest is None else manifest.files_of(asked.dataset, asked.series)
        plan = plan_series(asked, listing.sizes, held, recheck=self._recheck)
        left = {fetch.key for fetch in plan.fetches}
        if held or listing.links:
            self._known_symbols.add((asked.series.exchange, asked.series.symbol))
        links = Links(self.vendor, asked, listing)
        return ListedSeries(plan, links, self._settled_of(asked), left)

    def _note_empty(self, series: ListedSeries) -> None:
        """Report spans without a file, except the last two days, whose files may still appear."""
        asked = series.plan.asked
        until = datetime_us(self._now) - SETTLE_US
        spans = intersect(series.plan.empty, [(asked.span[0], max(until, asked.span[0]))])
        if spans:
            self.empty.append(EmptyAnswer(asked.dataset, asked.series, tuple(spans)))

    def _judge_refused(self) -> None:
        """Record a refusal as a failure, unless the preview does not offer the dataset."""
        for asked, error in self._refused:
            if self.vendor.preview and self.listings:
                self.empty.append(EmptyAnswer(asked.dataset, asked.series, (asked.span,)))
            else:
                self.failures.append(error)

    def _judge_doubtful(self) -> None:
        """Report a series without files as empty, or as misspelt if the venue lacks the symbol."""

        def venue(doubt: tuple[Wanted, ListedSeries | None]) -> str:
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
        """All symbols of a venue; None if the vendor does not list them."""
        if self.vendor.preview:
            return None
        try:
            return self.vendor.symbols(exchange)
        except RequestRefusedError as error:  # then nothing else of that venue is available either
            self.failures.append(error)
            return None
        except VendorError as error:
            log.info("no list of symbols: %s", error.what)
            return None
