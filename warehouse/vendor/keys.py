"""Keys of vendor files: dataset, series, period, and their path.

Pure values: nothing here touches a disk. A series is one (exchange, symbol, interval, clock); a
period is a UTC month or a UTC day. Times are microseconds since the epoch, UTC, ranges half-open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import PurePosixPath
from typing import Self
from urllib.parse import quote, unquote

from warehouse.errors import UsageError
from warehouse.times import SECOND_US, Span, date_us

CLOCKS = ("exchange", "true")
INTERVALS = ("1s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "1d")
RAW_PREFIX = "raw_"
# The fields of a SeriesKey, which are columns of every table.
SERIES_COLUMNS = ("exchange", "symbol", "interval", "clock")

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# All lengths that divide a UTC day, by name.
_LENGTHS_US = {
    f"{seconds // unit}{name}": seconds * SECOND_US
    for seconds in range(1, 86_401)
    if 86_400 % seconds == 0
    for name, unit in [next((n, u) for n, u in reversed(_UNIT_S.items()) if seconds % u == 0)]
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_SYMBOL = re.compile(r"[A-Za-z0-9][^\x00-\x1f\x7f/\\%]{0,127}")
_PERIOD = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?")
YEARS = range(1970, 2200)
_LONGEST_SEGMENT = 240


def is_raw(dataset: str) -> bool:
    """Whether a dataset has raw events; all others have bars."""
    return dataset.startswith(RAW_PREFIX)


def time_columns(dataset: str) -> tuple[str, ...]:
    """The time columns of a file, which is sorted by the first.

    Raw data has two: the venue's time, and the time of receipt.

    Examples
    --------
    >>> time_columns("flow"), time_columns("raw_trades")
    (('time',), ('exchange_timestamp', 'local_timestamp'))
    """
    return ("exchange_timestamp", "local_timestamp") if is_raw(dataset) else ("time",)


def interval_us(interval: str) -> int:
    """Length of a bar in microseconds. It divides a UTC day, and is written in its largest unit.

    Examples
    --------
    >>> interval_us("5m"), interval_us("45m")
    (300000000, 2700000000)
    """
    us = _LENGTHS_US.get(interval)
    if us is None:
        raise UsageError(
            f"interval {interval!r:.80} is not the length of a bar",
            next_step="write one that divides a UTC day, in its largest unit: 15s, 45m, 4h or 1d",
        )
    return us


def require_vendor_interval(interval: str) -> None:
    """Raise UsageError unless the vendor serves bars of this length."""
    if interval not in INTERVALS:
        raise UsageError(
            f"interval {interval!r:.80} is not one the vendor serves",
            next_step=f"choose one of {', '.join(INTERVALS)}",
            interval=interval,
        )


@dataclass(frozen=True, slots=True)
class Symbol:
    """The parts of an Atlas symbol; ``None`` where the type of contract has no such part."""

    type: str
    base: str
    quote: str | None
    margin: str | None
    expiry: date | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split ``<type>-<BASE>-<QUOTE>[:<MARGIN>][-<YYYYMMDD>]``; the base may contain a colon.

        Examples
        --------
        >>> Symbol.parse("perpetual-XYZ:KSTR-USDC:USDC").base
        'XYZ:KSTR'
        >>> Symbol.parse("future-BTC-USDT:USDT-20260327").expiry
        datetime.date(2026, 3, 27)
        """
        kind, _, rest = text.partition("-")
        expiry = None
        head, _, tail = rest.rpartition("-")
        if head and re.fullmatch(r"\d{8}", tail):
            try:
                expiry = datetime.strptime(tail, "%Y%m%d").replace(tzinfo=UTC).date()
                rest = head
            except ValueError:
                pass
        margin = None
        head, _, tail = rest.rpartition(":")
        if head and "-" not in tail:
            rest, margin = head, tail
        base, _, quote_asset = rest.rpartition("-")
        if not base:
            base, quote_asset = rest, ""
        return cls(kind, base, quote_asset or None, margin, expiry)

    @classmethod
    def problem(cls, text: str) -> str | None:
        """Why a text is not an Atlas symbol, with a suggestion; None if it is one.

        Examples
        --------
        >>> Symbol.problem("perpetual-BTC-USDT:USDT") is None
        True
        >>> Symbol.problem("perpetual-BTC-USDT")
        "'perpetual-BTC-USDT' is not an Atlas symbol: did you mean 'perpetual-BTC-USDT:USDT'?"
        >>> Symbol.problem("BTCUS")
        "'BTCUS' is not an Atlas symbol: write it like 'perpetual-BTC-USDT:USDT' or 'spot-BTC-USDT'"
        """
        symbol = cls.parse(text)
        meant = _meant_symbol(symbol)
        if meant == text:
            return None
        hint = (
            f"did you mean {meant!r}?"
            if meant
            else "write it like 'perpetual-BTC-USDT:USDT' or 'spot-BTC-USDT'"
        )
        return f"{text!r:.160} is not an Atlas symbol: {hint}"


_SYMBOL_TYPES = ("spot", "perpetual", "future", "option", "unknown")


