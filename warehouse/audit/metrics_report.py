"""Results of the audit of the vendor's metrics: verdicts by series, column and reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class ValueOutcome(StrEnum):
    """The verdict on one value, or on one bar."""

    EQUAL = "equal"
    FLOAT32 = "equal in float32"
    RANK = "equal in rank"
    MISSING = "one is missing"
    DIFFERS = "differs"
    PARTIAL = "differs in a partial bar"
    NO_BAR = "vendor lacks the bar"
    NO_TICKS = "no ticks"

    @property
    def is_problem(self) -> bool:
        return self in (ValueOutcome.MISSING, ValueOutcome.DIFFERS, ValueOutcome.NO_BAR)

    @property
    def is_equal(self) -> bool:
        return self in (ValueOutcome.EQUAL, ValueOutcome.FLOAT32, ValueOutcome.RANK)


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """A series of the vendor's bars that can be compared with ticks."""

    dataset: str
    series_id: int
    exchange: str
    symbol: str
    interval: str
    clock: str

    def __str__(self) -> str:
        return f"{self.dataset} {self.exchange} {self.symbol} {self.interval} {self.clock}"


@dataclass(frozen=True, slots=True)
class BadValue:
    """A value that is not the vendor's: the bar's start, both values, and the verdict."""

    time: datetime
    vendor: float | None
    ticks: float | None
    outcome: ValueOutcome

    @property
    def relative(self) -> float | None:
        """Difference relative to the larger value; None if one is missing."""
        if self.vendor is None or self.ticks is None:
            return None
        return abs(self.vendor - self.ticks) / max(abs(self.vendor), abs(self.ticks))


@dataclass(slots=True)
class ColumnAudit:
    """Verdicts on the values of a column, by reading; the default one has no name."""

    column: str
    by_reading: dict[str, Counter[ValueOutcome]] = field(default_factory=dict)
    worst_by_reading: dict[str, list[BadValue]] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The reading with the fewest problems; the default one if it has as few."""
        return min(
            self.by_reading,
            key=lambda reading: sum(
                count for outcome, count in self.by_reading[reading].items() if outcome.is_problem
            ),
        )

    @property
    def outcomes(self) -> Counter[ValueOutcome]:
        return self.by_reading[self.best]

    @property
    def worst(self) -> list[BadValue]:
        """Values that differ most, by the best reading."""
        return self.worst_by_reading.get(self.best, [])

    @property
    def problems(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome.is_problem)


@dataclass(slots=True)
class SeriesAudit:
    """The audit of one series.

    Attributes
    ----------
    skipped
        Why it was not compared; None if it was.
    first, last
        First and last bar of either side in the span of the ticks.
    bars
        Verdicts on whole bars.
    lost
        First bars that the vendor lacks.
    columns
        In the vendor's order.
    ticks
        Lines about the ticks of the worst bars.
    """

    series: MetricSeries
    skipped: str | None = None
    first: datetime | None = None
    last: datetime | None = None
    bars: Counter[ValueOutcome] = field(default_factory=Counter)
    lost: list[datetime] = field(default_factory=list)
    columns: list[ColumnAudit] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)
    ticks: list[str] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Bars that both sides have."""
        return self.bars[ValueOutcome.EQUAL]

    @property
    def problems(self) -> int:
        return self.bars[ValueOutcome.NO_BAR] + sum(column.problems for column in self.columns)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows of ``meta.audit`` without the series: one per column, reading and verdict."""
        for outcome in (ValueOutcome.NO_BAR, ValueOutcome.NO_TICKS):
            if self.bars[outcome]:
                yield None, None, False, str(outcome), self.bars[outcome], None, None, None, None
        for column in self.columns:
            for reading, outcomes in column.by_reading.items():
                worst = {bad.outcome: bad for bad in reversed(column.worst_by_reading[reading])}
                for outcome, count in sorted(outcomes.items()):
                    bad = worst.get(outcome)
                    example = (
                        (None,) * 3
                        if bad is None
                        else (bad.time.isoformat(sep=" "), bad.vendor, bad.ticks)
                    )
                    is_best = reading == column.best
                    yield (
                        column.column, reading or "default", is_best, str(outcome), count, *example,
                        None if bad is None else bad.relative,
                    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricsReport:
    """The audit of all selected series."""

    audits: tuple[SeriesAudit, ...]

    @property
    def passed(self) -> bool:
        return not any(audit.problems for audit in self.audits)
