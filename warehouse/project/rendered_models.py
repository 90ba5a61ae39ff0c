"""Builds the user's own models without dbt, if the result is certain to be the same as dbt's.

This covers views and tables that the renderer supports, with yml files that :mod:`own_yml`
supports. Anything else, and any error, leaves the whole set to dbt: `NeedsDbt` names the file and
the reason.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from warehouse.engine import translating
from warehouse.errors import how_to_install
from warehouse.files import appearing
from warehouse.home import Home, own_files, own_text
from warehouse.project.compiled import CompiledProject, broken_test
from warehouse.project.model_texts import (
    ModelTexts,
    comment_models,
    leading_comment,
    model_for_dbt,
)
from warehouse.project.own_yml import Described, NeedsDbt, described_models
from warehouse.project.project import Relation
from warehouse.project.render import MATERIALIZED, Rendered, Renderer
from warehouse.project.sandbox import TemplateMistake
from warehouse.project.user_models import (
    PACKAGE,
    LeftOut,
    forget_user_models,
    left_out_file,
    record_left_out,
    refused_models,
    user_model_files,
    user_target,
)

_KEYS = frozenset({"alias", "materialized", "meta"})
# What dbt asks of an incremental model only where it is there already, which it never is.
_INCREMENTAL_KEYS = frozenset({"unique_key", "incremental_strategy", "on_schema_change"})
_DEFINED = re.compile(r"\{%-?\s*(macro|test)\s+(?:duckdb__|default__)?([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class _Own:
    """A model of the user's: its text as dbt gets it, and what was made of it."""

    name: str
    path: Path
    text: str
    rendered: Rendered
    described: Described

    @property
    def relation(self) -> Relation:
        return Relation("user", str(self.rendered.config.get("alias") or self.name))

    @property
    def materialized(self) -> str:
        return str(self.rendered.config.get("materialized", "view"))

    @property
    def checksum(self) -> str:
        """The hash of its text, as dbt computes it."""
        return hashlib.sha256(self.text.strip().encode()).hexdigest()


def build_rendered_models(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    compiled: CompiledProject,
    without: Sequence[LeftOut] = (),
) -> None:
    """Create the user's models in the build file, with the same comments and records as dbt.

    The connection uses the build file.

    Files in ``without`` are recorded as left out.

    Raises
    ------
    NeedsDbt
        The result might differ from dbt's; the build file is unchanged.
    """
    models = _in_order(_rendered(home, without))
    connection.begin()
    try:
        _create(connection, home, models)
        _test(connection, home, models)
        record_left_out(connection, without)
        comment_models(
            connection,
            [
                ModelTexts(
                    "user",
                    m.relation.name,
                    m.described.description,
                    {name: column["description"] for name, column in m.described.columns.items()},
                    leading_comment(own_text(m.path)),
                )
                for m in models
            ],
        )
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    _keep_manifest(home, compiled, models)


def build_without_dbt(
    connection: duckdb.DuckDBPyConnection, home: Home, compiled: CompiledProject
) -> list[LeftOut]:
    """Build without dbt if it is not installed; models that need it are left out."""
    left_out = refused_models(home)
    while True:
        try:
            build_rendered_models(connection, home, compiled, left_out)
            return left_out
        except NeedsDbt as reason:
            gone = {out.path for out in left_out}
            blamed = [reason.path] if reason.path else user_model_files(home)
            text = str(reason)
            if not reason.is_broken:
                text += f"\nthis takes dbt, which is not installed: {how_to_install('dbt')}"
            left_out += [
                left_out_file(home, path, text.removeprefix(f"{_place(home, path)}: "))
                for path in blamed
                if path not in gone
            ]


