"""The notebook's pandas on files that are on disk, symbol by symbol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contestants.task import INPUTS, Task, compete


def prepare(task: Task) -> Callable[[], object]:
    if len(task.symbols) == 1:
        return lambda: of_series(task, task.symbol)
    return lambda: panel(task)


def panel(task: Task) -> None:
    """Every symbol's features, each into a file of its own."""
    assert task.keep is not None, "a panel of pandas frames is written as it is made"
    folder = Path(task.keep)
    folder.mkdir(parents=True, exist_ok=True)
    for number, symbol in enumerate(task.symbols):
        frame = of_series(task, symbol)
        frame.insert(0, "symbol", symbol)
        frame.to_parquet(folder / f"{number}.parquet", compression="zstd", index=False)


def of_series(task: Task, symbol: str) -> pd.DataFrame:
    flow = _read(task.paths("flow", symbol), list(INPUTS))
    ohlcv = _read(task.paths("ohlcv", symbol), ["time", "close"])
    result = features(flow, ohlcv, task)
    if task.keep is not None and len(task.symbols) == 1:
        result.to_parquet(task.keep, index=False)
    return result


def features(flow: pd.DataFrame, ohlcv: pd.DataFrame, task: Task) -> pd.DataFrame:
    """What the notebook computes, row by row and over the rows of a day."""
    data = flow.merge(ohlcv[["time", "close"]], on="time", how="left")
    narrow = data.select_dtypes("float32").columns
    data = data.astype(dict.fromkeys(narrow, "float64"))
    n = task.bars_per_day
    data["net_delta"] = data["volume_delta"]
    data["cumulative_delta"] = data["net_delta"].cumsum()
    data["net_delta_notional_m"] = data["volume_delta_notional"] / 1e6
    moved = data["net_delta_notional_m"]
    data["rolling_net_delta_1d"] = moved.rolling(n).sum()
    data["rolling_buy_sell_ratio_1d"] = data["taker_buy_sell_ratio"].rolling(n).mean()
    data["flow_toxicity_score_filled"] = data["flow_toxicity_score"].fillna(0)
    large = data["taker_buy_large_order_count"] + data["taker_sell_large_order_count"]
    data["large_trade_share"] = large / (data["taker_buy_count"] + data["taker_sell_count"])
    data["large_trade_share_1d"] = data["large_trade_share"].rolling(n).mean()
    data["abs_delta_zscore_1d"] = (moved.abs() - moved.rolling(n).mean()) / moved.rolling(n).std()
    if "delta_size_zscore_1d" in task.measures:
        size = moved.abs()
        data["delta_size_zscore_1d"] = (size - size.rolling(n).mean()) / size.rolling(n).std()
    if "bars_1d" in task.measures:
        data["bars_1d"] = moved.rolling(n, min_periods=1).count().astype(np.int64)
    return data[["time", *task.measures]]


def _read(paths: list[Path], columns: list[str]) -> pd.DataFrame:
    months = [pd.read_parquet(path, columns=columns) for path in paths]
    return pd.concat(months, ignore_index=True).sort_values("time", ignore_index=True)


if __name__ == "__main__":
    compete(prepare)
