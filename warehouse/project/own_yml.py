"""Reads yml files of the user's models whose whole content is supported with dbt's meaning.

These are descriptions of models and columns, types, dbt's four own data tests on columns, and
``warehouse.holds``. Anything else leaves the models to dbt, and `NeedsDbt` names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from warehouse.errors import nearest
from warehouse.sql import literal

_REF = re.compile(r"ref\(\s*(['\"])(\w+)\1\s*\)")
_OF_ROWS = "warehouse.holds"
_ARGUMENTS: dict[str, frozenset[str]] = {
    "not_null": frozenset(),
    "unique": frozenset(),
    "accepted_values": frozenset({"values"}),
    "relationships": frozenset({"to", "field"}),
    _OF_ROWS: frozenset({"expression"}),
}
_OF_DBT = {
    "not_null": "select {column} from {model} where {column} is null",
    "unique": "select {column} as unique_field, count(*) as n_records from {model}"
    " where {column} is not null group by {column} having count(*) > 1",
    "accepted_values": "select value_field from (select distinct {column} as value_field"
    " from {model}) where value_field not in ({values})",
    "relationships": "select from_field from (select {column} as from_field from {model}"
    " where {column} is not null) left join (select {field} as to_field from {to})"
    " on from_field = to_field where to_field is null",
    _OF_ROWS: "select * from {model} where ({expression}) is distinct from true",
}


# Known keys of a yml file, of a model in it, and of a column; misspelt ones resemble them.
_KEYS = {
    "file": ("version", "models", "macros", "unit_tests"),
    "model": ("name", "description", "columns", "data_tests", "tests", "config", "docs", "meta"),
    "column": ("name", "description", "data_type", "data_tests", "tests", "config", "meta", "tags"),
}
# Similarity from which an unknown key counts as one of these, misspelt.
_NEAR = 0.75


class NeedsDbt(Exception):
    """Why a set of models cannot be built without dbt: the file, then the reason.

    ``path`` is the file of the model or macro at fault, where it is one; ``is_broken`` if dbt will
    not be able to build it either.
    """

    path: Path | None = None
    is_broken = False


@dataclass(frozen=True, slots=True)
class OwnTest:
    """A data test of a model; ``column`` is empty for a test of the whole model."""

    kind: str
    column: str
    arguments: Mapping[str, Any]

    def name(self, model: str) -> str:
        """The name that dbt gives the test.

        Examples
        --------
        >>> OwnTest("accepted_values", "a", {"values": ["x y", 1]}).name("mine")
        'accepted_values_mine_a__x_y__1'
        """
        column = {"column_name": self.column} if self.column else {}
        flat: list[str] = []
        for _, value in sorted({**self.arguments, **column}.items()):
            flat += map(str, value) if isinstance(value, list) else [str(value)]
        parts = "__".join(re.sub("[^0-9a-zA-Z_]+", "_", text) for text in flat)
        return f"{self.kind.replace('.', '_')}_{model}_{parts}"

    @property
    def expression(self) -> str:
        """The condition on each row of ``holds`` and ``not_null``; else empty."""
        if self.kind == "not_null":
            return f"{self.column} is not null"
        return str(self.arguments.get("expression", "")).strip()

    @property
    def reads(self) -> str | None:
        """The model that ``relationships`` compares with."""
        found = _REF.fullmatch(str(self.arguments.get("to", "")))
        return found and found[2]

    def sql(self, model: str, other: str) -> str:
        """The query for failing rows; ``model`` and the ``other`` are relations."""
        values = ", ".join(literal(str(value)) for value in self.arguments.get("values", ()))
        named = {**self.arguments, "model": model, "to": other, "values": values}
        return _OF_DBT[self.kind].format(**named, column=self.column)


@dataclass(frozen=True, slots=True)
class Described:
    """The content of the yml file ``path`` for a model: descriptions, types and tests."""

    path: Path = Path()
    description: str = ""
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tests: Sequence[OwnTest] = ()


def described_models(home: Path, paths: Sequence[Path]) -> dict[str, Described]:
    """The contents of these files, by the name of the model."""
    found: dict[str, Described] = {}
    for path in paths:
        place = path.relative_to(home).as_posix()
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise NeedsDbt(f"{place}: is not UTF-8 text") from error
        if re.search(r"\{[{%#]", text):
            raise NeedsDbt(f"{place}: only dbt renders a yml file with Jinja")
        try:
            content = _part(yaml.safe_load(text) or {}, {"version", "models"})
            if content.get("version", 2) != 2:
                raise _Unknown(f"version: {content['version']}")
            for entry in _list(content, "models"):
                name, model = _model(entry, path)
                if name in found:
                    raise _Unknown(f"model {name} is described twice")
                found[name] = model
        except _Unknown as error:
            raise NeedsDbt(f"{place}: {error}") from error
    return found


def yaml_error(text: str) -> str | None:
    """Why a text is not valid YAML, with its line; None if it is.

    A key that occurs twice is an error too: the first one would be lost with its tests.
    """
    try:
        yaml.safe_load(text)
        _require_unique(yaml.compose(text, yaml.SafeLoader), set())
    except yaml.MarkedYAMLError as error:
        lines, mark = text.splitlines(), error.problem_mark
        if mark is None or mark.line >= len(lines):
            return f"is not valid YAML: {error.problem}"
        return f"is not valid YAML: {error.problem}\nline {mark.line + 1}\n  {lines[mark.line]}"
    except (yaml.YAMLError, ValueError, TypeError) as error:  # the latter for a date or a key
        return f"is not valid YAML: {error}"
    except RecursionError:
        return "is not valid YAML: it is nested too deeply"
    return None


def _require_unique(node: yaml.Node | None, seen: set[int]) -> None:
    """Raise an error if a mapping has a key twice."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _require_unique(item, seen)
        return
    keys = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in keys:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} occurs twice", problem_mark=key.start_mark
                )
            keys.add((key.tag, key.value))
        _require_unique(value, seen)


