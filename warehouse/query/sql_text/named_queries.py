"""Named queries: SQL files with a header, in the package and in the home's ``queries/`` folder.

A file begins with a block comment that holds YAML: ``purpose``, then ``parameters`` by name, each
with ``type``, ``meaning`` and, unless it must be given, ``default``. Values are bound, never
inserted into the text. Columns and tables, which cannot be bound, have the type ``identifier`` and
a closed list of ``choices``; the SQL contains them as ``{{ name }}``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.errors import NotFoundError, QueryError, did_you_mean
from warehouse.query.sql_text.parameters import require_names
from warehouse.sql import bound, identifier

_HEADER = re.compile(r"\s*/\*(.*?)\*/\s*", re.DOTALL)
_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a named query.

    ``is_required`` means that there is no ``default``; ``choices`` are the allowed values of an
    identifier.
    """

    name: str
    type: str
    meaning: str
    default: Any = None
    is_required: bool = False
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        given = "" if self.is_required else f" = {_default_text(self.default)}"
        return f"{self.name} {self.type}{given}"


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A query with its purpose and parameters; ``source`` is package or home."""

    name: str
    text: str
    purpose: str
    parameters: tuple[Parameter, ...]
    source: str

    def prepare(self, given: Mapping[str, Any]) -> tuple[str, dict[str, object]]:
        """The SQL, and the values to bind: the given ones, and the defaults of the others.

        Raises
        ------
        QueryError
            A value is missing, unknown or of another type.
        """
        types = {p.name: str(p).removeprefix(f"{p.name} ") for p in self.parameters}
        needed = frozenset(p.name for p in self.parameters if p.is_required)
        require_names(needed, given, lambda: types, optional=frozenset(types) - needed)
        values = {p.name: _cast(p, given.get(p.name, p.default)) for p in self.parameters}
        text = self.text
        for p in self.parameters:
            if p.choices:
                name = identifier(str(values.pop(p.name)))
                text = name.join(re.split(rf"\{{\{{ *{re.escape(p.name)} *\}}\}}", text))
        return text, values


def find_query(name: str, folder: Path) -> NamedQuery:
    """A named query; one in ``folder`` takes precedence over the package's of the same name.

    Examples
    --------
    >>> query = find_query("large_trade_share", Path("queries"))
    >>> print(query.purpose)
    Share of large trades by count, bar by bar and over a day.
    """
    known = _paths(folder)
    if name in known:
        return read_query(*known[name])
    raise NotFoundError(
        f"{name}: no such query{did_you_mean(name, known)}",
        next_step="list them with: warehouse queries",
        name=name,
    )


def list_queries(folder: Path) -> list[NamedQuery]:
    """Every named query, by name; the purpose of an unreadable one is the error."""
    return [_read_or_explain(path, source) for _, (path, source) in sorted(_paths(folder).items())]


def _paths(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files and their source, by name; a file of the home replaces one of the package."""
    found = {path.stem: (path, "package") for path in _package_folder().glob("*.sql")}
    if folder.is_dir():
        found |= {path.stem: (path, "home") for path in folder.glob("[!.]*.sql")}
    return found


def _read_or_explain(path: Path, source: str) -> NamedQuery:
    try:
        return read_query(path, source)
    except (QueryError, OSError, ValueError) as error:
        reason = error.what if isinstance(error, QueryError) else str(error)
        return NamedQuery(path.stem, "", f"Cannot be read: {reason}.", (), source)


def read_query(path: Path, source: str = "home") -> NamedQuery:
    """A query from its file."""
    text = path.read_text("utf-8")
    header = _HEADER.match(text)
    if header is None:
        return NamedQuery(path.stem, text, "", _parameters_without_header(text), source)
    import yaml

    try:
        facts = yaml.safe_load(header[1])
        parameters = tuple(
            _parameter(name, entry) for name, entry in (facts.get("parameters") or {}).items()
        )
        purpose = " ".join(facts["purpose"].split())
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise QueryError(
            f"{path}: its header cannot be read ({str(error).splitlines()[0]})",
            next_step="write purpose: and parameters: as docs/asking.md shows",
            path=str(path),
        ) from error
    return NamedQuery(path.stem, text[header.end() :], purpose, parameters, source)


