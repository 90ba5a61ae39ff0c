"""The user's own models: SQL files in ``HOME/models`` become views in the schema ``user``.

They are a separate dbt project, written for each build below ``.build``, with the built-in one as
its package: ``ref('flow_features')`` and the built-in macros work, and so do macros in
``HOME/macros`` and yml files and doc blocks beside the models. dbt stops a whole run at the first
file that it cannot read; here that file is reported and left out, and the others are built.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb
import yaml

from warehouse.engine import connect
from warehouse.errors import CORRECT, BuildError, did_you_mean
from warehouse.home import Home, own_files, own_text
from warehouse.project.lines import at_line
from warehouse.project.model_texts import (
    ModelTexts,
    comment_models,
    holds_query,
    leading_comment,
    model_comments,
    model_for_dbt,
)
from warehouse.project.own_yml import described_in, misspelt_keys, yaml_error
from warehouse.sql import Relation, literal
from warehouse.vendor import dbt_project_dir, project_vars

PACKAGE = "user_models"
# Schemas of a catalog to which the user's models must not add.
OUR_SCHEMAS = ("main", "meta", "staging", "ticks", "vendor")
_READ = (".sql", ".yml", ".yaml", ".md")
# Parts of a dbt project that a home cannot have.
_UNREAD = {"seeds": ".csv", "snapshots": ".sql", "analyses": ".sql", "tests": ".sql"}
_UNREAD_FILES = ("packages.yml", "dependencies.yml", "dbt_project.yml")
_PARTIAL_PARSE = "partial_parse.msgpack"

Invoke = Callable[[list[str]], Any]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One of the user's files that is not part of the build.

    Attributes
    ----------
    kind
        ``model``; or ``file`` for a yml, a doc block or a macro.
    reason
        The file with its line, then why, over several lines.
    """

    path: Path
    name: str
    kind: str
    reason: str


def user_model_files(home: Home) -> list[Path]:
    """The user's model files, in order of their paths."""
    return [p for p in own_files(home.models) if p.suffix.lower() in (".sql", ".py")]


def run_user_models(home: Home, invoke: Invoke) -> list[LeftOut]:
    """Build and test the user's models in the build file; returns the files that dbt cannot read.

    Outcomes of all are in ``meta.results`` under the package ``user_models``; a model that failed
    has the file and line there, then dbt's message.
    """
    options, left_out = readable_project(home, invoke, user_target(home))
    with connect(home.session, home.build_catalog, options="") as connection:
        former = _outside(connection)
    built: list[ModelTexts] = []
    skipped: dict[str, str] = {}
    if options:
        chosen = ["--select", f"package:{PACKAGE}", "--exclude-resource-type", "unit_test"]
        run = invoke(["--quiet", "build", *chosen, *options])
        built, skipped = _built(home, run), _skipped(run)
        if getattr(run.result, "results", None) is None:  # dbt stopped before it built a model
            gone = {out.path for out in left_out}
            rest = [path for path in user_model_files(home) if path not in gone]
            left_out += [left_out_file(home, path, _reason(run)) for path in rest]
    with connect(home.session, home.build_catalog, options="") as connection:
        if changed := sorted({name for name, _ in former ^ _outside(connection)}):
            raise BuildError(
                f"your models changed {', '.join(changed)} outside the schema user, such as by"
                " run_query or a hook",
                next_step=CORRECT,
            )
        comment_models(connection, built)
        failed = connection.execute(
            "select name, message from warehouse.meta.results"
            " where package = ? and resource_type = 'model' and status in ('error', 'skipped')",
            [PACKAGE],
        ).fetchall()
        paths = {path.stem: path for path in user_model_files(home)}
        for name, message in failed:
            reason = skipped.get(name, message)
            if name in paths and reason:
                connection.execute(
                    "update warehouse.meta.results set status = 'error', message = ?"
                    " where package = ? and resource_type = 'model' and name = ?",
                    [located(home, paths[name], reason), PACKAGE, name],
                )
        record_left_out(connection, [*left_out, *unread_files(home)])
    return left_out


