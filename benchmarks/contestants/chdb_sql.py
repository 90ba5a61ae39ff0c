"""chDB (ClickHouse in the process): the same SQL in its dialect over the globbed files."""

from __future__ import annotations

from collections.abc import Callable

import chdb

from benchmarks.contestants.duckdb_globbed import COMPUTED
from benchmarks.contestants.task import INPUTS, Task, compete

OTHER_NAMES = {
    "::double": "",
    "stddev_samp": "stddevSampStable",
    "count(*)": "count()",
    "rows unbounded preceding": "rows between unbounded preceding and current row",
}


def prepare(task: Task) -> Callable[[], object]:
    connection = chdb.connect(":memory:")
    text = query(task)
    if task.keep is not None:
        kept = f"{text} into outfile '{task.keep}' truncate format Parquet"
        return lambda: connection.query(kept)
    shape = "DataFrame" if len(task.symbols) == 1 else "ArrowTable"
    return lambda: connection.query(text, shape)


def query(task: Task) -> str:
    is_panel = len(task.symbols) > 1
    key, series = ("symbol, ", "partition by symbol") if is_panel else ("", "")
    coded = "replaceOne(extract(_path, 'symbol=([^/]+)'), '%3A', ':') as symbol, "
    taken = coded if is_panel else ""
    n = task.bars_per_day
    measures = ", ".join(
        f"{_expression(name).format(n=n, series=series)} as result_{name}" for name in task.measures
    )
    renamed = ", ".join(f"result_{name} as {name}" for name in task.measures)
    inputs = ", ".join(_input(name) for name in INPUTS)
    return f"""
        with flow as (
            select {taken}{inputs} from file('{task.pattern("flow")}', Parquet)
        ),
        ohlcv as (
            select {taken}time, close from file('{task.pattern("ohlcv")}', Parquet)
        ),
        priced as (
            select
                flow.*,
                ohlcv.close as close,
                volume_delta as net_delta,
                volume_delta_notional / 1e6 as moved,
                if(isNaN(flow_toxicity_score), null, flow_toxicity_score) as toxicity,
                (taker_buy_large_order_count + taker_sell_large_order_count)
                / (taker_buy_count + taker_sell_count) as large_share
            from flow left join ohlcv using ({key}time)
        ),
        computed as (
            select {key}time, {measures}
            from priced
            window day as (
                {series} order by time rows between {n - 1} preceding and current row
            )
        )
        select {key}time, {renamed} from computed order by {key}time
    """


def _expression(name: str) -> str:
    text = COMPUTED[name]
    for ours, theirs in OTHER_NAMES.items():
        text = text.replace(ours, theirs)
    return text


def _input(name: str) -> str:
    is_real = name != "time" and "count" not in name
    return f"toFloat64({name}) as {name}" if is_real else name


if __name__ == "__main__":
    compete(prepare)
