"""Shared by the verbs: the home option, JSON output, and lines for the terminal."""

from __future__ import annotations

import json
import logging
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

import click

from warehouse.cli.completion import completed
from warehouse.config import Settings, load_settings
from warehouse.display import counted, first_few, render_table, terminal_width
from warehouse.errors import UsageError, did_you_mean
from warehouse.files import path_in_errors
from warehouse.lake import Note
from warehouse.vendor import FileKey

# Table width that means "unlimited".
UNCUT = 100_000

# Lines of a list that are printed; --json prints all.
LINES_SHOWN = 20

# A command on a home in a next step: no --help, and not Python's "from warehouse import".
_COMMAND = re.compile(r"(?<![\w./-])(?<!from )warehouse (?=[a-z])(?!\w+( \w+)? --help)")
# Where a next step begins: by its label, or with a command after a colon.
_STEP = re.compile(r"next: |: (?=warehouse [a-z])")

F = TypeVar("F", bound=Callable[..., Any])


class Verbs(click.Group):
    """A command group that suggests the nearest verb for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        raise UsageError(
            f"no such command {name!r}{did_you_mean(name, self.list_commands(ctx))}",
            next_step=f"list them with: {ctx.command_path} --help",
        )


def to_usage_error(error: click.ClickException) -> UsageError:
    """Translate a usage error of click into a UsageError."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        what = f"no such option {name}{did_you_mean(name, error.possibilities or ())}"
    else:
        text = error.format_message().strip().removesuffix(".")
        what = text[:1].lower() + text[1:]
    command = context.command_path if context else "warehouse"
    return UsageError(what, next_step=f"see: {command} --help")


def home_option(command: F) -> F:
    """Accept ``--home DIR`` and ``--debug`` after the verb too, and pass the verb ``settings``."""

    def to_settings(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Settings:
        root = ctx.find_root()
        root.obj = root.obj or {}
        root.obj["home"] = value or root.obj.get("home")
        return load_settings(root.obj["home"])

    home = click.option(
        "--home",
        "settings",
        metavar="DIR",
        callback=to_settings,
        help="Folder of the warehouse [$WAREHOUSE_HOME, ./data].",
    )
    return home(debug_option(command))


def debug_option(command: F) -> F:
    """Accept ``--debug`` after the verb as well as before it."""

    def begin(ctx: click.Context, parameter: click.Parameter, is_wanted: bool) -> None:
        if is_wanted:
            begin_debugging(ctx.find_root())

    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=begin,
        help="Print timings, requests and tracebacks to stderr.",
    )(command)


