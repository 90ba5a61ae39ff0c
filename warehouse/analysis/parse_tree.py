"""Reads DuckDB's parse trees of queries, in the forms of 1.5 and of 2.0."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from warehouse.sql import literal
from warehouse.vendor import SERIES_COLUMNS

Tree = dict[str, Any]

KEY_COLUMNS = ("series_id", *SERIES_COLUMNS)


@dataclass(frozen=True, slots=True)
class FromSource:
    """One source in a FROM: its alias, and its tree."""

    alias: str
    node: Tree


@dataclass(slots=True, eq=False)
class Cte:
    """A query of a WITH.

    Attributes
    ----------
    query
        Its tree.
    around
        The CTEs that it may use.
    aliases
        Names given to its first columns.
    columns
        Its columns, once known, because walking each query again would take exponential time if
        each names another one twice.
    """

    query: Tree
    around: Ctes
    aliases: list[str]
    columns: Any = None


Ctes = dict[str, Cte]


def parse_query(connection: duckdb.DuckDBPyConnection, text: str) -> Tree | None:
    """The engine's tree of a SELECT; None if it has none."""
    row = connection.execute(f"select json_serialize_sql({literal(text)})").fetchone()
    reply = json.loads(row[0]) if row else {"error": True}
    return None if reply.get("error") else reply["statements"][0]["node"]


def nodes(tree: object) -> Iterator[Tree]:
    """Every node of a tree at any depth."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _name(node: Tree, *keys: str) -> tuple[str, ...]:
    """The parts of a name, in the form of either version of the engine."""
    path = (node.get("qualified_name") or {}).get("path")
    return tuple(path) if path else tuple(node[key] for key in keys if node.get(key))


def table_name(node: Tree) -> tuple[str, ...]:
    """The parts of a table's name, as written."""
    return _name(node, "catalog_name", "schema_name", "table_name")


def table_names(tree: Tree) -> list[tuple[str, ...]]:
    """Names of all tables in a tree, including CTEs."""
    return [table_name(node) for node in nodes(tree) if node.get("type") == "BASE_TABLE"]


def cte_names(tree: Tree) -> set[str]:
    """Names of all CTEs in a tree, in lower case."""
    return {str(entry["key"]).lower() for node in nodes(tree) for entry in _ctes_of(node)}


def _ctes_of(node: Tree) -> list[Tree]:
    return (node.get("cte_map") or {}).get("map") or []


def alias_of(source: Tree) -> str:
    """The name by which a query refers to a source in a FROM; empty if it has none."""
    return str(source.get("alias") or (_name(source, "table_name") or ("",))[-1])


def with_ctes(node: Tree, outer: Ctes) -> Ctes:
    ctes = dict(outer)
    for entry in _ctes_of(node):
        value = entry["value"]
        query = value.get("query_node") or query_of(value.get("query") or {})
        ctes[entry["key"].lower()] = Cte(query, dict(ctes), value.get("aliases") or [])
    return ctes


def query_of(node: Tree) -> Tree:
    found: Tree = node.get("node", node)
    return found


def sides(node: Tree) -> list[Tree]:
    if node.get("children"):
        return [query_of(child) for child in node["children"]]
    return [query_of(node["left"]), query_of(node["right"])]


def sources_of(node: Tree) -> tuple[list[FromSource], dict[str, frozenset[str]]]:
    """The sources of a FROM, and the columns per alias that inner joins make equal."""
    sources: list[FromSource] = []
    equal: set[str] | None = None
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if item["type"] != "JOIN":
            sources.append(FromSource(alias_of(item), item))
            continue
        columns = set(item.get("using_columns") or []) | set(_equated(item.get("condition")))
        equal = columns if equal is None else equal & columns
        waiting += [item["right"], item["left"]]
    held = equal or set()
    if "series_id" in held:
        held |= set(KEY_COLUMNS)
    return sources, {source.alias: frozenset(held) for source in sources}


def _equated(condition: Tree | None) -> Iterator[str]:
    """Columns of the same name that a join condition makes equal."""
    if not condition:
        return
    if condition["type"] == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from _equated(child)
    elif condition["type"] == "COMPARE_EQUAL":
        left, right = condition["left"], condition["right"]
        if left.get("class") == right.get("class") == "COLUMN_REF":
            names_ = {left["column_names"][-1], right["column_names"][-1]}
            if len(names_) == 1:
                yield names_.pop()


