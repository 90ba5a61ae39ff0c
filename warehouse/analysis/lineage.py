"""The origin of a result's columns: through views and models, down to the vendor's columns.

Works on DuckDB's parse trees of the user's text and of the SQL behind each view;
nothing is run. A column is traced through all expressions that compute it, including window frames;
filters and join conditions do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from warehouse.analysis.catalog_names import Names
from warehouse.analysis.parse_tree import (
    KEY_COLUMNS,
    Ctes,
    Tree,
    alias_of,
    arguments_of,
    excluded,
    function_name,
    queries_within,
    query_of,
    sides,
    table_name,
    texts_in,
    with_ctes,
)
from warehouse.analysis.scope import QueryScope
from warehouse.interrupts import stop_if_abandoned
from warehouse.sql import Relation

_GRID = {*KEY_COLUMNS, "time", "known_at"}
_KEEPS_UNIT = {
    "abs", "any_value", "arg_max", "arg_min", "avg", "ceil", "favg", "first", "first_value",
    "floor", "fsum", "lag", "last", "last_value", "lead", "mad", "max", "mean", "median", "min",
    "mode", "quantile", "quantile_cont", "quantile_disc", "round", "round_even", "stddev",
    "stddev_pop", "stddev_samp", "sum", "trunc",
}  # fmt: skip


class ColumnOf(NamedTuple):
    """A column of a table or view."""

    relation: Relation
    column: str

    def __str__(self) -> str:
        return f"{self.relation}.{self.column}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an output column.

    Attributes
    ----------
    shows
        The catalog's column that it shows, unchanged or through a function that keeps the unit;
        None if the query computes it.
    is_plain
        Whether it shows that column unchanged.
    inputs
        All columns of the tables from which it is computed.
    """

    shows: ColumnOf | None
    is_plain: bool
    inputs: frozenset[ColumnOf]


Outputs = dict[str, Origin]


