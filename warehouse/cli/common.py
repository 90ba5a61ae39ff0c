"""What several verbs share: the home option, JSON output, lines for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from warehouse.config import Settings, load_settings

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


json_option = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON value.")


def say(text: str = "") -> None:
    """A line for the person who watches: stderr."""
    click.echo(text, err=True)


def put(text: str) -> None:
    """Data: stdout."""
    click.echo(text)


def put_json(value: Any) -> None:
    """Data as one JSON value on stdout; times as ISO 8601 UTC."""
    put(json.dumps(value, indent=2, default=str))
