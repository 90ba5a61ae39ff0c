"""The dbt project as values: models with their compiled SQL, in the order of their dependencies.

Reads the ``manifest.json`` in dbt's target folder and never imports dbt. Used by code that works on
models without dbt: the look-ahead audit, stored marts, oracles.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from warehouse.engine import translating
from warehouse.errors import BUILD, BuildError, DamagedError, NotFoundError, UsageError
from warehouse.sql import DATABASE, Relation, comment, identifier, literal

# The call, in compiled SQL, of the macro for the end of a bar.
BAR_END = 'bar_end(series_id, "time", known_at)'
_BAR_END = f"{DATABASE}.main.{BAR_END}"

UNBOUNDED = "unbounded"
_UNIT_US = {"second": 10**6, "minute": 60 * 10**6, "hour": 3_600 * 10**6, "day": 86_400 * 10**6}


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes
    ----------
    sql
        Compiled: plain DuckDB SQL over relations of the database ``warehouse``.
    depends_on
        Models and seeds that it reads; ephemeral ones are replaced by what they read.
    sources
        Inputs that dbt does not build: ``vendor.<dataset>``, ``meta.<table>``.
    labels
        Columns declared as labels one by one; those of a labels model are not listed.
    is_labels
        Declared to look ahead (``config.meta.labels``).
    is_whole_sample
        Declared to be a statistic of all data (``config.meta.whole_sample``).
    is_stored
        Whether its months are stored (``config.meta.stored``; by default yes for marts).
    lookback_us, horizon_us
        How far a row's inputs may reach back before ``time`` and ahead of ``known_at``, in
        microseconds; ``None`` if unbounded or not declared.
    accumulates
        Columns that run from the first bar of a series, whatever ``lookback_us`` is.
    rows_of
        Datasets of which a mart needs bars to have rows (``config.meta.rows_of``); empty if any
        dataset that it reads may give it rows.
    outside
        Why other inputs, such as files, contain nothing from the future (``config.meta.outside``).
    beside
        What its rows depend on besides the data that its SQL reads, and what to do about it: a
        hook, or a query or the time when the SQL was made.
    """

    relation: Relation
    sql: str
    depends_on: tuple[Relation, ...]
    sources: tuple[Relation, ...]
    labels: frozenset[str]
    path: Path
    is_labels: bool
    is_whole_sample: bool
    is_stored: bool
    lookback_us: int | None
    horizon_us: int | None
    accumulates: tuple[str, ...]
    rows_of: tuple[str, ...] = ()
    outside: str = ""
    beside: str = ""

    @property
    def name(self) -> str:
        return self.relation.name


