"""Redefines views of a catalog file that is open for writing, and keeps their comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from warehouse.sql import comment_all, identifier

# Schema and name of a view.
Name = tuple[str, str]


def show_instead(
    connection: duckdb.DuckDBPyConnection, sources: Mapping[Name, Sequence[str]]
) -> None:
    """Make views of the database ``warehouse`` show the rows of these sources; comments stay.

    A source follows ``from`` and has the columns of the view whose schema and name come before it.
    """
    comments = {
        (schema, name): text
        for schema, name, text in connection.execute(
            "select schema_name, view_name, comment from duckdb_views()"
            " where database_name = 'warehouse'"
        ).fetchall()
    }
    columns: dict[Name, list[tuple[str, str | None]]] = {name: [] for name in sources}
    for schema, name, column, text in connection.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns()"
        " where database_name = 'warehouse' order by column_index"
    ).fetchall():
        if (schema, name) in columns:
            columns[schema, name].append((column, text))
    for (schema, name), places in sources.items():
        view = f"warehouse.{identifier(schema)}.{identifier(name)}"
        names = ", ".join(identifier(column) for column, _ in columns[schema, name])
        # a star in each select, or a select around the union, takes a tenth of a small query
        rows = " union all ".join(f"select {names} from {place}" for place in places)
        connection.execute(f"create or replace view {view} as {rows}")
        comment_all(connection, "view", view, comments[schema, name], dict(columns[schema, name]))