def described_in(text: str) -> list[str]:
    """The names of the models in a yml file; none if it cannot be read."""
    names = (model.get("name") for model in _models(_content(text)))
    return [name for name in names if isinstance(name, str)]


def misspelt_keys(text: str) -> Iterator[str]:
    """Why keys of a yml file are not used: dbt ignores keys that it does not know."""
    content = _content(text)
    yield from _misspelt("file", content)
    for model in _models(content):
        yield from _misspelt("model", model)
        columns = model.get("columns")
        for column in columns if isinstance(columns, list) else ():
            if isinstance(column, dict):
                yield from _misspelt("column", column)


def _content(text: str) -> Mapping[str, Any]:
    content = yaml.safe_load(text) if yaml_error(text) is None else None
    return content if isinstance(content, dict) else {}


def _models(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    models = content.get("models")
    found = models if isinstance(models, list) else []
    return [model for model in found if isinstance(model, dict)]


def _misspelt(of: str, entry: Mapping[str, Any]) -> Iterator[str]:
    for key in map(str, entry):
        if key not in _KEYS[of] and (near := nearest(key, _KEYS[of], cutoff=_NEAR)):
            yield f'"{key}:" is not a key of a {of}, so it is not used; did you mean {near[0]}?'


class _Unknown(Exception):
    pass


def _part(entry: Any, known: set[str]) -> dict[str, Any]:
    """Check that an entry is a mapping with these keys only."""
    if not isinstance(entry, dict):
        raise _Unknown(f"{entry!r} is not supported without dbt")
    if others := sorted(map(str, entry.keys() - known)):
        raise _Unknown(f"only dbt reads {others[0]}")
    return entry


def _list(entry: Mapping[str, Any], key: str) -> list[Any]:
    value = entry.get(key) or []
    if not isinstance(value, list):
        raise _Unknown(f"{key} is not a list")
    return value


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str) or re.search("[\0\ud800-\udfff]", value):
        raise _Unknown(f"{key}: {value!r} is not a string")
    return value


def _model(entry: Any, path: Path) -> tuple[str, Described]:
    entry = _part(entry, {"name", "description", "columns", "data_tests", "tests"})
    columns, tests = {}, list(_tests(entry, ""))
    for given in _list(entry, "columns"):
        known = {"name", "description", "data_type", "config", "data_tests", "tests"}
        column = _part(given, known)
        name = _text(column, "name")
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or name in columns:
            raise _Unknown(f"column {name!r}")
        texts = {key: _text(column, key) for key in ("description", "data_type")}
        columns[name] = {**texts, "config": _column_config(column)}
        tests += _tests(column, name)
    name = _text(entry, "name")
    names = [test.name(name) for test in tests]
    if twice := [test for test in names if names.count(test) > 1]:
        raise _Unknown(f"the test {twice[0]} is declared twice")
    return name, Described(path, _text(entry, "description"), columns, tests)


def _column_config(column: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration that a column looks ahead; nothing else can be declared here."""
    config = _part(column.get("config") or {}, {"meta"})
    meta = _part(config.get("meta") or {}, {"labels"})
    if not isinstance(meta.get("labels", False), bool):
        raise _Unknown(f"labels: {meta['labels']!r} is neither true nor false")
    return {"meta": meta}


def _tests(entry: Mapping[str, Any], column: str) -> Iterator[OwnTest]:
    if "tests" in entry and "data_tests" in entry:
        raise _Unknown("both tests and data_tests for the same model or column")
    for given in (*_list(entry, "tests"), *_list(entry, "data_tests")):
        test = {given: {}} if isinstance(given, str) else _part(given, {*_ARGUMENTS})
        if len(test) != 1:
            raise _Unknown(f"the test {given}")
        ((kind, options),) = test.items()
        if isinstance(options, dict) and options.keys() == {"arguments"}:
            options = options["arguments"]
        known = isinstance(options, dict) and options.keys() == _ARGUMENTS.get(kind)
        if not known or bool(column) == (kind == _OF_ROWS):
            raise _Unknown(f"only dbt knows the test {kind} with these options")
        found = OwnTest(kind, column, {key: _rendered(value) for key, value in options.items()})
        if kind == "relationships" and found.reads is None:
            raise _Unknown(f"the test relationships to {options['to']!r}")
        if kind == "accepted_values" and not _are_plain(options["values"]):
            raise _Unknown("values of accepted_values that are neither plain strings nor numbers")
        yield found


def _rendered(value: Any) -> Any:
    """An argument as Jinja gives it: a text without its last line break."""
    return value.removesuffix("\n") if isinstance(value, str) else value


def _are_plain(values: Any) -> bool:
    """Whether they are texts and numbers, without quotes, which dbt does not escape."""
    return (
        isinstance(values, list)
        and values != []
        and all(isinstance(value, str | int | float) for value in values)
        and not re.search(r"['\n]", "".join(map(str, values)))
    )
