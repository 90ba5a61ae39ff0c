"""The task of every contestant, and the loop that runs it once or several times."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VENUE = "binance-futures"
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440}

INPUTS = (
    "time",
    "taker_buy_volume",
    "taker_sell_volume",
    "taker_buy_sell_ratio",
    "flow_toxicity_score",
    "volume_delta",
    "volume_delta_notional",
    "taker_buy_large_order_count",
    "taker_sell_large_order_count",
    "taker_buy_count",
    "taker_sell_count",
)
NOTEBOOK = (
    "close",
    "taker_buy_volume",
    "taker_sell_volume",
    "taker_buy_sell_ratio",
    "net_delta",
    "cumulative_delta",
    "net_delta_notional_m",
    "rolling_net_delta_1d",
    "rolling_buy_sell_ratio_1d",
    "flow_toxicity_score",
    "flow_toxicity_score_filled",
    "large_trade_share",
    "large_trade_share_1d",
    "abs_delta_zscore_1d",
)
"""What the notebook computes of each bar."""

MEASURES = (*NOTEBOOK, "delta_size_zscore_1d", "bars_1d")
"""All measures of flow_features."""


@dataclass(frozen=True, slots=True)
class Task:
    """Features of some series of one interval, over all that the files hold.

    Attributes
    ----------
    files, home
        The vendor's files, and a home that holds the same.
    symbols
        One for a series' features as a frame; several for a panel.
    measures
        Columns in addition to time (and symbol, for a panel).
    start, end
        First and last day, for contestants that need them.
    keep
        Where to write the result as parquet; None keeps it in memory.
    repeats
        Number of repetitions after the first run.
    """

    files: str
    home: str
    symbols: list[str]
    interval: str
    start: str
    end: str
    measures: list[str]
    keep: str | None = None
    repeats: int = 0

    @property
    def bars_per_day(self) -> int:
        return 24 * 60 // MINUTES[self.interval]

    @property
    def symbol(self) -> str:
        (only,) = self.symbols
        return only

    def paths(self, dataset: str, symbol: str) -> list[Path]:
        """The months of one series, in order."""
        return sorted(Path(self._folder(dataset, symbol)).glob("*.parquet"))

    def pattern(self, dataset: str) -> str:
        """One glob for the months of all the task's series."""
        return self._folder(dataset, self.symbol if len(self.symbols) == 1 else "*") + "/*.parquet"

    def _folder(self, dataset: str, symbol: str) -> str:
        coded = symbol.replace(":", "%3A")
        return (
            f"{self.files}/{dataset}/exchange={VENUE}/symbol={coded}"
            f"/interval={self.interval}/timestamp=true"
        )

    def as_argument(self) -> str:
        return json.dumps(asdict(self))


def compete(prepare: Callable[[Task], Callable[[], Any]]) -> None:
    """Do the task of the command line; print the seconds of each time as one line of JSON.

    ``prepare`` opens what a user would keep open and gives the work, which returns the result.
    Its time counts with the first time's. The processor time is that of the first time.
    """
    task = Task(**json.loads(sys.argv[1]))
    seconds = []
    processor_s = 0.0
    started, used = time.perf_counter(), time.process_time()
    work = prepare(task)
    for _ in range(1 + task.repeats):
        result = work()
        seconds.append(time.perf_counter() - started)
        processor_s = processor_s or time.process_time() - used
        del result
        started = time.perf_counter()
    print(json.dumps({"seconds": seconds, "processor_s": processor_s}))
