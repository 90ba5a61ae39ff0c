"""Shell completion of names that a home has."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from warehouse.config import load_settings
from warehouse.errors import WarehouseError
from warehouse.query import Warehouse


def completed(kind: str) -> Any:
    """Shell completion of the home's tables or named queries."""

    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        said_here = ctx.get_parameter_source("settings") is ParameterSource.COMMANDLINE
        before = ctx.find_root().params.get("home")
        settings = ctx.params["settings"] if said_here else load_settings(before)
        try:
            with Warehouse(settings) as warehouse:
                listed = warehouse.queries() if kind == "query" else warehouse.tables()
                rows = listed.head(10_000)
        except WarehouseError:
            return []
        if kind == "query":
            found = [(name, purpose) for name, purpose, *_ in rows]
        else:
            found = [
                (name if schema in ("main", "user") else f"{schema}.{name}", meaning)
                for schema, name, meaning in rows
            ]
        return [
            CompletionItem(name, help=meaning)
            for name, meaning in found
            if name.startswith(incomplete)
        ]

    return complete
