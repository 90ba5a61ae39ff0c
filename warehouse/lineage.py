"""Where the columns of an answer come from: through views and models, down to the vendor's.

Works on the parse trees that the engine gives of the user's text and of the SQL behind each view;
nothing is run. A column is traced through every expression that it is computed by, the frames of
windows among them; filters and join conditions are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from warehouse.reach import Place, Reach
from warehouse.tree import (
    KEY_COLUMNS,
    Ctes,
    Source,
    Tree,
    arguments_of,
    excluded,
    function_name,
    names,
    nodes,
    queries_within,
    query_of,
    sides,
    sources_of,
    with_ctes,
)

if TYPE_CHECKING:
    from warehouse.names import Names
    from warehouse.result import Result

_GRID = {*KEY_COLUMNS, "time", "known_at"}
_KEEPS_UNIT = {
    "abs", "any_value", "arg_max", "arg_min", "avg", "ceil", "first", "first_value", "floor", "lag",
    "last", "last_value", "lead", "mad", "max", "mean", "median", "min", "mode", "quantile",
    "quantile_cont", "quantile_disc", "round", "round_even", "stddev", "stddev_pop", "stddev_samp",
    "sum", "trunc",
}  # fmt: skip


class ColumnOf(NamedTuple):
    """A column of a table or view."""

    place: Place
    column: str

    def __str__(self) -> str:
        return f"{self.place}.{self.column}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an output column comes from.

    Attributes
    ----------
    shows
        The catalog's column whose quantity it shows, as it is or by a function that keeps the
        unit; None for one computed anew.
    is_plain
        Whether it shows that column as it is.
    inputs
        Every column of the tables read that it is computed from.
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
    """What a query touches: tables with what it selects of them, and its columns' origins."""

    reach: tuple[Reach, ...]
    columns: tuple[ColumnTrace, ...]


def trace(result: Result, catalog: Names, tree: Tree | None) -> Trace:
    """What a query touches.

    Examples
    --------
    >>> import warehouse
    >>> with warehouse.open(demo_home) as wh:
    ...     r = wh.sql("select time, rolling_net_delta_1d as delta from flow_features")
    ...     r.trace().columns[1].vendor
    ('vendor.flow.volume_delta_notional',)
    """
    found = named(outputs(tree, catalog), list(result.types)) if tree else {}
    columns = []
    for name, column in result.columns.items():
        inputs = found[name].inputs if name in found else frozenset[ColumnOf]()
        deep = frozenset(leaf for start in inputs for leaf in behind(start, catalog))
        columns.append(
            ColumnTrace(name, str(column), column.unit, _telling(inputs), _telling(deep))
        )
    return Trace(result.reach, tuple(columns))


def behind(column: ColumnOf, catalog: Names) -> frozenset[ColumnOf]:
    """The vendor's columns, or those of tables computed from nothing, behind a column."""
    known = catalog.traced
    if column not in known:
        known[column] = frozenset({column})  # a name that leads to itself ends here
        inputs = catalog.outputs_of(column.place).get(column.column)
        if inputs is not None and column.place.schema != "vendor":
            known[column] = frozenset(
                leaf for start in inputs.inputs for leaf in behind(start, catalog)
            )
    return known[column]


def outputs(tree: Tree, catalog: Names, outer: Ctes | None = None) -> Outputs:
    """Output columns of a query by name, in order."""
    ctes = with_ctes(tree, outer or {})
    if tree["type"] == "SET_OPERATION_NODE":
        return _united([outputs(side, catalog, ctes) for side in sides(tree)], tree)
    if tree["type"] != "SELECT_NODE":
        return {}
    sources = [
        (source.alias, _shown_by(source, ctes, catalog))
        for source in sources_of(tree["from_table"])[0]
    ]
    shown: Outputs = {}
    for item in tree["select_list"]:
        if item["class"] == "STAR":
            shown |= _starred(item, sources, shown)
            continue
        name = item.get("alias") or _own_name(item) or f"#{len(shown)}"
        shown[name] = _origin(item, [*sources, ("", shown)], ctes, catalog)
    return shown


def named(found: Outputs, columns: Sequence[str]) -> Outputs:
    """Outputs under the names that the engine gives, which names expressions in its own way."""
    if len(found) == len(columns):
        return dict(zip(columns, found.values(), strict=True))
    return {name: found[name] for name in columns if name in found}


