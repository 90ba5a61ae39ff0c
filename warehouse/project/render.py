"""Renders models and SQL with Jinja without dbt; the text is the one that dbt would compile.

It supports the built-in macros, those in ``HOME/macros``, ``ref``, ``source``, ``var``, ``config``,
``this`` and the functions that the built-in macros use. Anything else is refused by name as
`UnsupportedTemplate`, never guessed. Templates run in a sandbox that counts steps and limits the
size of values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template

from warehouse.errors import did_you_mean, nearest
from warehouse.home import own_files
from warehouse.project.compiled import SHIPPED
from warehouse.project.model_texts import model_for_dbt
from warehouse.project.sandbox import (
    MACRO,
    Patterns,
    Sandbox,
    TemplateMistake,
    TemplateValue,
    UnsupportedTemplate,
    naming_lines,
)
from warehouse.sql import DATABASE, Relation
from warehouse.vendor import dbt_project_dir, load_contracts, project_vars

# The kind of relation of each materialization of the user's models. A build makes them from
# scratch, so an incremental model is computed whole.
MATERIALIZED = {"view": "view", "table": "table", "incremental": "table"}

_OURS, _THEIRS = "warehouse", "user_models"
_EPHEMERAL = "__dbt__cte__"
# Similarity above which an unknown name is taken for a misspelt known one.
_NEAR = 0.75
# Arguments, for an example of each parameter of the catalog's functions.
_EXAMPLES = {"x": "close", "price": "close", "length": "'1 hour'", "horizon": "'1 hour'"}
_COMMENTS = re.compile(r"\{#.*?#\}", re.DOTALL)
_DEFINED = re.compile(r"\{%-?\s*(macro|test)\s+([A-Za-z_]\w*)\s*\(")
_MACRO_TEXT = re.compile(
    r"\{%-?\s*(macro|test)\s+([A-Za-z_]\w*)\s*\(.*?\{%-?\s*end\1\s*-?%\}", re.DOTALL
)
_MACRO_TAG = re.compile(r"\{%-?\s*(?:end)?(?:macro|test)\b")
_OTHER_BLOCK = re.compile(r"\{%-?\s*(materialization|snapshot|data_test)\b")
_WITH = re.compile(
    r"((?:\s|--[^\n]*\n|/\*.*?\*/)*)with(?:\s+recursive)?\b\s*", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text without Jinja.

    Attributes
    ----------
    sql
        The SQL as dbt compiles it, preceded by CTEs for ephemeral models.
    config
        Arguments of ``config()``.
    refs, sources
        Models and seeds, and sources, that it names, in order.
    """

    sql: str
    config: Mapping[str, Any]
    refs: tuple[str, ...]
    sources: tuple[tuple[str, ...], ...]