def _outside(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    """Name, definition and rows of everything in the built-in schemas of the build file.

    Rows are hashed; those of the user's models, which the run itself records, are left out.
    """
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables()"
        " where database_name = 'warehouse' and list_contains(?, schema_name)",
        [list(OUR_SCHEMAS)],
    ).fetchall()
    recorded = {"results": f"package <> {literal(PACKAGE)}", "models": "schema <> 'user'"}
    hashed = " union all ".join(
        f"select {literal(f'{schema}.{name}')}, coalesce(sum(hash(r)), 0)::varchar"
        f" from {Relation(schema, name).sql} as r"
        f" where {recorded.get(name, 'true') if schema == 'meta' else 'true'}"
        for schema, name in tables
    )
    return set(connection.execute(hashed).fetchall()) | set(
        connection.execute(
            """
            with found(schema_name, name, definition) as (
                select schema_name, view_name, concat(sql, comment) from duckdb_views()
                where database_name = 'warehouse'
                union all
                select schema_name, table_name, concat(sql, comment) from duckdb_tables()
                where database_name = 'warehouse'
                union all
                select schema_name, function_name, concat(parameters::varchar, macro_definition)
                from duckdb_functions() where database_name = 'warehouse'
            )
            select schema_name || '.' || name, definition from found
            where list_contains(?, schema_name)
            """,
            [list(OUR_SCHEMAS)],
        ).fetchall()
    )


def record_left_out(connection: duckdb.DuckDBPyConnection, left_out: Sequence[LeftOut]) -> None:
    """Record the left-out files with the reasons in ``meta.results`` of the build file."""
    for out in left_out:
        connection.execute(
            "insert into warehouse.meta.results values (?, ?, ?, 'error', null, ?)",
            [out.name, out.kind, PACKAGE, out.reason],
        )


def readable_project(home: Home, invoke: Invoke, target: Path) -> tuple[list[str], list[LeftOut]]:
    """Write a dbt project of the readable files; returns its options, empty without models."""
    left_out = refused_models(home)
    while True:
        gone = {out.path for out in left_out}
        files = [path for path in _sources(home) if path not in gone]
        if not any(_is_model(home, path) for path in files):
            return [], left_out
        parsed, options = _parsed(home, invoke, files, target)
        if parsed.success:
            broken = _misplaced(home, files, parsed.result)
            if not broken:
                return options, left_out
            left_out += broken
            continue
        reason = _reason(parsed)
        blamed = _files_in_message(home, files, reason) or _found_by_trying(
            home, target, files, reason, invoke
        )
        left_out += [left_out_file(home, path, reason) for path in blamed]


