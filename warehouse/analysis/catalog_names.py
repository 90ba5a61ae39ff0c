"""What the catalog's names stand for: columns with units, and the datasets behind each table.

Read once per generation, from the catalog itself. A mart whose months are stored no longer says in
its view what it was computed from; then the models' SQL is taken from ``meta.models`` where the
catalog has it, else from what dbt left in the home.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from threading import RLock
from typing import Concatenate, ParamSpec, TypeVar

import duckdb

from warehouse.analysis.lineage import ColumnOf, Outputs, named, outputs, parameter_columns
from warehouse.analysis.parse_tree import Tree, names, nodes
from warehouse.analysis.scope import Place, Reach, reach
from warehouse.errors import WarehouseError, nearest
from warehouse.home import Home
from warehouse.loading import load
from warehouse.sql import literal

_UNIT = re.compile(r"\s*\[([^\[\]]*)\]\s*$")
_SELECT = re.compile(
    r"^\s*create\s.*?\bas\b\s*(?=[\s(](?:with|select|from|values)\b|\()", re.I | re.S
)
_STORED = re.compile(r"\bread_parquet\b|\bfrom native\w*\.main\.", re.I)
"""In the text of a view that reads stored months, or their native copy."""
_SEARCHED = ("main", "user")
"""Schemas in which a session looks up a bare name; none of the second is one of the first's."""
_UNKNOWN_TABLE = re.compile(r"(?:Table|View|Table Function) with name (\S+) does not exist")
_UNKNOWN_COLUMN = re.compile(
    r"(?:Referenced column|does not have a column named|column named|Column) \"([^\"]+)\"", re.I
)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column of the catalog."""

    type: str
    unit: str | None
    meaning: str | None


P = ParamSpec("P")
T = TypeVar("T")


def _one_at_a_time(
    method: Callable[Concatenate[Names, P], T],
) -> Callable[Concatenate[Names, P], T]:
    """A method of Names for any thread: they share a cursor, and what they have found out."""

    @wraps(method)
    def locked(self: Names, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class Names:
    """Names of one generation; any thread may ask."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, home: Home) -> None:
        self.lock = RLock()
        self._cursor = cursor
        self._home = home
        self._behind: dict[Place, frozenset[Place]] = {}
        self._outputs: dict[Place, Outputs] = {}
        self.traced: dict[ColumnOf, frozenset[ColumnOf]] = {}

    @property
    @_one_at_a_time
    def columns(self) -> dict[Place, dict[str, ColumnFacts]]:
        """Columns of every table and view, in order."""
        return self._columns

    @cached_property
    def _columns(self) -> dict[Place, dict[str, ColumnFacts]]:
        found: dict[Place, dict[str, ColumnFacts]] = {}
        for schema, table, name, kind, comment in self._cursor.execute(
            "select schema_name, table_name, column_name, data_type, comment from duckdb_columns()"
            " where database_name = 'warehouse' and not internal"
            " order by schema_name, table_name, column_index"
        ).fetchall():
            unit = _UNIT.search(comment or "")
            meaning = _UNIT.sub("", comment) if comment else None
            facts = ColumnFacts(kind, unit[1] if unit else None, meaning)
            found.setdefault(Place(schema, table), {})[name] = facts
        return found

    @_one_at_a_time
    def find(self, parts: tuple[str, ...]) -> Place | None:
        """The table that a name in a query means."""
        for schema in (parts[-2],) if len(parts) > 1 else _SEARCHED:
            place = Place(schema, parts[-1])
            if place in self.columns:
                return place
            if schema == "warehouse" and Place("main", parts[-1]) in self.columns:
                return Place("main", parts[-1])
        wanted = tuple(part.lower() for part in parts[-2:])
        for place in self.columns:
            if (place.schema.lower(), place.table.lower())[-len(wanted) :] == wanted and (
                len(wanted) > 1 or place.schema in _SEARCHED
            ):
                return place
        return None

    @_one_at_a_time
    def datasets(self, place: Place) -> tuple[str, ...]:
        """The vendor's datasets that a table or view is computed from, sorted."""
        return tuple(sorted(p.table for p in self._sources(place) if p.schema == "vendor"))

    @_one_at_a_time
    def definition(self, place: Place) -> str | None:
        """The SELECT that a view or stored mart was computed by; None where it is not kept."""
        return self._definitions.get(place)

    @_one_at_a_time
    def reach(
        self, tree: Tree | None, text: str, params: Mapping[str, object]
    ) -> tuple[Reach, ...]:
        """Tables that a query reads, with the series and span that it selects of each.

        ``text`` is read where the engine has no tree to give of it.
        """
        if tree is None:
            return tuple(Reach(place, self.datasets(place)) for place in self._named(text))
        return reach(tree, params, self, self._cursor)

    @_one_at_a_time
    def origins(
        self, tree: Tree | None, columns: Sequence[str]
    ) -> dict[str, tuple[str | None, str | None]]:
        """Unit and meaning of the output columns that show columns of the catalog."""
        found = {}
        for name, origin in (named(outputs(tree, self), columns) if tree else {}).items():
            if origin.shows is not None:
                facts = self.columns[origin.shows.place][origin.shows.column]
                found[name] = (facts.unit, facts.meaning if origin.is_plain else None)
        return found

    @_one_at_a_time
    def outputs_of(self, place: Place) -> Outputs:
        """Columns of a view with what they are computed from; none where it is a table."""
        if place not in self._outputs:
            text = self.definition(place)
            tree = self.parse(text) if text else None
            self._outputs[place] = outputs(tree, self) if tree else {}
        return self._outputs[place]

    @_one_at_a_time
    def parameter_types(self, tree: Tree | None) -> dict[str, str]:
        """Types of parameters that a query compares with columns, or casts."""
        found: dict[str, str] = {}
        for name, column in parameter_columns(tree) if tree else ():
            kinds = {facts[column].type for facts in self.columns.values() if column in facts}
            if len(kinds) == 1:
                found.setdefault(name, kinds.pop())
        return found

    @_one_at_a_time
    def text_parameters(self, tree: Tree | None) -> frozenset[str]:
        """Names of parameters, in lower case, that a query compares with columns of text."""
        found: dict[str, set[str]] = {}
        for name, column in parameter_columns(tree) if tree else ():
            kinds = {facts[column].type for facts in self.columns.values() if column in facts}
            found.setdefault(name.lower(), set()).update(kinds)
        return frozenset(name for name, kinds in found.items() if kinds == {"VARCHAR"})

    @_one_at_a_time
    def suggestion(self, message: str, tree: Tree | None) -> str | None:
        """Nearest names for the table or column that the engine does not know."""
        table = _UNKNOWN_TABLE.search(message)
        if table is not None:
            known = [p.table if p.schema == "main" else str(p) for p in self.columns]
            close = nearest(table[1], known)
            close += [name for name in known if name.endswith(f".{table[1]}")]
            listed = ", ".join(dict.fromkeys(close))
            return (
                f"the nearest tables: {listed}"
                if listed
                else "list the tables with: warehouse describe"
            )
        column = _UNKNOWN_COLUMN.search(message)
        if column is None or tree is None:
            return None
        touched = [self.find(parts) for parts in table_names(tree)]
        known = [name for place in touched if place for name in self.columns[place]]
        close = nearest(column[1], known)
        if close:
            return f"the nearest columns: {', '.join(close)}"
        places = " or ".join(sorted({str(place) for place in touched if place}))
        return f"list the columns with: warehouse describe {places}" if places else None

    # -- what stands behind a table --------------------------------------------------------------

    def _sources(self, place: Place) -> frozenset[Place]:
        """The vendor views, and tables that are computed from nothing, behind a table."""
        if place not in self._behind:
            self._behind[place] = frozenset({place})
            if place.schema != "vendor":
                read = self._read_by(place)
                if read:
                    self._behind[place] = frozenset().union(*map(self._sources, read))
        return self._behind[place]

    def _read_by(self, place: Place) -> list[Place]:
        text = self.definition(place)
        if text and _STORED.search(text):  # a stored mart of which nothing more is known
            return self._vendor_with_files
        found = self.tables_in(text) if text else []
        return [other for other in found if other != place]

    @cached_property
    def _vendor_with_files(self) -> list[Place]:
        rows = self._cursor.execute("select distinct dataset from meta.files").fetchall()
        return [Place("vendor", row[0]) for row in rows]

    @_one_at_a_time
    def tables_in(self, text: str) -> list[Place]:
        """The catalog's tables that a SELECT names."""
        tree = self.parse(text)
        places = [self.find(parts) for parts in table_names(tree)] if tree else []
        return [place for place in dict.fromkeys(places) if place is not None]

    @_one_at_a_time
    def parse(self, text: str) -> Tree | None:
        """The engine's tree of a SELECT; None where it has none."""
        row = self._cursor.execute(f"select json_serialize_sql({literal(text)})").fetchone()
        reply = json.loads(row[0]) if row else {"error": True}
        return None if reply.get("error") else reply["statements"][0]["node"]

    @cached_property
    def _definitions(self) -> dict[Place, str]:
        found = {
            Place(schema, name): _SELECT.sub("", text).rstrip().rstrip(";")
            for schema, name, text in self._cursor.execute(
                "select schema_name, view_name, sql from duckdb_views()"
                " where database_name = 'warehouse' and not internal and schema_name <> 'vendor'"
            ).fetchall()
        }
        stored = {place for place, text in found.items() if _STORED.search(text)}
        return found | self._stored_definitions(stored) if stored else found

    def _stored_definitions(self, stored: set[Place]) -> dict[Place, str]:
        if Place("meta", "models") in self.columns:
            rows = self._cursor.execute('select "schema", name, sql from meta.models').fetchall()
            return {Place(schema, name): text for schema, name, text in rows}
        from warehouse.project import load_project

        try:
            models = load_project(self._home.build / "dbt" / "target").models
        except WarehouseError:
            return {}
        by_place = {Place(m.relation.schema, m.relation.name): m.sql for m in models}
        return {place: text for place, text in by_place.items() if place in stored}

    def _named(self, text: str) -> list[Place]:
        """Tables of a text that only sqlglot reads."""
        load("sqlglot")
        import sqlglot
        from sqlglot import exp

        tree = sqlglot.parse_one(text, dialect="duckdb")
        parts = [tuple(p.name for p in table.parts) for table in tree.find_all(exp.Table)]
        return [place for place in dict.fromkeys(map(self.find, parts)) if place is not None]


def table_names(tree: Tree) -> list[tuple[str, ...]]:
    """Names of all tables that stand in a tree; names of CTEs among them."""
    return [
        names(node, "catalog_name", "schema_name", "table_name")
        for node in nodes(tree)
        if node.get("type") == "BASE_TABLE"
    ]