class Renderer:
    """Renders SQL with the macros and relations of the package and of the user."""

    def __init__(
        self,
        macros: Path | None = None,
        own_models: Mapping[str, Path] | None = None,
        without: Collection[Path] = (),
    ):
        """``macros`` is the user's folder of macros, ``own_models`` their files by name.

        The files of macros in ``without`` are not read.
        """
        self._project = dbt_project_dir()
        self._own_models = own_models or {}
        self._environment = Sandbox()
        manifest = json.loads(SHIPPED.read_bytes())
        self._nodes = {
            node["name"]: node
            for node in manifest["nodes"].values()
            if node["resource_type"] in ("model", "seed")
        }
        self._sources = {
            tuple(unique_id.split(".")[2:]): Relation(node["schema"], node["identifier"])
            for unique_id, node in manifest["sources"].items()
        }
        ours = self._macros(self._project / "macros") | self._macros(
            self._project / "tests" / "dbt" / "generic"
        )
        theirs = self._macros(macros, without) if macros is not None else {}
        for name in sorted(theirs.keys() & (ours.keys() | self._builtins().keys())):
            raise UnsupportedTemplate(f"macro {name}: a built-in macro has this name")
        self._packages = [ours | theirs, ours]  # dbt searches the root project first
        self._globals = {
            **self._packages[0],
            **self._builtins(),
            _OURS: ours,
            _THEIRS: self._packages[0],
        }

    def render(self, text: str, this: Relation | None = None, *, inline: bool = False) -> Rendered:
        """A model's text or any SQL with Jinja.

        With ``inline`` the user's own models that it reads become CTEs, from their current files;
        else they stay views of the catalog.

        Raises
        ------
        TemplateMistake
            The text is wrong or not supported; the line is one of ``text``.
        """
        self._environment.begin()
        return _Rendering(self, inline=inline).whole(text, this)

    def test(self, name: str, model: Relation, arguments: Mapping[str, Any]) -> str:
        """The query of a built-in generic test."""
        self._environment.begin()
        return str(self._globals[f"test_{name}"](_Reference(model), **arguments))

    def relation(self, name: str) -> Relation | None:
        """A built-in model or seed by its name; None if there is none."""
        node = self._nodes.get(name)
        return node and Relation(node["schema"], node.get("alias") or name)

    def file_of_ephemeral(self, name: str) -> Path | None:
        """The file of a built-in ephemeral model."""
        node = self._nodes.get(name)
        if node is None or node["config"].get("materialized") != "ephemeral":
            return None
        return self._project / str(node["original_file_path"])

    def undefined(self, name: str) -> tuple[str | None, list[str]]:
        """Why there is no macro of a name, if a function of the catalog has it; and near names."""
        self._environment.begin()
        functions = {f["name"]: f["parameters"] for f in self._globals["_functions"]()}
        if name in functions:
            example = ", ".join(_EXAMPLES.get(part, part) for part in functions[name].split(", "))
            return (
                f"{name} is a function of the catalog, not a macro: write {name}({example})"
                " without {{ }}",
                [],
            )
        public = [one for one in self._packages[0] if not one.startswith("_") and "__" not in one]
        return None, nearest(name, [*public, *functions], cutoff=_NEAR)

    def own_file(self, name: str) -> Path | None:
        return self._own_models.get(name)

    def template(self, text: str, name: str) -> tuple[Template, dict[str, Any]]:
        """A text as a template, and its namespace."""
        return self._environment.loaded(text, name), self._globals

    def source(self, *names: str) -> _Reference:
        if names not in self._sources:
            known = [name for _, name in self._sources]
            raise TemplateMistake(
                f"source{names}: no such source{did_you_mean(str(names[-1]), known)}"
            )
        return _Reference(self._sources[names])

    def no_model(self, name: str) -> TemplateMistake:
        known = [*self._nodes, *self._own_models]
        return TemplateMistake(f"ref('{name}'): no such model{did_you_mean(name, known)}")

    def _macros(self, folder: Path, without: Collection[Path] = ()) -> dict[str, _Macro]:
        found: dict[str, _Macro] = {}
        for path in own_files(folder, ".sql"):
            if path in without:
                continue
            text = path.read_text("utf-8", errors="replace")
            bare = _COMMENTS.sub("", text)
            if other := _OTHER_BLOCK.search(bare):
                raise UnsupportedTemplate(f"{path.name}: only dbt supports a {other[1]}")
            alone = _text_by_macro(text)
            if not alone and _DEFINED.search(bare):
                raise UnsupportedTemplate(f"{path.name}: only dbt reads Jinja between macros")
            for kind, name in _DEFINED.findall(bare):
                name = f"test_{name}" if kind == "test" else name
                if name in found:
                    raise UnsupportedTemplate(f"macro {name} is defined twice")
                found[name] = _Macro(self, path, alone[name], name)
        return found

    def _builtins(self) -> dict[str, Any]:
        return {
            "ref": _unset,
            "source": _unset,
            "config": _unset,
            "this": _unset,
            "var": self._var,
            "return": _return,
            "execute": True,
            "is_incremental": lambda: False,
            "adapter": {"dispatch": self._dispatch, "quote": _quote},
            "exceptions": {"raise_compiler_error": _wrong},
            "graph": _Graph(),
            "modules": {"re": Patterns()},
            "target": {"name": "home", "schema": "main", "type": "duckdb", "database": DATABASE},
            "log": lambda *_, **__: "",
        }

    @cached_property
    def _vars(self) -> dict[str, Any]:
        return project_vars(self._project)

    def _var(self, name: str, *default: Any) -> Any:
        if name not in self._vars and not default:
            raise TemplateMistake(f"var('{name}'): no such var{did_you_mean(name, self._vars)}")
        return self._vars.get(name, *default)

    def _dispatch(self, name: str, macro_namespace: str | None = None) -> _Macro:
        if macro_namespace not in (None, _OURS, _THEIRS):
            raise UnsupportedTemplate(f"dispatch in {macro_namespace} is not supported")
        for package in self._packages:
            for prefix in ("duckdb__", "default__"):
                if prefix + name in package:
                    return package[prefix + name]
        raise UnsupportedTemplate(f"dispatch('{name}'): neither a built-in macro nor one of yours")


