"""Subscriptions: the series and days to sync, from ``warehouse.toml`` or options of a command.

::

    [[sync]]
    datasets = ["flow", "l1_*"]             # names or patterns; "*" is every metric dataset
    exchanges = ["binance-futures"]
    symbols = ["perpetual-BTC-USDT:USDT", "perpetual-*-USDC:USDC"]
    intervals = ["1h", "5m"]                # not for raw datasets
    clocks = ["true"]                       # true, exchange; not for raw datasets
    start = 2025-01-01                      # UTC days, both included
    end = 2025-12-31                        # omit it to sync until now

Patterns of symbols (``*``, ``?``) are resolved by the vendor's list of symbols.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from warehouse.config import read_tables
from warehouse.errors import NotFoundError, UsageError, VendorError, did_you_mean, nearest
from warehouse.vendor import (
    CLOCKS,
    RAW_PREFIX,
    SeriesKey,
    Wanted,
    day_after,
    is_raw,
    load_contracts,
    require_vendor_interval,
)

_LISTS = ("datasets", "exchanges", "symbols", "intervals", "clocks")
_KEYS = (*_LISTS, "start", "end")
_LONGEST_TEXT = 200
_EXAMPLE = "[[sync]] datasets, exchanges, symbols, intervals, clocks, start and optionally end"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Every combination of these lists, from ``start`` to ``end`` (excluded; None: until now)."""

    datasets: tuple[str, ...]
    exchanges: tuple[str, ...]
    symbols: tuple[str, ...]
    intervals: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None


def load_subscriptions(path: Path) -> list[Subscription]:
    """The ``[[sync]]`` tables of a ``warehouse.toml``."""
    tables = read_tables(path, "sync", _KEYS, _EXAMPLE)
    if not path.is_file():
        raise NotFoundError(
            f"there are no subscriptions: {path} does not exist",
            next_step="give a selection: DATASET --exchange --symbol --interval --clock --start;"
            f" import a folder: --from FOLDER; or write that file: {_EXAMPLE}",
        )
    if not tables:
        raise UsageError(
            f"{path}: no [[sync]] table",
            next_step=f"write one: {_EXAMPLE}; or build the existing files: warehouse build",
        )
    return [_subscription(table, where) for where, table in tables]


def resolve(
    subscriptions: Iterable[Subscription],
    *,
    today: date,
    symbols_of: Callable[[str], list[str]],
    unfit: list[VendorError] | None = None,
) -> list[Wanted]:
    """All subscribed series, each once, in order.

    Parameters
    ----------
    today
        The current UTC day, which is the last one of a subscription without end.
    symbols_of
        Returns all symbols of an exchange; called for patterns only.
    unfit
        Gets an error for each pattern that matches no symbol, if others match some; by default the
        first one is raised.
    """
    misfits: list[UsageError] = []
    spans: dict[tuple[str, SeriesKey], tuple[date, date]] = {}
    known: dict[str, list[str]] = {}
    for one in subscriptions:
        start, end = one.start, one.end or today + timedelta(days=1)
        if start is None:
            raise UsageError("no start", next_step="give the first UTC day: --start 2025-01-01")
        for exchange in one.exchanges:
            if exchange not in known and any(map(_is_pattern, one.symbols)):
                known[exchange] = symbols_of(exchange)
            what = f"symbol of {exchange}"
            symbols = _matching(one.symbols, known.get(exchange, []), what, misfits)
            for dataset, symbol in product(expand_datasets(one.datasets), symbols):
                for series in _series(one, dataset, exchange, symbol):
                    before = spans.get((dataset, series), (start, end))
                    spans[dataset, series] = min(before[0], start), max(before[1], end)
    if misfits and (unfit is None or not spans):
        raise misfits[0]
    if unfit is not None:
        unfit += [VendorError(error.what, next_step=error.next_step) for error in misfits]
    return [Wanted(dataset, series, *span) for (dataset, series), span in spans.items()]