def _meant_symbol(symbol: Symbol) -> str | None:
    """The Atlas symbol of these parts, with the usual margin; None if the parts do not fit."""
    kind, quote_asset, margin = symbol.type.lower(), symbol.quote or "", symbol.margin
    dated = kind in ("future", "option")
    if kind not in _SYMBOL_TYPES or not symbol.base or not quote_asset:
        return None
    if (symbol.expiry is None) == dated and kind != "unknown":
        return None
    if margin is None and kind not in ("spot", "unknown"):
        margin = quote_asset
    if kind == "spot":
        margin = None
    base = symbol.base.upper() if quote_asset.islower() else symbol.base
    text = f"{kind}-{base}-{quote_asset.upper()}"
    text += f":{margin.upper()}" if margin else ""
    return f"{text}-{symbol.expiry:%Y%m%d}" if symbol.expiry else text


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """One (exchange, symbol, interval, clock); interval and clock are ``None`` for raw data."""

    exchange: str
    symbol: str
    interval: str | None = None
    clock: str | None = None

    def __post_init__(self) -> None:
        _require(_NAME.fullmatch(self.exchange) is not None, "exchange", self.exchange)
        _require(_SYMBOL.fullmatch(self.symbol) is not None, "symbol", self.symbol)
        _require(_is_encodable(self.symbol), "symbol", self.symbol)
        if (self.interval is None) != (self.clock is None):
            raise UsageError(f"series {self}: interval and clock must be given together")
        if self.interval is not None:
            interval_us(self.interval)
            _require(self.clock in CLOCKS, "clock", self.clock)

    @property
    def flat(self) -> tuple[str, str, str, str]:
        """Its parts as texts, which can be sorted: those of raw data have empty ones."""
        return self.exchange, self.symbol, self.interval or "", self.clock or ""

    @property
    def options(self) -> list[str]:
        """The options of a command that select it.

        Examples
        --------
        >>> SeriesKey("binance", "spot-BTC-USDT").options
        ['--exchange', 'binance', '--symbol', 'spot-BTC-USDT']
        """
        parts = zip(SERIES_COLUMNS, self.flat, strict=True)
        return [word for name, value in parts if value for word in (f"--{name}", value)]

    def __str__(self) -> str:
        return " ".join(filter(None, self.flat))


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A UTC month (``2025-09``) or a UTC day (``2025-09-11``)."""

    text: str

    def __post_init__(self) -> None:
        _require(_PERIOD.fullmatch(self.text) is not None, "period", self.text)
        try:
            year = self._first().year
        except ValueError as error:
            raise UsageError(f"period {self.text!r} is not a month or a day: {error}") from error
        _require(year in YEARS, "period", self.text)

    @property
    def is_day(self) -> bool:
        return len(self.text) == 10

    @property
    def month(self) -> str:
        return self.text[:7]

    @property
    def start(self) -> date:
        """First day, included."""
        return self._first()

    @property
    def end(self) -> date:
        """First day after the period, excluded."""
        first = self._first()
        if self.is_day:
            return first + timedelta(days=1)
        return (first.replace(day=1) + timedelta(days=32)).replace(day=1)

    @property
    def start_us(self) -> int:
        return self.span[0]

    @property
    def end_us(self) -> int:
        return self.span[1]

    @property
    def span(self) -> Span:
        return _span(self)

    def _first(self) -> date:
        return date.fromisoformat(self.text if self.is_day else f"{self.text}-01")


@cache
def _span(period: Period) -> Span:
    """Cached, because a build needs the spans of every file."""
    return date_us(period.start), date_us(period.end)


@dataclass(frozen=True, slots=True, order=True)
class FileKey:
    """The name of one vendor file. ``dataset`` of raw data begins with ``raw_``."""

    dataset: str
    series: SeriesKey
    period: Period

    def __post_init__(self) -> None:
        _require(_NAME.fullmatch(self.dataset) is not None, "dataset", self.dataset)
        if self.is_raw != (self.series.interval is None):
            raise UsageError(
                f"{self.dataset} {self.series}: interval and clock are required for metric datasets"
                " and not allowed for raw datasets"
            )

    @property
    def is_raw(self) -> bool:
        return is_raw(self.dataset)

    def __str__(self) -> str:
        return f"{self.dataset} {self.series} {self.period.text}"

    @property
    def path(self) -> PurePosixPath:
        """Path below ``lake/``.

        Examples
        --------
        >>> series = SeriesKey("binance-futures", "perpetual-BTC-USDT:USDT", "1h", "true")
        >>> print(FileKey("flow", series, Period("2025-09")).path.parent.name)
        timestamp=true
        """
        place = [f"exchange={self.series.exchange}", f"symbol={encode(self.series.symbol)}"]
        if self.is_raw:
            head = ["raw", self.dataset.removeprefix(RAW_PREFIX)]
        else:
            head = [self.dataset]
            place += [f"interval={self.series.interval}", f"timestamp={self.series.clock}"]
        return PurePosixPath(*head, *place, f"{self.period.text}.parquet")


def encode(symbol: str) -> str:
    """A symbol as one path segment: everything but letters, digits and ``-_.~`` percent-encoded.

    Examples
    --------
    >>> encode("perpetual-BTC-USDT:USDT")
    'perpetual-BTC-USDT%3AUSDT'
    """
    return quote(symbol, safe="")


def decode(segment: str) -> str:
    """The inverse of :func:`encode`; a segment without encoding is returned unchanged."""
    return unquote(segment)


def day_after(day: date) -> date:
    """The end, excluded, of a range whose last day is ``day``."""
    _require(day.year in YEARS, "day", day.isoformat())
    return day + timedelta(days=1)


def _is_encodable(symbol: str) -> bool:
    """Whether a symbol can be a path segment: at most 255 bytes of valid UTF-8."""
    try:
        return len(encode(symbol)) <= _LONGEST_SEGMENT
    except UnicodeEncodeError:
        return False


def _require(condition: bool, what: str, value: object) -> None:
    if not condition:
        text = repr(value) if len(repr(value)) <= 100 else f"{repr(value)[:100]}..."
        raise UsageError(
            f"invalid {what} {text}",
            next_step="check the spelling",
        )