@dataclass(frozen=True, slots=True)
class Seed:
    """A table that dbt loads from a CSV file of the project."""

    relation: Relation
    path: Path
    column_types: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Project:
    """All models, each after those that it reads, and the seeds."""

    models: tuple[Model, ...]
    seeds: tuple[Seed, ...]

    def model(self, name: str) -> Model:
        """The model called ``name`` or ``schema.name``."""
        for model in self.models:
            if name in (model.name, f"{model.relation.schema}.{model.name}"):
                return model
        known = ", ".join(sorted(str(model.relation) for model in self.models))
        raise NotFoundError(f"no model {name!r}", next_step=f"models: {known}", model=name)

    def with_ancestors(self, models: Iterable[Model]) -> tuple[Model, ...]:
        """``models`` and every model that they read, directly or not, in order."""
        wanted = {model.relation for model in models}
        for model in reversed(self.models):
            if model.relation in wanted:
                wanted.update(model.depends_on)
        return tuple(model for model in self.models if model.relation in wanted)


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model in a build file: its compiled SQL, and the hash of its file."""

    sql: str
    checksum: str


def load_project(
    target_dir: Path,
    base: Project | None = None,
    built: Mapping[Relation, BuiltModel] | None = None,
) -> Project:
    """Models and seeds from the target folder of a dbt run that compiled them.

    Parameters
    ----------
    target_dir
        Folder with ``manifest.json``.
    base
        The project that this run builds on (the built-in one for a user's models): its
        models are part of the result and replace those that this run did not compile.
    built
        The built models; their SQL replaces the manifest's, because the last run may have compiled
        other models, or none.

    Raises
    ------
    NotFoundError
        There is no manifest.
    BuildError
        A model has no compiled SQL, was not built, or has changed since it was.
    DamagedError
        The file is not a manifest that this version can read.
    UsageError
        A model declares a length under ``config.meta`` that cannot be read.
    """
    path = target_dir / "manifest.json"
    if not path.is_file():
        raise NotFoundError(f"{path}: no manifest of a dbt run", next_step=BUILD)
    try:
        manifest = json.loads(path.read_bytes())
        if built is not None:
            _take_built(manifest, built)
        return project_of(manifest, base)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedError(
            f"{path}: cannot be read as a dbt manifest ({error!r})", next_step=BUILD
        ) from error


def create_bar_end(connection: duckdb.DuckDBPyConnection, widths_us: Mapping[int, int]) -> None:
    """Create the macro ``bar_end`` in the attached ``warehouse``, in place of an earlier one.

    A bar ends when it is known, unless its ticks arrived late.
    ``widths_us`` are the lengths of the bars of each series with late bars, in microseconds.
    """
    connection.execute(f"create or replace macro {_BAR_END} as {_definition(widths_us)}")
    comment(
        connection,
        "macro",
        f"{DATABASE}.main.bar_end",
        f"{BAR_END}: the moment a bar ends. It is known_at, or earlier where ticks of the bar"
        " arrived after its end. [UTC]",
    )


def bar_end_in(connection: duckdb.DuckDBPyConnection, database: str) -> str | None:
    """Definition of the macro ``bar_end`` in an attached catalog; None in an older catalog.

    Its parameters are the columns series_id, time and known_at.
    """
    found = connection.execute(
        "select macro_definition from duckdb_functions()"
        " where database_name = ? and function_name = 'bar_end'",
        [database],
    ).fetchone()
    return None if found is None else str(found[0])


def _definition(widths_us: Mapping[int, int]) -> str:
    numbers: dict[int, list[str]] = defaultdict(list)
    for series_id, width_us in sorted(widths_us.items()):
        numbers[width_us].append(str(series_id))
    cases = "".join(
        f" when series_id in ({', '.join(series)})"
        f' then make_timestamp(epoch_us("time") + {width_us})'
        for width_us, series in numbers.items()
    )
    return f"case{cases} else known_at end" if cases else "known_at"


def create_schemas(connection: duckdb.DuckDBPyConnection, project: Project) -> None:
    """Create the schemas of the project's relations in the attached ``warehouse``, and ``bar_end``.

    An existing ``bar_end`` is kept, because that of a home knows its series.
    """
    relations = [relation for model in project.models for relation in model.sources]
    relations += [model.relation for model in project.models]
    relations += [seed.relation for seed in project.seeds]
    for schema in sorted({relation.schema for relation in relations}):
        connection.execute(f"create schema if not exists {DATABASE}.{identifier(schema)}")
    connection.execute(f"create macro if not exists {_BAR_END} as {_definition({})}")


def create_seeds(connection: duckdb.DuckDBPyConnection, project: Project) -> None:
    """Load the seeds as tables; their schemas must exist."""
    for seed in project.seeds:
        types = "".join(f", {literal(name)}: {literal(kind)}" for name, kind in seed.column_types)
        given = f", types = {{{types[2:]}}}" if types else ""
        connection.execute(
            f"create or replace table {seed.relation.sql} as"
            f" from read_csv({literal(str(seed.path))}, header = true{given})"
        )


def create_views(connection: duckdb.DuckDBPyConnection, project: Project) -> None:
    """Create every model as a view; schemas, seeds and sources must exist.

    Raises
    ------
    BuildError
        A model's SQL does not fit its inputs; the message names the model.
    """
    for model in project.models:
        with translating(blaming=partial(_broken, model)):
            connection.execute(f"create or replace view {model.relation.sql} as\n{model.sql}")


def _broken(model: Model, error: duckdb.Error) -> BuildError:
    return BuildError(
        f"model {model.relation}: {str(error).splitlines()[0]}",
        next_step=f"correct {model.path}",
        model=str(model.relation),
    )


def length_us(text: str) -> int | None:
    """Microseconds of a length of time such as ``4 hours``; ``None`` for ``unbounded``.

    Examples
    --------
    >>> length_us("90 minutes"), length_us("0 days"), length_us("unbounded")
    (5400000000, 0, None)
    """
    if text == UNBOUNDED:
        return None
    count, _, unit = text.partition(" ")
    if not count.isdecimal() or unit.removesuffix("s") not in _UNIT_US:
        raise UsageError(
            f"{text!r} is not a length of time",
            next_step="write a whole number and second, minute, hour or day, or: unbounded",
        )
    return int(count) * _UNIT_US[unit.removesuffix("s")]


# -- reading the manifest ------------------------------------------------------------------------

_Node = Mapping[str, Any]


def project_of(manifest: _Node, base: Project | None = None) -> Project:
    """Models and seeds of a manifest, or of its stored parts."""
    nodes: dict[str, _Node] = {**manifest["nodes"], **manifest["sources"]}
    models = {} if base is None else {model.relation: model for model in base.models}
    seeds = {} if base is None else {seed.relation: seed for seed in base.seeds}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "seed":
            seeds[_relation(node)] = _seed(node)
        elif node["resource_type"] == "model" and not _is_ephemeral(node):
            relation = _relation(node)
            if node.get("compiled_code"):
                beside = _beside(node, nodes, manifest.get("macros", {}))
                models[relation] = replace(_model(node, nodes), beside=beside)
            elif base is None and relation not in models:
                raise BuildError(
                    f"model {relation} was not compiled by the last dbt run",
                    next_step=BUILD,
                    model=str(relation),
                )
    return Project(
        models=_in_order(models), seeds=tuple(seeds[relation] for relation in sorted(seeds))
    )


def _take_built(manifest: _Node, built: Mapping[Relation, BuiltModel]) -> None:
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model" or _is_ephemeral(node):
            continue
        relation = _relation(node)
        found = built.get(relation)
        if found is None:
            raise _not_as_built(relation, "was not built", "dbt build")
        if found.checksum not in ("", node["checksum"]["checksum"]):
            again = f"dbt build --select {node['name']}+"
            raise _not_as_built(relation, "has changed since it was built", again)
        node["compiled_code"] = found.sql


def _not_as_built(relation: Relation, what: str, command: str) -> BuildError:
    return BuildError(
        f"model {relation} {what}; the old catalog stays",
        next_step=f"run: {command}, then: warehouse publish",
        model=str(relation),
    )


def _in_order(models: Mapping[Relation, Model]) -> tuple[Model, ...]:
    """Models in order; a source of one run may be a model of another."""
    graph = {
        relation: [r for r in sorted({*model.depends_on, *model.sources}) if r in models]
        for relation, model in sorted(models.items())
    }
    return tuple(
        _with_edges(models[relation], graph[relation])
        for relation in TopologicalSorter(graph).static_order()
    )


def _with_edges(model: Model, models_read: list[Relation]) -> Model:
    sources = tuple(source for source in model.sources if source not in models_read)
    depends_on = tuple(sorted({*model.depends_on, *models_read}))
    return replace(model, sources=sources, depends_on=depends_on)


def _model(node: _Node, nodes: Mapping[str, _Node]) -> Model:
    meta = node["config"].get("meta") or {}
    read = _reads(node, nodes)
    relation = _relation(node)
    try:
        lookback_us, horizon_us = (
            length_us(str(meta.get(name, UNBOUNDED))) for name in ("lookback", "horizon")
        )
    except UsageError as error:
        raise UsageError(f"model {relation}: {error.what}", next_step=error.next_step) from error
    return Model(
        relation=relation,
        sql=node["compiled_code"].strip().rstrip(";"),
        depends_on=tuple(sorted({_relation(n) for n in read if n["resource_type"] != "source"})),
        sources=tuple(sorted({_relation(n) for n in read if n["resource_type"] == "source"})),
        labels=frozenset(c["name"] for c in node["columns"].values() if _is_label(c)),
        path=Path(node["original_file_path"]),
        is_labels=bool(meta.get("labels", False)),
        is_whole_sample=bool(meta.get("whole_sample", False)),
        is_stored=bool(meta.get("stored", relation.schema == "main")),
        lookback_us=lookback_us,
        horizon_us=horizon_us,
        accumulates=tuple(meta.get("accumulates", ())),
        rows_of=tuple(meta.get("rows_of", ())),
        outside=str(meta.get("outside") or ""),
    )


def _reads(node: _Node, nodes: Mapping[str, _Node]) -> list[_Node]:
    """The inputs of a node, with those of ephemeral models, whose SQL is part of the node's."""
    found = []
    for unique_id in node["depends_on"]["nodes"]:
        read = nodes[unique_id]
        found += _reads(read, nodes) if _is_ephemeral(read) else [read]
    return found


_CLOCK_IN_TEMPLATE = re.compile(
    r"\{[{%](?:(?![%}]\}).)*?\b(run_started_at|(?:now|today|utcnow)(?=\())", re.S
)


def _beside(node: _Node, nodes: Mapping[str, _Node], macros: Mapping[str, _Node]) -> str:
    """What the rows of a user's model depend on besides its SQL; empty for built-in models."""
    if node["package_name"] == "warehouse":
        return ""
    if node["config"].get("pre-hook") or node["config"].get("post-hook"):
        return (
            "has a hook, which may change its rows after its SQL made them: compute them in its SQL"
        )
    called = set(node["depends_on"].get("macros", ()))
    left = list(called)
    while left:
        new = set(macros.get(left.pop(), {}).get("depends_on", {}).get("macros", ())) - called
        called |= new
        left += new
    if "macro.dbt.statement" in called:
        return (
            "has values in its SQL that run_query or statement read from all data: compute them in"
            " its SQL"
        )
    texts = [node.get("raw_code", ""), *(macros.get(m, {}).get("macro_sql", "") for m in called)]
    if clock := next(filter(None, map(_CLOCK_IN_TEMPLATE.search, texts)), None):
        return (
            f"has the time of its build in its SQL, by {clock[1]}: write a fixed time in its place"
        )
    read = (nodes[unique_id] for unique_id in node["depends_on"]["nodes"])
    return next((b for n in read if _is_ephemeral(n) and (b := _beside(n, nodes, macros))), "")


def _is_ephemeral(node: _Node) -> bool:
    return bool(node["config"].get("materialized") == "ephemeral")


def _seed(node: _Node) -> Seed:
    return Seed(
        relation=_relation(node),
        path=Path(node["root_path"]) / node["original_file_path"],
        column_types=tuple((node["config"].get("column_types") or {}).items()),
    )


def _is_label(column: _Node) -> bool:
    meta = (column.get("config") or {}).get("meta") or {}
    return bool(meta.get("labels", False))


def _relation(node: _Node) -> Relation:
    return Relation(node["schema"], node.get("alias") or node.get("identifier") or node["name"])
