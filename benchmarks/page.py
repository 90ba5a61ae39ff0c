"""How long the page takes to show price and volume of a long series of 1m bars."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from math import ceil, log2
from pathlib import Path
from typing import Any

from benchmarks.data import BITCOIN, VENUE, home_of
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

PIXELS = 1_000
RUNS = 5
COLUMNS = ("close", "volume")
TABLE = "vendor.ohlcv"


def measure(data: Path, *, is_full: bool) -> Part:
    """Tiles of a view, as the page asks for them one after another, first cold and then warm."""
    market = Market(
        symbols=(BITCOIN,),
        exchange=VENUE,
        datasets=("ohlcv",),
        intervals=("1m",),
        start=date(2022, 1, 1) if is_full else date(2025, 6, 1),
        end=date(2026, 1, 1),
    )
    home = home_of(data, f"page-{'full' if is_full else 'small'}", market)
    figures: dict[str, list[float]] = {}
    rows = 0
    for _ in range(RUNS):
        with _opened(home) as view:
            rows = view.source.rows
            for name, share in {"whole span": 1.0, "a tenth": 0.1, "a thousandth": 0.001}.items():
                for heat in ("first", "again"):
                    figures.setdefault(f"{name}, {heat}", []).append(view.seconds(share))
    part = Part("page", f"of two measures of a series of {rows:,} bars (seconds)")
    part.lines = [Line(name, "", {"wall_s": runs}) for name, runs in figures.items()]
    part.goals = [
        Goal(
            "first overview, seconds", part.median("whole span, first", "", "wall_s"), at_most=0.7
        ),
        *(
            Goal(f"{name}, again, s", part.median(f"{name}, again", "", "wall_s"), 0.15)
            for name in ("whole span", "a tenth", "a thousandth")
        ),
    ]
    return part


class _View:
    """A chart of :data:`PIXELS` width on one generation, with a cache of its own."""

    def __init__(self, warehouse: Any) -> None:
        from warehouse.ui.asking import Asking
        from warehouse.ui.chart_tiles import Tiles

        self._asking = Asking(warehouse)
        self._tiles = Tiles()
        self.source: Any = self._tiles.source(self._asking, TABLE, 1)

    def seconds(self, share: float) -> float:
        """How long all tiles of a view take that shows the last part of the series."""
        from warehouse.ui.chart_tiles import TILE_BUCKETS, encoded

        source = self.source
        span = (source.last_us - source.first_us) * share
        per_pixel = span / source.step_us / PIXELS
        level = 0 if per_pixel <= 2 else ceil(log2(per_pixel))
        width = (source.step_us << level) * TILE_BUCKETS
        began = time.perf_counter()
        for number in range(int((source.last_us - span) // width), source.last_us // width + 1):
            tile = self._tiles.tile(self._asking, source, COLUMNS, level, number)
            encoded(tile, COLUMNS)
        return time.perf_counter() - began


@contextmanager
def _opened(home: Path) -> Iterator[_View]:
    import warehouse

    with warehouse.open(home) as opened:
        opened.sql(f"select count(*) from {TABLE}").fetchall()
        yield _View(opened)