def expand_datasets(names: Iterable[str]) -> list[str]:
    """The datasets that patterns match; a name without a contract is kept unchanged.

    ``*`` is every metric dataset; raw datasets need a pattern that begins with ``raw``. The vendor
    may have newer datasets than the contracts, but a name that differs from a known one in a few
    letters is taken for a typing error.

    Raises
    ------
    UsageError
        A pattern matches nothing, or a name is similar to that of a known dataset.

    Examples
    --------
    >>> expand_datasets(["l2_*", "raw:trades"])
    ['l2_imbalance', 'l2_liquidity', 'raw_trades']
    """
    contracts = load_contracts()
    expanded = []
    for name in (name.replace("raw:", RAW_PREFIX) for name in names):
        fit = [c.name for c in contracts.values() if c.is_raw == name.startswith("raw")]
        expanded += _matching([name], fit, "dataset")
        if name not in contracts and not _is_pattern(name):
            _require_no_slip(name, list(contracts))
    return list(dict.fromkeys(expanded))


def _require_no_slip(name: str, known: list[str]) -> None:
    """Refuse ``flwo`` for ``flow``; other digits, as in ``l3_price``, mean another dataset."""
    digits = _DIGIT.findall(name)
    near = [k for k in nearest(name, known, cutoff=0.7) if _DIGIT.findall(k) == digits]
    if near:
        raise UsageError(
            f"no dataset {name!r:.80}{did_you_mean(name, near)}",
            next_step=f"write one of: {', '.join(known)}",
        )


_DIGIT = re.compile(r"\d")


def _series(one: Subscription, dataset: str, exchange: str, symbol: str) -> list[SeriesKey]:
    if is_raw(dataset):
        return [SeriesKey(exchange, symbol)]
    for name, values in (("interval", one.intervals), ("clock", one.clocks)):
        if not values:
            raise UsageError(
                f"{dataset}: no {name}", next_step=f"add --{name}, as for every metric dataset"
            )
    grid = product(one.intervals, one.clocks)
    return [SeriesKey(exchange, symbol, interval, clock) for interval, clock in grid]


def _matching(
    patterns: Iterable[str],
    names: Iterable[str],
    what: str,
    unfit: list[UsageError] | None = None,
) -> list[str]:
    """Matching names, each once; a pattern without a match is an error, or goes to ``unfit``."""
    found: list[str] = []
    for pattern in patterns:
        fit = [n for n in names if fnmatchcase(n, pattern)] if _is_pattern(pattern) else [pattern]
        if not fit:
            error = UsageError(f"no {what} matches {pattern!r:.80}", next_step="check the pattern")
            if unfit is None:
                raise error
            unfit.append(error)
        found += fit
    return list(dict.fromkeys(found))


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def _subscription(table: dict[str, Any], where: str) -> Subscription:
    lists = {name: _texts(table.get(name, []), f"{where}: {name}") for name in _LISTS}
    for name in ("datasets", "exchanges", "symbols"):
        if not lists[name]:
            raise UsageError(f"{where}: no {name}", next_step=f'write {name} = ["..."]')
    for interval in lists["intervals"]:
        try:
            require_vendor_interval(interval)
        except UsageError as error:
            raise UsageError(f"{where}: {error.what}", next_step=error.next_step) from error
    for clock in lists["clocks"]:
        if clock not in CLOCKS:
            raise UsageError(f"{where}: clock {clock!r:.80}", next_step="write true or exchange")
    last = _day(table.get("end"), f"{where}: end")
    start = _day(table.get("start"), f"{where}: start")
    if start is None:
        raise UsageError(f"{where}: no start", next_step="write start = 2025-01-01")
    return Subscription(**lists, start=start, end=None if last is None else day_after(last))


def _texts(value: Any, where: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise UsageError(f"{where}: not a list of strings", next_step='write ["...", "..."]')
    if any(len(text) > _LONGEST_TEXT for text in values):
        raise UsageError(
            f"{where}: a string of more than {_LONGEST_TEXT} characters", next_step="shorten it"
        )
    return tuple(values)


def _day(value: Any, where: str) -> date | None:
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise UsageError(f"{where}: not a day", next_step="write it as 2025-01-01, without quotes")
