"""Notes: unusual content of a vendor file that is imported nevertheless.

Unusual values are noted when the file is checked. Times after the moment when the file was
fetched are found here, from its facts and that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from warehouse.display import counted
from warehouse.lake.manifest.records import FileFacts
from warehouse.times import datetime_us, us_datetime
from warehouse.vendor import FileKey, interval_us

# Kind of the note, the same text for all files of that kind, and a description.
Note = tuple[str, str]


def notes_of(key: FileKey, facts: FileFacts, fetched_at: datetime) -> Iterator[Note]:
    """Notes on one file that was fetched at this moment (naive UTC).

    Examples
    --------
    >>> from warehouse.vendor.keys import Period, SeriesKey
    >>> series = SeriesKey("binance-futures", "perpetual-BTC-USDT:USDT", "1h", "true")
    >>> key = FileKey("ohlcv", series, Period("2026-11"))
    >>> bars = (1_795_777_200_000_000, 1_795_780_800_000_000)  # one bar, 11:00 to 12:00
    >>> facts = FileFacts(1, bars[0], bars[0], (bars,), (), (), (), 0, True, False)
    >>> list(notes_of(key, facts, datetime(2026, 11, 27, 11, 30)))
    [('open last bar', 'the bar of 2026-11-27 11:00:00 had not ended when the file was fetched')]
    """
    yield from facts.notes
    if facts.last_us is None:
        return
    now_us = datetime_us(fetched_at)
    last = us_datetime(facts.last_us)
    if key.is_raw:
        if facts.last_us > now_us:
            yield "future times", f"the last row is of {last}, after the file was fetched"
        return
    bar = interval_us(key.series.interval or "")
    future = sum((end - max(start, _next(now_us, bar))) // bar for start, end in facts.runs
                 if end > _next(now_us, bar))  # fmt: skip
    if future:
        yield (
            "future times",
            f"{counted(future, 'bar')} later than the time of fetching, the last at {last}: "
            "the clock or the time zone is wrong",
        )
    elif facts.last_us + bar > now_us:
        yield "open last bar", f"the bar of {last} had not ended when the file was fetched"


def _next(now_us: int, bar: int) -> int:
    """Start of the first bar after a moment."""
    return (now_us // bar + 1) * bar
