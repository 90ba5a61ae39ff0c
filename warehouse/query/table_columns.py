"""The columns of one table, or the nearest names if there is no such table."""

from __future__ import annotations

from collections.abc import Callable

from warehouse.errors import NotFoundError, did_you_mean
from warehouse.query.results.result import Result


def find_columns(ask: Callable[..., Result], name: str) -> Result:
    """See :meth:`warehouse.Warehouse.describe`; ``ask`` is :meth:`warehouse.Warehouse.sql`."""
    schema, _, table = name.rpartition(".")
    found = ask(
        'select column_name as "column", data_type as type, comment as meaning'
        " from duckdb_columns() where database_name = 'warehouse'"
        " and lower(table_name) = lower($table)"
        " and ($schema = '' or schema_name = lower($schema))"
        " and schema_name = (select schema_name from duckdb_columns()"
        "   where database_name = 'warehouse' and lower(table_name) = lower($table)"
        "   and ($schema = '' or schema_name = lower($schema))"
        "   order by position(schema_name in 'main user vendor ticks meta staging') limit 1)"
        " order by column_index",
        table=table,
        schema=schema,
    )
    if not len(found):
        for (meaning,) in ask(
            "select comment from duckdb_functions() where not internal"
            " and database_name = 'warehouse' and function_name = lower($name)",
            name=table.removesuffix("()"),
        ).fetchall():
            raise NotFoundError(
                f"{name} is a function, not a table: {meaning}",
                next_step="list all with: warehouse sql \"from help() where name like '%()'\"",
            )
        names = [row[1] for row in ask("from help()").fetchall()]
        raise NotFoundError(
            f"{name}: no such table or view{did_you_mean(table, names)}",
            next_step="list them with: warehouse describe",
            name=name,
        )
    return found
