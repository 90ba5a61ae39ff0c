"""Polars by hand: one lazy query a series over its files, all of them collected at once."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from benchmarks.contestants.task import INPUTS, Task, compete


def prepare(task: Task) -> Callable[[], object]:
    return lambda: computed(task)


def computed(task: Task) -> pl.DataFrame:
    series = [of_series(task, symbol) for symbol in task.symbols]
    result = pl.concat(series).collect() if len(series) > 1 else series[0].collect()
    if task.keep is not None:
        result.write_parquet(task.keep, compression="zstd")
    return result


def of_series(task: Task, symbol: str) -> pl.LazyFrame:
    flow = pl.scan_parquet(task.paths("flow", symbol)).select(INPUTS).sort("time")
    ohlcv = pl.scan_parquet(task.paths("ohlcv", symbol)).select("time", "close")
    narrow = pl.selectors.float().cast(pl.Float64)
    n = task.bars_per_day
    moved = pl.col("net_delta_notional_m")
    large = pl.col("taker_buy_large_order_count") + pl.col("taker_sell_large_order_count")
    several = len(task.symbols) > 1
    return (
        flow.join(ohlcv, on="time", how="left", maintain_order="left")
        .with_columns(narrow)
        .with_columns(
            net_delta=pl.col("volume_delta"),
            net_delta_notional_m=pl.col("volume_delta_notional") / 1e6,
            flow_toxicity_score_filled=pl.col("flow_toxicity_score").fill_nan(0).fill_null(0),
            large_trade_share=large / (pl.col("taker_buy_count") + pl.col("taker_sell_count")),
        )
        .with_columns(
            cumulative_delta=pl.col("net_delta").cum_sum(),
            rolling_net_delta_1d=moved.rolling_sum(n),
            rolling_buy_sell_ratio_1d=pl.col("taker_buy_sell_ratio").rolling_mean(n),
            large_trade_share_1d=pl.col("large_trade_share").rolling_mean(n),
            abs_delta_zscore_1d=_zscore(moved, moved.abs(), n),
            delta_size_zscore_1d=_zscore(moved.abs(), moved.abs(), n),
            bars_1d=moved.is_not_null().cast(pl.Int64).rolling_sum(n, min_samples=1),
        )
        .select(*([pl.lit(symbol).alias("symbol")] if several else []), "time", *task.measures)
    )


def _zscore(of: pl.Expr, value: pl.Expr, n: int) -> pl.Expr:
    return (value - of.rolling_mean(n)) / of.rolling_std(n)


if __name__ == "__main__":
    compete(prepare)
