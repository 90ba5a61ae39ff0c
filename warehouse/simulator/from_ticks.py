"""Bars computed from the market's own ticks, by the formulas of ``macros/ticks/``.

The simulator's other bars are those of a busy market, of which its ticks are a sample. These bars
are small, but equal those computed from the ticks.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from warehouse.engine import connect
from warehouse.project import TICK_SOURCES, tick_macros
from warehouse.simulator.datasets import narrowed


class TickFold:
    """Computes bars from the ticks of one symbol.

    ``ticks`` are tables by raw dataset.
    """

    def __init__(self, ticks: Mapping[str, pa.Table]) -> None:
        self._connection = connect({"TimeZone": "UTC"})
        for dataset, table in ticks.items():
            self._connection.register("rows", table)
            self._connection.execute(
                f"create table {dataset} as select 1 as series_id, 'venue' as exchange,"
                " 'symbol' as symbol, * from rows"
            )
            self._connection.unregister("rows")
        self._connection.execute(tick_macros())

    def bars(self, dataset: str, interval: str, clock: str) -> pa.Table:
        """The bars of a dataset, with the physical types of the vendor's files."""
        ((parameters,),) = self._connection.execute(
            "select parameters from duckdb_functions() where function_name = $1",
            [f"ticks_{dataset}"],
        ).fetchall()
        given = "".join(
            f", {name} := '{raw}'" for name, raw in TICK_SOURCES.items() if name in parameters
        )
        rows = self._connection.sql(
            "select * exclude (series_id, exchange, symbol, interval, clock, known_at, n_events,"
            f" is_partial) from ticks_{dataset}('{interval}', clock := '{clock}'{given})"
            " order by time"
        ).to_arrow_table()
        columns = {
            name: narrowed(name, column)
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        }
        return pa.table(columns)
