"""Shell completion of the names in a home."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from warehouse.config import Settings, load_settings
from warehouse.errors import WarehouseError
from warehouse.home import Home, own_files

_MOST = 10_000

_Names = Iterable[tuple[str, str | None]]


def completed(kind: str) -> Any:
    """Complete the names of one kind that the home has.

    ``table``, ``model``, ``query``, ``snapshot``, ``file`` (of a model), or a key of its series:
    ``dataset``, ``exchange``, ``symbol``, ``interval``.
    """
    names = _KINDS[kind]

    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        said_here = ctx.get_parameter_source("settings") is ParameterSource.COMMANDLINE
        before = ctx.find_root().params.get("home")
        settings = ctx.params["settings"] if said_here else load_settings(before)
        try:
            found = list(names(settings))
        except WarehouseError:
            found = []
        items = [
            CompletionItem(name, help=meaning)
            for name, meaning in found
            if name.startswith(incomplete)
        ]
        return items or ([CompletionItem(incomplete, type="file")] if kind == "file" else [])

    return complete


def _tables(settings: Settings) -> _Names:
    from warehouse.query import Warehouse

    with Warehouse(settings) as warehouse:
        for schema, name, meaning in warehouse.tables().head(_MOST):
            yield name if schema in ("main", "user") else f"{schema}.{name}", meaning


def _models(settings: Settings) -> _Names:
    return ((name, meaning) for name, meaning in _tables(settings) if name.isidentifier())


def _queries(settings: Settings) -> _Names:
    from warehouse.query import Warehouse

    with Warehouse(settings) as warehouse:
        for name, purpose, *_ in warehouse.queries().head(_MOST):
            yield name, purpose


def _snapshots(settings: Settings) -> _Names:
    from warehouse.generations import list_generations

    for generation in list_generations(Home.of(settings)):
        for name in generation.snapshots:
            yield name, f"generation {generation.number}"


def _files(settings: Settings) -> _Names:
    folder = Home.of(settings).models
    return ((str(path.relative_to(folder)), None) for path in own_files(folder, ".sql"))


def _series_values(column: str) -> Callable[[Settings], _Names]:
    def found(settings: Settings) -> _Names:
        from warehouse.query import Warehouse
        from warehouse.sql import identifier

        name = identifier(column)
        with Warehouse(settings) as warehouse:
            text = f"select distinct {name} from meta.coverage where {name} is not null order by 1"
            for (value,) in warehouse.sql(text).head(_MOST):
                yield value, None

    return found


_KINDS: dict[str, Callable[[Settings], _Names]] = {
    "table": _tables,
    "model": _models,
    "query": _queries,
    "snapshot": _snapshots,
    "file": _files,
    **{key: _series_values(key) for key in ("dataset", "exchange", "symbol", "interval")},
}
