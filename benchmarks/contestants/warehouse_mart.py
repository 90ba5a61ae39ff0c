"""The warehouse: a query of the stored mart."""

from __future__ import annotations

from collections.abc import Callable

import warehouse
from benchmarks.contestants.task import Task, compete


def prepare(task: Task) -> Callable[[], object]:
    opened = warehouse.open(task.home)
    measures = ", ".join(task.measures)
    if len(task.symbols) > 1:
        return lambda: opened.sql(f"select symbol, time, {measures} from flow_features").arrow()
    text = (
        f"select time, {measures} from flow_features"
        " where symbol = $symbol and interval = $interval and clock = 'true' order by time"
    )

    def answer() -> object:
        frame = opened.sql(text, symbol=task.symbol, interval=task.interval).df()
        if task.keep is not None:
            frame.to_parquet(task.keep, index=False)
        return frame

    return answer


if __name__ == "__main__":
    compete(prepare)