def begin_debugging(root: click.Context) -> None:
    """Show log messages on stderr, and at the end the total time."""
    from warehouse.progress import phase

    if root.meta.setdefault("warehouse.debug", False):
        return
    root.meta["warehouse.debug"] = True
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
    for name in ("warehouse", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.with_resource(phase("in all"))


def grouped(name: str, make: Callable[..., object], *options: Callable[[F], F]) -> Callable[[F], F]:
    """Pass the values of these options to the verb as one argument, built by ``make``."""
    parts = signature(make).parameters

    def decorate(command: F) -> F:
        @wraps(command)
        def collected(*arguments: Any, **values: Any) -> Any:
            group = make(**{part: values.pop(part) for part in parts})
            return command(*arguments, **{name: group}, **values)

        for option in reversed(options):
            option(cast(F, collected))
        return cast(F, collected)

    return decorate


def _past(generation: int | None, as_of: str | None, snapshot: str | None) -> dict[str, Any]:
    return {"generation": generation, "as_of": as_of, "snapshot": snapshot}


past_options = grouped(
    "past",
    _past,
    click.option(
        "--generation", type=int, metavar="N", help="Use generation N instead of the current one."
    ),
    click.option(
        "--as-of",
        metavar="TIME",
        help="Use the catalog that was current at that time (ISO 8601, UTC).",
    ),
    click.option(
        "--snapshot",
        metavar="NAME",
        shell_complete=completed("snapshot"),
        help="Use the generation of that name.",
    ),
)


def key_option(name: str, help: str) -> Callable[[F], F]:
    """An option with a key of series, such as ``--symbol``, completed from those of the home."""
    return click.option(f"--{name}", shell_complete=completed(name), help=help)


timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Stop the query after this many seconds.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def say(text: str = "") -> None:
    """Print lines to stderr, for the user; a next step has the ``--home`` of this command."""
    click.echo(of_this_home(text), err=True)


def of_this_home(text: str) -> str:
    """A text whose next step has the ``--home`` of this command."""
    context = click.get_current_context(silent=True)
    if context is None or "warehouse " not in text:
        return text
    return with_home(text, context.find_root().obj)


def with_home(text: str, chosen: Mapping[str, str | None] | None) -> str:
    """Add the ``--home`` with which a command was called to the commands in its next step.

    The address of a bucket is not added, because such a step may name a command of another home.

    Examples
    --------
    >>> with_home("no catalog yet\\n  next: run: warehouse build", {"home": "my data"})
    "no catalog yet\\n  next: run: warehouse --home 'my data' build"
    >>> with_home("list all: warehouse sql 'from meta.drift'", {"home": "h"})
    "list all: warehouse --home h sql 'from meta.drift'"
    """
    home = (chosen or {}).get("home")
    begins = _STEP.search(text)
    if home is None or "://" in home or begins is None or "--home" in text[begins.end() :]:
        return text
    program = f"warehouse --home {shlex.quote(home)} "
    step = _COMMAND.sub(lambda _: program, text[begins.end() :])
    return text[: begins.end()] + step


def say_some(label: str, lines: Sequence[str]) -> None:
    """Print the first lines under a label, and the number of others."""
    for line in lines[:LINES_SHOWN]:
        say(f"{label}: {line}")
    if len(lines) > LINES_SHOWN:
        say(f"{label}: {len(lines) - LINES_SHOWN:,} more, see --json")


def put(text: str) -> None:
    """Data: stdout."""
    with path_in_errors("stdout"):
        click.echo(text)


def indented(text: str) -> str:
    """Indent all lines of a text but the first, so that it can follow a label."""
    return text.strip().replace("\n", "\n    ")


def note_lines(notes: Sequence[tuple[FileKey, Note]]) -> list[str]:
    """One line per kind of note, with the number of files and the first note."""
    by_kind: dict[str, list[tuple[FileKey, str]]] = {}
    for key, (kind, text) in notes:
        by_kind.setdefault(kind, []).append((key, text))
    return [
        f"{kind}: in {counted(len({key for key, _ in found}), 'file')},"
        f" such as {found[0][0]}: {found[0][1]}"
        for kind, found in by_kind.items()
    ]


# What a build warned about, and what of the user's own it left out.
DRIFT_QUERY = 'warehouse sql "from meta.drift"'
_DRIFT = {
    "missing": "some columns of the contract are missing and read NULL",
    "unexpected": "some columns are not in the contract; they are kept",
}


def drift_line(dataset: str, kind: str, columns: Iterable[str], files: str) -> str:
    """Columns in which ``files`` of a dataset differ from the contract, in order of their names."""
    return f"{dataset}: in {files}, {_DRIFT[kind]}: {first_few(sorted(columns))}"


def table_width() -> int:
    """Width of a printed table: that of the terminal, unlimited for a pipe or a file."""
    return terminal_width() if sys.stdout.isatty() else UNCUT


def put_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, wrap: bool = False) -> None:
    """Print rows as a table no wider than :func:`table_width`."""
    put(render_table(columns, rows, width=table_width(), wrap=wrap))


def put_json(value: Any) -> None:
    """Print one JSON value to stdout, with times as ISO 8601 in UTC."""
    put(json.dumps(value, indent=2, default=str))