class _Graph(TemplateValue):
    """The project as templates see it: the vendor's datasets."""

    @property
    def sources(self) -> dict[str, Any]:
        return {
            f"source.warehouse.vendor.{contract.name}": {
                "source_name": "vendor",
                "name": contract.name,
                "columns": {
                    column.name: {"name": column.name, "data_type": column.type.lower()}
                    for column in contract.columns
                },
            }
            for contract in load_contracts().values()
        }


class _Rendering:
    """The rendering of one text: its configuration, and the relations that it reads."""

    def __init__(self, renderer: Renderer, *, inline: bool) -> None:
        self._renderer = renderer
        self._inline = inline
        self._ctes: dict[str, str] = {}
        self._open: list[str] = []

    def whole(self, text: str, this: Relation | None) -> Rendered:
        sql, config, refs = self._text(text, "the text", this)
        names = tuple(name for name in refs if isinstance(name, str))
        sources = tuple(name for name in refs if isinstance(name, tuple))
        ephemeral = {n: s for n, s in self._ctes.items() if n.startswith(_EPHEMERAL)}
        own = {n: s for n, s in self._ctes.items() if n not in ephemeral}
        sql = _with_ephemeral(sql, ephemeral)
        if own:
            listed = ",\n".join(f"{_quote(name)} as (\n{text}\n)" for name, text in own.items())
            sql = f"with {listed}\nselect * from (\n{sql}\n)"
        return Rendered(sql, config, names, sources)

    def _text(
        self, text: str, name: str, this: Relation | None
    ) -> tuple[str, dict[str, Any], list[str | tuple[str, ...]]]:
        configured: dict[str, Any] = {}
        refs: list[str | tuple[str, ...]] = []

        def config(*given: Mapping[str, Any], **named: Any) -> str:
            for one in (*given, named):
                configured.update(one)
            return ""

        def ref(*names: str, **version: Any) -> _Reference:
            if not names or names[:-1] not in ((), (_OURS,), (_THEIRS,)) or version:
                raise UnsupportedTemplate(
                    f"ref{names}: other packages and versions are not supported"
                )
            refs.append(names[-1])
            return self._reference(names[-1])

        def source(*names: str) -> _Reference:
            refs.append(names)
            return self._renderer.source(*names)

        here: dict[str, Any] = {"ref": ref, "source": source, "config": config}
        if this is not None:
            here["this"] = _Reference(this)
        before = text[: len(text) - len(text.lstrip())].count("\n")
        with naming_lines(name, before):
            template, known = self._renderer.template(text.strip(), name)
            # macros see the same ref and config, so they are set where macros look names up
            former = {key: known[key] for key in here}
            known.update(here)
            try:
                return template.render(known), configured, refs
            finally:
                known.update(former)

    def _reference(self, name: str) -> _Reference:
        renderer = self._renderer
        if (path := renderer.file_of_ephemeral(name)) is not None:
            self._add(_EPHEMERAL + name, path, renderer.relation(name))
            return _Reference(None, _EPHEMERAL + name)
        if (relation := renderer.relation(name)) is not None:
            return _Reference(relation)
        if (path := renderer.own_file(name)) is None:
            raise renderer.no_model(name)
        if self._inline:
            self._add(name, path, Relation("user", name))
            return _Reference(None, name)
        return _Reference(Relation("user", self._alias(name, path)))

    def _alias(self, name: str, path: Path) -> str:
        """The name of the view that is built from one of the user's files."""
        if name in self._open:
            return name
        self._open.append(name)
        text = model_for_dbt(path.read_bytes()).decode("utf-8", errors="replace")
        try:
            _, config, _ = self._text(text, path.name, Relation("user", name))
        except TemplateMistake:  # reported when that file itself is rendered
            config = {}
        self._open.pop()
        if config.get("materialized", "view") not in MATERIALIZED:
            raise UnsupportedTemplate(f"{path.name}: materialized as {config['materialized']}")
        return str(config.get("alias") or name)

    def _add(self, cte: str, path: Path, this: Relation | None) -> None:
        if cte in self._open:
            circle = " -> ".join([*self._open, cte])
            raise TemplateMistake(f"these models read each other: {circle}")
        if cte not in self._ctes:
            self._open.append(cte)
            try:
                text = model_for_dbt(path.read_bytes()).decode("utf-8", errors="replace")
                sql, _, _ = self._text(text, path.name, this)
            except TemplateMistake as error:
                raise type(error)(f"{path.name}: {error.what}") from error
            self._open.pop()
            self._ctes[cte] = sql


