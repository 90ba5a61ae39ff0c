"""SQL with Jinja: the macros of models in a query's text, and model files before they are built."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from warehouse.errors import NotFoundError, QueryError, did_you_mean
from warehouse.home import Home, own_files
from warehouse.sql import Relation, identifier

if TYPE_CHECKING:
    from warehouse.project import Renderer

_PARTS = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1|(?P<jinja>\{[{%])",
    re.DOTALL,
)
_ALLOWED = (
    "use ref, source, var, the built-in macros and those in HOME/macros; what needs dbt itself"
    " works in a model in HOME/models after: warehouse build"
)

_FUNCTIONS = 'list the functions with: warehouse sql "from help()"'


def holds_template(text: str) -> bool:
    """Whether a text has Jinja outside of literals and comments.

    Examples
    --------
    >>> holds_template("select {{ ratio('a', 'b') }}"), holds_template("select '{{ a }}' -- {{")
    (True, False)
    """
    if "{{" not in text and "{%" not in text:
        return False
    return any(match["jinja"] for match in _PARTS.finditer(text))


class Templates:
    """Renders texts with the current files of the user's macros and models."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = Lock()
        self._made_of: list[object] = []
        self._renderer: Renderer | None = None

    def render(self, text: str) -> str:
        """Render a query; ``ref`` of the user's own models is the catalog's view.

        Raises
        ------
        QueryError
            The text is wrong, or needs dbt itself; the message names the line.
        """
        with self._lock, self._explained(text):
            return self._current().render(text).sql

    def preview(self, text: str, path: Path) -> str:
        """Render a model; the user's own models that it reads become part of its text."""
        with self._lock, self._explained(text):
            this = Relation("user", path.stem)
            return self._current().render(text, this, inline=True).sql

    @contextmanager
    def _explained(self, text: str) -> Iterator[None]:
        """Add the next step to the error of a template."""
        from warehouse.project import UnsupportedTemplate

        try:
            yield
        except UnsupportedTemplate as error:
            next_step: str = _ALLOWED
            name = re.search(r"'(\w+)' is undefined", error.what)
            if name and self._renderer:
                reason, near = self._renderer.undefined(name[1])
                if not near and not re.search(rf"\b{name[1]}\s*[(.]", text):
                    near = [f"${name[1]} for the value of a parameter"]
                if near:
                    next_step = f"write {' or '.join(near)}; in templates {_ALLOWED}"
                if reason is not None:
                    error.reason, next_step = reason, _FUNCTIONS
            error.next_step = error.in_shell = next_step
            raise

    def _current(self) -> Renderer:
        """The renderer, created again if a macro was changed or a model added or removed."""
        models = {path.stem: path for path in own_files(self._home.models, ".sql")}
        macros = [(path, path.stat()) for path in own_files(self._home.macros, ".sql")]
        made_of: list[object] = [models]
        made_of += [(path, s.st_mtime_ns, s.st_size, s.st_ino) for path, s in macros]
        if self._renderer is None or made_of != self._made_of:
            from warehouse.project import Renderer

            self._renderer = Renderer(self._home.macros, models)
            self._made_of = made_of
        return self._renderer


@contextmanager
def lines_of(place: str, text: str) -> Iterator[None]:
    """Make errors in a rendered text name the line of the original text."""
    from warehouse.project import TemplateMistake, at_line

    try:
        yield
    except TemplateMistake as error:
        at = place + (f":{error.line}" if error.line else "")
        raise QueryError(f"{at}\n{error.reason}", next_step=error.next_step) from error
    except QueryError as error:
        reason = str(error.__cause__) if "\nLINE " in str(error.__cause__) else error.what
        error.what = at_line(place, text, reason)
        clause = re.search('near "(where|group|having)"', reason, re.I)
        if clause and "windows(" in text:
            error.next_step = error.in_shell = f"write {clause[1]} before {{{{ windows(…) }}}}"
        raise


# -- model files ---------------------------------------------------------------------------------


def model_file(home: Home, file: str | os.PathLike[str]) -> Path:
    """A file by its path, or by its name below the home's ``models/``."""
    path = Path(file)
    own = {one.name: one for one in own_files(home.models, ".sql")}
    for found in (path, home.root / path, home.models / path, own.get(path.name)):
        if found is not None and found.is_file():
            return found
    raise NotFoundError(
        f"{path}: there is no such file{did_you_mean(path.name, own)}",
        next_step=f"name a file *.sql, such as one in {home.models}",
    )


def model_text(path: Path) -> str:
    """A model's text as dbt receives it, with the same line numbers."""
    from warehouse.project import holds_query, model_for_dbt

    text = decode_sql(model_for_dbt(path.read_bytes()), path)
    if not holds_query(text):
        raise QueryError(f"{path}\nthe file has no query", next_step="write one into it")
    return text


def decode_sql(content: bytes, name: object) -> str:
    """SQL from a file or stdin, whose ``name`` is for the error."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise QueryError(
            f"{name} is not UTF-8 text ({error.reason} at {error.start})",
            next_step="save it in UTF-8",
        ) from error


def require_columns(keys: Iterable[str], columns: Iterable[str]) -> None:
    """Raise an error if a model lacks the columns by which rows are selected."""
    there = list(columns)
    for name in keys:
        if name not in there:
            raise QueryError(
                f"the model has no column {name}, so its rows cannot be selected by it",
                next_step=f"leave {name} out; its columns: {', '.join(there)}",
            )


def limited(sql: str, keys: Iterable[str], limit: int | None) -> str:
    """At most ``limit`` rows of the query that have the values ``$key``."""
    conditions = " and ".join(f"{identifier(name)} = ${name}" for name in keys)
    where = f"\nwhere {conditions}" if conditions else ""
    most = "" if limit is None else f"\nlimit {int(limit)}"
    return f"select * from (\n{sql}\n){where}{most}"
