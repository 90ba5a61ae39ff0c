"""What several verbs share: the home option, JSON output, lines for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import click

from warehouse.config import Settings, load_settings
from warehouse.display import counted
from warehouse.keys import FileKey
from warehouse.notes import Note

F = TypeVar("F", bound=Callable[..., Any])


def home_option(command: F) -> F:
    """``--home DIR`` after the verb as well as before it; the verb gets ``settings``."""

    def to_settings(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Settings:
        before: str | None = (ctx.find_root().obj or {}).get("home")
        return load_settings(value or before)

    return click.option(
        "--home",
        "settings",
        metavar="DIR",
        callback=to_settings,
        help="Folder of the warehouse [$WAREHOUSE_HOME, ./data].",
    )(command)


def past_options(command: F) -> F:
    """``--generation``, ``--as-of``, ``--snapshot``: the verb gets them as the mapping ``past``."""

    @wraps(command)
    def collected(
        *arguments: Any,
        generation: int | None,
        as_of: str | None,
        snapshot: str | None,
        **others: Any,
    ) -> Any:
        past = {"generation": generation, "as_of": as_of, "snapshot": snapshot}
        return command(*arguments, past=past, **others)

    for option in (
        click.option("--snapshot", metavar="NAME", help="Ask the generation of that name."),
        click.option("--as-of", metavar="TIME", help="Ask the catalog of that time, ISO in UTC."),
        click.option("--generation", type=int, metavar="N", help="Ask an earlier generation."),
    ):
        option(collected)
    return cast(F, collected)


json_option = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON value.")


def say(text: str = "") -> None:
    """A line for the person who watches: stderr."""
    click.echo(text, err=True)


def put(text: str) -> None:
    """Data: stdout."""
    click.echo(text)


def indented(text: str) -> str:
    """A text of several lines as the rest of a line: what follows the first stands further in."""
    return text.strip().replace("\n", "\n    ")


def note_lines(notes: Sequence[tuple[FileKey, Note]]) -> list[str]:
    """One line for each kind of oddity: in how many files, and the first of them."""
    by_kind: dict[str, list[tuple[FileKey, str]]] = {}
    for key, (kind, text) in notes:
        by_kind.setdefault(kind, []).append((key, text))
    return [
        f"{kind}: in {counted(len({key for key, _ in found}), 'file')},"
        f" such as {found[0][0]}: {found[0][1]}"
        for kind, found in by_kind.items()
    ]


DRIFT_QUERY = 'warehouse sql "from meta.drift"'


def first_few(names: Sequence[str], count: int = 4) -> str:
    """``a, b, c, d and 3 more``."""
    more = f" and {len(names) - count:,} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def put_json(value: Any) -> None:
    """Data as one JSON value on stdout; times as ISO 8601 UTC."""
    put(json.dumps(value, indent=2, default=str))
