"""The columns of one table, or the nearest names if there is no such table."""

from __future__ import annotations

from collections.abc import Callable

from warehouse.analysis import Names
from warehouse.errors import CORRECT, NotFoundError, did_you_mean
from warehouse.query.results.result import Result
from warehouse.sql import Relation


def find_columns(ask: Callable[..., Result], names: Names, name: str) -> tuple[Relation, Result]:
    """See :meth:`warehouse.Warehouse.describe`; ``ask`` is :meth:`warehouse.Warehouse.sql`."""
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
    if (failed := names.failed_model(name)) is not None:
        return NotFoundError(failed, next_step=CORRECT, name=name)
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