def _parsed(
    home: Home, invoke: Invoke, files: Sequence[Path], target: Path
) -> tuple[Any, list[str]]:
    """The result of dbt's parse of a project of these files, and its options.

    dbt starts from its stored parse of the built-in models and the macros among the files, which
    takes six times as long as everything else. Models, yml files and doc blocks are always parsed
    again.
    """
    macros = [path for path in files if path.is_relative_to(home.macros)]
    folder = home.build / "dbt-user" / "macros"
    kept, note = folder / _PARTIAL_PARSE, folder / "parsed.sha256"
    state = _state(home, macros)
    if not kept.is_file() or not note.is_file() or note.read_text("utf-8") != state:
        shutil.rmtree(folder, ignore_errors=True)
        begun = invoke(["--quiet", "parse", *_write_project(home, macros, folder)])
        if begun.success:
            note.write_text(state, "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    if note.is_file():
        target.mkdir(parents=True)
        shutil.copyfile(kept, target / _PARTIAL_PARSE)
    options = _write_project(home, files, target)
    return invoke(["--quiet", "parse", *options]), options


def _state(home: Home, macros: Sequence[Path]) -> str:
    """Inputs of a stored parse that dbt does not check itself: folders, and these macros."""
    found = hashlib.sha256(f"{home.root}\n{dbt_project_dir()}\n".encode())
    for path in macros:
        held = path.read_bytes()
        found.update(f"{path.relative_to(home.root).as_posix()}\n{len(held)}\n".encode() + held)
    return found.hexdigest()


def _sources(home: Home) -> list[Path]:
    """The user's files that dbt reads: models with their yml and doc blocks, then macros."""
    return [*own_files(home.models, *_READ), *own_files(home.macros, ".sql")]


def _is_model(home: Home, path: Path) -> bool:
    return path.suffix.lower() in (".sql", ".py") and path.is_relative_to(home.models)


def left_out_file(home: Home, path: Path, reason: str) -> LeftOut:
    """One of the user's files, and why it is left out."""
    place = path.relative_to(home.root).as_posix()
    kind, name = ("model", path.stem) if _is_model(home, path) else ("file", place)
    return LeftOut(path, name, kind, located(home, path, reason))


def _misplaced(home: Home, files: Sequence[Path], manifest: Any) -> list[LeftOut]:
    """Models that dbt can read, but would build in place of others or not at all.

    Names that differ in case only are the same in DuckDB, so the second would replace the first. A
    circle stops dbt before its first model.
    """
    nodes = [
        node
        for node in manifest.nodes.values()
        if node.package_name == PACKAGE and node.resource_type == "model"
    ]
    taken, names = _shipped_names(), Counter(node.alias.lower() for node in nodes)
    reasons = {}
    for node in nodes:
        if node.schema != "user":
            reasons[node.name] = f"your models are built into the schema user, not {node.schema}"
        elif node.alias.lower() in taken:
            reasons[node.name] = f"its alias {node.alias} is the name of a built-in model"
        elif names[node.alias.lower()] > 1:
            reasons[node.name] = f"another model has the alias {node.alias} too"
    try:
        TopologicalSorter({n.unique_id: n.depends_on.nodes for n in nodes}).prepare()
    except CycleError as error:
        circle = [manifest.nodes[unique_id].name for unique_id in error.args[1]]
        reasons |= dict.fromkeys(circle, in_a_circle(circle))
    models = [path for path in files if _is_model(home, path)]
    return [left_out_file(home, p, reasons[p.stem]) for p in models if p.stem in reasons]


def in_a_circle(names: Sequence[str]) -> str:
    return f"these models depend on each other in a circle: {' -> '.join(names)}"


def _shipped_names() -> set[str]:
    """Names of the built-in models and seeds, which user models must not have."""
    ours = dbt_project_dir()
    taken = {path.stem for path in (ours / "models").rglob("*.sql")}
    return taken | {path.stem for path in (ours / "seeds").rglob("*.csv")}


def _results(run: Any, status: str) -> list[Any]:
    """Models with this status in a run."""
    results = getattr(run.result, "results", None) or []
    return [r.node for r in results if r.status == status and r.node.resource_type == "model"]


def _skipped(run: Any) -> dict[str, str]:
    """Why dbt skipped models: a model that they read was not built, or its test failed."""
    missing = {node.unique_id for s in ("error", "skipped") for node in _results(run, s)}
    reasons = {}
    for node in _results(run, "skipped"):
        read = ", ".join(n.split(".")[2] for n in node.depends_on.nodes if n in missing)
        why = f"it reads {read}, which failed" if read else "a test of what it reads failed"
        reasons[node.name] = f"was not built, because {why}"
    return reasons


def _built(home: Home, run: Any) -> list[ModelTexts]:
    """The models that a run built, with the descriptions in their yml and files."""
    return [
        ModelTexts(
            node.schema,
            node.alias,
            node.description,
            {column.name: column.description for column in node.columns.values()},
            leading_comment(own_text(home.root / node.original_file_path)),
        )
        for node in _results(run, "success")
    ]


def refused_models(home: Home) -> list[LeftOut]:
    """Models that are not passed to dbt, because it would stop the whole run or confuse them."""
    taken, files = _shipped_names(), user_model_files(home)
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(path.stem.lower(), []).append(path)
    found = [
        left_out_file(home, path, reason)
        for path in _sources(home)
        if path.suffix in (".yml", ".yaml") and (reason := yaml_error(own_text(path)))
    ]
    found += [
        left_out_file(home, path, f"dbt reads files that end in {suffix} only: rename it")
        for path in (*own_files(home.models), *own_files(home.macros))
        if (suffix := path.suffix.lower()) in _READ and suffix != path.suffix
        if not _is_model(home, path)
    ]
    for path in files:
        twins = [p.relative_to(home.root).as_posix() for p in by_name[path.stem.lower()]]
        if (reason := _refusal(path, taken, twins)) is not None:
            found.append(left_out_file(home, path, reason))
    return found


def unread_files(home: Home) -> list[LeftOut]:
    """What no build reads: misspelt keys of yml files, models without a file, other dbt files.

    Of a folder with such files, such as ``seeds``, the first one.
    """
    models = [path.stem for path in user_model_files(home)]
    found = []
    for path in own_files(home.models, ".yml", ".yaml"):
        text = own_text(path)
        reasons = [
            f'no model is called "{name}", so its tests and descriptions are not'
            f" used{did_you_mean(name, models)}"
            for name in described_in(text)
            if name not in models and "{{" not in name
        ]
        found += [left_out_file(home, path, reason) for reason in (*reasons, *misspelt_keys(text))]
    unread = [own_files(home.root / folder, suffix)[:1] for folder, suffix in _UNREAD.items()]
    unread += [[path] for name in _UNREAD_FILES if (path := home.root / name).is_file()]
    return found + [
        left_out_file(home, path, "a build reads models and macros only, so this is not used")
        for path, *_ in filter(None, unread)
    ]


def _refusal(path: Path, taken: set[str], twins: Sequence[str]) -> str | None:
    if path.suffix.lower() == ".py":
        return "Python models are not supported, because the look-ahead audit reads SQL: use SQL"
    if path.suffix != ".sql":
        return f"dbt reads files that end in .sql only: rename it to {path.stem}.sql"
    if path.stem.lower() in taken:
        return f"{path.stem} is the name of a built-in model: give the file another name"
    if re.search(r"""\bmaterialized\s*=\s*['"]external""", own_text(path)):
        return "an external model is a file, which queries cannot read: write materialized='table'"
    if len(twins) > 1:
        return f"{' and '.join(twins)} have the same name: give one of them another"
    if re.search(r'["\s]', path.stem) or not path.stem.isprintable():
        return (
            "the name of a model must not contain spaces, quotes or control characters: rename"
            " the file"
        )
    if not holds_query(own_text(path)):
        return "the file has no query: write one into it, or remove it"
    return None


def _write_project(home: Home, files: Sequence[Path], target: Path) -> list[str]:
    """Write a project of just these files; returns dbt's options for it."""
    project = home.build / "user"
    shutil.rmtree(project, ignore_errors=True)
    ours = dbt_project_dir()
    for path in files:
        copy = project / path.relative_to(home.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        held = path.read_bytes()
        copy.write_bytes(model_for_dbt(held) if _is_model(home, path) else held)
    packages = project / "dbt_packages"
    packages.mkdir(parents=True)
    (packages / "warehouse").symlink_to(ours, target_is_directory=True)
    (project / "packages.yml").write_text(f"packages:\n  - local: {ours.as_posix()!r}\n", "utf-8")
    settings = {
        "name": PACKAGE,
        "version": "1.0.0",
        "config-version": 2,
        "profile": "warehouse",
        "model-paths": ["models"],
        "macro-paths": [str(ours / "macros"), "macros"],
        "flags": {"send_anonymous_usage_stats": False},
        "vars": project_vars(ours),
        "models": {PACKAGE: {"+schema": "user", "+materialized": "view"}},
    }
    (project / "dbt_project.yml").write_text(yaml.safe_dump(settings), "utf-8")
    options = ["--project-dir", str(project), "--profiles-dir", str(ours)]
    return [*options, "--target-path", str(target), "--log-path", str(target.parent)]


def user_target(home: Home) -> Path:
    """dbt's target folder for the user's models."""
    return home.build / "dbt-user" / "target"


def forget_user_models(home: Home) -> None:
    """Remove dbt's files for models that no longer exist."""
    shutil.rmtree(user_target(home), ignore_errors=True)


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


def _reason(result: Any) -> str:
    return str(result.exception or "dbt could not read it")


def located(home: Home, path: Path, reason: str) -> str:
    """The file and line as ``models/mine.sql:3``, then dbt's message, line by line."""
    return at_line(path.relative_to(home.root).as_posix(), own_text(path), reason)


def _files_in_message(home: Home, files: Sequence[Path], reason: str) -> list[Path]:
    """The files that dbt's message refers to by path, text or name."""

    def named(texts: Callable[[Path], str]) -> list[Path]:
        return [
            path
            for path in files
            if re.search(rf"(?<![\w./-]){re.escape(texts(path))}(?![\w-])", reason)
        ]

    by_path = named(lambda path: path.relative_to(home.root).as_posix())
    by_path = by_path or named(lambda path: "/".join(path.relative_to(home.root).parts[1:]))
    if by_path:
        return by_path
    missing = re.search(r"depends on doc '([^']+)'", reason)
    shown = missing or re.search(r"^\s*line \d+\n\s*(\S.*?)\s*$", reason, re.MULTILINE)
    if shown and (by_text := [path for path in files if shown[1] in own_text(path)]):
        return by_text
    return [path for path in files if re.search(rf"\.{re.escape(path.stem)}(?![\w-])", reason)]


def _found_by_trying(
    home: Home, target: Path, files: Sequence[Path], reason: str, invoke: Invoke
) -> list[Path]:
    """For a message without a path: the first file without which the message disappears."""
    for path in sorted(files, key=lambda path: _is_model(home, path)):
        others = [other for other in files if other != path]
        parsed, _ = _parsed(home, invoke, others, target)
        if parsed.success or _reason(parsed) != reason:
            return [path]
    return [path for path in files if _is_model(home, path)]