def _rendered(home: Home, without: Sequence[LeftOut]) -> list[_Own]:
    gone = {out.path for out in without}
    if refused := [out for out in refused_models(home) if out.path not in gone]:
        raise NeedsDbt(": ".join(refused[0].reason.splitlines()[:2]))
    _require_plain_macros(home)
    paths = {path.stem: path for path in own_files(home.models, ".sql")}
    described = _described(home, paths, gone)
    try:
        renderer = Renderer(home.macros, paths)
    except TemplateMistake as error:
        raise NeedsDbt(error.what) from error
    models = []
    for name, path in paths.items():
        if path not in gone:
            with _about(home, path):
                models.append(_model(home, path, renderer, described.get(name, Described())))
    broken = {out.name for out in without}
    for model in models:
        if missing := sorted(broken & set(model.rendered.refs)):
            raise _broken(model.path, f"reads {missing[0]}, which was not built")
    _require_apart(home, models, renderer)
    return models


def _described(
    home: Home, paths: Mapping[str, Path], gone: Collection[Path]
) -> dict[str, Described]:
    """The descriptions of models in yml files; an error for a file that only dbt reads."""
    files = [path for path in own_files(home.models) if path not in gone]
    for path in files:
        if path.suffix == ".md" and "{%" in own_text(path):
            raise NeedsDbt(f"{_place(home, path)}: only dbt reads such files")
    described = described_models(home.root, [p for p in files if p.suffix in (".yml", ".yaml")])
    if unknown := sorted(described.keys() - paths.keys()):
        raise NeedsDbt(f"a yml file describes {unknown[0]}, of which there is no file")
    return described


def _require_apart(home: Home, models: Sequence[_Own], renderer: Renderer) -> None:
    """Raise an error if two models, or a model and a built-in one, have the same name."""
    names = [model.relation.name.lower() for model in models]
    for model in models:
        name = model.relation.name
        if names.count(name.lower()) > 1 or renderer.relation(name.lower()) is not None:
            with _about(home, model.path):
                raise NeedsDbt(f"{_place(home, model.path)}: another model is called {name}")


@contextmanager
def _about(home: Home, path: Path) -> Iterator[None]:
    """Blame a model for what is raised within, errors of its SQL too."""
    try:
        with translating(home.root, blaming=lambda error: _broken(path, str(error).strip())):
            yield
    except NeedsDbt as reason:
        reason.path = path
        raise


def _broken(path: Path, reason: str) -> NeedsDbt:
    broken = NeedsDbt(reason)
    broken.path, broken.is_broken = path, True
    return broken


def _model(home: Home, path: Path, renderer: Renderer, described: Described) -> _Own:
    place, name = _place(home, path), path.stem
    try:
        text = model_for_dbt(path.read_bytes()).decode()
        found = renderer.render(text, Relation("user", name))
    except UnicodeDecodeError as error:
        raise NeedsDbt(f"{place}: not UTF-8 text") from error
    except TemplateMistake as error:
        raise NeedsDbt(f"{place}: {error.what}") from error
    own = _Own(name, path, text, found, described)
    if "execute" in text:
        raise NeedsDbt(f"{place}: asks whether dbt executes")
    keys = _KEYS | _INCREMENTAL_KEYS if own.materialized == "incremental" else _KEYS
    if others := sorted(found.config.keys() - keys):
        raise NeedsDbt(f"{place}: config({others[0]}=...)")
    if own.materialized not in MATERIALIZED:
        raise NeedsDbt(f"{place}: materialized as {own.materialized}")
    return own


def _require_plain_macros(home: Home) -> None:
    """Raise an error if a user's macro may replace one of dbt's, or depends on dbt's mode."""
    files = own_files(home.macros, ".sql")
    found = importlib.util.find_spec("dbt") if files else None
    theirs: set[str] = set()
    for folder in (found and found.submodule_search_locations) or ():
        for path in (Path(folder) / "include").rglob("*.sql"):
            theirs.update(name for _, name in _DEFINED.findall(own_text(path)))
    for path in files:
        text = own_text(path)
        for kind, name in _DEFINED.findall(text):
            if kind == "test" or name in theirs or name.startswith("test_"):
                raise NeedsDbt(f"{_place(home, path)}: {name} may stand for a macro of dbt's")
        if "execute" in text:
            raise NeedsDbt(f"{_place(home, path)}: asks whether dbt executes")