@dataclass(frozen=True, slots=True)
class ColumnTrace:
    """An output column: type, unit, and the columns that it is computed from.

    ``tables`` are columns of the tables that the query names, ``vendor`` columns of the vendor's
    datasets behind them. Both leave out keys and times unless there is nothing else.
    """

    name: str
    type: str
    unit: str | None
    tables: tuple[str, ...]
    vendor: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of a query: its tables with filters, and the origins of its columns."""

    scope: tuple[QueryScope, ...]
    columns: tuple[ColumnTrace, ...]


def trace(
    tree: Tree | None, types: Mapping[str, str], catalog: Names, scope: tuple[QueryScope, ...]
) -> Trace:
    """The tables and the origins of the columns of a query.

    ``types`` are the types of the result's columns by name, in order; ``scope`` is that of
    :func:`query_scope`.

    Examples
    --------
    >>> import warehouse
    >>> with warehouse.open(demo_home) as wh:
    ...     r = wh.sql("select time, rolling_net_delta_1d as delta from flow_features")
    ...     r.trace().columns[1].vendor
    ('vendor.flow.volume_delta_notional',)
    """
    origins = _origins(tree, list(types), catalog)
    units = column_facts(tree, list(types), catalog)
    ancestry = Ancestry(catalog)
    columns = []
    for name, kind in types.items():
        inputs = origins[name].inputs if name in origins else frozenset[ColumnOf]()
        deep = frozenset(leaf for start in inputs for leaf in ancestry.behind(start))
        unit, _ = units.get(name, (None, None))
        columns.append(ColumnTrace(name, kind, unit, _informative(inputs), _informative(deep)))
    return Trace(scope, tuple(columns))


def column_facts(
    tree: Tree | None, columns: Sequence[str], catalog: Names
) -> dict[str, tuple[str | None, str | None]]:
    """Unit and meaning of the output columns that show columns of the catalog."""
    found = {}
    for name, origin in _origins(tree, columns, catalog).items():
        if origin.shows is not None:
            facts = catalog.columns[origin.shows.relation][origin.shows.column]
            found[name] = (facts.unit, facts.meaning if origin.is_plain else None)
    return found


def _origins(tree: Tree | None, columns: Sequence[str], catalog: Names) -> Outputs:
    return match_names(outputs(tree, catalog), columns) if tree else {}


class Ancestry:
    """The columns from which columns of views are computed, through all views below them."""

    def __init__(self, catalog: Names) -> None:
        self._catalog = catalog
        self._outputs: dict[Relation, Outputs] = {}
        self._behind: dict[ColumnOf, frozenset[ColumnOf]] = {}

    def outputs_of(self, relation: Relation) -> Outputs:
        """Columns of a view with the columns from which they are computed; empty for a table."""
        if relation not in self._outputs:
            text = self._catalog.definition(relation)
            tree = self._catalog.parse(text) if text else None
            self._outputs[relation] = outputs(tree, self._catalog) if tree else {}
        return self._outputs[relation]

    def behind(self, column: ColumnOf) -> frozenset[ColumnOf]:
        """The columns of the vendor, or of tables without inputs, behind a column."""
        known = self._behind
        if column not in known:
            known[column] = frozenset({column})  # stops at a name that refers to itself
            inputs = self.outputs_of(column.relation).get(column.column)
            if inputs is not None and column.relation.schema != "vendor":
                known[column] = frozenset(
                    leaf for start in inputs.inputs for leaf in self.behind(start)
                )
        return known[column]


def outputs(tree: Tree, catalog: Names, outer: Ctes | None = None) -> Outputs:
    """Output columns of a query by name, in order, named as the engine names them.

    An entry that :func:`_is_unknown` recognises stands for any number of unknown columns, such as
    those of a table function.
    """
    stop_if_abandoned()
    ctes = with_ctes(tree, outer or {})
    if tree["type"] == "SET_OPERATION_NODE":
        return _union([outputs(side, catalog, ctes) for side in sides(tree)], tree)
    if tree["type"] != "SELECT_NODE":
        return dict(_UNKNOWN)
    scope = _from(tree["from_table"], ctes, catalog)
    shown = _UniqueNames()
    for item in tree["select_list"]:
        stop_if_abandoned()
        sources = [*scope.sources, ("", shown.columns)]
        for name, origin in _item_outputs(item, scope, sources, ctes, catalog):
            shown.put(name or f"{_UNNAMED}{len(shown.columns)}", origin)
    return shown.columns


def match_names(found: Outputs, columns: Sequence[str]) -> Outputs:
    """Outputs under the engine's names, as far as both agree.

    Names are compared from either end up to the first unknown column; if they differ otherwise, the
    match is uncertain, and no column has an origin.
    """
    known = list(found.items())
    unknown = [place for place, (name, _) in enumerate(known) if _is_unknown(name)]
    if not unknown and len(known) != len(columns):
        return {}
    front = known[: unknown[0]] if unknown else known
    back = known[unknown[-1] + 1 :] if unknown else []
    if len(front) + len(back) > len(columns):
        return {}
    pairs = list(zip(front, columns, strict=False))
    if not all(_fits(name, column) for (name, _), column in pairs):
        return {}
    ends = list(zip(back, columns[len(columns) - len(back) :], strict=True))
    if not all(_fits(name, column, is_after_unknown=True) for (name, _), column in ends):
        return {}
    pairs += ends
    return {column: origin for (_, origin), column in pairs}


# -- names ---------------------------------------------------------------------------------------

_UNNAMED, _ANY = "\0#", "\0*"
_NOTHING = Origin(None, False, frozenset())
_UNKNOWN: Outputs = {_ANY: _NOTHING}


def _is_unnamed(name: str) -> bool:
    """Whether a name is a placeholder for an expression, which the engine names."""
    return name.startswith(_UNNAMED)


def _is_unknown(name: str) -> bool:
    """Whether a name is a placeholder for any number of unknown columns."""
    return name.startswith(_ANY)


def _fits(name: str, column: str, *, is_after_unknown: bool = False) -> bool:
    """Whether the engine may give a column this name; unknown columns may have taken its own."""
    known, given = name.lower(), column.lower()
    is_numbered = is_after_unknown and re.fullmatch(re.escape(known) + r"(_\d+)+", given)
    return _is_unnamed(name) or known == given or bool(is_numbered)


class _UniqueNames:
    """The columns of a SELECT in order; a duplicate name gets a number, as in the engine."""

    def __init__(self) -> None:
        self.columns: Outputs = {}
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def put(self, name: str, origin: Origin) -> None:
        low, free = name.lower(), name
        number = self._next.get(low, 1)
        while free.lower() in self._taken:
            free, number = f"{name}_{number}", number + 1
        self._next[low] = number
        self._taken.add(free.lower())
        self.columns[free] = origin


def _renamed(columns: Outputs, aliases: Sequence[str]) -> Outputs:
    """Columns of which the first are renamed as by ``as t(a, b)``."""
    if not aliases:
        return columns
    if any(map(_is_unknown, columns)):
        return dict(_UNKNOWN)
    kept = list(columns)[len(aliases) :]
    return dict(zip([*aliases, *kept], columns.values(), strict=False))


# -- one FROM ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _From:
    """The columns that a FROM offers.

    Attributes
    ----------
    sources
        Columns by alias, in the order in which names are looked up.
    star
        Columns of ``*``; a name may occur twice.
    """

    sources: list[tuple[str, Outputs]]
    star: list[tuple[str, Origin]]


def _from(node: Tree, ctes: Ctes, catalog: Names) -> _From:
    if node["type"].startswith("EMPTY"):
        return _From([], [])
    if node["type"] == "JOIN":
        left = _from(node["left"], ctes, catalog)
        return _joined(node, left, _from(node["right"], ctes, catalog))
    columns = _columns_of(node, ctes, catalog)
    return _From([(alias_of(node), columns)], list(columns.items()))


def _joined(join: Tree, left: _From, right: _From) -> _From:
    if join["join_type"] in ("SEMI", "ANTI"):
        return left
    both = [*left.star, *right.star]
    if join["join_type"] == "MARK" or (
        join["ref_type"] == "NATURAL" and any(_is_unknown(name) for name, _ in both)
    ):
        return _From([*left.sources, *right.sources], list(_UNKNOWN.items()))
    one, other = _by_name(left.star), _by_name(right.star)
    using = {name.lower() for name in join.get("using_columns") or []}
    if join["ref_type"] == "NATURAL":
        using = one.keys() & other.keys()
    merged = {
        name: _merged(join["join_type"], one.get(name, _NOTHING), other.get(name, _NOTHING))
        for name in using
    }
    star = [(name, merged.get(name.lower(), origin)) for name, origin in left.star]
    star += [(name, origin) for name, origin in right.star if name.lower() not in using]
    return _From([("", merged), *left.sources, *right.sources], star)


def _merged(kind: str, left: Origin, right: Origin) -> Origin:
    """A column of USING, which shows the side that is always present."""
    if kind in ("FULL", "OUTER"):
        return _common(left, right)
    return right if kind == "RIGHT" else left


def _by_name(star: list[tuple[str, Origin]]) -> Outputs:
    found: Outputs = {}
    for name, origin in star:
        found.setdefault(name.lower(), origin)
    return found


def _columns_of(node: Tree, ctes: Ctes, catalog: Names) -> Outputs:
    """Columns of one source in a FROM."""
    aliases = node.get("column_name_alias") or []
    if node["type"] == "SUBQUERY":
        return _renamed(outputs(query_of(node["subquery"]), catalog, ctes), aliases)
    if node["type"] != "BASE_TABLE":
        return dict(_UNKNOWN)
    parts = table_name(node)
    if len(parts) == 1 and parts[0].lower() in ctes:
        cte = ctes[parts[0].lower()]
        if cte.columns is None:
            cte.columns = _renamed(outputs(cte.query, catalog, cte.around), cte.aliases)
        return _renamed(cte.columns, aliases)
    relation = catalog.find(parts)
    if relation is None:
        return dict(_UNKNOWN)
    known = {name: ColumnOf(relation, name) for name in catalog.columns[relation]}
    shown = {name: Origin(column, True, frozenset({column})) for name, column in known.items()}
    return _renamed(shown, aliases)


# -- one expression ------------------------------------------------------------------------------


def _item_outputs(
    item: Tree,
    scope: _From,
    sources: list[tuple[str, Outputs]],
    ctes: Ctes,
    catalog: Names,
) -> Iterator[tuple[str, Origin]]:
    """Columns of one item of a SELECT list; the name is empty for an expression."""
    stars = [node for node in _outside_queries(item) if node.get("class") == "STAR"]
    if not stars:
        if item["class"] == "FUNCTION" and function_name(item) in ("unnest", "unlist"):
            yield from _UNKNOWN.items()  # a struct's fields, recursively
            return
        yield item.get("alias") or _column_name(item), _origin(item, sources, ctes, catalog)
        return
    starred = _star_of(item, scope) if item["class"] == "STAR" and not item.get("alias") else None
    if starred is None:
        yield from _UNKNOWN.items()
        return
    left_out = {name.lower() for name in excluded(item, "exclude_list", "qualified_exclude_list")}
    replaced = {e["key"].lower(): e["value"] for e in item.get("replace_list") or []}
    renames = item.get("rename_list") or []
    renamed = {e["key"]["column"].lower(): e["value"] for e in renames}
    for name, origin in starred:
        known = name.lower()
        if known in replaced:
            yield name, _origin(replaced[known], sources, ctes, catalog)
        elif known not in left_out:
            yield renamed.get(known, name), origin


def _star_of(star: Tree, scope: _From) -> list[tuple[str, Origin]] | None:
    """Columns of ``*``, ``t.*`` and ``columns('…')``, before EXCLUDE, REPLACE and RENAME."""
    wanted = (star.get("relation_name") or "").lower()
    found = scope.star
    if wanted:
        of = [columns for alias, columns in scope.sources if alias.lower() == wanted]
        if len(of) != 1:  # a struct's fields
            return None
        found = list(of[0].items())
    if not star.get("expr"):
        return found
    pattern = next(texts_in(star["expr"]), None)
    if star["expr"].get("class") != "CONSTANT" or pattern is None:
        return None
    if any(_is_unknown(name) for name, _ in found):
        return None
    try:
        return [(name, origin) for name, origin in found if re.search(pattern, name)]
    except re.error:
        return None


def _origin(item: Tree, sources: list[tuple[str, Outputs]], ctes: Ctes, catalog: Names) -> Origin:
    if item["class"] == "COLUMN_REF":
        return _lookup(item, sources) or _NOTHING
    inputs: set[ColumnOf] = set()
    for node in _outside_queries(item):
        if node.get("class") == "COLUMN_REF":
            origin = _lookup(node, sources)
            inputs |= origin.inputs if origin else set()
    for query in queries_within(item):
        for origin in outputs(query, catalog, ctes).values():
            inputs |= origin.inputs
    return Origin(_shown_column(item, sources), False, frozenset(inputs))


def _shown_column(item: Tree, sources: list[tuple[str, Outputs]]) -> ColumnOf | None:
    """The column that an expression shows: itself, or a function's first argument."""
    while item["class"] in ("FUNCTION", "WINDOW") and function_name(item) in _KEEPS_UNIT:
        arguments = arguments_of(item)
        if not arguments:
            return None
        item = arguments[0]
    found = _lookup(item, sources) if item["class"] == "COLUMN_REF" else None
    return found.shows if found else None