def passes_through(node: Tree) -> Callable[[str], bool]:
    """Whether a column of the output is the column of that name in the FROM."""
    plain: set[str] = set()
    computed: set[str] = set()
    star = False
    for item in node["select_list"]:
        if item["class"] == "STAR":
            star = True
            computed |= {str(name).lower() for name in excluded(item)}
        elif item["class"] == "COLUMN_REF":
            name = item["column_names"][-1]
            (plain if (item.get("alias") or name) == name else computed).add(
                (item.get("alias") or name).lower()
            )
        elif item.get("alias"):
            computed.add(item["alias"].lower())
    limited = any(m["type"].startswith("LIMIT") for m in node.get("modifiers") or [])
    return lambda name: not limited and (name in plain or (star and name not in computed))


def excluded(star: Tree, *keys: str) -> Iterator[str]:
    """Names of columns in some of a star's lists: EXCLUDE and, by default, REPLACE."""
    for key in keys or ("exclude_list", "qualified_exclude_list", "replace_list"):
        for entry in star.get(key) or []:
            if isinstance(entry, str):
                yield entry
            else:
                yield str(entry.get("column") or entry.get("key") or "")


def key_or_time(node: Tree) -> tuple[str | None, str] | None:
    """Qualifier and name, if an expression is a key column or time."""
    if node.get("class") != "COLUMN_REF":
        return None
    *qualifier, name = node["column_names"]
    if name not in (*KEY_COLUMNS, "time"):
        return None
    return (qualifier[-1] if qualifier else None), name


def membership(node: Tree) -> tuple[tuple[str | None, str] | None, list[Tree]]:
    """Column and list of ``x in (a, b)``, ``x in $list`` and ``x = any($list)``."""
    if node["type"] == "COMPARE_IN":
        return key_or_time(node["children"][0]), node["children"][1:]
    if node.get("class") == "FUNCTION" and function_name(node) in ("contains", "list_contains"):
        listed, column = arguments_of(node)
        return key_or_time(column), [listed]
    if node.get("class") == "SUBQUERY" and node.get("subquery_type") == "ANY":
        if node.get("comparison_type") != "COMPARE_EQUAL":
            return None, []
        inner = query_of(node["subquery"])
        item = inner["select_list"][0]
        if inner["from_table"]["type"].startswith("EMPTY") and function_name(item) == "unnest":
            return key_or_time(node["child"]), arguments_of(item)
    return None, []


def function_name(node: Tree) -> str:
    return _name(node, "function_name")[-1].lower()


def arguments_of(node: Tree) -> list[Tree]:
    if "arguments" in node:
        return [argument["expression"] for argument in node["arguments"]]
    return list(node.get("children") or [])


def named_arguments(node: Tree, parameters: Sequence[str]) -> dict[str, Tree]:
    """The arguments of a call by the names of its parameters, which the call may name."""
    found = {}
    places = node.get("arguments") or node.get("children") or []
    for parameter, argument in zip(parameters, places, strict=False):
        expression = argument.get("expression", argument)
        found[argument.get("name") or expression.get("alias") or parameter] = expression
    return found


def subqueries(select: Tree) -> Iterator[Tree]:
    """Queries within the expressions of a SELECT, outermost only."""
    for key, value in select.items():
        if key not in ("from_table", "cte_map"):
            yield from queries_within(value)
    yield from _join_conditions(select["from_table"])


def _join_conditions(node: Tree) -> Iterator[Tree]:
    if node["type"] == "JOIN":
        yield from queries_within(node.get("condition"))
        for side in ("left", "right"):
            yield from _join_conditions(node[side])


def queries_within(value: object) -> Iterator[Tree]:
    """The outermost query nodes inside a node that is not a query."""
    waiting = list(value.values()) if isinstance(value, dict) else [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if str(item.get("type", "")) in ("SELECT_NODE", "SET_OPERATION_NODE", "CTE_NODE"):
                yield item
            else:
                waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def texts_in(node: Tree) -> Iterator[str]:
    """String constants, which may be names of tables for table macros."""
    for item in nodes(node):
        if item.get("class") == "CONSTANT":
            literal = item.get("literal") or {}
            value = item.get("value") or {}
            text = literal.get("text") if literal.get("kind") == "STRING" else value.get("value")
            if isinstance(text, str):
                yield text
