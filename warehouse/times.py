"""Moments and spans of time in microseconds since the epoch, UTC; spans are half-open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 86_400 * SECOND_US


def date_us(day: date) -> int:
    """Microseconds since the epoch at 00:00 UTC of a day."""
    return (day - date(1970, 1, 1)).days * DAY_US


def us_datetime(microseconds: int) -> datetime:
    """A naive UTC datetime from microseconds since the epoch.

    Examples
    --------
    >>> us_datetime(0).isoformat()
    '1970-01-01T00:00:00'
    """
    return datetime.fromisoformat("1970-01-01") + timedelta(microseconds=microseconds)


def datetime_us(moment: datetime) -> int:
    """Microseconds since the epoch of a datetime; one without a zone is UTC.

    Examples
    --------
    >>> datetime_us(us_datetime(1_756_684_800_000_001))
    1756684800000001
    """
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - us_datetime(0)) // timedelta(microseconds=1)


def utc_now() -> datetime:
    """The current time as a naive UTC datetime."""
    return datetime.now(UTC).replace(tzinfo=None)


def utc_now_text() -> str:
    """The current time as the manifest has it: ISO 8601, UTC, to the second, without zone."""
    return utc_now().isoformat(sep=" ", timespec="seconds")


Span = tuple[int, int]


def merge(spans: Iterable[Span]) -> list[Span]:
    """Merge spans that touch or overlap, in order.

    Examples
    --------
    >>> merge([(4, 6), (0, 2), (2, 3)])
    [(0, 3), (4, 6)]
    """
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def subtract(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """The parts of ``spans`` outside ``others``.

    Examples
    --------
    >>> subtract([(0, 10)], [(2, 3), (9, 12)])
    [(0, 2), (3, 9)]
    """
    left = []
    others = merge(others)
    for start, end in merge(spans):
        for other_start, other_end in others:
            if other_end <= start or other_start >= end:
                continue
            if start < other_start:
                left.append((start, other_start))
            start = other_end
        if start < end:
            left.append((start, end))
    return left


def intersect(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """The parts that are in both.

    Examples
    --------
    >>> intersect([(0, 5), (7, 9)], [(3, 8)])
    [(3, 5), (7, 8)]
    """
    common, i, j = [], 0, 0
    left, right = merge(spans), merge(others)
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            common.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return common


def total(spans: Iterable[Span]) -> int:
    """Total length of disjoint spans."""
    return sum(end - start for start, end in spans)