def as_sql(queries: Sequence[NamedQuery]) -> tuple[str, dict[str, list[str]]]:
    """The list of queries as a SELECT and its parameters."""
    columns = {
        "name": [query.name for query in queries],
        "purpose": [query.purpose for query in queries],
        "parameters": ["; ".join(map(str, query.parameters)) for query in queries],
        "source": [query.source for query in queries],
    }
    selected = ", ".join(f"unnest(${name}::varchar[]) as {name}" for name in columns)
    return f"select {selected}", columns


def _package_folder() -> Path:
    return Path(__file__).parents[2] / "queries"


def _parameters_without_header(text: str) -> tuple[Parameter, ...]:
    """Parameters of a file without a header: all are required and may have any type."""
    names = dict.fromkeys(re.findall(r"(?<![\w$])\$([A-Za-z_]\w*)", text))
    return tuple(Parameter(name, "any", "", is_required=True) for name in names)


def _parameter(name: str, entry: dict[str, Any]) -> Parameter:
    kind = entry["type"]
    choices = tuple(entry.get("choices", ()))
    if kind not in _TYPES or (kind == "identifier") != bool(choices):
        raise KeyError(
            f"parameter {name} has type {kind}, but must have one of {', '.join(_TYPES)}"
        )
    for part, value in entry.items():
        if value is None and part != "default":  # YAML takes what follows a comma for a key
            raise KeyError(f"parameter {name}: put quotes around the text that ends with {part!r}")
    default = entry.get("default", _REQUIRED)
    return Parameter(
        name,
        kind,
        " ".join(entry["meaning"].split()),
        None if default is _REQUIRED else default,
        default is _REQUIRED,
        choices,
    )


# -- types ---------------------------------------------------------------------------------------


def _cast(parameter: Parameter, value: Any) -> object:
    value = bound(value)
    if value is None:
        if parameter.is_required:
            raise _wrong_type(parameter, value)
        return None
    if parameter.choices and value not in parameter.choices:
        raise QueryError(
            f"parameter {parameter.name}: {value!r} is not one of {', '.join(parameter.choices)}"
        )
    try:
        return _TYPES[parameter.type](value)
    except (TypeError, ValueError) as error:
        raise _wrong_type(parameter, value) from error


def _wrong_type(parameter: Parameter, value: object) -> QueryError:
    return QueryError(
        f"parameter {parameter.name}: {value!r} is not of type"
        f" {parameter.type} ({parameter.meaning})",
        next_step=_NEXT_STEPS.get(parameter.type),
    )


def _moment(value: object) -> dt.date:
    """A date or a datetime; a string is read as ISO 8601, a naive one as UTC."""
    if isinstance(value, str):
        value = bound(dt.datetime.fromisoformat(value))
    if not isinstance(value, dt.date):
        raise TypeError
    return value


def _number(value: object, kinds: tuple[type, ...], make: Callable[[Any], object]) -> object:
    """A number of these kinds, or a string that holds one; booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, (*kinds, str)):
        raise TypeError
    return make(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


_TYPES: dict[str, Callable[[Any], object]] = {
    "text": str,
    "texts": _texts,
    "integer": lambda value: _number(value, (int,), int),
    "real": lambda value: _number(value, (int, float), float),
    "boolean": _boolean,
    "time": _moment,
    "identifier": str,
    "any": lambda value: value,
}

_NEXT_STEPS = {
    "time": "write a date or moment as ISO 8601 in UTC, such as 2025-10-01 or 2025-10-01T05:00Z",
    "boolean": "write true or false",
    "integer": "write a whole number, such as 20",
    "real": "write a number, such as 0.5",
}


def _default_text(value: object) -> str:
    return "none" if value is None else str(value)
