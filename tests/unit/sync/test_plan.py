"""Which spans are requested, and when they count as settled."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.errors import UsageError
from warehouse.sync.plan import (
    PlannedFetch,
    SeriesPlan,
    describe_spans,
    open_part,
    plan_series,
    settled_spans,
)
from warehouse.times import DAY_US
from warehouse.vendor.keys import FileKey, Period, SeriesKey
from warehouse.vendor.request import Wanted, months

SERIES = SeriesKey("binance-futures", "perpetual-BTC-USDT:USDT", "1h", "true")


def wanted(start: str, end: str) -> Wanted:
    return Wanted("flow", SERIES, date.fromisoformat(start), date.fromisoformat(end))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days(start: str, end: str) -> tuple[int, int]:
    return wanted(start, end).span


def fetched(asked: Wanted, *periods: str) -> SeriesPlan:
    return plan_series(asked, {Period(text): None for text in periods}, [])


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(UsageError, match="ends before it starts"):
        wanted("2025-02-01", "2025-02-01")


def test_open_part_when_nothing_is_settled_is_all_until_today() -> None:
    asked = open_part(wanted("2025-01-01", "2030-01-01"), [], now=at("2025-03-05T12:00"))
    assert asked == wanted("2025-01-01", "2025-03-06")


def test_open_part_when_all_is_settled_is_none_unless_rechecked() -> None:
    want = wanted("2025-01-01", "2025-02-01")
    settled = [days("2024-01-01", "2025-03-01")]
    assert open_part(want, settled, now=at("2025-06-01")) is None
    assert open_part(want, settled, now=at("2025-06-01"), recheck=True) == want


def test_open_part_of_days_to_come_is_none() -> None:
    assert open_part(wanted("2026-01-01", "2026-02-01"), [], now=at("2025-06-01")) is None


def test_open_part_is_the_hull_of_what_is_left() -> None:
    settled = [days("2025-01-01", "2025-02-01"), days("2025-03-01", "2025-04-01")]
    asked = open_part(wanted("2025-01-01", "2025-05-01"), settled, now=at("2025-06-01"))
    assert asked == wanted("2025-02-01", "2025-05-01")


def test_a_month_settles_two_days_after_its_end() -> None:
    plan = fetched(wanted("2025-01-01", "2025-02-01"), "2025-01")
    assert settled_spans(plan, [], now=at("2025-02-02T23:59")) == []
    assert settled_spans(plan, [], now=at("2025-02-03")) == [days("2025-01-01", "2025-02-01")]


def test_a_day_settles_by_itself_but_a_day_without_file_waits_for_the_month() -> None:
    plan = fetched(wanted("2025-01-01", "2025-01-11"), "2025-01-02", "2025-01-09")
    assert settled_spans(plan, [], now=at("2025-01-10")) == [days("2025-01-02", "2025-01-03")]
    assert settled_spans(plan, [], now=at("2025-02-03")) == [days("2025-01-01", "2025-01-11")]


def test_a_file_that_was_not_had_stays_open() -> None:
    plan = fetched(wanted("2025-01-01", "2025-04-01"), "2025-01", "2025-02", "2025-03")
    missing = [FileKey("flow", SERIES, Period("2025-02"))]
    assert settled_spans(plan, missing, now=at("2025-06-01")) == [
        days("2025-01-01", "2025-02-01"),
        days("2025-03-01", "2025-04-01"),
    ]


def test_what_was_settled_stays_so() -> None:
    plan = fetched(wanted("2025-02-01", "2025-03-01"), "2025-02")
    before = [days("2024-12-01", "2025-02-01")]
    found = settled_spans(plan, [], now=at("2025-06-01"), before=before)
    assert found == [days("2024-12-01", "2025-03-01")]


@given(
    start=st.integers(0, 400),
    length=st.integers(1, 400),
    now=st.integers(0, 900),
    listed=st.sets(st.integers(0, 25), max_size=26),
)
def test_asking_after_a_complete_answer_asks_only_for_what_may_change(
    start: int, length: int, now: int, listed: set[int]
) -> None:
    origin = date(2024, 1, 1).toordinal()
    asked = wanted(
        date.fromordinal(origin + start).isoformat(),
        date.fromordinal(origin + start + length).isoformat(),
    )
    moment = datetime.combine(date.fromordinal(origin + now), datetime.min.time(), UTC)
    part = open_part(asked, [], now=moment)
    if part is None:
        return
    names = {f"{2024 + i // 12}-{i % 12 + 1:02d}" for i in listed}
    inside = {month.text for month in months(part.start, part.end)} & names
    settled = settled_spans(fetched(part, *inside), [], now=moment)
    assert all(left[1] < right[0] for left, right in pairwise(settled))
    again = open_part(asked, settled, now=moment)
    if again is not None:
        month_end = Period(again.end.strftime("%Y-%m")).end_us
        assert month_end + 2 * DAY_US > int(moment.timestamp()) * 1_000_000


def test_spans_read_as_months_or_days() -> None:
    assert describe_spans([days("2025-01-01", "2025-02-01")]) == "2025-01"
    assert describe_spans([days("2025-01-01", "2025-01-02")]) == "2025-01-01"
    assert describe_spans([days("2025-01-05", "2025-03-01")]) == "2025-01-05 to 2025-02-28"


def test_planned_fetches_are_in_the_order_of_periods() -> None:
    plan = fetched(wanted("2025-01-01", "2025-04-01"), "2025-03", "2025-01", "2025-02-03")
    assert [fetch.key.period.text for fetch in plan.fetches] == ["2025-01", "2025-02-03", "2025-03"]
    assert isinstance(plan.fetches[0], PlannedFetch)
