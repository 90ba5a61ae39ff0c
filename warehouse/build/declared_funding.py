"""Funding schedules that the user declares: the ``[[funding]]`` tables of ``warehouse.toml``.

::

    [[funding]]
    exchange = "binance-futures"
    symbol = "perpetual-WLD-USDT:USDT"      # omit it for all symbols of the exchange
    hours = 8                               # from one payment to the next, counted from 00:00 UTC
    [[funding]]
    exchange = "binance-futures"
    symbol = "perpetual-WLD-USDT:USDT"
    hours = 4
    from = 2025-03-01T08:00:00Z             # payments after this moment; or a UTC day

A span lasts until the next one of the same symbol begins. A table with a symbol takes precedence
over one for the whole exchange, and both take precedence over the seed and the pattern of the
rates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from warehouse.config import read_tables
from warehouse.errors import UsageError

HOURS = (1, 2, 3, 4, 6, 8, 12, 24)
ALWAYS, FOREVER = datetime(1900, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001 (naive UTC)
_YEARS = (1970, 2200)
_KEYS = ("exchange", "symbol", "hours", "from")
_EXAMPLE = '[[funding]] exchange = "…", symbol = "…", hours = 4, from = 2025-03-01'


@dataclass(frozen=True, slots=True, order=True)
class FundingSpan:
    """Payments every ``hours`` hours after ``since``, until ``until`` (included), naive UTC.

    ``symbol`` is empty for every symbol of the exchange.
    """

    exchange: str
    symbol: str
    since: datetime
    until: datetime
    hours: int


def declared_spans(path: Path) -> list[FundingSpan]:
    """The ``[[funding]]`` tables of a ``warehouse.toml``; empty if there is no such file."""
    tables = read_tables(path, "funding", _KEYS, _EXAMPLE)
    begun = sorted(_span(table, where) for where, table in tables)
    spans = []
    for span, following in pairwise([*begun, None]):
        assert span is not None
        until = FOREVER
        if following is not None and _of(following) == _of(span):
            until = following.since
        if until <= span.since:
            raise UsageError(
                f"{path}: two [[funding]] tables of {span.exchange} {span.symbol or '(all)'}"
                f" begin at {span.since}",
                next_step="keep one of them, or give each its own from",
            )
        spans.append(FundingSpan(span.exchange, span.symbol, span.since, until, span.hours))
    return spans


def spans_of(
    spans: Iterable[FundingSpan], places: Iterable[tuple[str, str]]
) -> list[tuple[str, str, int, datetime, datetime]]:
    """The spans of each exchange and symbol: those of the symbol, else those of the exchange.

    Each as exchange, symbol, hours, since, until; they do not overlap. Spans that match no
    series stay as declared, so that a test can report them.
    """
    held = set(places)
    known = held | {(exchange, "") for exchange, _ in held}
    by_place: dict[tuple[str, str], list[FundingSpan]] = {}
    for span in spans:
        by_place.setdefault(_of(span), []).append(span)
    return [
        (exchange, symbol, span.hours, span.since, span.until)
        for exchange, symbol in sorted(held | (by_place.keys() - known))
        for span in by_place.get((exchange, symbol), by_place.get((exchange, ""), []))
    ]


def _of(span: FundingSpan) -> tuple[str, str]:
    return span.exchange, span.symbol


def _span(table: dict[str, Any], where: str) -> FundingSpan:
    exchange, symbol = table.get("exchange"), table.get("symbol", "")
    if exchange is None:
        raise UsageError(f"{where}: no exchange", next_step=f"write: {_EXAMPLE}")
    for name, text in (("exchange", exchange), ("symbol", table.get("symbol", "all"))):
        if not isinstance(text, str) or not text or not text.isprintable():
            raise UsageError(
                f"{where}: {name} = {text!r:.80} is not a name", next_step=f"write: {_EXAMPLE}"
            )
    hours = table.get("hours")
    if type(hours) is not int or hours not in HOURS:
        raise UsageError(
            f"{where}: hours = {hours!r:.80}",
            next_step=f"write one of {', '.join(map(str, HOURS))}",
        )
    since = _moment(table.get("from"), where)
    return FundingSpan(exchange, symbol, since, FOREVER, hours)


def _moment(value: Any, where: str) -> datetime:
    if value is None:
        return ALWAYS
    if not isinstance(value, date):
        raise UsageError(
            f"{where}: from is not a date or time",
            next_step="write it as 2025-03-01, without quotes",
        )
    if not _YEARS[0] <= value.year <= _YEARS[1]:
        raise UsageError(
            f"{where}: from = {value} is not within the years {_YEARS[0]} to {_YEARS[1]}",
            next_step="omit from if the schedule has never changed",
        )
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return (value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None)