class _Reference(TemplateValue):
    """A relation, or the name of a CTE, as templates see it."""

    def __init__(self, relation: Relation | None, cte: str = "") -> None:
        self._relation = relation
        self._cte = cte
        if relation is not None:
            self.database, self.schema = DATABASE, relation.schema
            self.identifier = self.name = self.table = relation.name

    def __str__(self) -> str:
        if self._relation is not None:
            return self._relation.sql
        return self._cte if self._cte.startswith(_EPHEMERAL) else _quote(self._cte)


# -- macros --------------------------------------------------------------------------------------


class _Return(BaseException):
    """Raised to end a macro with a value; templates cannot catch it."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Macro:
    """A macro, compiled on its first call."""

    def __init__(self, renderer: Renderer, path: Path, text: str, name: str) -> None:
        self._renderer = renderer
        self._path = path
        self._text = text
        self._name = name

    def __call__(self, *args: Any, **named: Any) -> Any:
        template, known = self._renderer.template(self._text, self._path.name)
        if self._name.startswith("test_"):
            known = {**known, "config": _config_of_test}
        try:
            return getattr(template.make_module(known), f"{MACRO}{self._name}")(*args, **named)
        except _Return as done:
            return done.value


def mistake_of_macros(text: str) -> str | None:
    """Why dbt cannot read the macros of a file, with the line; None if it may be able to."""
    rest = _MACRO_TEXT.sub("", _COMMENTS.sub("", text))
    if "{" in rest and not _MACRO_TAG.search(rest):
        return None  # dbt does not parse what is between macros
    try:
        with naming_lines(""):
            Sandbox().parse(text, "", "")
    except UnsupportedTemplate:
        return None
    except TemplateMistake as error:
        line = error.line or 1
        return f"{error.reason}\nline {line}\n  {text.splitlines()[line - 1]}"
    return None


def _text_by_macro(text: str) -> dict[str, str]:
    """The text of each macro of a file, on its line; empty if there is other text between them.

    So only the macros that are called are compiled.
    """
    bare = _COMMENTS.sub(lambda comment: re.sub(r"[^\n]", " ", comment[0]), text)
    if "{" in _MACRO_TEXT.sub("", bare):
        return {}
    return {
        f"test_{match[2]}" if match[1] == "test" else match[2]: "\n"
        * bare.count("\n", 0, match.start())
        + text[match.start() : match.end()]
        for match in _MACRO_TEXT.finditer(bare)
    }


# -- what templates call -------------------------------------------------------------------------


def _return(value: Any = None) -> NoReturn:
    raise _Return(value)


def _wrong(message: str) -> NoReturn:
    raise TemplateMistake(message)


def _config_of_test(*, meta: object = None, **options: object) -> str:
    """Accept the options of a test that do not change its SQL; refuse others."""
    if options:
        raise UnsupportedTemplate(f"config({', '.join(options)}) is not supported in a test")
    return ""


def _unset(*_: object, **__: object) -> NoReturn:
    raise UnsupportedTemplate("`this` is not defined here")


def _quote(name: str) -> str:
    return f'"{name}"'


def _with_ephemeral(sql: str, ctes: Mapping[str, str]) -> str:
    """The text with CTEs in front, as dbt inserts them."""
    if not ctes:
        return sql
    listed = ", ".join(f" {name} as (\n{text}\n)" for name, text in ctes.items())
    begins = _WITH.match(sql)
    if begins is None:
        return f"with{listed} {sql}"
    return f"{begins[0]}{listed}, {sql[begins.end() :]}"
