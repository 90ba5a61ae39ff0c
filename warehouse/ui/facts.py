"""Data of the views on quality, status and lineage."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Any

from warehouse.build import last_builds
from warehouse.config import program
from warehouse.home import Home
from warehouse.lake import Manifest
from warehouse.sql import Relation
from warehouse.ui.asking import Asking
from warehouse.ui.values import plain, shown_table
from warehouse.vendor import SeriesKey

_MOST = 500

# Sections of the quality view, with their queries.
_QUALITY = {
    "Missing bars, the longest gaps first": (
        "select dataset, exchange, symbol, interval, clock, gap_from, gap_until, bars"
        " from meta.gaps order by bars desc, dataset, series_id, gap_from"
    ),
    "Files in quarantine": (
        "select dataset, exchange, symbol, interval, clock, period, reason, refused_at"
        " from meta.quarantine order by refused_at desc"
    ),
    "Restatements": (
        "select dataset, symbol, interval, period, kind, rows_added, rows_removed, rows_changed,"
        " seen_at from meta.restatements order by seen_at desc"
    ),
    "Columns that differ from the contract": (
        'select dataset, "column", kind, count(distinct (series_id, period)) as files'
        " from meta.drift group by all order by dataset, kind, 2"
    ),
    "Unusual values that were kept": (
        "select dataset, symbol, interval, period, kind, text from meta.notes order by all"
    ),
    "Rows left out of salvaged files": (
        "select dataset, symbol, interval, period, row_number, time, reason"
        " from meta.salvaged order by all"
    ),
    "Tests with warnings or failures": (
        "select name, package, status, failures, message from meta.results"
        " where resource_type in ('test', 'audit', 'model') and status not in ('pass', 'success')"
        " order by package, name"
    ),
    "Look-ahead audit": (
        'select "schema", name, verdict, rows, len(untested) as untested_columns, generation'
        " from meta.audited order by verdict, name"
    ),
}


def quality(asking: Asking) -> dict[str, Any]:
    """Tables of missing bars, refused and restated files, drift, and tests."""
    sections = []
    for title, text in _QUALITY.items():
        table = text.split("meta.")[1].split()[0]
        if Relation("meta", table) not in asking.names.columns:
            continue  # a catalog of an earlier version
        result = asking.sql(text)
        rows = result.head(_MOST + 1)
        section = {
            "title": title,
            "sql": text,
            "columns": [
                {"name": name, "type": kind, "unit": None, "meaning": None}
                for name, kind in result.columns.items()
            ],
            "rows": [plain(row) for row in rows[:_MOST]],
            "is_cut": len(rows) > _MOST,
        }
        if table == "gaps":
            words = program(asking.warehouse.settings.home)
            section["commands"] = [_command(words, row) for row in rows[:_MOST]]
        sections.append(section)
    return {"sections": sections}


def _command(words: list[str], row: tuple[Any, ...]) -> str:
    """The command that may fill a gap; it begins with these words."""
    dataset, *series, start, end, _ = row
    last = end - timedelta(microseconds=1)
    span = ["--start", f"{start:%Y-%m-%d}", "--end", f"{last:%Y-%m-%d}"]
    return shlex.join([*words, "sync", dataset, *SeriesKey(*series).options, *span])


def status(asking: Asking, home: Home) -> dict[str, Any]:
    """The build and contents of this generation, and the last runs of the home."""
    with Manifest(home.manifest) as manifest:
        runs = manifest.runs()[:30]
    return {
        "build": plain(asking.rows("from meta.build")),
        "datasets": plain(
            asking.rows(
                "select dataset, interval, clock, count(distinct series_id) as series,"
                " min(first_time) as first, max(last_time) as last, sum(rows)::bigint as rows,"
                " (sum(expected_rows) - sum(rows))::bigint as missing"
                " from meta.coverage group by all order by all"
            )
        ),
        "stored": plain(
            asking.rows(
                "select model, count(*) as months, sum(rows)::bigint as rows,"
                " sum(size_bytes)::bigint as bytes, count_if(reused)::bigint as reused"
                " from meta.stored group by model order by model"
            )
        ),
        "builds": plain(last_builds(home)),
        "runs": plain(
            [dict(zip(("verb", "began", "ended", "outcome"), run, strict=True)) for run in runs]
        ),
    }


def lineage(asking: Asking) -> dict[str, Any]:
    """Models with the tables that each reads, from the SQL that made them."""
    models = []
    held = {row["dataset"] for row in asking.rows("select distinct dataset from meta.coverage")}
    for relation in asking.names.columns:
        if relation.schema == "meta":
            continue
        text = asking.names.definition(relation)
        reads = asking.names.tables_in(text) if text and relation.schema != "vendor" else []
        models.append(
            {
                "name": str(relation),
                "schema": relation.schema,
                "reads": sorted({str(other) for other in reads if other != relation}),
                "datasets": list(asking.names.datasets(relation)),
                "has_data": relation.schema != "vendor" or relation.name in held,
                "sql": text,
            }
        )
    return {"models": models}


def columns_behind(asking: Asking, table: str) -> dict[str, Any]:
    """Each column of a table with the columns from which it is computed, down to the vendor's."""
    relation = asking.relation(table)
    trace = asking.sql(f"from {shown_table(relation)}").trace()
    return {
        "columns": [
            {
                "name": column.name,
                "unit": column.unit,
                "from": list(column.tables),
                "vendor": list(column.vendor),
            }
            for column in trace.columns
        ]
    }
