"""The catalog's names: columns with units, and the datasets behind each table.

They are read once per generation, from the catalog. The SQL of a stored mart is in ``meta.models``,
because its view only reads the months.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

import duckdb

from warehouse.analysis.parse_tree import (
    Tree,
    function_name,
    nodes,
    parse_query,
    table_names,
    texts_in,
)
from warehouse.errors import BUILD, CORRECT, NotFoundError, nearest
from warehouse.home import own_files, own_text
from warehouse.sql import Relation, literal

_UNIT = re.compile(r"\s*\[([^\[\]]*)\]\s*$")
_SELECT = re.compile(
    r"^\s*create\s.*?\bas\b\s*(?=[\s(](?:with|select|from|values)\b|\()", re.I | re.S
)
# Text in the config of a model for which dbt makes no table of the name of its file.
_OTHER_NAME = re.compile(
    r"""\bmaterialized\s*=\s*["']ephemeral["']|\b(?:enabled|alias)\s*=[^,)]*"""
)
# Text that occurs in views of stored months or of their native copy.
_STORED = re.compile(r"\bread_parquet\b|\bfrom native\w*\.main\.", re.I)
# Schemas in which a session looks up a bare name; their names do not overlap.
_SEARCHED = ("main", "user")
_OTHER_SCHEMAS = ("vendor", "ticks", "meta", "staging")
# The mart that the table macro flow_from reads by default.
FLOW_FROM = Relation("main", "flow_features")
_UNKNOWN_TABLE = re.compile(r"(?:Table|View|Table Function) with name (\S+) does not exist")
# DuckDB's advice to read one of its own tables.
_OF_SYSTEM = re.compile(r'\s*Did you mean "(pg_|sqlite_|system\.|information_schema\.)[^"]*"\?')
_UNKNOWN_COLUMN = re.compile(
    r"(?:Referenced column|does not have a column named|column named|Column) \"([^\"]+)\"", re.I
)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column of the catalog."""

    type: str
    unit: str | None
    meaning: str | None


class Names:
    """The names of one generation; any thread may use them."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, models: Path | None = None) -> None:
        """``models`` is the folder of the user's models."""
        self._lock = RLock()
        self._cursor = cursor
        self._models = models
        self._known_behind: dict[Relation, frozenset[Relation]] = {}

    def _rows(self, text: str, params: object = None) -> list[tuple[Any, ...]]:
        """The rows of a query; threads share the cursor."""
        with self._lock:
            return self._cursor.execute(text, params).fetchall()

    @cached_property
    def columns(self) -> dict[Relation, dict[str, ColumnFacts]]:
        """Columns of every table and view, in order."""
        found: dict[Relation, dict[str, ColumnFacts]] = {}
        for schema, table, name, kind, comment in self._rows(
            "select schema_name, table_name, column_name, data_type, comment from duckdb_columns()"
            " where database_name = 'warehouse' and not internal"
            " order by schema_name, table_name, column_index"
        ):
            unit = _UNIT.search(comment or "")
            meaning = _UNIT.sub("", comment) if comment else None
            facts = ColumnFacts(kind, unit[1] if unit else None, meaning)
            found.setdefault(Relation(schema, table), {})[name] = facts
        return found

    def find(self, parts: tuple[str, ...]) -> Relation | None:
        """The table that a name in a query refers to."""
        for schema in (parts[-2],) if len(parts) > 1 else _SEARCHED:
            relation = Relation(schema, parts[-1])
            if relation in self.columns:
                return relation
            if schema == "warehouse" and Relation("main", parts[-1]) in self.columns:
                return Relation("main", parts[-1])
        wanted = tuple(part.lower() for part in parts[-2:])
        for relation in self.columns:
            if (relation.schema.lower(), relation.name.lower())[-len(wanted) :] == wanted and (
                len(wanted) > 1 or relation.schema in _SEARCHED
            ):
                return relation
        return None

    def find_anywhere(self, name: str) -> Relation | None:
        """The table that a user names; unlike in a query, a bare name may be in any schema."""
        relation = self.find(parts := tuple(name.split(".")))
        if relation is None and len(parts) == 1:
            others = (self.find((schema, name)) for schema in _OTHER_SCHEMAS)
            return next(filter(None, others), None)
        return relation

    def datasets(self, relation: Relation) -> tuple[str, ...]:
        """The vendor's datasets that a table or view is computed from, sorted."""
        with self._lock:  # so that no other thread sees a table that is being searched
            behind = self._tables_behind(relation)
        return tuple(sorted(p.name for p in behind if p.schema == "vendor"))

    def definition(self, relation: Relation) -> str | None:
        """The SELECT of a view or stored mart; None if it is unknown."""
        return self._definitions.get(relation)

    def absent_model(self, name: str) -> tuple[str, str]:
        """Why one of the user's models is not in the catalog, and the next step; empty if it is."""
        wanted = name.strip('"').rpartition(".")[2].lower()
        rows = self._rows(
            "select name, message from meta.results where package <> 'warehouse'"
            " and resource_type = 'model' and status = 'error' and lower(name) = ?",
            [wanted],
        )
        for model, message in rows[:1]:
            failed = f"{model} failed in the last build: {message}"
            return failed.replace("\n", "\n    "), CORRECT
        if (folder := self._models) is not None:
            for path in own_files(folder, ".sql"):
                if path.stem.lower() == wanted:
                    place = path.relative_to(folder.parent)
                    absent = f"{place} is not in this catalog"
                    if found := _OTHER_NAME.search(own_text(path)):
                        reason = f"{absent} under this name: its config has {found[0]}"
                        return reason, "list the tables with: warehouse describe"
                    return f"{absent}: it is not built yet", BUILD
        return "", ""

    def failure(self, message: str) -> tuple[str, str]:
        """A message of DuckDB about an unknown table, and the next step.

        The reason replaces the message if one of the user's models has that name.
        """
        table = _UNKNOWN_TABLE.search(message)
        reason, next_step = self.absent_model(table[1]) if table is not None else ("", "")
        return reason or _OF_SYSTEM.sub("", message), next_step

    def suggestion(self, message: str, tree: Tree | None) -> str | None:
        """Nearest names for a table or column that is unknown to DuckDB."""
        if next_step := self.failure(message)[1]:
            return next_step
        if "file system operations are disabled" in message:
            return (
                "a view that reads a file cannot be queried: write"
                " {{ config(materialized='table') }} into its model, then run: warehouse build"
            )
        if "field value out of range" in message:
            return "write a day that is in the calendar, as 2025-09-30"
        table = _UNKNOWN_TABLE.search(message)
        if table is not None:
            known = [p.name if p.schema == "main" else str(p) for p in self.columns]
            close = nearest(table[1], known)
            close += [name for name in known if name.endswith(f".{table[1]}")]
            listed = ", ".join(dict.fromkeys(close))
            return (
                f"the nearest tables: {listed}"
                if listed
                else "list the tables with: warehouse describe; in Python pass your own frame as"
                f" an argument: wh.sql(..., {table[1]}={table[1]})"
            )
        column = _UNKNOWN_COLUMN.search(message)
        if column is None or tree is None:
            return None
        touched = [self.find(parts) for parts in table_names(tree)]
        known = [name for relation in touched if relation for name in self.columns[relation]]
        owners = [
            relation.name
            for schema in _SEARCHED
            for relation, columns in self.columns.items()
            if relation.schema == schema and column[1].lower() in columns
        ]
        if owners and column[1].lower() not in known:
            return f"{column[1]} is in {', '.join(owners[:4])}"
        close = nearest(column[1], known)
        if close:
            return f"the nearest columns: {', '.join(close)}"
        relations = " or ".join(sorted({str(relation) for relation in touched if relation}))
        return f"list the columns with: warehouse describe {relations}" if relations else None

    # -- the data behind a table -----------------------------------------------------------------

    def _tables_behind(self, relation: Relation) -> frozenset[Relation]:
        """The vendor views and tables without inputs behind a table."""
        if relation not in self._known_behind:
            self._known_behind[relation] = frozenset({relation})
            if relation.schema != "vendor" and (read := self._read_by(relation)):
                behind = map(self._tables_behind, read)
                self._known_behind[relation] = frozenset().union(*behind)
        return self._known_behind[relation]

    def _read_by(self, relation: Relation) -> list[Relation]:
        text = self.definition(relation)
        if text and _STORED.search(text):  # a stored mart whose SQL is unknown
            kept = self._vendor_with_files
            if relation.schema == "ticks":  # kept bars of a dataset, computed from raw ticks
                return [p for p in kept if p.name == relation.name or p.name.startswith("raw_")]
            return kept
        found = self.tables_in(text) if text else []
        return [other for other in found if other != relation]

    @cached_property
    def _vendor_with_files(self) -> list[Relation]:
        rows = self._rows("select distinct dataset from meta.coverage")
        return [Relation("vendor", row[0]) for row in rows]

    def tables_in(self, text: str) -> list[Relation]:
        """The catalog's tables that a SELECT names."""
        if (tree := self.parse(text)) is None:
            return []
        found = [*map(self.find, table_names(tree))]
        for node in nodes(tree):
            if node.get("type") == "TABLE_FUNCTION":
                called, texts = function_name(node["function"]), [*texts_in(node)]
                found += [self.find(tuple(text.split("."))) for text in texts]
                found += [FLOW_FROM] if called == "flow_from" else []
                found += self.raw_tables(called)
                found += [raw for text in texts for raw in self.raw_tables(f"{called}_{text}")]
        return list(dict.fromkeys(filter(None, found)))

    def raw_tables(self, macro: str, given: Container[str] = ()) -> list[Relation]:
        """The raw tables that a macro of :attr:`tick_parameters` reads, without ``given`` sources.

        Its parameter ``trades`` is for ``raw_trades``, and ``mark_prices`` for ``raw_mark_price``.
        """
        known = self.tick_parameters if macro.startswith("ticks") else {}  # which takes 15 ms
        parameters = [name for name in known.get(macro, ()) if name not in given]
        names = (f"raw_{name}" for parameter in parameters for name in (parameter, parameter[:-1]))
        return [*filter(None, (self.find(("vendor", name)) for name in names))]

    def parse(self, text: str) -> Tree | None:
        """The engine's tree of a SELECT; None if it has none."""
        with self._lock:
            return parse_query(self._cursor, text)

    def value(self, expression: Tree, params: Mapping[str, object]) -> Any:
        """The value that DuckDB computes for an expression without columns."""
        statement = {"error": False, "statements": [{"node": _select_of(expression)}]}
        tree = literal(json.dumps(statement))
        text = f"from json_execute_serialized_sql({tree})"
        if params:
            ((text,),) = self._rows(f"select json_deserialize_sql({tree}::json)")
        rows = self._rows(text, params or None)
        return rows[0][0] if rows else None

    @cached_property
    def tick_parameters(self) -> dict[str, list[str]]:
        """The parameters of each table macro that computes bars from ticks."""
        rows = self._rows(
            "select function_name, parameters from duckdb_functions() where database_name ="
            " 'warehouse' and function_type = 'table_macro' and function_name ~ 'ticks(_.*)?'"
        )
        return dict(rows)

    @cached_property
    def _definitions(self) -> dict[Relation, str]:
        found = {
            Relation(schema, name): _SELECT.sub("", text).rstrip().rstrip(";")
            for schema, name, text in self._rows(
                "select schema_name, view_name, sql from duckdb_views()"
                " where database_name = 'warehouse' and not internal and schema_name <> 'vendor'"
            )
        }
        is_stored = any(map(_STORED.search, found.values()))
        return found | self._model_definitions() if is_stored else found

    def _model_definitions(self) -> dict[Relation, str]:
        if Relation("meta", "models") not in self.columns:
            raise NotFoundError(
                "this catalog was built by an earlier version, which did not store the SQL of"
                " its models, so the data behind its tables is unknown",
                next_step=BUILD,
            )
        rows = self._rows('select "schema", name, sql from meta.models')
        return {Relation(schema, name): text for schema, name, text in rows}

    def tables_by_sqlglot(self, text: str) -> list[Relation]:
        """The catalog's tables in a text for which the engine has no tree."""
        import sqlglot
        from sqlglot import exp

        tree = sqlglot.parse_one(text, dialect="duckdb")
        parts = [tuple(p.name for p in table.parts) for table in tree.find_all(exp.Table)]
        return list(dict.fromkeys(filter(None, map(self.find, parts))))


