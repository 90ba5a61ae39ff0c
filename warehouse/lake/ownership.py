"""Computes which file owns which span of time, and which bars exist or are missing.

Pure arithmetic on half-open spans ``(start_us, end_us)`` from the manifest; no data file is read.

Ownership: a daily file with rows owns its UTC day except for bars that only the monthly file has; a
monthly file owns the rest of its month. So every bar appears once, and the daily file takes
precedence. For raw data, which has no bars, a daily file owns the time from its first to its last
row, so that earlier and later rows of a monthly file stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise

from warehouse.lake.manifest.records import StoredFile
from warehouse.times import Span, intersect, merge, subtract, total
from warehouse.vendor import Period, interval_us, months


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A file, the spans of its period that it owns, and the bars in them that it shows.

    ``raw_rows_hidden`` is not in the manifest: ``build.vendor_views.count_hidden`` counts it.
    ``kept_at`` is the path below the home of kept bars, which have their own ``known_at``; empty
    for a file of the lake. ``late`` are the paths of the late bars of its series
    (``build.months.late``).
    """

    file: StoredFile
    spans: tuple[Span, ...]
    runs: tuple[Span, ...]
    raw_rows_hidden: int = 0
    kept_at: str = ""
    late: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Path below the home."""
        return self.kept_at or f"objects/{self.file.object}.parquet"

    @property
    def shown_from(self) -> tuple[object, ...]:
        """The inputs of the rows that it shows, for the names of stored months."""
        return self.file.object, self.spans, *self.late

    @property
    def owns_all(self) -> bool:
        """Whether no other file owns a part of its period."""
        period = self.file.key.period
        return self.spans == (period.span,)

    @property
    def rows_hidden(self) -> int:
        """Rows of the file that another file replaces; for raw data only if they were counted."""
        if self.file.key.is_raw:
            return self.raw_rows_hidden
        bar = interval_us(self.file.key.series.interval or "")
        return self.file.facts.rows - total(self.runs) // bar


@dataclass(frozen=True, slots=True)
class BarGap:
    """Bars missing between the first and the last bar of a series in one dataset."""

    dataset: str
    series_id: int
    start_us: int
    end_us: int
    bars: int


@dataclass(frozen=True, slots=True)
class SeriesMonth:
    """Totals of the files of one series, dataset and month.

    ``runs`` are the bars that they show; raw data has none. The ``raw_`` fields apply to raw data
    only.
    """

    dataset: str
    series_id: int
    interval: str | None
    month: str
    files: int
    nulls: int
    runs: tuple[Span, ...]
    raw_rows: int
    raw_first_us: int | None
    raw_last_us: int | None

    @property
    def bar_us(self) -> int | None:
        return None if self.interval is None else interval_us(self.interval)


@dataclass(frozen=True, slots=True)
class MonthCoverage:
    """One month of one series in one dataset.

    ``expected_rows`` counts the bars between the series' first and last one in this month; it is
    None for raw data, which has no grid.
    """

    dataset: str
    series_id: int
    month: str
    files: int
    rows: int
    expected_rows: int | None
    first_us: int | None
    last_us: int | None
    gaps: int
    nulls: int


def assign_ownership(files: Iterable[StoredFile]) -> list[OwnedFile]:
    """The spans that each file owns, in the order of the files."""
    files = list(files)
    monthly = {_month_of(file): file for file in files if not file.key.period.is_day}
    taken: dict[tuple[str, int, str], list[Span]] = {}
    spans: dict[int, list[Span]] = {}
    for place, file in enumerate(files):
        if file.key.period.is_day:
            spans[place] = _daily_spans(file, monthly.get(_month_of(file)))
            taken.setdefault(_month_of(file), []).extend(spans[place])
    owned = []
    for place, file in enumerate(files):
        own = spans.get(place)
        if own is None:
            own = subtract([file.key.period.span], taken.get(_month_of(file), []))
        runs = intersect(file.facts.runs, own)
        owned.append(OwnedFile(file, tuple(own), tuple(runs)))
    return owned


def series_months(owned: Iterable[OwnedFile]) -> list[SeriesMonth]:
    """The months of every series in every dataset that have files, in order."""

    def place(owned_file: OwnedFile) -> tuple[str, int, str]:
        return _month_of(owned_file.file)

    found = []
    for (dataset, series_id, month), grouped in groupby(sorted(owned, key=place), key=place):
        files = list(grouped)
        facts = [file.file.facts for file in files]
        firsts = [fact.first_us for fact in facts if fact.first_us is not None]
        lasts = [fact.last_us for fact in facts if fact.last_us is not None]
        found.append(
            SeriesMonth(
                dataset=dataset,
                series_id=series_id,
                interval=files[0].file.key.series.interval,
                month=month,
                files=len(files),
                nulls=sum(fact.nulls for fact in facts),
                runs=tuple(merge(run for file in files for run in file.runs)),
                raw_rows=sum(fact.rows for fact in facts)
                - sum(file.raw_rows_hidden for file in files),
                raw_first_us=min(firsts, default=None),
                raw_last_us=max(lasts, default=None),
            )
        )
    return found


def find_gaps(months: Iterable[SeriesMonth]) -> list[BarGap]:
    """Missing bars of every series in every dataset, in order; a gap may span several months."""
    gaps = []
    for (dataset, series_id), group in _by_series(months):
        bar = group[0].bar_us
        if bar is None:
            continue
        present = merge(run for month in group for run in month.runs)
        for (_, left), (right, _) in pairwise(present):
            gaps.append(BarGap(dataset, series_id, left, right, (right - left) // bar))
    return gaps


def cover_months(held: Iterable[SeriesMonth]) -> list[MonthCoverage]:
    """One row per month between the first and the last file of a series in a dataset."""
    covered = []
    for (dataset, series_id), group in _by_series(held):
        bar = group[0].bar_us
        present = merge(run for month in group for run in month.runs)
        with_files = {month.month: month for month in group}
        first, last = Period(min(with_files)), Period(max(with_files))
        for month in _months(first, last):
            files = with_files.get(month.text)
            if bar is None:
                covered.append(_raw_month(dataset, series_id, month.text, files))
                continue
            inside = intersect(present, [month.span])
            life = intersect([(present[0][0], present[-1][1])] if present else [], [month.span])
            covered.append(
                MonthCoverage(
                    dataset=dataset,
                    series_id=series_id,
                    month=month.text,
                    files=files.files if files else 0,
                    rows=total(inside) // bar,
                    expected_rows=total(life) // bar,
                    first_us=inside[0][0] if inside else None,
                    last_us=inside[-1][1] - bar if inside else None,
                    gaps=len(subtract(life, inside)),
                    nulls=files.nulls if files else 0,
                )
            )
    return covered


# -- spans ---------------------------------------------------------------------------------------


def _month_of(file: StoredFile) -> tuple[str, int, str]:
    return file.key.dataset, file.series_id, file.key.period.month


def _daily_spans(daily: StoredFile, monthly: StoredFile | None) -> list[Span]:
    """The spans that a daily file owns, given the monthly one, if any."""
    if not daily.facts.rows:
        return []
    day = [daily.key.period.span]
    if monthly is None:
        return day
    if daily.key.is_raw and daily.facts.first_us is not None and daily.facts.last_us is not None:
        return [(daily.facts.first_us, daily.facts.last_us + 1)]
    return subtract(day, subtract(intersect(monthly.facts.runs, day), daily.facts.runs))


@cache
def _months(first: Period, last: Period) -> tuple[Period, ...]:
    """Cached, because most series have the same months."""
    return tuple(months(first.start, last.end))


def _by_series(
    held: Iterable[SeriesMonth],
) -> Iterable[tuple[tuple[str, int], list[SeriesMonth]]]:
    def place(month: SeriesMonth) -> tuple[str, int]:
        return month.dataset, month.series_id

    for name, group in groupby(sorted(held, key=place), key=place):
        yield name, list(group)


def _raw_month(
    dataset: str, series_id: int, month: str, files: SeriesMonth | None
) -> MonthCoverage:
    return MonthCoverage(
        dataset=dataset,
        series_id=series_id,
        month=month,
        files=files.files if files else 0,
        rows=files.raw_rows if files else 0,
        expected_rows=None,
        first_us=files.raw_first_us if files else None,
        last_us=files.raw_last_us if files else None,
        gaps=0,
        nulls=files.nulls if files else 0,
    )
