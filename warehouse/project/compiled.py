"""Built-in models, tests, table macros and functions compiled by dbt, so that builds need no dbt.

``compiled.json`` beside this module ships in the package and is written by ``make compiled``. It
contains the SQL of the project files whose hash it names. If the files differ, as in a checkout
that is being edited, dbt compiles them, and the home keeps the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.errors import BuildError
from warehouse.files import open_atomic
from warehouse.home import Home
from warehouse.project.project import Project, project_of
from warehouse.sql import Relation
from warehouse.vendor import dbt_project_dir, load_contracts

SHIPPED = Path(__file__).with_name("compiled.json")
_FOLDERS = ("analyses", "macros", "models", "seeds", "tests/dbt")
_OF_NODES = (
    *("resource_type", "schema", "name", "alias", "identifier", "package_name"),
    *("original_file_path", "checksum", "description", "compiled_code", "attached_node"),
)
_OF_CONFIG = (
    *("materialized", "meta", "column_types", "contract"),
    *("severity", "warn_if", "error_if", "fail_calc", "limit"),
)
_OF_COLUMNS = ("name", "data_type", "description", "config")
_RUNNABLE = frozenset({"view", "ephemeral"})


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A view or seed table as it is created.

    Attributes
    ----------
    sql
        Its query; empty for a seed.
    columns
        Descriptions of its columns by name, in the order of its yml.
    types
        Types of its columns in the yml, in that order; None if the yml has none.
    shows
        The vendor's dataset from which a staging view gets its comments.
    """

    relation: Relation
    path: Path
    sql: str
    checksum: str
    description: str
    columns: Mapping[str, str]
    types: Mapping[str, str] | None
    shows: str | None


@dataclass(frozen=True, slots=True)
class DataTest:
    """A test: a query for failing rows, and the numbers of them that warn or fail.

    Attributes
    ----------
    model
        Name of the tested model or seed; empty for a test in its own file.
    expression
        Condition on each row, for tests of the kind ``holds``; else empty.
    by_month
        For a test that can run on single months of its model: the tables of ``meta`` that it also
        reads. None for other tests.
    """

    name: str
    sql: str
    model: str
    expression: str
    is_warning: bool
    fail_calc: str
    warn_if: str
    error_if: str
    limit: int | None
    by_month: tuple[str, ...] | None


def broken_test(failures: int, *, relation: str = "", expression: str = "") -> str:
    """The message of a failed test, as ``record_results`` writes it after dbt.

    A test of the kind ``holds`` gives its relation, and the expression that each row must meet.
    """
    if expression:
        return (
            f"condition not met by {failures} of its rows; to see them: warehouse sql"
            f' "from {relation} where ({expression}) is distinct from true"'
        )
    return f"rows that break it: {failures}"


@dataclass(frozen=True, slots=True)
class CompiledProject:
    """Everything that a build creates and tests, in order, read from ``manifest``."""

    project: Project
    seeds: tuple[CompiledModel, ...]
    models: tuple[CompiledModel, ...]
    tests: tuple[DataTest, ...]
    table_macros: str
    ticks: str
    functions: str
    manifest: Mapping[str, Any]


def shipped_or_kept(home: Home) -> CompiledProject | None:
    """The compiled project, if it matches the project's files; else None, and dbt must compile."""
    key = project_key(dbt_project_dir())
    for path in (SHIPPED, kept_compiled(home)):
        try:
            manifest = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if manifest.get("key") == key:
            return _compiled(manifest)
    return None


# Parameters of the tick macros for sources, and the dataset of each.
TICK_SOURCES = {
    "trades": "raw_trades",
    "quotes": "raw_quotes",
    "mark_prices": "raw_mark_price",
    "index_prices": "raw_index_price",
    "funding_rates": "raw_funding_rate",
    "open_interests": "raw_open_interest",
}

# Datasets with size classes of trades, which are in dollars.
RATED = ("flow", "trade_size")


def tick_macros() -> str:
    """SQL that creates the table macros ``main.ticks_<dataset>``, in any database of DuckDB.

    Each has a second one, ``ticks_<dataset>_readings``. Their sources are relations with the
    columns of ``vendor.raw_trades`` or another raw dataset, as in ``trades := 'my_trades'``.
    """
    return _analysis("ticks")


def tick_day_macros() -> str:
    """SQL that creates the table macros ``main.day_<dataset>`` and those of their sources.

    They read a sorted UTC day of one series: see ``macros/ticks/days.sql``.
    """
    return _analysis("tick_days")


def tick_datasets() -> list[str]:
    """Datasets whose bars can be computed from ticks."""
    return [name for name in load_contracts() if not name.startswith(("raw_", "l2_"))]


