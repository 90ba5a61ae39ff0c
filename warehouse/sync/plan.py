"""Plans the requests to the vendor: the wanted spans that it lists, less the settled ones.

Pure values and arithmetic on half-open spans ``(start_us, end_us)``; nothing here touches a disk or
the network. A file is *settled* if it was fetched at least 48 hours after the end of its period, a
span if the vendor's list was requested that late and every file in it is settled. Settled files and
spans are not requested again without ``--recheck``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from warehouse.errors import VendorError
from warehouse.lake import StoredFile
from warehouse.times import (
    DAY_US,
    Span,
    date_us,
    datetime_us,
    intersect,
    merge,
    subtract,
    us_datetime,
)
from warehouse.vendor import FileKey, Period, SeriesKey, Wanted, months

# How long after the end of a period the vendor may still add to it.
SETTLE_US = 2 * DAY_US


@dataclass(frozen=True, slots=True)
class PlannedFetch:
    """A file to request; ``held`` is the lake's version, if any."""

    key: FileKey
    size_bytes: int | None
    held: StoredFile | None


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """Consequences of the vendor's list for one series.

    Attributes
    ----------
    asked
        The span of the request.
    fetches
        Files that are new, or that may have changed since they were fetched.
    unchanged
        Files that the lake has and that are settled.
    empty
        Spans of the list without any file.
    """

    asked: Wanted
    fetches: tuple[PlannedFetch, ...]
    unchanged: tuple[FileKey, ...]
    empty: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class EmptyAnswer:
    """The vendor has no file of a series for these spans; this is not an error."""

    dataset: str
    series: SeriesKey
    spans: tuple[Span, ...]

    def __str__(self) -> str:
        return f"{self.dataset} {self.series}: nothing for {describe_spans(self.spans)}"


@dataclass(frozen=True, slots=True)
class VendorPlan:
    """What a sync from the vendor would do.

    Attributes
    ----------
    fetches
        Files to request: new ones, and ``held`` ones that may have changed.
    unchanged
        Files that the lake has and that will not change any more.
    settled
        Number of wanted series whose lists need not be requested.
    empty, failures
        Spans for which the vendor has no file, and refused requests.
    typical_bytes
        Mean size of the lake's files per (dataset, interval), for files without a listed size.
    """

    fetches: tuple[PlannedFetch, ...]
    unchanged: tuple[FileKey, ...]
    settled: int
    empty: tuple[EmptyAnswer, ...]
    failures: tuple[VendorError, ...]
    typical_bytes: dict[tuple[str, str | None], int]

    def size_of(self, fetch: PlannedFetch) -> int | None:
        """The size in the vendor's list, else of the lake's version, else a typical one or None."""
        if fetch.size_bytes is not None:
            return fetch.size_bytes
        if fetch.held is not None:
            return fetch.held.size_bytes
        return self.typical_bytes.get((fetch.key.dataset, fetch.key.series.interval))

    @property
    def size_bytes(self) -> int:
        """Bytes of all files whose size is known or can be guessed."""
        return sum(self.size_of(fetch) or 0 for fetch in self.fetches)


def open_part(
    wanted: Wanted, settled: Iterable[Span], *, now: datetime, recheck: bool = False
) -> Wanted | None:
    """The shortest span of ``wanted`` that covers everything not settled; None if all is settled.

    Days that have not begun at ``now`` are left out.
    """
    today = now.astimezone(UTC).date()
    span = (wanted.span[0], min(wanted.span[1], date_us(today) + DAY_US))
    left = subtract([span], [] if recheck else settled)
    if not left:
        return None
    return wanted.within(_day(left[0][0]), _day(left[-1][1]))


def plan_series(
    asked: Wanted,
    listed: Mapping[Period, int | None],
    held: Iterable[StoredFile],
    *,
    recheck: bool = False,
) -> SeriesPlan:
    """Compare the vendor's list (period to size, if given) with the files of the lake."""
    have = {file.key: file for file in held}
    fetches, unchanged = [], []
    for period, size_bytes in sorted(listed.items()):
        key = FileKey(asked.dataset, asked.series, period)
        file = have.get(key)
        if file is not None and not recheck and is_settled(file):
            unchanged.append(key)
        else:
            fetches.append(PlannedFetch(key, size_bytes, file))
    empty = subtract([asked.span], [period.span for period in listed])
    return SeriesPlan(asked, tuple(fetches), tuple(unchanged), tuple(empty))


def is_settled(file: StoredFile) -> bool:
    """Whether a file was fetched 48 hours after its period, so it is not requested again."""
    return fetched_us(file) >= file.key.period.end_us + SETTLE_US


def fetched_us(file: StoredFile) -> int:
    """Time of fetching; for a file from a folder no later than its last change.

    The stamp of such a file, ``size@nanoseconds``, contains the time of its last change.
    """
    moment = datetime_us(datetime.fromisoformat(file.fetched_at))
    size, at, changed = file.origin_stamp.partition("@")
    if at and size.isdigit() and changed.isdigit():
        return min(moment, int(changed) // 1_000)
    return moment


def settled_spans(
    plan: SeriesPlan, missing: Iterable[FileKey], *, now: datetime, before: Sequence[Span] = ()
) -> list[Span]:
    """The settled spans after the files of ``plan`` were processed.

    Files that are ``missing`` could not be downloaded, so they are not settled. ``now`` is the time
    of the request; ``before`` are the spans that were settled before.
    """
    settles_until = datetime_us(now) - SETTLE_US
    missing = set(missing)
    keys = [*plan.unchanged, *(fetch.key for fetch in plan.fetches)]
    files = [key.period.span for key in keys if key not in missing]
    had = [span for span in files if span[1] <= settles_until]
    # No file for a day may mean that its month is still to be written: wait for the month's end.
    ended = [month.span for month in months(plan.asked.start, plan.asked.end)]
    without = intersect(plan.empty, [month for month in ended if month[1] <= settles_until])
    lost = [key.period.span for key in missing]
    asked = intersect(merge([*had, *without]), [plan.asked.span])
    return merge([*subtract(before, lost), *subtract(asked, lost)])


def describe_spans(spans: Iterable[Span]) -> str:
    """Spans of whole days as text: whole months, else inclusive dates.

    Examples
    --------
    >>> describe_spans([Wanted("flow", SeriesKey("x", "y", "1h", "true"),
    ...                        date(2025, 1, 1), date(2025, 3, 1)).span])
    '2025-01 to 2025-02'
    """
    texts = []
    for start_us, end_us in spans:
        start, end = _day(start_us), _day(end_us)
        last = end - timedelta(days=1)
        whole = start.day == 1 and end.day == 1
        ends = [day.strftime("%Y-%m" if whole else "%Y-%m-%d") for day in (start, last)]
        texts.append(ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}")
    return ", ".join(texts)


def _day(microseconds: int) -> date:
    return us_datetime(microseconds).date()
