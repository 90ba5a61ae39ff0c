"""Bars of one UTC day of a series: its ticks are put in order once, for all datasets and lengths.

A day at a time needs the memory of a day, however many there are.
"""

from __future__ import annotations

import duckdb

from warehouse.project import tick_day_macros
from warehouse.sql import literal, moment
from warehouse.times import DAY_US

_PREFIX = "day_"


class TickDays:
    """Queries for bars of days of ticks, which the views ``vendor.raw_*`` of a connection show.

    The temporary tables of a day stay until a query for another one is asked for.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(tick_day_macros())
        self._sources = _sources(connection)
        self._day = ""
        self._beside: dict[str, tuple[bool, bool]] = {}

    def query(
        self, dataset: str, every: str, clock: str, exchange: str, symbol: str, start: int
    ) -> str:
        """The query for a dataset's bars of the day that begins at ``start``."""
        day = ", ".join(
            [*map(literal, (clock, exchange, symbol)), moment(start), moment(start + DAY_US)]
        )
        if day != self._day:
            self.forget()
            self._day = day
        sources = self._sources[dataset]
        for source in sources:
            if source not in self._beside:
                self._beside[source] = self._prepare(source)
        beside = ", ".join(map(str, self._beside[sources[0]]))
        return f"from {_PREFIX}{dataset}({literal(every)}, {day}, {beside})"

    def forget(self) -> None:
        """Drop the tables of the last day."""
        for source in self._beside:
            self._connection.execute(f"drop table {_PREFIX}{source}")
        self._beside.clear()
        self._day = ""

    def _prepare(self, source: str) -> tuple[bool, bool]:
        """Put the ticks of a source in order; whether there are any on the days beside."""
        name = _PREFIX + source
        ((is_in_order,),) = self._connection.execute(f"from {name}_is_read({self._day})").fetchall()
        way = "read" if is_in_order else "sorted"
        self._connection.execute(f"create temp table {name} as from {name}_{way}({self._day})")
        beside = f"{_PREFIX}{source.removesuffix('_by_text_id')}_beside"
        ((before, after),) = self._connection.execute(f"from {beside}({self._day})").fetchall()
        return before, after


def _sources(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The sources of each dataset, which its macro has as parameters."""
    found = connection.execute(
        "select function_name, parameters from duckdb_functions()"
        f" where starts_with(function_name, '{_PREFIX}')"
    ).fetchall()
    parameters = {name.removeprefix(_PREFIX): names for name, names in found}
    return {
        name: [source for source in names if f"{source}_is_read" in parameters]
        for name, names in parameters.items()
    }
