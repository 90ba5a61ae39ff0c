"""Bars of one UTC day of a series; its ticks are sorted once for all datasets and lengths.

Computing one day at a time limits the memory to that of a day. The macros are those of
``macros/ticks/days.sql``.
"""

from __future__ import annotations

from collections.abc import Container

import duckdb

from warehouse.project import tick_day_macros
from warehouse.sql import literal, moment
from warehouse.times import DAY_US

_PREFIX = "day_"
# The table of trades in the order of their ids as text.
_BY_TEXT = "trades_by_text_id"


class TickDays:
    """Queries for the bars of a day, from the views ``vendor.raw_*`` of a connection.

    The temporary tables of a day are kept until a query for another day is requested.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(tick_day_macros())
        self._sources = _sources(connection)
        self._day = ""
        self._tables: dict[str, str] = {}
        self._around: dict[str, tuple[bool, bool, int]] = {}

    def query(
        self,
        dataset: str,
        every: str,
        clock: str,
        exchange: str,
        symbol: str,
        start: int,
        *,
        in_order: Container[str] = (),
        notional_usd_rate: float = 1.0,
    ) -> str:
        """The query for a dataset's bars of the day that begins at ``start``.

        ``in_order`` are the sources whose rows of the day are known to be in order, by id as a
        number and as text; others are checked.
        """
        day = ", ".join(
            [*map(literal, (clock, exchange, symbol)), moment(start), moment(start + DAY_US)]
        )
        if day != self._day:
            self.forget()
            self._day = day
        sources = self._sources[dataset]
        for source in sources:
            if source not in self._tables:
                self._tables[source] = self._put_in_order(source, in_order)
        tables = [f"{source} := {literal(self._tables[source])}" for source in sources]
        *beside, _ = self._day_around(sources[0])
        given = [literal(every), day, *map(str, beside), *tables]
        if notional_usd_rate != 1:  # only datasets with size classes have the parameter
            given.append(f"notional_usd_rate := {notional_usd_rate!r}")
        return f"from {_PREFIX}{dataset}({', '.join(given)})"

    def forget(self) -> None:
        """Drop the tables of the last day."""
        for table in set(self._tables.values()):
            self._connection.execute(f"drop table {table}")
        self._tables.clear()
        self._around.clear()

    def _put_in_order(self, source: str, in_order: Container[str]) -> str:
        """Create the table with the ticks of a source in order; returns its name."""
        if source == _BY_TEXT:
            if "trades" not in self._tables:
                self._tables["trades"] = self._put_in_order("trades", in_order)
            trades = self._tables["trades"]
            if "trades" in in_order or self._holds("is_next_by_text_id", trades):
                return trades
            return self._made(source, "sorted")
        if source in in_order:
            return self._made(source, "read")
        table = self._made(source, "compared")
        if self._holds("is_next", table):
            return table
        self._connection.execute(f"drop table {table}")
        return self._made(source, "sorted")

    def _made(self, source: str, way: str) -> str:
        name, (*_, since) = _PREFIX + source, self._day_around(source)
        self._connection.execute(
            f"create temp table {name} as from {name}_{way}({self._day}, {since})"
        )
        return name

    def _holds(self, column: str, table: str) -> bool:
        """Whether a column is true in all rows but the first, where it is NULL."""
        ((holds,),) = self._connection.execute(f"select bool_and({column}) from {table}").fetchall()
        return holds is not False

    def _day_around(self, source: str) -> tuple[bool, bool, int]:
        """Whether the days before and after have ticks, and the start of the day's table."""
        source = source.replace(_BY_TEXT, "trades")
        if source not in self._around:
            (self._around[source],) = self._connection.execute(
                f"from {_PREFIX}{source}_around({self._day})"
            ).fetchall()
        return self._around[source]


def _sources(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The sources of each dataset: the parameters of its macro."""
    found = connection.execute(
        "select function_name, parameters from duckdb_functions()"
        f" where starts_with(function_name, '{_PREFIX}')"
    ).fetchall()
    parameters = {name.removeprefix(_PREFIX): names for name, names in found}
    return {
        name: [source for source in names if f"{source}_sorted" in parameters]
        for name, names in parameters.items()
    }
