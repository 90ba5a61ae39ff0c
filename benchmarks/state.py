"""What `market_state` costs to store, beside marts with shorter windows."""

from __future__ import annotations

import shutil
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks.data import VENUE, home_of, symbols
from benchmarks.measure import Run, alternate, python, run
from benchmarks.table import Goal, Line, Part
from warehouse.simulator import Market

MARTS = ("flow_features", "execution_costs", "market_state")
DATASETS = (
    *("ohlcv", "flow", "l1_price", "impact", "l2_liquidity", "funding", "basis", "open_interest"),
)


def measure(data: Path, *, is_full: bool) -> Part:
    """Half a year of each mart stored from scratch, both clocks; seconds per million rows."""
    part = Part("state", "storing a mart, seconds per million rows")
    for interval, count in (("1m", 2), ("5m", 10)) if is_full else (("5m", 1),):
        market = Market(
            symbols=symbols(count),
            exchange=VENUE,
            datasets=DATASETS,
            intervals=(interval,),
            clocks=("exchange", "true"),
            start=date(2025, 7, 1),
            end=date(2026, 1, 1),
            episodes=True,
        )
        home = home_of(data, f"state-{interval}-{count}", market)
        ways = {mart: partial(_stored, home, mart) for mart in MARTS}
        work = f"{count} symbols, {interval}" if count > 1 else f"1 symbol, {interval}"
        bars = (market.end - market.start).days * {"1m": 1440, "5m": 288}[interval]
        rows_m = 2 * count * bars / 1e6
        for mart, runs in alternate(ways, 3 if is_full else 2, settle=False).items():
            seconds = [each.said["store_s"] / rows_m for each in runs]
            part.lines.append(Line(work, mart, {"s_per_million": seconds}))
        ratio = part.median(work, "market_state", "s_per_million") / part.median(
            work, "execution_costs", "s_per_million"
        )
        part.goals.append(Goal(f"{work}: market_state / execution_costs", ratio, at_most=2.5))
    return part


def _stored(home: Path, mart: str) -> Run:
    """A forced build after the mart's stored months are gone."""
    shutil.rmtree(home / "marts" / mart)
    return run(python("benchmarks.building", str(home)), accept=(0, 1))
