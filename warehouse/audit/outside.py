"""Inputs of a model that an audit cannot reduce to a moment: files, seeds, the clock.

Such inputs are the same in every build of an audit, so no comparison can find a leak through them.
The model is *unproven*, unless ``config.meta.outside`` gives the reason why they contain nothing
from the future.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache

import duckdb

from warehouse.analysis import (
    Tree,
    arguments_of,
    cte_names,
    function_name,
    nodes,
    parse_query,
    table_names,
)
from warehouse.audit.sample import ORIGIN, TICKS
from warehouse.project import Model, Project
from warehouse.sql import DATABASE, Relation, literal
from warehouse.vendor import dbt_project_dir

_DECLARE = "or write in config.meta.outside why it contains nothing from the future"
_OF_THE_CLOCK = {
    *("ago", "now", "today", "localtime", "localtimestamp", "transaction_timestamp"),
    *("current_date", "current_time", "current_timestamp", "current_localtime"),
    *("current_localtimestamp", "get_current_time", "get_current_timestamp"),
}
_MAKES_ROWS = {"generate_series", "json_each", "json_tree", "range", "repeat", "unnest"}


def find_outside(
    connection: duckdb.DuckDBPyConnection, project: Project, models: Iterable[Model]
) -> dict[Relation, str]:
    """Why models cannot be proven: the first outside input of each, or of what it reads.

    The audited catalog is attached to the connection as ``origin``.
    """

    @cache
    def macros() -> set[str]:
        """Table macros of the catalog, read once because DuckDB renders all macros to list any."""
        listed = connection.execute(
            "select distinct function_name from duckdb_functions()"
            f" where database_name = {literal(ORIGIN)} and function_type = 'table_macro'"
        )
        return {str(name).lower() for (name,) in listed.fetchall()}

    ours = {path.stem for path in (dbt_project_dir() / "seeds").glob("*.csv")}
    found = {
        model.relation: reason
        for model in project.models
        if not model.outside
        if (reason := next(_outside(connection, model, project, macros, ours), None))
    }
    reasons = {}
    for model in models:
        for read in project.with_ancestors([model]):
            if read.relation in found:
                via = "" if read is model else f"reads {read.relation}, which "
                reasons[model.relation] = via + found[read.relation]
                break
    return reasons


def may_read_ticks(model: Model) -> bool:
    """Whether a model's SQL may name a view of kept bars."""
    return re.search(rf"\b{TICKS}\"?\s*\.", model.sql, re.IGNORECASE) is not None


def with_kept_bars(connection: duckdb.DuckDBPyConnection, project: Project) -> Project:
    """The project, with the views ``ticks.*`` that models read among its sources.

    They are not declared in dbt, because only some homes have them.
    """
    kept = connection.execute(
        f"select view_name from duckdb_views() where database_name = {literal(ORIGIN)}"
        f" and schema_name = {literal(TICKS)}"
    ).fetchall()
    views = {Relation(TICKS, name) for (name,) in kept}
    models = []
    for model in project.models if views else ():
        tree = parse_query(connection, model.sql) if may_read_ticks(model) else None
        read = views & {_relation(path) for path in _tables(tree or {})}
        sources = tuple(sorted({*model.sources, *read}))
        models.append(replace(model, sources=sources) if read else model)
    return replace(project, models=tuple(models)) if views else project


def _outside(
    connection: duckdb.DuckDBPyConnection,
    model: Model,
    project: Project,
    macros: Callable[[], set[str]],
    ours: set[str],
) -> Iterator[str]:
    """The outside inputs of a model, seeds and functions before tables."""
    if model.beside:
        yield f"{model.beside}, {_DECLARE}"
    for seed in project.seeds:
        if seed.relation in model.depends_on and seed.relation.name not in ours:
            yield (
                f"reads the seed {seed.relation}, which is the same at every moment: compute it in"
                f" a model, {_DECLARE}"
            )
    # a model that DuckDB cannot parse cannot be built either, which the audit reports
    tree = parse_query(connection, model.sql) or {}
    if clock := next(_clock_read(tree), None):
        yield (
            f"reads the clock by {clock}, so its rows depend on when it is built: write a fixed"
            f" time in its place, {_DECLARE}"
        )
    for function in _table_functions(tree):
        if function == TICKS or function.startswith(f"{TICKS}_"):
            dataset = function.removeprefix(TICKS).removeprefix("_") or "<dataset>"
            yield (
                f"computes {function}(…) from all ticks: keep these bars by [[ticks]] in"
                f" warehouse.toml and read {TICKS}.{dataset}, {_DECLARE}"
            )
        elif function not in _MAKES_ROWS and function not in macros():
            yield (
                f"reads {function}(…), which is the same at every moment: write {{{{ ref('…') }}}}"
                f" or {{{{ source('vendor', '…') }}}} in its place, {_DECLARE}"
            )
    declared = {*model.depends_on, *model.sources}
    models = {other.relation for other in project.models}
    for path in _tables(tree):
        relation = _relation(path)
        if relation not in declared:
            yield f"reads {'.'.join(path)}{_correction(relation, models)}"


def _correction(relation: Relation | None, models: set[Relation]) -> str:
    """What to write in place of a name that was not declared to dbt."""
    if relation is not None and (relation in models or relation.schema == "vendor"):
        name = relation.name
        call = f"ref('{name}')" if relation in models else f"source('vendor', '{name}')"
        return f" by its name and not through dbt: write {{{{ {call} }}}} in its place"
    return (
        ", which is the same at every moment: write {{ ref('…') }} or"
        f" {{{{ source('vendor', '…') }}}} in its place, {_DECLARE}"
    )


def _clock_read(tree: Tree) -> Iterator[str]:
    """Names by which a query reads the time of day, such as ``now``; some have no parentheses."""
    for node in nodes(tree):
        match node:
            case {"class": "FUNCTION"}:
                name = function_name(node)
            case {"class": "COLUMN_REF", "column_names": [name]}:
                name = name.lower()
            case _:
                continue
        if name in _OF_THE_CLOCK or (name == "age" and len(arguments_of(node)) == 1):
            yield name


def _table_functions(tree: Tree) -> Iterator[str]:
    for node in nodes(tree):
        if node.get("type") == "TABLE_FUNCTION":
            yield function_name(node["function"])


def _tables(tree: Tree) -> Iterator[tuple[str, ...]]:
    """Names of tables as written, without those of WITH."""
    defined = cte_names(tree)
    for path in table_names(tree):
        if path and not (len(path) == 1 and path[0].lower() in defined):
            yield path


def _relation(path: tuple[str, ...]) -> Relation | None:
    """The relation of the catalog that a name refers to; None for one of another database."""
    parts = path[1:] if len(path) > 1 and path[0] == DATABASE else path
    if len(parts) > 2:
        return None
    schema, name = parts if len(parts) > 1 else ("main", parts[0])
    return Relation(schema, name)
