"""Which bars from ticks are to be kept: the ``[[ticks]]`` tables of ``warehouse.toml``.

::

    [[ticks]]
    datasets = ["ohlcv", "flow"]
    every = ["15s", "45m"]                      # lengths that divide a day
    clocks = ["true"]                           # true, exchange
    symbols = ["perpetual-BTC-USDT:USDT"]       # leave it out for all that have ticks
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from warehouse.config import read_tables
from warehouse.errors import UsageError, did_you_mean
from warehouse.vendor import CLOCKS, load_contracts

_KEYS = ("datasets", "every", "clocks", "symbols")
_EXAMPLE = '[[ticks]] datasets = ["ohlcv"], every = ["45m"], clocks = ["true"]'


@dataclass(frozen=True, slots=True, order=True)
class Wish:
    """Bars of a dataset to keep; of one symbol, or of all where it is empty."""

    dataset: str
    every: str
    clock: str
    symbol: str


def wished_ticks(path: Path) -> list[Wish]:
    """The ``[[ticks]]`` tables of a ``warehouse.toml``; none where there is no such file.

    Raises
    ------
    UsageError
        A table is invalid; the message names it.
    """
    try:
        tables = read_tables(path, "ticks", _KEYS, _EXAMPLE)
    except FileNotFoundError:
        return []
    found: set[Wish] = set()
    for where, table in tables:
        lists = [_texts(table, name, where) for name in _KEYS]
        for wish in (Wish(*parts) for parts in product(*lists)):
            _require_known(wish, where)
            found.add(wish)
    return sorted(found)


def _texts(table: dict[str, Any], name: str, where: str) -> list[str]:
    value = table.get(name, [""] if name == "symbols" else None)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise UsageError(
            f"{where}: {name} = {value!r:.80} is not a list of names",
            next_step=f"write: {_EXAMPLE}",
        )
    return value


def _require_known(wish: Wish, where: str) -> None:
    datasets = [name for name in load_contracts() if not name.startswith(("raw_", "l2_"))]
    if wish.dataset not in datasets:
        raise UsageError(
            f"{where}: no ticks make bars of {wish.dataset!r:.80}"
            + did_you_mean(wish.dataset, datasets),
            next_step=f"choose from {', '.join(datasets)}",
        )
    if wish.clock not in CLOCKS:
        raise UsageError(
            f"{where}: no clock {wish.clock!r:.80}", next_step=f"choose from {', '.join(CLOCKS)}"
        )
