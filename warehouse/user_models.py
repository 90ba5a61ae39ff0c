"""The user's own models: SQL files in ``HOME/models`` become views in the schema ``user``.

They are a dbt project of their own, written anew for each build below ``.build``, with ours as its
package: ``ref('flow_features')`` and our macros work as in our models, and so do macros in
``HOME/macros``. dbt stops a whole run at the first model that it cannot read; here that model is
named and left out, and the rest goes on.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from warehouse.contracts import dbt_project_dir, project_vars
from warehouse.engine import connect
from warehouse.home import Home
from warehouse.model_texts import (
    ModelTexts,
    comment_models,
    leading_comment,
    model_comments,
    without_jinja,
)

PACKAGE = "user_models"
_MOST_LINES = 20
_LONGEST_LINE = 300

Invoke = Callable[[list[str]], Any]
"""Runs one dbt command in this process and returns dbt's result object."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A model that dbt could not read, and what dbt said."""

    path: Path
    reason: str


def user_model_files(home: Home) -> list[Path]:
    """The user's SQL files, in order of their paths."""
    return sorted(home.models.rglob("*.sql")) if home.models.is_dir() else []


def run_user_models(home: Home, invoke: Invoke) -> list[LeftOut]:
    """Build and test the user's models in the build file; those that cannot be read are returned.

    Outcomes of all are in ``meta.results`` under the package ``user_models``; a model that failed
    has the file and line there, then what dbt said.
    """
    options, left_out = readable_project(home, invoke, user_target(home))
    built: list[ModelTexts] = []
    if options:
        chosen = ["--select", f"package:{PACKAGE}", "--exclude-resource-type", "unit_test"]
        built = _built(home, invoke(["--quiet", "build", *chosen, *options]))
    with connect(home.session, home.build_catalog, options="") as connection:
        comment_models(connection, built)
        failed = connection.execute(
            "select name, message from warehouse.meta.results"
            " where package = ? and resource_type = 'model' and status = 'error'",
            [PACKAGE],
        ).fetchall()
        paths = {path.stem: path for path in user_model_files(home)}
        for name, message in failed:
            if name in paths and message:
                connection.execute(
                    "update warehouse.meta.results set message = ?"
                    " where package = ? and resource_type = 'model' and name = ?",
                    [_told(home, paths[name], message), PACKAGE, name],
                )
        for out in left_out:
            connection.execute(
                "insert into warehouse.meta.results values (?, 'model', ?, 'error', null, ?)",
                [out.path.stem, PACKAGE, out.reason],
            )
    return left_out


def readable_project(home: Home, invoke: Invoke, target: Path) -> tuple[list[str], list[LeftOut]]:
    """A dbt project of the models that dbt can read: its options, none where no model is left."""
    shutil.rmtree(target, ignore_errors=True)
    ours = dbt_project_dir()
    taken = {path.stem for path in (ours / "models").rglob("*.sql")}
    taken |= {path.stem for path in (ours / "seeds").rglob("*.csv")}
    left_out = [
        LeftOut(path, _told(home, path, why))
        for path in user_model_files(home)
        if (why := _refusal(path, taken))
    ]
    while files := [f for f in user_model_files(home) if f not in {out.path for out in left_out}]:
        options = _write_project(home, files, target)
        parsed = invoke(["--quiet", "parse", *options])
        if parsed.success:
            return options, left_out
        reason = _reason(parsed)
        broken = _blamed(files, reason) or _first_unreadable(home, target, files, invoke)
        left_out += [LeftOut(path, _told(home, path, reason)) for path in broken]
    return [], left_out


def _built(home: Home, run: Any) -> list[ModelTexts]:
    """The models that a run built, with what their yml and their files say of them."""
    nodes = [r.node for r in getattr(run.result, "results", None) or [] if r.status == "success"]
    return [
        ModelTexts(
            node.schema,
            node.alias,
            node.description,
            {column.name: column.description for column in node.columns.values()},
            leading_comment(_read(home.root / node.original_file_path)),
        )
        for node in nodes
        if node.resource_type == "model"
    ]


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def _refusal(path: Path, taken: set[str]) -> str | None:
    """Why dbt need not see a model: it would give up the whole run, or take it for one of ours."""
    if path.stem.lower() in taken:
        return f"{path.stem} is the name of a model of ours: give the file another name"
    if not _read(path).strip():
        return "the file is empty: write a query into it, or remove it"
    return None


