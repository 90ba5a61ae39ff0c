"""Spans against brute force on small integers; ownership, gaps and months against plain rows."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tests.support import file_key, grid
from warehouse.lake.manifest.records import FileFacts, StoredFile
from warehouse.lake.ownership import (
    BarGap,
    OwnedFile,
    assign_ownership,
    cover_months,
    find_gaps,
    series_months,
)
from warehouse.times import Span, date_us, intersect, merge, subtract, total
from warehouse.vendor.keys import FileKey

HOUR_US = 3_600_000_000
spans = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair))),
    max_size=8,
)


def points(some: list[Span]) -> set[int]:
    return {point for start, end in some for point in range(start, end)}


def is_canonical(some: list[Span]) -> bool:
    """Not empty, in order, and nowhere touching: as few spans as can be."""
    return all(start < end for start, end in some) and all(
        left[1] < right[0] for left, right in pairwise(some)
    )


@given(spans)
def test_merge_when_spans_are_any_then_holds_the_same_points(some: list[Span]) -> None:
    merged = merge(some)
    assert points(merged) == points(some)
    assert is_canonical(merged)


@given(spans, spans)
def test_subtract_when_spans_are_any_then_holds_the_points_outside(
    some: list[Span], gaps: list[Span]
) -> None:
    left = subtract(some, gaps)
    assert points(left) == points(some) - points(gaps)
    assert is_canonical(left)


@given(spans, spans)
def test_intersect_when_spans_are_any_then_holds_the_common_points(
    some: list[Span], others: list[Span]
) -> None:
    common = intersect(some, others)
    assert points(common) == points(some) & points(others)
    assert points(common) == points(intersect(others, some))
    assert total(common) == len(points(common))


# -- files ---------------------------------------------------------------------------------------


def stored(key: FileKey, starts: list[int], *, number: int = 1, bar: int = HOUR_US) -> StoredFile:
    """A file of the lake that holds bars at ``starts``."""
    ordered = sorted(starts)
    facts = FileFacts(
        rows=len(ordered),
        first_us=ordered[0] if ordered else None,
        last_us=ordered[-1] if ordered else None,
        runs=tuple(merge((start, start + bar) for start in ordered)),
        columns=(("time", "TIMESTAMP"),),
        missing=(),
        unexpected=(),
        nulls=2,
        is_sorted=True,
        simulated=False,
    )
    return StoredFile(number, key, 1, f"{number:064x}", 10, facts, "o", "s", "2026-01-01 00:00:00")


FIRST = date(2025, 9, 1)
hours_of_september = st.sets(st.integers(0, 30 * 24 - 1), max_size=60)


@st.composite
def lakes(draw: st.DrawFn) -> list[tuple[FileKey, set[int]]]:
    """A monthly file, perhaps, and some daily ones; each with any of the hours it may hold."""
    files: list[tuple[FileKey, set[int]]] = []
    if draw(st.booleans()):
        files.append((file_key("flow", "2025-09"), draw(hours_of_september)))
    for day in draw(st.sets(st.integers(0, 29), max_size=5)):
        hours = draw(st.sets(st.integers(day * 24, day * 24 + 23), max_size=24))
        name = (FIRST + timedelta(days=day)).isoformat()
        files.append((file_key("flow", name), hours))
    return draw(st.permutations(files))


def as_owned(files: list[tuple[FileKey, set[int]]]) -> list[OwnedFile]:
    zero = date_us(FIRST)
    return assign_ownership(
        stored(key, [zero + hour * HOUR_US for hour in hours], number=number)
        for number, (key, hours) in enumerate(files)
    )


def shown_hours(owned: OwnedFile) -> list[int]:
    """Row by row: hours of the file that lie in a span it owns."""
    zero = date_us(FIRST)
    return [
        (at - zero) // HOUR_US
        for start, end in owned.file.facts.runs
        for at in range(start, end, HOUR_US)
        if any(a <= at < b for a, b in owned.spans)
    ]


@given(lakes())
def test_ownership_when_daily_and_monthly_overlap_then_each_bar_is_shown_once(
    files: list[tuple[FileKey, set[int]]],
) -> None:
    daily = {hour for key, hours in files if key.period.is_day for hour in hours}
    owned = as_owned(files)
    shown = {one.file.key: shown_hours(one) for one in owned}
    for key, hours in files:
        assert shown[key] == sorted(hours if key.period.is_day else hours - daily)
    for one in owned:
        assert one.rows_hidden == one.file.facts.rows - len(shown_hours(one))
        assert total(one.runs) // HOUR_US == len(shown_hours(one))


@given(lakes())
def test_ownership_when_files_come_in_any_order_then_is_the_same(
    files: list[tuple[FileKey, set[int]]],
) -> None:
    def spans_by_key(some: list[tuple[FileKey, set[int]]]) -> dict[FileKey, tuple[Span, ...]]:
        return {one.file.key: one.spans for one in as_owned(some)}

    assert spans_by_key(files) == spans_by_key(files[::-1])


def test_ownership_when_daily_file_has_no_rows_then_the_monthly_keeps_the_day() -> None:
    monthly, daily = as_owned(
        [(file_key("flow", "2025-09"), {0, 1, 30}), (file_key("flow", "2025-09-02"), set())]
    )
    assert monthly.owns_all
    assert daily.spans == ()
    assert monthly.rows_hidden == 0


def test_ownership_when_datasets_or_series_differ_then_they_do_not_take_from_each_other() -> None:
    monthly = stored(file_key("flow", "2025-09"), [date_us(FIRST)])
    other_dataset = stored(file_key("ohlcv", "2025-09-01"), [date_us(FIRST)])
    assert all(one.owns_all for one in assign_ownership([monthly, other_dataset]))


def test_ownership_when_raw_then_counts_nothing_as_hidden() -> None:
    key = file_key("raw_trades", "2025-09")
    facts = FileFacts(5, 1, 9, (), (), (), (), 0, True, False)
    file = StoredFile(1, key, 1, "0" * 64, 10, facts, "o", "s", "2026-01-01 00:00:00")
    assert assign_ownership([file])[0].rows_hidden == 0


# -- gaps and months, against pandas -------------------------------------------------------------


@given(
    st.sets(st.integers(0, 29), min_size=1, max_size=30).map(sorted),
    st.sets(st.integers(0, 29), max_size=30).map(sorted),
)
def test_coverage_when_bars_are_missing_then_equals_a_reindexed_frame(
    september: list[int], november: list[int]
) -> None:
    """Bars of a day: some of September, none of October, some of November."""
    day = 86_400_000_000
    files = [
        stored(file_key("flow", f"2025-{month:02d}", "1d"),
               [date_us(date(2025, month, 1)) + n * day for n in days], number=month, bar=day)
        for month, days in ((9, september), (11, november))
    ]  # fmt: skip
    owned = assign_ownership(files)
    at = pd.DatetimeIndex(
        [date(2025, 9, 1 + n) for n in september] + [date(2025, 11, 1 + n) for n in november]
    )
    full = pd.Series(1.0, index=at).reindex(pd.date_range(at.min(), at.max(), freq="D"))
    missing = full[full.isna()]

    gaps = find_gaps(series_months(owned))
    bars = [moment for gap in gaps for moment in range(gap.start_us, gap.end_us, day)]
    assert pd.to_datetime(pd.Series(bars, dtype="int64"), unit="us").tolist() == list(missing.index)
    assert all(gap.bars * day == gap.end_us - gap.start_us for gap in gaps)

    months = full.groupby(full.index.strftime("%Y-%m")).agg(["count", "size"])
    covered = {month.month: month for month in cover_months(series_months(owned))}
    assert list(covered) == ["2025-09", "2025-10", "2025-11"]
    for name, month in covered.items():
        rows, expected = months.loc[name] if name in months.index else (0, 0)
        assert (month.rows, month.expected_rows) == (rows, expected)
        inside = full[full.notna() & (full.index.strftime("%Y-%m") == name)]
        first = int(inside.index[0].as_unit("us").asm8.astype("int64")) if rows else None
        assert month.first_us == first
        breaks = missing[missing.index.strftime("%Y-%m") == name].index.to_series()
        assert month.gaps == int((breaks.diff() != pd.Timedelta(days=1)).sum())
    assert [month.files for month in covered.values()] == [1, 0, 1]


def test_gap_when_it_crosses_a_month_then_is_one_gap() -> None:
    september = [int(at) for at in grid(FIRST, 700)]
    october = [int(at) for at in grid(date(2025, 10, 1), 10)][3:]
    owned = assign_ownership(
        [
            stored(file_key("flow", "2025-09"), september, number=1),
            stored(file_key("flow", "2025-10"), october, number=2),
        ]
    )
    assert find_gaps(series_months(owned)) == [
        BarGap("flow", 1, september[-1] + HOUR_US, october[0], 720 - 700 + 3)
    ]


def test_coverage_when_raw_then_counts_rows_without_a_grid() -> None:
    facts = FileFacts(5, 10, 90, (), (), (), (), 1, True, False)
    files = [
        StoredFile(n, file_key("raw_trades", f"2025-09-0{n}"), 1, "0", 1, facts, "o", "s", "t")
        for n in (1, 2)
    ]
    (month,) = cover_months(series_months(assign_ownership(files)))
    assert (month.rows, month.expected_rows, month.gaps, month.nulls) == (10, None, 0, 2)
    assert (month.first_us, month.last_us) == (10, 90)


def test_coverage_when_there_are_no_files_then_is_empty() -> None:
    assert assign_ownership([]) == find_gaps([]) == cover_months([]) == []
