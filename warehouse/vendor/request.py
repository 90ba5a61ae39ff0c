"""The files of one series over a range of days, as requested from the vendor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from warehouse.errors import UsageError
from warehouse.times import Span, date_us
from warehouse.vendor.keys import FileKey, Period, SeriesKey


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """The files of one series in one dataset over UTC days, ``end`` excluded.

    Examples
    --------
    >>> series = SeriesKey("okx-perps", "perpetual-BTC-USDT:USDT", "1h", "true")
    >>> str(Wanted("flow", series, date(2025, 9, 1), date(2025, 9, 2)))
    'flow okx-perps perpetual-BTC-USDT:USDT 1h true from 2025-09-01 to 2025-09-01'
    """

    dataset: str
    series: SeriesKey
    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise UsageError(
                f"{self.dataset} {self.series}: the range ends before it starts",
                next_step="give --start and --end as inclusive UTC dates, the earlier one first",
            )
        FileKey(self.dataset, self.series, Period(self.start.isoformat()))  # or is not a valid name

    def __str__(self) -> str:
        last = self.end - timedelta(days=1)
        return f"{self.dataset} {self.series} from {self.start} to {last}"

    @property
    def span(self) -> Span:
        return date_us(self.start), date_us(self.end)

    def within(self, start: date, end: date) -> Wanted:
        """The same series over other days."""
        return Wanted(self.dataset, self.series, start, end)


def months(start: date, end: date) -> list[Period]:
    """Every UTC month that has a day in ``[start, end)``.

    Examples
    --------
    >>> [month.text for month in months(date(2025, 11, 30), date(2026, 1, 1))]
    ['2025-11', '2025-12']
    """
    found = [Period(start.strftime("%Y-%m"))]
    while found[-1].end < end:
        found.append(Period(found[-1].end.strftime("%Y-%m")))
    return found