def tick_sources(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The sources of each of these datasets: parameters of its macro, which the connection has."""
    rows = connection.execute(
        "select function_name, parameters from duckdb_functions()"
        " where database_name = 'memory' and starts_with(function_name, 'ticks_')"
        " and not ends_with(function_name, '_readings') order by function_name"
    ).fetchall()
    return {
        name.removeprefix("ticks_"): [p for p in parameters if p in TICK_SOURCES]
        for name, parameters in rows
    }


def _analysis(name: str) -> str:
    nodes = json.loads(SHIPPED.read_bytes())["nodes"]
    return str(nodes[f"analysis.warehouse.{name}"]["compiled_code"])


def write_compiled(target: Path, place: Path) -> None:
    """Write the parts of the manifest in dbt's target folder that a build needs."""
    manifest = json.loads((target / "manifest.json").read_bytes())
    nodes = {name: _trimmed(node) for name, node in sorted(manifest["nodes"].items())}
    sources = {name: _trimmed(node) for name, node in sorted(manifest["sources"].items())}
    used = ("model", "seed", "test", "analysis")
    kept = {
        "key": project_key(dbt_project_dir()),
        "nodes": {n: node for n, node in nodes.items() if node["resource_type"] in used},
        "sources": {n: {**node, "columns": {}} for n, node in sources.items()},
    }
    with open_atomic(place) as sink:
        sink.write((json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode())


def project_key(folder: Path) -> str:
    """Hash of all project files that the compiled SQL depends on."""
    digest = hashlib.sha256()
    files = [p for name in _FOLDERS for p in sorted((folder / name).rglob("*")) if p.is_file()]
    for path in (folder / "dbt_project.yml", *files):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def kept_compiled(home: Home) -> Path:
    """Where a home keeps the compiled SQL of an edited project."""
    return home.build / "dbt" / "compiled.json"


def _trimmed(node: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: node[name] for name in _OF_NODES if node.get(name)}
    kept["depends_on"] = {"nodes": sorted(node.get("depends_on", {}).get("nodes", ()))}
    kept["description"] = node.get("description", "")
    config = node.get("config", {})
    kept["config"] = {name: config[name] for name in _OF_CONFIG if config.get(name)}
    kept["columns"] = {
        name: {part: column[part] for part in _OF_COLUMNS if column.get(part)}
        | {"description": column["description"]}
        for name, column in node.get("columns", {}).items()
    }
    if metadata := node.get("test_metadata"):
        kept["test_metadata"] = {
            "name": metadata["name"],
            "kwargs": {"expression": metadata["kwargs"].get("expression", "")},
        }
    return kept


def _compiled(manifest: dict[str, Any]) -> CompiledProject:
    nodes = manifest["nodes"]
    for node in nodes.values():
        node["root_path"] = str(dbt_project_dir())
    project = project_of(manifest)
    by_relation = {model.relation: model for model in _models(nodes, manifest["sources"])}
    ours = dict.fromkeys(seed.relation for seed in project.seeds)
    return CompiledProject(
        project=project,
        seeds=tuple(by_relation[relation] for relation in ours),
        models=tuple(by_relation[model.relation] for model in project.models),
        tests=tuple(_tests(nodes)),
        **{
            name: nodes[f"analysis.warehouse.{name}"]["compiled_code"]
            for name in ("table_macros", "ticks", "functions")
        },
        manifest=manifest,
    )


def _models(
    nodes: Mapping[str, Mapping[str, Any]], sources: Mapping[str, Mapping[str, Any]]
) -> Iterator[CompiledModel]:
    for node in nodes.values():
        if node["resource_type"] not in ("model", "seed"):
            continue
        config = node["config"]
        kind = config.get("materialized")
        if node["resource_type"] == "model" and kind not in _RUNNABLE:
            raise BuildError(
                f"model {node['name']}: materialized as {kind}, but warehouse build makes views",
                next_step="run: warehouse build --no-dbt && dbt build && warehouse publish",
                model=node["name"],
            )
        columns = node["columns"].values()
        promised = {c["name"]: c.get("data_type") or "" for c in columns}
        read = [sources[name] for name in node["depends_on"]["nodes"] if name in sources]
        is_staging = node["schema"] == "staging" and node["resource_type"] == "model"
        yield CompiledModel(
            relation=Relation(node["schema"], node.get("alias") or node["name"]),
            path=Path(node["original_file_path"]),
            sql=node.get("compiled_code", ""),
            checksum=node["checksum"]["checksum"],
            description=node["description"],
            columns={c["name"]: c["description"] for c in columns},
            types=promised if config.get("contract", {}).get("enforced") else None,
            shows=read[0]["name"] if read and is_staging else None,
        )


def _tests(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[DataTest]:
    for node in sorted(nodes.values(), key=lambda node: str(node["name"])):
        if node["resource_type"] != "test" or "compiled_code" not in node:
            continue  # dbt compiles no test of a missing model
        config, metadata = node["config"], node.get("test_metadata", {})
        holds = metadata.get("name") == "holds"
        beside = config.get("meta", {}).get("by_month")
        yield DataTest(
            name=node["name"],
            sql=node["compiled_code"],
            model=(node.get("attached_node") or "").split(".")[-1],
            expression=metadata["kwargs"]["expression"].strip() if holds else "",
            is_warning=config["severity"].lower() == "warn",
            fail_calc=config["fail_calc"],
            warn_if=config["warn_if"],
            error_if=config["error_if"],
            limit=config.get("limit"),
            by_month=None if beside is None else tuple(beside),
        )
