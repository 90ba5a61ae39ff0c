"""The scope of a query, from DuckDB's parse tree: its tables, series and span of time.

A condition counts if it certainly restricts what is read: a comparison of a key column or
``time`` with a value, joined by AND, in the WHERE of the query that reads the table or of one
around it that passes the column through. Others are ignored, so a scope is never too small.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from warehouse.analysis.catalog_names import FLOW_FROM, Names
from warehouse.analysis.parse_tree import (
    KEY_COLUMNS,
    Cte,
    Ctes,
    FromSource,
    Tree,
    function_name,
    key_or_time,
    membership,
    named_arguments,
    nodes,
    passes_through,
    queries_within,
    query_of,
    sides,
    sources_of,
    subqueries,
    table_name,
    texts_in,
    with_ctes,
)
from warehouse.interrupts import stop_if_abandoned
from warehouse.sql import Relation

_SIDES_SWAPPED = {
    "COMPARE_EQUAL": "COMPARE_EQUAL",
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
}
_STEP = dt.timedelta(microseconds=1)
# The parameters of the table macro as_of.
_AS_OF = ("fast", "fast_interval", "slow", "slow_interval", "max_age")
# Keys that bars from ticks have in common with the ticks.
_OF_TICKS = ("exchange", "symbol")
_SPAN_OF_TICKS = ("start_time", "end_time")


@dataclass(frozen=True, slots=True)
class QueryScope:
    """The selection of a query from one table.

    Attributes
    ----------
    relation
        The table or view, or a table macro that computes bars from ticks.
    datasets
        The vendor's datasets behind it.
    keys
        Values that key columns may have; columns that are missing here may have any.
    start, end
        Span of ``time``, naive UTC, half-open; None if it is unbounded.
    """

    relation: Relation
    datasets: tuple[str, ...]
    keys: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    start: dt.datetime | None = None
    end: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class _Filter:
    """The result of conditions joined by AND: values per key column, and a span of time."""

    keys: dict[str, frozenset[Any]] = field(default_factory=dict)
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def __and__(self, other: _Filter) -> _Filter:
        keys = dict(self.keys)
        for name, values in other.keys.items():
            keys[name] = keys[name] & values if name in keys else values
        starts = [s for s in (self.start, other.start) if s is not None]
        ends = [e for e in (self.end, other.end) if e is not None]
        return _Filter(keys, max(starts, default=None), min(ends, default=None))

    def only(self, passes: Callable[[str], bool]) -> _Filter:
        keys = {name: values for name, values in self.keys.items() if passes(name)}
        return _Filter(keys, self.start, self.end) if passes("time") else _Filter(keys)


# -- what is read --------------------------------------------------------------------------------


def query_scope(
    tree: Tree | None, text: str, params: Mapping[str, object], catalog: Names
) -> tuple[QueryScope, ...]:
    """One entry per table that a query reads and selection from it.

    ``text`` is read only if the engine has no ``tree``.
    """
    if tree is None:
        relations = catalog.tables_by_sqlglot(text)
        return tuple(QueryScope(relation, catalog.datasets(relation)) for relation in relations)
    walk = _Walk(catalog, _Values(params, catalog))
    walk.query(tree, {}, _Filter())
    return tuple(dict((repr(found), found) for found in walk.found).values())


def scopes_of_selects(
    tree: Tree, params: Mapping[str, object], catalog: Names
) -> Iterator[tuple[Tree, tuple[QueryScope, ...]]]:
    """Each SELECT of a query with the scope of its FROM and WHERE, without conditions around it."""
    values = _Values(params, catalog)
    whole = _Walk(catalog, values)
    whole.query(tree, {}, _Filter())
    for node, ctes in whole.selects:
        walk = _Walk(catalog, values)
        walk.query(node, ctes, _Filter())
        yield node, tuple(walk.found)


class _Walk:
    """Walks down a tree with the applicable filters and collects the tables."""

    def __init__(self, catalog: Names, values: _Values) -> None:
        self.catalog, self.values = catalog, values
        self.found: list[QueryScope] = []
        self.selects: list[tuple[Tree, Ctes]] = []
        self._walked: set[tuple[Any, ...]] = set()

    def query(self, node: Tree, outer: Ctes, pushed: _Filter) -> None:
        stop_if_abandoned()
        ctes = with_ctes(node, outer)
        if node["type"] == "SELECT_NODE":
            self._select(node, ctes, pushed)
        elif node["type"] == "SET_OPERATION_NODE":
            for side in sides(node):
                self.query(side, ctes, _Filter())
        else:
            for part in queries_within(node):
                self.query(part, ctes, _Filter())

    def _select(self, node: Tree, ctes: Ctes, pushed: _Filter) -> None:
        self.selects.append((node, ctes))
        sources, joined = sources_of(node["from_table"])
        passes = passes_through(node)
        inner = pushed.only(passes)
        shared = _Filter()
        own: dict[str, _Filter] = {}
        for qualifier, found in self._predicates(node.get("where_clause")):
            if qualifier is None:
                shared = shared & found
            else:
                own[qualifier] = own.get(qualifier, _Filter()) & found
        everywhere = shared & inner
        for alias, found in own.items():
            others = joined.get(alias, frozenset())
            everywhere = everywhere & found.only(others.__contains__)
        for source in sources:
            self._source(source, ctes, everywhere & own.get(source.alias, _Filter()))
        for part in subqueries(node):
            self.query(part, ctes, _Filter())

    def _source(self, source: FromSource, ctes: Ctes, found: _Filter) -> None:
        node = source.node
        if node["type"] == "BASE_TABLE":
            parts = table_name(node)
            if len(parts) == 1 and parts[0].lower() in ctes:
                self._cte(ctes[parts[0].lower()], found)
                return
            relation = self.catalog.find(parts)
            if relation is not None:
                self._add(relation, found)
        elif node["type"] == "SUBQUERY":
            self.query(query_of(node["subquery"]), ctes, found)
        else:
            self._ticks(node, found)
            self._flow_from(node, found)
            conditions = self._as_of_conditions(node, found)
            for text in texts_in(node):
                relation = self.catalog.find(tuple(text.split(".")))
                if relation is not None:
                    for condition in conditions.get(text, [_Filter()]):
                        self._add(relation, condition)
            for part in queries_within(node):
                self.query(part, ctes, _Filter())
            for table in nodes(node):
                if table.get("type") == "BASE_TABLE" and table is not node:
                    self._source(FromSource("", table), ctes, _Filter())

    def _as_of_conditions(self, node: Tree, found: _Filter) -> dict[str, list[_Filter]]:
        """What ``as_of(fast, fast_interval, slow, slow_interval, max_age)`` reads of its tables.

        Its rows are those of fast, and the bars of slow have the same exchange, symbol and clock.
        """
        function = node.get("function") or {}
        if node["type"] != "TABLE_FUNCTION" or function_name(function) != "as_of":
            return {}
        given = named_arguments(function, _AS_OF)
        of_slow = found.only(("exchange", "symbol", "clock").__contains__)
        conditions: dict[str, list[_Filter]] = {}
        try:
            for table, around in (("fast", found), ("slow", of_slow)):
                interval = _key("interval", self.values.value(given[f"{table}_interval"]))
                own = _Filter({"interval": frozenset({interval})}) & around
                conditions.setdefault(self.values.value(given[table]), []).append(own)
        except (_NotConstantError, LookupError):
            return {}
        return conditions

    def _ticks(self, node: Tree, found: _Filter) -> None:
        """Add the macro ``ticks_<dataset>(…)``, or the one that ``ticks(dataset, …)`` calls."""
        function = node.get("function") or {}
        name = function_name(function) if node["type"] == "TABLE_FUNCTION" else ""
        if not name.startswith("ticks") or name not in self.catalog.tick_parameters:
            return
        given = named_arguments(function, self.catalog.tick_parameters[name])
        if name == "ticks":
            name += f"_{self._argument(given, 'dataset')}"
        tables = self.catalog.raw_tables(name, given)
        keys = {key: self._argument(given, key) for key in _OF_TICKS}
        asked = {key: frozenset({value}) for key, value in keys.items() if value is not None}
        chosen = found.only(_OF_TICKS.__contains__) & _Filter(asked)
        if tables:
            self.found.append(
                QueryScope(
                    Relation("main", name),
                    tuple(sorted(table.name for table in tables)),
                    {key: tuple(sorted(values, key=str)) for key, values in chosen.keys.items()},
                    *(self._argument(given, key, self.values.moment) for key in _SPAN_OF_TICKS),
                )
            )

    def _flow_from(self, node: Tree, found: _Filter) -> None:
        """Add the mart that ``flow_from(start_time)`` reads by default; its sums have no end."""
        function = node.get("function") or {}
        if node["type"] != "TABLE_FUNCTION" or function_name(function) != "flow_from":
            return
        given = named_arguments(function, ("start_time", "flow"))
        if "flow" not in given:
            start = self._argument(given, "start_time", self.values.moment)
            keys = found.only(KEY_COLUMNS.__contains__)
            self._add(FLOW_FROM, keys & _Filter({}, start, found.end))

    def _argument(
        self, given: Mapping[str, Tree], name: str, read: Callable[[Tree], Any] | None = None
    ) -> Any:
        """The value of an argument; None if it is left out, NULL, or unknown in advance."""
        try:
            return (read or self.values.value)(given[name])
        except (_NotConstantError, LookupError, TypeError, ValueError, OverflowError):
            return None

    def _cte(self, cte: Cte, found: _Filter) -> None:
        """Walk a query of a WITH, once for each filter on it."""
        way = (cte, frozenset(found.keys.items()), found.start, found.end)
        if way not in self._walked:
            self._walked.add(way)
            self.query(cte.query, cte.around, found)

    def _add(self, relation: Relation, found: _Filter) -> None:
        known = self.catalog.columns[relation]
        keys = {n: tuple(sorted(v, key=str)) for n, v in found.keys.items() if n in known}
        bounded = "time" in known
        self.found.append(
            QueryScope(
                relation,
                self.catalog.datasets(relation),
                keys,
                found.start if bounded else None,
                found.end if bounded else None,
            )
        )

    def _predicates(self, where: Tree | None) -> Iterator[tuple[str | None, _Filter]]:
        """The supported conditions of a WHERE that are joined by AND, with their table."""
        if not where:
            return
        if where["type"] == "CONJUNCTION_AND":
            for child in where["children"]:
                yield from self._predicates(child)
            return
        if where["type"] == "CONJUNCTION_OR":
            yield from self._predicates(self._without_null_check(where))
            return
        try:
            found = self._predicate(where)
        except (_NotConstantError, LookupError, TypeError, ValueError, OverflowError):
            return
        if found is not None:
            yield found

    def _without_null_check(self, node: Tree) -> Tree | None:
        """The right side of ``$x is null or ...``, which selects everything if $x is not given."""
        first, *rest = node["children"]
        if first["type"] != "OPERATOR_IS_NULL" or len(rest) != 1:
            return None
        inner = first["children"][0]
        if inner.get("class") != "PARAMETER" or self.values.value(inner) is None:
            return None
        left: Tree = rest[0]
        return left

    def _predicate(self, node: Tree) -> tuple[str | None, _Filter] | None:
        kind = node["type"]
        if kind == "COMPARE_BETWEEN":
            column = key_or_time(node["input"])
            if column is None or column[1] != "time":
                return None
            low, high = (self.values.moment(node[side]) for side in ("lower", "upper"))
            return column[0], _Filter({}, low, high + _STEP)
        if node.get("class") == "COMPARISON" and kind in _SIDES_SWAPPED:
            column, value = key_or_time(node["left"]), node["right"]
            if column is None:
                column, value, kind = key_or_time(node["right"]), node["left"], _SIDES_SWAPPED[kind]
            return None if column is None else self._comparison(column, kind, value)
        column, listed = membership(node)
        if column is None or column[1] == "time":
            return None
        name = column[1]
        values = frozenset(_key(name, v) for item in listed for v in _flat(self.values.value(item)))
        return column[0], _Filter({name: values})

    def _comparison(
        self, column: tuple[str | None, str], kind: str, value: Tree
    ) -> tuple[str | None, _Filter] | None:
        qualifier, name = column
        if name != "time":
            if kind != "COMPARE_EQUAL":
                return None
            return qualifier, _Filter({name: frozenset({_key(name, self.values.value(value))})})
        moment = self.values.moment(value)
        if kind == "COMPARE_EQUAL":
            return qualifier, _Filter({}, moment, moment + _STEP)
        if kind.startswith("COMPARE_GREATER"):
            return qualifier, _Filter({}, moment + _STEP * (not kind.endswith("EQUALTO")), None)
        return qualifier, _Filter({}, None, moment + _STEP * kind.endswith("EQUALTO"))


class _NotConstantError(Exception):
    """An expression is not a value, or one that cannot be computed in advance."""


class _Values:
    """Values of constant expressions; DuckDB computes all but literals."""

    def __init__(self, params: Mapping[str, object], catalog: Names) -> None:
        self._params, self._catalog = params, catalog

    def value(self, node: Tree) -> Any:
        stop_if_abandoned()
        if node.get("class") == "PARAMETER":
            return self._params[node["identifier"]]
        if node.get("class") == "CONSTANT" and (text := next(texts_in(node), None)) is not None:
            return text
        if any(n.get("class") in ("COLUMN_REF", "SUBQUERY", "WINDOW", "STAR") for n in nodes(node)):
            raise _NotConstantError
        used = {n["identifier"] for n in nodes(node) if n.get("class") == "PARAMETER"}
        try:
            return self._catalog.value(node, {name: self._params[name] for name in used})
        except duckdb.Error as error:
            raise _NotConstantError from error

    def moment(self, node: Tree) -> dt.datetime:
        found = self.value(node)
        if isinstance(found, str):
            found = dt.datetime.fromisoformat(found)
        if isinstance(found, dt.datetime):
            if found.tzinfo is None:
                return found
            return found.astimezone(dt.UTC).replace(tzinfo=None)
        if isinstance(found, dt.date):
            return dt.datetime.combine(found, dt.time())
        raise _NotConstantError


def _key(name: str, value: Any) -> Any:
    """A value in the type of the key column with which DuckDB compares it."""
    if value is None or (isinstance(value, str) and name != "series_id"):
        return value
    if name == "series_id" and (isinstance(value, str) or value == int(value)):
        return int(value)
    if isinstance(value, bool):
        return str(value).lower()
    raise _NotConstantError


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, set)) else [value]
