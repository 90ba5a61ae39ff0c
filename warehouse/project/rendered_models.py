"""Builds the user's own models without dbt, if the result is certain to be the same as dbt's.

This covers views and tables that the renderer supports, with yml files that :mod:`own_yml`
supports. A file with a mistake that dbt would find too is left out with the reason, and the others
are built. Anything else leaves the whole set to dbt: `NeedsDbt` names the file and the reason.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from warehouse.engine import translating
from warehouse.errors import did_you_mean, how_to_install
from warehouse.files import open_atomic
from warehouse.home import Home, own_files, own_text
from warehouse.project.compiled import CompiledProject, broken_test
from warehouse.project.lines import at_line
from warehouse.project.model_texts import (
    ModelTexts,
    comment_models,
    leading_comment,
    model_for_dbt,
)
from warehouse.project.own_yml import Described, NeedsDbt, OwnTest, described_models
from warehouse.project.render import MATERIALIZED, Rendered, Renderer, mistake_of_macros
from warehouse.project.sandbox import IN_DBT, TemplateMistake, UnsupportedTemplate
from warehouse.project.user_models import (
    PACKAGE,
    LeftOut,
    forget_user_models,
    in_a_circle,
    left_out_file,
    record_left_out,
    refused_models,
    unread_files,
    user_model_files,
    user_target,
)
from warehouse.sql import Relation

_KEYS = frozenset({"alias", "materialized", "meta"})
# Keys that matter only if the table of an incremental model already exists, which it never does.
_INCREMENTAL_KEYS = frozenset({"unique_key", "incremental_strategy", "on_schema_change"})
_UNDEFINED = re.compile(r"'(\w+)' is undefined")
_DEFINED = re.compile(r"\{%-?\s*(macro|test)\s+(?:duckdb__|default__)?([A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class _Own:
    """One of the user's models: its text as passed to dbt, and the rendered SQL."""

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
    *,
    has_dbt: bool = True,
) -> list[LeftOut]:
    """Create the user's models in the build file, with the same comments and records as dbt.

    Returns the files that are left out because of a mistake; without dbt, those that need it too.
    The connection uses the build file.

    Raises
    ------
    NeedsDbt
        The result might differ from dbt's; the build file is unchanged.
    """
    left_out, mistakes = refused_models(home), dict[str, str]()
    while True:
        try:
            _build(connection, home, compiled, left_out, mistakes)
            return left_out
        except _Again:
            continue
        except NeedsDbt as reason:
            if has_dbt and not reason.is_broken:
                raise
            gone = {out.path for out in left_out}
            blamed = [reason.path] if reason.path else user_model_files(home)
            text = str(reason)
            if not reason.is_broken:
                text += f"\nthis needs dbt, which is not installed: {how_to_install('dbt')}"
            left_out += [
                left_out_file(home, path, text.removeprefix(f"{_place(home, path)}: "))
                for path in blamed
                if path not in gone
            ]


def _build(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    compiled: CompiledProject,
    without: Sequence[LeftOut],
    mistakes: dict[str, str],
) -> None:
    """Create the models in one transaction, and record the files ``without`` as left out."""
    models = _in_order(_rendered(home, without))
    connection.begin()
    try:
        _create(connection, home, models)
        _test(connection, home, models, mistakes)
        record_left_out(connection, [*without, *unread_files(home)])
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


def _rendered(home: Home, without: Sequence[LeftOut]) -> list[_Own]:
    gone = {out.path for out in without}
    lost = _require_plain_macros(home, gone)
    paths = {path.stem: path for path in own_files(home.models, ".sql")}
    described = _described(home, gone)
    try:
        renderer = Renderer(home.macros, paths, without=gone)
    except TemplateMistake as error:
        raise NeedsDbt(error.what) from error
    models = []
    for name, path in paths.items():
        if path not in gone:
            with _about(home, path):
                models.append(_model(home, path, lost, renderer, described.get(name, Described())))
    broken = {out.name for out in without}
    for model in models:
        if missing := sorted(broken & set(model.rendered.refs)):
            raise _broken(model.path, f"was not built, because it reads {missing[0]}, which failed")
    _require_apart(home, models, renderer)
    return models


def _described(home: Home, gone: Collection[Path]) -> dict[str, Described]:
    """The descriptions of models in yml files; an error for a file that only dbt reads."""
    files = [path for path in own_files(home.models) if path not in gone]
    for path in files:
        if path.suffix == ".md" and "{%" in own_text(path):
            raise NeedsDbt(f"{_place(home, path)}: only dbt reads such files")
    return described_models(home.root, [p for p in files if p.suffix in (".yml", ".yaml")])


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


