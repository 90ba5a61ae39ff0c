"""Redefines views of a catalog file that is open for writing, and keeps their comments."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from warehouse.sql import comment_all, identifier

# Schema and name of a view.
Name = tuple[str, str]


def show_instead(connection: duckdb.DuckDBPyConnection, sources: Mapping[Name, str]) -> None:
    """Make views of the database ``warehouse`` show these rows; their comments stay.

    A source follows ``from`` and has the columns of the view whose schema and name come before it.
    """
    said = {
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
    for (schema, name), source in sources.items():
        view = f"warehouse.{identifier(schema)}.{identifier(name)}"
        names = ", ".join(identifier(column) for column, _ in columns[schema, name])
        connection.execute(f"create or replace view {view} as select {names} from {source}")
        comment_all(connection, "view", view, said[schema, name], dict(columns[schema, name]))
