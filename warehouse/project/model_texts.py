"""The description of a user's model in the catalog: from its yml, else from its file's comment.

Such a comment is plain text: Jinja in it never reaches dbt. A line ``column: meaning`` describes a
column. Key columns without a description get that of the built-in marts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from warehouse.sql import comment_all, identifier
from warehouse.vendor import KEY_COLUMNS

_LEADING = re.compile(
    r"[\s\ufeff]*(?:--(?P<line>[^\n]*)|/\*(?P<block>.*?)\*/"
    r"|\{#-?(?P<jinja>.*?)-?#\}|\{\{-?\s*config\(.*?\)\s*-?\}\})",
    re.DOTALL,
)
_LAST_SEMICOLON = re.compile(
    r"(?:;[ \t]*)+((?:\s|--[^\n]*(?=\n|\Z)|/\*(?:(?!\*/).)*\*/)*)\Z", re.DOTALL
)
_JINJA = re.compile(r"\{[{%#]")
_DIRECTIVE = re.compile(r"(depends_on|noqa|sqlfluff)\b", re.IGNORECASE)
_OF_COLUMN = re.compile(r'"?(?P<name>\w+)"?:\s+(?P<text>.+)')


@dataclass(frozen=True, slots=True)
class ModelTexts:
    """The description of a model and those of its columns by name; empty texts are ignored."""

    schema: str
    name: str
    description: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    leading: tuple[str, ...] = ()


def leading_comment(text: str) -> tuple[str, ...]:
    """Lines of the comments that a SQL file begins with, before or after its ``config()``.

    Examples
    --------
    >>> leading_comment("-- Spread, 50%} of it.\\n/* x: one. */\\nselect 1 as x -- no")
    ('Spread, 50%} of it.', 'x: one.')
    """
    lines = []
    for match in _matches(text):
        for line in (match["line"] or match["block"] or match["jinja"] or "").splitlines():
            words = " ".join(line.replace("\x00", "").strip(" \t-*=#").split())
            if words and not _DIRECTIVE.match(words):
                lines.append(words)
    return tuple(lines)


def holds_query(text: str) -> bool:
    """Whether a file has more than comments and its ``config()``.

    Examples
    --------
    >>> holds_query("-- later\\n"), holds_query("-- one\\nselect 1")
    (False, True)
    """
    matches = _matches(text)
    return bool(text[matches[-1].end() if matches else 0 :].strip("\ufeff \t\r\n;"))


def model_for_dbt(file: bytes) -> bytes:
    """A model's text for dbt: without byte order mark, last semicolon, and Jinja in comments.

    Only comments at the beginning of the file are emptied; lines keep their numbers, and ``--
    depends_on: {{ ref('…') }}`` is kept.

    Examples
    --------
    >>> model_for_dbt(b"-- a {% b\\nselect 1; -- one\\n")
    b'--\\nselect 1 -- one\\n'
    """
    text = file.decode("utf-8-sig", errors="surrogateescape")
    parts, at = [], 0
    for match in _matches(text):
        kind = "line" if match["line"] is not None else "block"
        held = match[kind]
        if held and _JINJA.search(held) and not _DIRECTIVE.match(held.strip()):
            parts += [text[at : match.start(kind)], "\n" * held.count("\n")]
            at = match.end(kind)
    whole = "".join([*parts, text[at:]])
    return _LAST_SEMICOLON.sub(r" \1", whole).encode("utf-8", errors="surrogateescape")


def _matches(text: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    while match := _LEADING.match(text, found[-1].end() if found else 0):
        found.append(match)
    return found


def comment_models(connection: duckdb.DuckDBPyConnection, models: list[ModelTexts]) -> None:
    """Set the comments of models, and of their columns, in a build file open for writing."""
    ours = _shipped_comments(connection)
    for model in models:
        place = [model.schema, model.name]
        where = "database_name = 'warehouse' and schema_name = ?"
        names = [
            str(name)
            for (name,) in connection.execute(
                f"select column_name from duckdb_columns() where {where} and table_name = ?", place
            ).fetchall()
        ]
        is_view = connection.execute(
            f"select 1 from duckdb_views() where {where} and view_name = ?", place
        ).fetchone()
        description, by_column = _sorted_out(model, names)
        relation = f"warehouse.{identifier(model.schema)}.{identifier(model.name)}"
        texts = {name: by_column.get(name.lower()) or ours.get(name.lower()) for name in names}
        if names:
            kind = "view" if is_view else "table"
            comment_all(connection, kind, relation, description, texts)


def model_comments(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], ModelTexts]:
    """The comments of all relations and of their columns, by schema and name."""
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for schema, name, column, text in connection.execute(
        "select schema_name, table_name, column_name, coalesce(comment, '') from duckdb_columns()"
        " where database_name = 'warehouse' order by column_index"
    ).fetchall():
        columns.setdefault((schema, name), {})[column] = text
    described = connection.execute(
        "select schema_name, view_name, comment from duckdb_views() where comment is not null"
        " and database_name = 'warehouse' union all"
        " select schema_name, table_name, comment from duckdb_tables() where comment is not null"
        " and database_name = 'warehouse'"
    ).fetchall()
    texts = {(str(schema), str(name)): str(text) for schema, name, text in described}
    return {key: ModelTexts(*key, texts.get(key, ""), held) for key, held in columns.items()}


def _sorted_out(model: ModelTexts, names: list[str]) -> tuple[str, dict[str, str]]:
    """The description of a model, and those of its columns in lower case; those of the yml win."""
    known = {name.lower() for name in names}
    of_columns: dict[str, str] = {}
    rest = []
    for line in model.leading:
        match = _OF_COLUMN.fullmatch(line)
        if match and match["name"].lower() in known:
            of_columns[match["name"].lower()] = match["text"]
        else:
            rest.append(line)
    of_columns |= {name.lower(): text for name, text in model.columns.items() if text}
    return model.description or " ".join(rest), of_columns


def _shipped_comments(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Meanings of the key columns in the built-in marts."""
    rows = connection.execute(
        "select column_name, mode(comment order by comment) from duckdb_columns()"
        " where database_name = 'warehouse' and schema_name = 'main' and comment is not null"
        " and list_contains(?, column_name) group by column_name",
        [[column.name for column in KEY_COLUMNS]],
    )
    return {str(name): str(text) for name, text in rows.fetchall()}