def _model(
    home: Home, path: Path, lost: Mapping[str, str], renderer: Renderer, described: Described
) -> _Own:
    place, name, text = _place(home, path), path.stem, ""
    try:
        text = model_for_dbt(path.read_bytes()).decode()
        found = renderer.render(text, Relation("user", name))
    except UnicodeDecodeError as error:
        raise NeedsDbt(f"{place}: not UTF-8 text") from error
    except TemplateMistake as error:
        reason = _mistake(error, renderer, lost)
        if reason is None:
            raise NeedsDbt(f"{place}: {error.what}") from error
        lines, line = text.splitlines(), error.line or 0
        shown = f"\nline {line}\n  {lines[line - 1]}" if 0 < line <= len(lines) else ""
        raise _broken(path, reason + shown) from error
    own = _Own(name, path, text, found, described)
    if "execute" in text:
        raise NeedsDbt(f"{place}: uses execute, which only dbt sets")
    keys = _KEYS | _INCREMENTAL_KEYS if own.materialized == "incremental" else _KEYS
    if others := sorted(found.config.keys() - keys):
        raise NeedsDbt(f"{place}: config({others[0]}=...)")
    if own.materialized not in MATERIALIZED:
        raise NeedsDbt(f"{place}: materialized as {own.materialized}")
    return own


def _mistake(error: TemplateMistake, renderer: Renderer, lost: Mapping[str, str]) -> str | None:
    """Why a template is wrong; None if dbt may be able to render it.

    ``lost`` are the macros of files that are left out, with the file.
    """
    if not isinstance(error, UnsupportedTemplate):
        return error.reason
    found = _UNDEFINED.match(error.reason)
    name = found[1] if found else ""
    if name in lost:
        return f"{name} is a macro of {lost[name]}, which is left out because of a mistake"
    if not name or name in _macros_of_dbt() or name in IN_DBT:
        return None
    reason, near = renderer.undefined(name)
    if near:
        return f"{name} is not defined{did_you_mean(name, near)}"
    return reason


def _require_plain_macros(home: Home, gone: Collection[Path]) -> dict[str, str]:
    """Raise an error if a user's macro is broken, may replace one of dbt's, or uses `execute`.

    Returns the macros of files that are left out, with the file.
    """
    lost: dict[str, str] = {}
    for path in own_files(home.macros, ".sql"):
        text, place = own_text(path), _place(home, path)
        for kind, name in _DEFINED.findall(text):
            if kind == "test" or name in _macros_of_dbt() or name.startswith("test_"):
                raise NeedsDbt(f"{place}: {name} may replace one of dbt's macros")
            if path in gone:
                lost[name] = place
        if path not in gone:
            if "execute" in text:
                raise NeedsDbt(f"{place}: uses execute, which only dbt sets")
            if (reason := mistake_of_macros(text)) is not None:
                raise _broken(path, reason)
    return lost


@cache
def _macros_of_dbt() -> frozenset[str]:
    found = importlib.util.find_spec("dbt")
    return frozenset(
        name
        for folder in (found and found.submodule_search_locations) or ()
        for path in (Path(folder) / "include").rglob("*.sql")
        for _, name in _DEFINED.findall(own_text(path))
    )


def _in_order(models: Sequence[_Own]) -> list[_Own]:
    """The models in order, each after those that it reads."""
    by_name = {model.name: model for model in models}
    graph = {m.name: [ref for ref in m.rendered.refs if ref in by_name] for m in models}
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise _broken(by_name[error.args[1][0]].path, in_a_circle(error.args[1])) from error


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


def _test(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    models: Sequence[_Own],
    mistakes: dict[str, str],
) -> None:
    """Run the tests of the yml files; an error if dbt would skip models after one that fails.

    ``mistakes`` are the errors of tests that DuckDB refuses. A new one is added, and the
    transaction, which it ends, has to begin again.
    """
    relations = {model.name: model.relation.sql for model in models}
    for model in models:
        readers = [one for one in models if model.name in one.rendered.refs]
        for test in model.described.tests:
            other, name = test.reads, test.name(model.name)
            if other is not None and other not in relations:
                raise NeedsDbt(f"{model.name}: a test compares it with {other}")
            status, failures, message = "error", None, mistakes.get(name, "")
            if not message:
                text = test.sql(model.relation.sql, relations.get(other or "", ""))
                try:
                    with translating(home.root):
                        counted = connection.execute(f"select count(*) from (\n{text}\n)")
                        ((failures,),) = counted.fetchall()
                except duckdb.Error as error:
                    mistakes[name] = _why(home, model, test, str(error))
                    raise _Again from error
                status = "fail" if failures else "pass"
            if failures:
                name = f"user.{model.relation.name}" if test.expression else name
                message = broken_test(failures, relation=name, expression=test.expression)
            if status != "pass" and readers:
                if other is not None:
                    raise NeedsDbt(f"{model.name}: a test fails, and other models read it")
                raise _broken(
                    readers[0].path, "was not built, because a test of what it reads failed"
                )
            connection.execute(
                "insert into meta.results values (?, 'test', ?, ?, ?, ?)",
                [name, PACKAGE, status, failures, message],
            )


class _Again(Exception):
    """A test cannot run, so the models are created again without it."""


def _why(home: Home, model: _Own, test: OwnTest, reason: str) -> str:
    """The place of a test in its yml file, and DuckDB's error without the statement."""
    reason = reason.partition("\n\nLINE ")[0]
    what = f'{test.kind} of "{test.column}"' if test.column else test.kind
    file = model.described.path
    return at_line(_place(home, file), own_text(file), f"{what} in {model.name}\n{reason}")


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
    with open_atomic(place) as sink:
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