def _write_project(home: Home, files: Sequence[Path], target: Path) -> list[str]:
    """A project that holds just these models; returns dbt's options for it."""
    project = home.build / "user"
    shutil.rmtree(project, ignore_errors=True)
    ours = dbt_project_dir()
    for path in files:
        copy = project / "models" / path.relative_to(home.models)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(without_jinja(path.read_bytes()))
    for path in [*home.models.rglob("*.yml"), *home.models.rglob("*.yaml")]:
        _copy(path, project / "models" / path.relative_to(home.models))
    packages = project / "dbt_packages"
    packages.mkdir(parents=True)
    (packages / "warehouse").symlink_to(ours, target_is_directory=True)
    (project / "packages.yml").write_text(f"packages:\n  - local: {ours.as_posix()!r}\n", "utf-8")
    macros = [ours / "macros", home.macros]
    settings = {
        "name": PACKAGE,
        "version": "1.0.0",
        "config-version": 2,
        "profile": "warehouse",
        "model-paths": ["models"],
        "macro-paths": [str(folder) for folder in macros if folder.is_dir()],
        "flags": {"send_anonymous_usage_stats": False},
        "vars": project_vars(ours),
        "models": {PACKAGE: {"+schema": "user", "+materialized": "view"}},
    }
    (project / "dbt_project.yml").write_text(yaml.safe_dump(settings), "utf-8")
    options = ["--project-dir", str(project), "--profiles-dir", str(ours)]
    return [*options, "--target-path", str(target), "--log-path", str(target.parent)]


def user_target(home: Home) -> Path:
    """Where dbt leaves what it makes of the user's models."""
    return home.build / "dbt-user" / "target"


def write_page(home: Home, target: Path, page: Path) -> None:
    """dbt's documentation in ``target`` as one page, with the catalog's comments on user models."""
    manifest = json.loads((target / "manifest.json").read_bytes())
    with connect(home.session, home.build_catalog, options="") as connection:
        texts = model_comments(connection)
    for node in manifest["nodes"].values():
        described = texts.get((node["schema"], node.get("alias") or node["name"]))
        if node["package_name"] == PACKAGE and described is not None:
            node["description"] = described.description
            blank: dict[str, Any] = {"description": "", "meta": {}, "tags": [], "data_type": None}
            node["columns"] = {
                name: {**blank, **node["columns"].get(name, {}), "name": name, "description": text}
                for name, text in described.columns.items()
            }
    text = (target / "index.html").read_text("utf-8")
    data = {"MANIFEST": manifest, "CATALOG": json.loads((target / "catalog.json").read_bytes())}
    for name, value in data.items():
        inline = json.dumps(value).replace("</", "<\\/").replace("<!--", "<\\u0021--")
        text = text.replace(f'"{name}.JSON INLINE DATA"', inline)
    page.write_text(text, "utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _reason(result: Any) -> str:
    return str(result.exception or "dbt could not read it")


def _told(home: Home, path: Path, reason: str) -> str:
    """The model's file and line as ``models/mine.sql:3``, then dbt's words, line by line."""
    line = _line_of(_read(path).splitlines(), reason)
    place = path.relative_to(home.root).as_posix() + (f":{line}" if line else "")
    said = [text.rstrip() for text in reason.strip().splitlines() if text.strip()]
    return "\n".join([place, *(text[:_LONGEST_LINE] for text in said[:_MOST_LINES])])


def _line_of(lines: Sequence[str], reason: str) -> int | None:
    """The line that a message is about, counted from 1; None where it cannot be told.

    Jinja counts lines of the file. DuckDB counts those of the statement that dbt made of it, but
    shows the text; else the first name that is quoted is looked for.
    """
    counted = re.search(r"^\s*line (\d+)\s*$", reason, re.MULTILINE)
    if counted:
        return int(counted[1])
    shown = re.search(r"^\s*LINE \d+: (.*)$", reason, re.MULTILINE)
    wanted = [shown[1].strip().removeprefix("...").removesuffix("...").strip()] if shown else []
    wanted += re.findall(r"node named '([^']+)'", reason) + re.findall(r'"([^"\n]+)"', reason)
    for text in filter(None, wanted):
        found = next((i for i, line in enumerate(lines, 1) if text in line), None)
        if found is not None:
            return found
    return None


def _blamed(files: Sequence[Path], reason: str) -> list[Path]:
    """The models that dbt's message names by path or by name."""
    by_path = [path for path in files if path.name in reason]
    return by_path or [path for path in files if f".{path.stem}" in reason]


def _first_unreadable(
    home: Home, target: Path, files: Sequence[Path], invoke: Invoke
) -> list[Path]:
    """Where the message names none: the first file that cannot be read beside those before it."""
    for count in range(1, len(files)):
        options = _write_project(home, files[:count], target)
        if not invoke(["--quiet", "parse", *options]).success:
            return [files[count - 1]]
    return [files[-1]]
