"""Simulated markets of a given size, and homes made from them, kept in a folder between runs.

A market ``name`` is in ``<data>/<name>/files``, the home made from it in ``<data>/<name>/home``.
``market.json`` beside them describes what was simulated; another market of that name replaces them.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import product, run
from warehouse.simulator import Market, write_market

BITCOIN = "perpetual-BTC-USDT:USDT"
VENUE = "binance-futures"


def symbols(count: int) -> tuple[str, ...]:
    """This number of symbols, bitcoin first."""
    others = (
        "perpetual-ETH-USDT:USDT",
        *(f"perpetual-COIN{i:03d}-USDT:USDT" for i in range(count)),
    )
    return (BITCOIN, *others[: count - 1])


def files_of(data: Path, name: str, market: Market) -> Path:
    """The folder of a market's files, which are written unless they exist."""
    folder = data / name
    facts = json.dumps(asdict(market), default=str, sort_keys=True)
    told = folder / "market.json"
    if not told.is_file() or told.read_text(encoding="utf-8") != facts:
        shutil.rmtree(folder, ignore_errors=True)
        write_market(folder / "files", market)
        told.write_text(facts, encoding="utf-8")
    return folder / "files"


def home_of(data: Path, name: str, market: Market, *, built: bool = True) -> Path:
    """A home with all files of a market, published as this version of the product builds it.

    With BENCHMARKS_AS_BUILT set, a home that is published stays as it was built.
    """
    files, home = files_of(data, name, market), data / name / "home"
    if not (home / "manifest.sqlite").is_file():
        run(product(home, "sync", "--from", str(files)))
    if (home / "warehouse.duckdb").is_file() and os.environ.get("BENCHMARKS_AS_BUILT"):
        return home
    if built:
        run(product(home, "build"), accept=(0, 1))
    return home
