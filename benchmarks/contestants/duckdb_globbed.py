"""DuckDB's SQL over the globbed files: one text, windows partitioned by symbol for a panel."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from benchmarks.contestants.task import INPUTS, Task, compete

COMPUTED = {
    "close": "close",
    "taker_buy_volume": "taker_buy_volume::double",
    "taker_sell_volume": "taker_sell_volume::double",
    "taker_buy_sell_ratio": "taker_buy_sell_ratio::double",
    "net_delta": "net_delta",
    "cumulative_delta": "sum(net_delta) over ({series} order by time rows unbounded preceding)",
    "net_delta_notional_m": "moved",
    "rolling_net_delta_1d": "case when count(*) over day = {n} then sum(moved) over day end",
    "rolling_buy_sell_ratio_1d": "case when count(*) over day = {n}"
    " then avg(taker_buy_sell_ratio::double) over day end",
    "flow_toxicity_score": "toxicity",
    "flow_toxicity_score_filled": "coalesce(toxicity, 0)",
    "large_trade_share": "large_share",
    "large_trade_share_1d": "case when count(*) over day = {n} then avg(large_share) over day end",
    "abs_delta_zscore_1d": "case when count(*) over day = {n}"
    " then (abs(moved) - avg(moved) over day) / stddev_samp(moved) over day end",
    "delta_size_zscore_1d": "case when count(*) over day = {n}"
    " then (abs(moved) - avg(abs(moved)) over day) / stddev_samp(abs(moved)) over day end",
    "bars_1d": "count(moved) over day",
}


def prepare(task: Task) -> Callable[[], object]:
    connection = duckdb.connect()
    if task.keep is not None:
        kept = f"copy ({query(task)}) to '{task.keep}' (format parquet, compression zstd)"
        return lambda: connection.execute(kept).fetchall()
    text = query(task)
    if len(task.symbols) == 1:
        return lambda: connection.sql(text).df()
    return lambda: connection.sql(text).to_arrow_table()


def query(task: Task) -> str:
    is_panel = len(task.symbols) > 1
    key, series = ("symbol, ", "partition by symbol") if is_panel else ("", "")
    options = ", hive_partitioning = true" if is_panel else ""
    measures = ", ".join(
        f"{COMPUTED[name].format(n=task.bars_per_day, series=series)} as {name}"
        for name in task.measures
    )
    return f"""
        with priced as (
            select
                {", ".join(f"flow.{name}" for name in (*key.strip(", ").split(), *INPUTS))},
                ohlcv.close,
                volume_delta::double as net_delta,
                volume_delta_notional::double / 1e6 as moved,
                nullif(flow_toxicity_score, 'nan')::double as toxicity,
                (taker_buy_large_order_count + taker_sell_large_order_count)
                / (taker_buy_count + taker_sell_count) as large_share
            from read_parquet('{task.pattern("flow")}'{options}) as flow
            left join read_parquet('{task.pattern("ohlcv")}'{options}) as ohlcv
                using ({key}time)
        )
        select {key}time, {measures}
        from priced
        window day as (
            {series} order by time rows between {task.bars_per_day - 1} preceding and current row
        )
        order by {key}time
    """


if __name__ == "__main__":
    compete(prepare)
