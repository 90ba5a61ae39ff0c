"""The listings of a warehouse: its tables, columns, named queries, and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warehouse.analysis import Names
from warehouse.errors import NotFoundError, did_you_mean
from warehouse.home import Home
from warehouse.interrupts import run
from warehouse.query.results.result import Result
from warehouse.query.session import Session
from warehouse.sql import Relation


class Listings:
    """Methods of :class:`warehouse.Warehouse` that list what it contains."""

    _home: Home
    _session: Session

    def sql(self, text: str, params: Any = None, /, **named: Any) -> Result:
        """Prepare one SELECT; see :meth:`warehouse.Warehouse.sql`."""
        raise NotImplementedError

    def queries(self) -> Result:
        """List the named queries by name, one row each: name, purpose, parameters, source.

        The source is ``package`` or ``home``.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     wh.queries().fetchall()[0][0]
        'flow_buy_sell_ratio'
        """
        from warehouse.query.sql_text.named_queries import as_sql, list_queries

        return self.sql(*as_sql(run(None, lambda: list_queries(self._home.queries))))

    def tables(self) -> Result:
        """List tables, views and functions of the catalog, one row each: schema, name, meaning.

        Rows are in the order of schemas main, user, vendor, ticks, meta, staging, then by name.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     wh.tables().fetchall()[0][:2]
        ('main', 'bars')
        """
        return self.sql("from help()")

    def describe(self, name: str) -> Result:
        """List the columns of a table or view in their order, one row each: column, type, meaning.

        The meaning ends with the unit in square brackets. ``name`` may have a schema.

        Raises
        ------
        NotFoundError
            There is no such table; the message lists the nearest names.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     wh.describe("l1_features").fetchall()[10]
        ('ask_amount', 'DOUBLE', 'Quantity at the best ask. [base]')
        """
        place, found = _find_columns(self.sql, self._session.current.names, name)
        found._described = place
        return found

    def coverage(self, dataset: str | None = None, symbol: str | None = None) -> Result:
        """List the lake's data, one row per dataset, series and month, with counts of missing bars.

        The columns are those of ``meta.coverage``; rows are ordered by all of them.

        Parameters
        ----------
        dataset, symbol
            Only this dataset or symbol; None for all.

        Examples
        --------
        >>> import warehouse
        >>> with warehouse.open(demo_home) as wh:
        ...     len(wh.coverage("flow", symbol="perpetual-BTC-USDT:USDT").df())
        12
        """
        return self.sql(
            "select * from meta.coverage where dataset = coalesce($dataset, dataset)"
            " and symbol = coalesce($symbol, symbol) order by all",
            dataset=dataset,
            symbol=symbol,
        )


def _find_columns(ask: Callable[..., Result], names: Names, name: str) -> tuple[Relation, Result]:
    """The relation of that name, and its columns."""
    if (relation := names.find_anywhere(name)) is None:
        raise _unknown(ask, names, name)
    columns = ask(
        'select column_name as "column", data_type as type, comment as meaning'
        " from duckdb_columns() where database_name = 'warehouse'"
        " and schema_name = $schema and table_name = $table order by column_index",
        schema=relation.schema,
        table=relation.name,
    )
    return relation, columns


def _unknown(ask: Callable[..., Result], names: Names, name: str) -> NotFoundError:
    table = name.rpartition(".")[2]
    reason, next_step = names.absent_model(name)
    if reason:
        return NotFoundError(reason, next_step=next_step, name=name)
    for (meaning,) in ask(
        "select comment from duckdb_functions() where not internal"
        " and database_name = 'warehouse' and function_name = lower($name)",
        name=table.removesuffix("()"),
    ).fetchall():
        return NotFoundError(
            f"{name} is a function, not a table: {meaning}",
            next_step="list all with: warehouse sql \"from help() where name like '%()'\"",
        )
    return NotFoundError(
        f"{name}: no such table or view{did_you_mean(table, (p.name for p in names.columns))}",
        next_step="list them with: warehouse describe",
        name=name,
    )