def parameter_columns(tree: Tree) -> Iterator[tuple[str, str]]:
    """Parameters that a query compares with a column: (parameter, column)."""
    for node in nodes(tree):
        parts = [node[key] for key in ("left", "right", "input", "lower", "upper") if key in node]
        parts += [child for child in node.get("children") or [] if isinstance(child, dict)]
        columns = [part["column_names"][-1] for part in parts if part.get("class") == "COLUMN_REF"]
        for part in parts:
            if part.get("class") == "PARAMETER" and len(columns) == 1:
                yield part["identifier"], columns[0]


# -- one query -----------------------------------------------------------------------------------


def _shown_by(source: Source, ctes: Ctes, catalog: Names) -> Outputs:
    """Columns that one thing in a FROM offers."""
    node = source.node
    if node["type"] == "SUBQUERY":
        return outputs(query_of(node["subquery"]), catalog, ctes)
    if node["type"] != "BASE_TABLE":
        return {}
    parts = names(node, "catalog_name", "schema_name", "table_name")
    if len(parts) == 1 and parts[0].lower() in ctes:
        inner, around = ctes[parts[0].lower()]
        return outputs(inner, catalog, around)
    place = catalog.find(parts)
    if place is None:
        return {}
    columns = {name: ColumnOf(place, name) for name in catalog.columns[place]}
    return {name: Origin(column, True, frozenset({column})) for name, column in columns.items()}


def _starred(star: Tree, sources: list[tuple[str, Outputs]], shown: Outputs) -> Outputs:
    wanted = (star.get("relation_name") or "").lower()
    left_out = {name.lower() for name in excluded(star)}
    found: Outputs = {}
    for alias, columns in sources:
        if wanted in ("", alias.lower()):
            for name, origin in columns.items():
                if name.lower() not in left_out and name not in shown:
                    found.setdefault(name, origin)
    return found


def _origin(item: Tree, sources: list[tuple[str, Outputs]], ctes: Ctes, catalog: Names) -> Origin:
    if item["class"] == "COLUMN_REF":
        return _lookup(item, sources) or Origin(None, False, frozenset())
    shows = None
    if item["class"] in ("FUNCTION", "WINDOW") and function_name(item) in _KEEPS_UNIT:
        arguments = arguments_of(item)
        shows = _origin(arguments[0], sources, ctes, catalog).shows if arguments else None
    inputs: set[ColumnOf] = set()
    for node in _outside_queries(item):
        if node.get("class") == "COLUMN_REF":
            origin = _lookup(node, sources)
            inputs |= origin.inputs if origin else set()
    for query in queries_within(item):
        for origin in outputs(query, catalog, ctes).values():
            inputs |= origin.inputs
    return Origin(shows, False, frozenset(inputs))


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


def _united(parts: list[Outputs], tree: Tree) -> Outputs:
    """Columns of a UNION: by name where it says so, else by their places."""
    first, *others = parts
    united = dict(first)
    for other in others:
        by_name = str(tree.get("setop_type", "")).endswith("BY_NAME")
        pairs = other.items() if by_name else zip(first, other.values(), strict=False)
        for name, origin in pairs:
            mine = united.get(name)
            united[name] = origin if mine is None else _either(mine, origin)
    return united


def _either(one: Origin, other: Origin) -> Origin:
    same = one.shows == other.shows and one.is_plain == other.is_plain
    kept = one if same else replace(one, shows=None, is_plain=False)
    return replace(kept, inputs=one.inputs | other.inputs)


def _outside_queries(item: Tree) -> Iterator[Tree]:
    """Nodes of an expression that do not stand in a subquery."""
    waiting: list[object] = [item]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if not str(node.get("type", "")).endswith("_NODE"):
                yield node
                waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _own_name(item: Tree) -> str:
    return str(item["column_names"][-1]) if item["class"] == "COLUMN_REF" else ""


def _telling(columns: frozenset[ColumnOf]) -> tuple[str, ...]:
    """Names of columns, without keys and times where there are others."""
    values = [column for column in columns if column.column not in _GRID]
    return tuple(sorted(map(str, values or columns)))