def parameter_types(tree: Tree | None, catalog: Names) -> dict[str, str]:
    """Types of parameters that a query compares with columns of one type."""
    found: dict[str, str] = {}
    for name, kinds in _compared_types(tree, catalog):
        if len(kinds) == 1:
            found.setdefault(name, *kinds)
    return found


def text_parameters(tree: Tree | None, catalog: Names) -> frozenset[str]:
    """Names of parameters, in lower case, that a query compares with columns of text."""
    found: dict[str, set[str]] = {}
    for name, kinds in _compared_types(tree, catalog):
        found.setdefault(name.lower(), set()).update(kinds)
    return frozenset(name for name, kinds in found.items() if kinds == {"VARCHAR"})


def _compared_types(tree: Tree | None, catalog: Names) -> Iterator[tuple[str, set[str]]]:
    """Parameters, with the types of the catalog's columns with which they are compared."""
    for name, column in _parameter_columns(tree) if tree else ():
        yield name, {facts[column].type for facts in catalog.columns.values() if column in facts}


def _parameter_columns(tree: Tree) -> Iterator[tuple[str, str]]:
    """Parameters that a query compares with a column: (parameter, column)."""
    for node in nodes(tree):
        parts = [node[key] for key in ("left", "right", "input", "lower", "upper") if key in node]
        parts += [child for child in node.get("children") or [] if isinstance(child, dict)]
        columns = [part["column_names"][-1] for part in parts if part.get("class") == "COLUMN_REF"]
        for part in parts:
            if part.get("class") == "PARAMETER" and len(columns) == 1:
                yield part["identifier"], columns[0]


def _select_of(expression: Tree) -> Tree:
    return {
        "type": "SELECT_NODE",
        "modifiers": [],
        "cte_map": {"map": []},
        "select_list": [expression],
        "from_table": {"type": "EMPTY", "alias": "", "sample": None, "query_location": 0},
        "where_clause": None,
        "group_expressions": [],
        "group_sets": [],
        "aggregate_handling": "STANDARD_HANDLING",
        "having": None,
        "sample": None,
        "qualify": None,
    }
