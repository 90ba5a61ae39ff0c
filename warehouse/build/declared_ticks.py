"""The bars from ticks to keep: the ``[[ticks]]`` tables of ``warehouse.toml``.

::

    [[ticks]]
    datasets = ["ohlcv", "flow"]
    every = ["15s", "45m"]                      # lengths that divide a day
    clocks = ["true"]                           # true, exchange
    exchanges = ["binance-futures"]             # omit it for all that have ticks
    symbols = ["perpetual-BTC-USDT:USDT"]       # omit it for all that have ticks
    marts = "add"                               # no (default), add, replace
    notional_usd_rate = 0.0067                  # for flow and trade_size; 1 by default
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

from warehouse.config import read_tables
from warehouse.errors import UsageError, did_you_mean
from warehouse.project import RATED, tick_datasets
from warehouse.vendor import CLOCKS, SeriesKey, interval_us

_LISTS = ("datasets", "every", "clocks", "exchanges", "symbols")
_RATE = "notional_usd_rate"
_OPTIONAL = ("exchanges", "symbols")
_EXAMPLE = '[[ticks]] datasets = ["ohlcv"], every = ["45m"], clocks = ["true"]'


class ForMarts(StrEnum):
    """Whether ``vendor.*``, and so the marts, show kept bars.

    ``add`` shows a series of a dataset that the vendor's files lack, ``replace`` any, instead of
    the vendor's.
    """

    NO = "no"
    ADD = "add"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, order=True)
class TickSetting:
    """Bars of a dataset to keep, for one exchange and symbol; empty for all.

    ``notional_usd_rate`` is the dollars per unit of the quote currency; 1 if the dataset has no
    size classes.
    """

    dataset: str
    every: str
    clock: str
    exchange: str
    symbol: str
    marts: ForMarts
    notional_usd_rate: float
    where: str = field(compare=False, repr=False)

    def covers(self, series: SeriesKey) -> bool:
        """Whether the setting applies to a series of ticks."""
        return self.exchange in ("", series.exchange) and self.symbol in ("", series.symbol)


def tick_settings(path: Path) -> list[TickSetting]:
    """The ``[[ticks]]`` tables of a ``warehouse.toml``; empty if there is no such file."""
    tables = read_tables(path, "ticks", (*_LISTS, "marts", _RATE), _EXAMPLE)
    found: set[TickSetting] = set()
    for where, table in tables:
        marts = table.get("marts", ForMarts.NO)
        if marts not in list(ForMarts):
            raise UsageError(
                f"{where}: marts = {marts!r:.80}", next_step='write "no", "add" or "replace"'
            )
        lists = [_texts(table, name, where) for name in _LISTS]
        rate = _rate(table, where)
        for dataset, every, clock, exchange, symbol in product(*lists):
            setting = TickSetting(
                dataset,
                every,
                clock,
                exchange,
                symbol,
                ForMarts(marts),
                rate if dataset in RATED else 1.0,
                where,
            )
            _require_known(setting)
            found.add(setting)
    return sorted(found)


def _texts(table: dict[str, Any], name: str, where: str) -> list[str]:
    value = table.get(name, [""] if name in _OPTIONAL else None)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise UsageError(
            f"{where}: {name} = {value!r:.80} is not a list of names",
            next_step=f"write: {_EXAMPLE}",
        )
    return value


def _rate(table: dict[str, Any], where: str) -> float:
    """Dollars per unit of the quote currency."""
    rate = table.get(_RATE, 1)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < inf:
        raise UsageError(
            f"{where}: {_RATE} = {rate!r:.80} is not a number above 0",
            next_step="write the dollars of one unit of the quote currency, such as 0.0067 for JPY",
        )
    if _RATE in table and not set(table["datasets"]) & set(RATED):
        raise UsageError(
            f"{where}: {_RATE} changes no column of {', '.join(table['datasets'])}",
            next_step=f"remove it: only {' and '.join(RATED)} have size classes",
        )
    return float(rate)


def _require_known(setting: TickSetting) -> None:
    datasets = tick_datasets()
    if setting.dataset not in datasets:
        raise UsageError(
            f"{setting.where}: bars of {setting.dataset!r:.80} cannot be computed from ticks"
            + did_you_mean(setting.dataset, datasets),
            next_step=f"choose from {', '.join(datasets)}",
        )
    try:
        interval_us(setting.every)
    except UsageError as error:
        raise UsageError(
            f"{setting.where}: every: {error.what}", next_step=error.next_step
        ) from error
    if setting.clock not in CLOCKS:
        raise UsageError(
            f"{setting.where}: no clock {setting.clock!r:.80}",
            next_step=f"choose from {', '.join(CLOCKS)}",
        )