def _lookup(reference: Tree, sources: list[tuple[str, Outputs]]) -> Origin | None:
    *qualifier, column = reference["column_names"]
    for alias, columns in sources:
        if not qualifier or qualifier[-1].lower() == alias.lower():
            if column in columns:
                return columns[column]
            for name, origin in columns.items():
                if name.lower() == column.lower():
                    return origin
    return None


def _union(parts: list[Outputs], tree: Tree) -> Outputs:
    """Columns of a UNION, by name or by position."""
    if any(_is_unknown(name) for part in parts for name in part):
        return dict(_UNKNOWN)
    by_name = str(tree.get("setop_type", "")).endswith("BY_NAME")
    first, *others = parts
    united = dict(first)
    for other in others:
        if by_name:
            known = {name.lower(): name for name in united}
            pairs = [(known.get(name.lower(), name), origin) for name, origin in other.items()]
        else:
            pairs = list(zip(first, other.values(), strict=False))
        for name, origin in pairs:
            mine = united.get(name)
            united[name] = origin if mine is None else _common(mine, origin)
    return united


def _common(one: Origin, other: Origin) -> Origin:
    same = one.shows == other.shows and one.is_plain == other.is_plain
    kept = one if same else replace(one, shows=None, is_plain=False)
    return replace(kept, inputs=one.inputs | other.inputs)


def _outside_queries(item: Tree) -> Iterator[Tree]:
    """Nodes of an expression outside its subqueries."""
    waiting: list[object] = [item]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if not str(node.get("type", "")).endswith("_NODE"):
                yield node
                waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _column_name(item: Tree) -> str:
    return str(item["column_names"][-1]) if item["class"] == "COLUMN_REF" else ""


def _informative(columns: frozenset[ColumnOf]) -> tuple[str, ...]:
    """Names of columns, without keys and times if there are others."""
    values = [column for column in columns if column.column not in _GRID]
    return tuple(sorted(map(str, values or columns)))
