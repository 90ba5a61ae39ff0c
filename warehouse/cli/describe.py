"""``warehouse describe`` and ``symbols``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from textwrap import fill
from typing import Any

import click

from warehouse.cli.common import (
    home_option,
    json_option,
    past_options,
    put,
    put_table,
    say,
    table_width,
)
from warehouse.cli.completion import completed
from warehouse.cli.output import put_result
from warehouse.config import Settings
from warehouse.errors import ExitCode
from warehouse.query import Warehouse, session_of
from warehouse.sql import Relation

# The functions that compute one dataset each, as ticks() does any; group 1 is the dataset.
_TICK_MACRO = re.compile(r"ticks_(.+?)(?:_readings)?\(\)")


@click.command(epilog="Example: warehouse describe flow_features")
@click.argument("name", required=False, shell_complete=completed("table"))
@json_option
@past_options
@home_option
def describe(settings: Settings, past: dict[str, Any], name: str | None, as_json: bool) -> int:
    """Show the columns of a table or view with meaning and unit; without NAME, list the tables."""
    with Warehouse(settings, **past) as warehouse:
        if name is None and not as_json:
            _list_tables(warehouse)
        else:
            found = warehouse.tables() if name is None else warehouse.describe(name)
            if not as_json and (meaning := _meaning(warehouse, name or "")):
                say(f"{fill(meaning, table_width())}\n")
            put_result(found, as_json)
            for warning in found.warnings:
                say(f"warning: {warning}")
    return ExitCode.DONE


def _meaning(warehouse: Warehouse, name: str) -> str | None:
    """The comment of a table or view."""
    relation = session_of(warehouse).names.find_anywhere(name)
    if relation is None:
        return None
    rows = warehouse.sql(
        "select comment from duckdb_views() where (schema_name, view_name) = ($schema, $name)"
        " union all"
        " select comment from duckdb_tables() where (schema_name, table_name) = ($schema, $name)",
        schema=relation.schema,
        name=relation.name,
    ).fetchall()
    return next((text for (text,) in rows if text), None)


def _list_tables(warehouse: Warehouse) -> None:
    """Print the tables; those without data, those of staging and ticks_*() by name only."""
    empty = _without_data(warehouse)
    shown, bare, ticks = [], [], []
    for schema, name, meaning in warehouse.tables().fetchall():
        is_empty = Relation(schema, name) in empty
        if schema == "main" and (dataset := _TICK_MACRO.fullmatch(name)):
            ticks.append(dataset[1])
        elif is_empty or schema == "staging":
            bare.append((schema, name, is_empty))
        else:
            shown.append((schema, name, meaning))
    put_table(["schema", "name", "meaning"], shown, wrap=True)
    if ticks:
        _put_names(
            "ticks() of one dataset, as ticks_<dataset>() and ticks_<dataset>_readings()",
            dict.fromkeys(ticks),
        )
    for schema in dict.fromkeys(row[0] for row in bare):
        for is_empty, label in ((False, "also in"), (True, "without data in")):
            names = [row[1] for row in bare if (row[0], row[2]) == (schema, is_empty)]
            if names:
                _put_names(f"{label} {schema}", names)


def _put_names(label: str, names: Iterable[str]) -> None:
    put(fill(f"{label}: {' '.join(names)}", table_width(), subsequent_indent="  "))


def _without_data(warehouse: Warehouse) -> set[Relation]:
    """Tables without files in the lake, and marts without rows."""
    names = session_of(warehouse).names
    present = {row[0] for row in warehouse.sql("select dataset from meta.coverage").fetchall()}
    behind = {relation: names.datasets(relation) for relation in names.columns}
    empty = {table for table, sources in behind.items() if sources and present.isdisjoint(sources)}
    if Relation("meta", "stored") in names.columns:
        stored = "select model from meta.stored group by model having sum(rows) = 0"
        empty |= {Relation("main", row[0]) for row in warehouse.sql(stored).fetchall()}
    return empty


@click.command(epilog="Example: warehouse symbols --json")
@json_option
@past_options
@home_option
def symbols(settings: Settings, past: dict[str, Any], as_json: bool) -> int:
    """List the exchanges and symbols in the lake, with intervals, dates and datasets."""
    with Warehouse(settings, **past) as warehouse:
        found = warehouse.sql(
            "select exchange, symbol,"
            " string_agg(distinct interval, ' ' order by interval::interval) as intervals,"
            " string_agg(distinct clock, ' ' order by clock) as clocks,"
            ' min(first_time)::date as "from", max(last_time)::date as "until",'
            " string_agg(distinct dataset, ' ' order by dataset) as datasets"
            " from meta.coverage group by exchange, symbol order by exchange, symbol"
        )
        put_result(found, as_json)
    return ExitCode.DONE
