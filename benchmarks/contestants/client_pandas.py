"""The unchanged notebook: the vendor's client fetches the frames, pandas computes.

The client uses the server in APERIODIC_API_URL.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date

import aperiodic
import pandas as pd

from benchmarks.contestants.notebook_pandas import features
from benchmarks.contestants.task import VENUE, Task, compete


def prepare(task: Task) -> Callable[[], object]:
    return lambda: fetched(task)


def fetched(task: Task) -> pd.DataFrame:
    wanted = {
        "timestamp": "true",
        "interval": task.interval,
        "exchange": VENUE,
        "symbol": task.symbol,
        "start_date": date.fromisoformat(task.start),
        "end_date": date.fromisoformat(task.end),
        "base_url": os.environ["APERIODIC_API_URL"],
        "show_progress": False,
        "output": "pandas",
    }
    flow = aperiodic.get_metrics("any", metric="flow", **wanted)
    ohlcv = aperiodic.get_ohlcv("any", **wanted)
    result = features(flow, ohlcv, task)
    if task.keep is not None:
        result.to_parquet(task.keep, index=False)
    return result


if __name__ == "__main__":
    compete(prepare)
