"""The files of the home that a query may read, for a home whose files are in a bucket.

These are all files behind the tables of the query: all months of a mart, all files of a dataset,
because DuckDB opens every file that a view lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import duckdb

from warehouse.analysis.catalog_names import Names
from warehouse.analysis.parse_tree import Tree, function_name, nodes, table_names, texts_in
from warehouse.sql import Relation

_FILE = re.compile(r"'((?:objects|marts)/[^']+\.parquet)'")
_SELECT = re.compile(r"^\s*create\s.*?\bas\b(?=[\s(])", re.I | re.S)
# Macros of the product that read ticks; their default arguments name the tables.
_OF_TICKS = "ticks"


class CatalogFiles:
    """The files behind each table of a generation, read once."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, names: Names) -> None:
        self._names = names
        self._views = {
            Relation(schema, name): text
            for schema, name, text in cursor.execute(
                "select schema_name, view_name, sql from duckdb_views()"
                " where database_name = 'warehouse' and not internal"
            ).fetchall()
        }
        self._macros = {
            name.lower(): text
            for name, text in cursor.execute(
                "select function_name, macro_definition from duckdb_functions()"
                " where function_type = 'table_macro' and database_name = 'warehouse'"
            ).fetchall()
        }
        self._known: dict[Relation, frozenset[str]] = {}

    def read_by(self, tree: Tree | None, text: str, params: Mapping[str, object]) -> frozenset[str]:
        """Paths below the home of all files that a query may read."""
        if tree is None:
            relations: Iterable[Relation] = self._names.tables_by_sqlglot(text)
        else:
            relations = {*self._named(table_names(tree)), *self._by_macros(tree, params)}
        return frozenset().union(*map(self._behind, relations))

    def _named(self, names: Iterable[tuple[str, ...]]) -> Iterator[Relation]:
        for parts in names:
            relation = self._names.find(parts)
            if relation is not None:
                yield relation

    def _by_macros(self, tree: Tree, params: Mapping[str, object]) -> Iterator[Relation]:
        """Tables that a query names in calls of table macros, or that the macros read."""
        called = {function_name(n) for n in nodes(tree) if n.get("function_name")}
        called &= self._macros.keys()
        if not called:
            return
        texts = [*texts_in(tree), *(v for v in params.values() if isinstance(v, str))]
        yield from self._named(tuple(text.split(".")) for text in texts)
        if any(name.startswith(_OF_TICKS) for name in called):
            for relation in self._views:
                if relation.schema == "ticks" or relation.name.startswith("raw_"):
                    yield relation
            return
        words = {word for name in called for word in re.findall(r"\w+", self._macros[name])}
        yield from (relation for relation in self._views if relation.name in words)

    def _behind(self, relation: Relation) -> frozenset[str]:
        if relation not in self._known:
            self._known[relation] = frozenset()  # marked while it is searched
            text = self._views.get(relation, "")
            found = frozenset(_FILE.findall(text))
            inner = [] if found else self._names.tables_in(_SELECT.sub("", text)) if text else []
            others = (self._behind(other) for other in inner if other != relation)
            self._known[relation] = found.union(*others)
        return self._known[relation]
