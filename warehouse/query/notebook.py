"""``%load_ext warehouse``: a ``%%sql`` cell in notebooks, with parameters from Python variables.

``%%sql`` runs the cell's SELECT on the home of ``$WAREHOUSE_HOME``, else ``./data``; ``%sql --home
DIR`` chooses another for the session, and ``%%sql NAME`` keeps the result in a variable. ``$x`` in
the SQL is the value of the Python variable ``x``. If another extension, such as JupySQL, has
already registered ``%sql``, this one is called ``%wsql`` and ``%%wsql``.
"""

from __future__ import annotations

import argparse
import logging
import shlex
from typing import Any

from warehouse.errors import QueryError, WarehouseError
from warehouse.query.results.result import Result
from warehouse.query.warehouse import Warehouse, parameters_in
from warehouse.query.warehouse import open as open_warehouse

log = logging.getLogger(__name__)


def load_ipython_extension(shell: Any) -> None:
    """Register ``%sql`` and ``%%sql``; IPython calls this at ``%load_ext warehouse``."""
    name = "wsql" if _is_taken(shell) else "sql"
    if name != "sql":
        log.warning(
            "warning: %%sql and %%%%sql belong to another extension; write %%%s and %%%%%s here",
            *(name, name),
        )
    magic = _Magic(shell)
    shell.register_magic_function(magic.run, magic_kind="line_cell", magic_name=name)


def _is_taken(shell: Any) -> bool:
    """Whether another extension has already registered ``%sql`` or ``%%sql``."""
    found = (shell.find_magic("sql", kind) for kind in ("line", "cell"))
    others = (magic for magic in found if magic is not None)
    return any(not isinstance(getattr(magic, "__self__", None), _Magic) for magic in others)


class _Magic:
    """The magics and the warehouse that they keep open."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._warehouse: Warehouse | None = None

    def run(self, line: str, cell: str | None = None) -> Result | None:
        """``%sql SELECT ...``, ``%sql --home DIR``, or ``%%sql [NAME]`` and the SELECT below."""
        try:
            return self._run(line, cell)
        except WarehouseError as error:
            shown = [f"{type(error).__name__}: {error}"]
            # IPython shows this instead of a traceback, which would only contain lines of this
            # package
            vars(error)["_render_traceback_"] = lambda: shown
            raise

    def _run(self, line: str, cell: str | None) -> Result | None:
        if cell is None and not line.startswith("--home"):
            return self._ask(line)
        options = self._options(line)
        if options.home is not None:
            self._open(options.home)
        if cell is None:
            return None
        if options.name is not None and not options.name.isidentifier():
            raise QueryError(f"%%sql {options.name}: not a valid variable name")
        result = self._ask(cell)
        if options.name is None:
            return result
        self._shell.user_ns[options.name] = result
        return None

    def _ask(self, text: str) -> Result:
        warehouse = self._warehouse or self._open(None)
        variables = self._shell.user_ns
        wanted = parameters_in(warehouse, text)
        missing = sorted(name for name in wanted if name not in variables)
        if missing:
            raise QueryError(
                f"no variable {', '.join(missing)} for the parameters of this query",
                next_step=f"set it in an earlier cell: {missing[0]} = ...",
            )
        return warehouse.sql(text, {name: variables[name] for name in wanted})

    def _open(self, home: str | None) -> Warehouse:
        former, self._warehouse = self._warehouse, open_warehouse(home)
        if former is not None:
            former.close()
        return self._warehouse

    @staticmethod
    def _options(line: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser(prog="%%sql", add_help=False, exit_on_error=False)
        parser.add_argument("name", nargs="?")
        parser.add_argument("--home")
        try:
            return parser.parse_args(shlex.split(line))
        except (argparse.ArgumentError, SystemExit, ValueError) as error:
            raise QueryError(
                f"%%sql {line}: not understood",
                next_step="write %%sql [NAME] [--home DIR], and the SELECT below it",
            ) from error
