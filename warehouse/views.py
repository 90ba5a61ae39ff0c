"""Views of a catalog file that is open for writing: what they show, and what is said of them."""

from __future__ import annotations

import duckdb

from warehouse.sqltext import identifier, literal


def comment(connection: duckdb.DuckDBPyConnection, kind: str, name: str, text: str) -> None:
    connection.execute(f"comment on {kind} {name} is {literal(text)}")


def show_instead(
    connection: duckdb.DuckDBPyConnection, schema: str, name: str, source: str
) -> None:
    """Let a view of the database ``warehouse`` show these rows instead; its comments stay.

    ``source`` follows ``from`` and has the view's columns.
    """
    view = f"warehouse.{identifier(schema)}.{identifier(name)}"
    where = "database_name = 'warehouse' and schema_name = ? and"
    meaning = connection.execute(
        f"select comment from duckdb_views() where {where} view_name = ?", [schema, name]
    ).fetchone()
    columns = connection.execute(
        "select column_name, comment from duckdb_columns()"
        f" where {where} table_name = ? order by column_index",
        [schema, name],
    ).fetchall()
    names = ", ".join(identifier(column) for column, _ in columns)
    connection.execute(f"create or replace view {view} as select {names} from {source}")
    if meaning and meaning[0]:
        comment(connection, "view", view, meaning[0])
    for column, text in columns:
        if text:
            comment(connection, "column", f"{view}.{identifier(column)}", text)