def _in_order(models: Sequence[_Own]) -> list[_Own]:
    """The models in order, each after those that it reads."""
    by_name = {model.name: model for model in models}
    graph = {m.name: [ref for ref in m.rendered.refs if ref in by_name] for m in models}
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise NeedsDbt(f"{error.args[1][0]}.sql: these models read each other") from error


def _create(connection: duckdb.DuckDBPyConnection, home: Home, models: Sequence[_Own]) -> None:
    connection.execute('create schema if not exists "user"')
    for model in models:
        sql = model.rendered.sql.strip()
        with _about(home, model.path):
            connection.execute(
                f"create or replace {MATERIALIZED[model.materialized]} {model.relation.sql} as"
                f" (\n{sql}\n)"
            )
        connection.execute(
            "insert into meta.results values (?, 'model', ?, 'success', null, 'OK')",
            [model.name, PACKAGE],
        )
        connection.execute(
            "insert into meta.models values ('user', ?, ?, ?)",
            [model.relation.name, sql, model.checksum],
        )


def _test(connection: duckdb.DuckDBPyConnection, home: Home, models: Sequence[_Own]) -> None:
    """Run the tests of the yml files; an error if dbt would skip models after a failed one."""
    relations = {model.name: model.relation.sql for model in models}
    read = {name for model in models for name in model.rendered.refs}
    for model in models:
        for test in model.described.tests:
            other = test.reads
            with _about(home, model.path):
                if other is not None and other not in relations:
                    raise NeedsDbt(f"{model.name}: a test compares it with {other}")
                text = test.sql(model.relation.sql, relations.get(other or "", ""))
                counted = connection.execute(f"select count(*) from (\n{text}\n)")
                ((failures,),) = counted.fetchall()
                if failures and model.name in read:
                    raise NeedsDbt(f"{model.name}: a test fails, and other models read it")
            name, message = test.name(model.name), ""
            if failures and test.expression:
                name = f"user.{model.relation.name}"
            if failures:
                message = broken_test(
                    failures, "fail if != 0", relation=name, expression=test.expression
                )
            connection.execute(
                "insert into meta.results values (?, 'test', ?, ?, ?, ?)",
                [name, PACKAGE, "fail" if failures else "pass", failures, message],
            )


def _keep_manifest(home: Home, compiled: CompiledProject, models: Sequence[_Own]) -> None:
    """Write the parts of a manifest that ``load_project`` reads."""
    ours = {
        unique_id: node
        for unique_id, node in compiled.manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed")
    }
    by_name = {node["name"]: unique_id for unique_id, node in ours.items()}
    by_name |= {model.name: f"model.{PACKAGE}.{model.name}" for model in models}
    nodes = ours | {by_name[m.name]: _node(home, m, by_name) for m in models}
    forget_user_models(home)
    place = user_target(home) / "manifest.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    with appearing(place) as sink:
        manifest = {"nodes": nodes, "sources": compiled.manifest["sources"]}
        sink.write(json.dumps(manifest).encode())


def _node(home: Home, model: _Own, by_name: Mapping[str, str]) -> dict[str, Any]:
    read = [by_name[name] for name in model.rendered.refs]
    read += [f"source.warehouse.{'.'.join(names)}" for names in model.rendered.sources]
    return {
        "resource_type": "model",
        "schema": "user",
        "name": model.name,
        "alias": model.relation.name,
        "package_name": PACKAGE,
        "original_file_path": _place(home, model.path),
        "checksum": {"name": "sha256", "checksum": model.checksum},
        "description": model.described.description,
        "compiled_code": model.rendered.sql,
        "depends_on": {"nodes": sorted(set(read))},
        "config": {
            "materialized": model.materialized,
            "meta": model.rendered.config.get("meta", {}),
        },
        "columns": {
            name: {"name": name, **column} for name, column in model.described.columns.items()
        },
    }


def _place(home: Home, path: Path) -> str:
    return path.relative_to(home.root).as_posix()
