"""``warehouse status``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from warehouse.cli.common import (
    DRIFT_QUERY,
    first_few,
    home_option,
    indented,
    json_option,
    note_lines,
    put,
    put_json,
    table_width,
)
from warehouse.config import Settings
from warehouse.display import counted, render_size, render_table
from warehouse.errors import ExitCode
from warehouse.home import Home
from warehouse.lake import Manifest, notes_of
from warehouse.query import Warehouse


@click.command(epilog="Example: warehouse status")
@json_option
@home_option
def status(settings: Settings, as_json: bool) -> int:
    """Show the lake's data, sizes, gaps and refused files, and the state of the catalog."""
    facts = _facts(settings)
    if as_json:
        put_json(facts)
    else:
        put(_render(facts))
    return ExitCode.DONE


def _facts(settings: Settings) -> dict[str, Any]:
    from warehouse.build import failed_build

    home = Home.of(settings)
    home.require_lake()
    with Manifest(home.manifest) as manifest:
        files = manifest.files()
        refused = manifest.quarantine()
        runs = manifest.runs()
    facts: dict[str, Any] = {
        "home": str(home.root),
        "files": len(files),
        "size_bytes": sum(file.size_bytes for file in files),
        "simulated_files": sum(file.facts.simulated for file in files),
        "last_run": runs[0] if runs else None,
        "salvaged": [
            {"file": str(file.key), "rows_left_out": len(file.facts.left_out)}
            for file in files
            if file.facts.left_out
        ],
        "notes": note_lines(
            [
                (file.key, note)
                for file in files
                for note in notes_of(file.key, file.facts, datetime.fromisoformat(file.fetched_at))
            ]
        ),
        "quarantine": [{"file": str(r.key), "reason": r.reason} for r in refused],
        "catalog": None,
        "failed_build": failed_build(home),
    }
    if home.catalog.is_file():
        with Warehouse(settings) as warehouse:
            facts["catalog"] = _catalog_facts(warehouse, {file.object for file in files})
    return facts


def _catalog_facts(warehouse: Warehouse, objects: set[str]) -> dict[str, Any]:
    from warehouse.build import newer_own_files

    def rows(text: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = warehouse.sql(text).arrow().to_pylist()
        return found

    def there(table: str, column: str) -> bool:
        """Whether the catalog has a column: one of an older version lacks some."""
        return bool(rows(
            "select 1 from information_schema.columns"
            f" where table_name = '{table}' and column_name = '{column}'"
        ))  # fmt: skip

    own_files = None
    if there("own_files", "sha256") and rows("from meta.build where inputs <> ''"):
        own_files = {row["path"]: row["sha256"] for row in rows("from meta.own_files")}

    shown = {row["object"] for row in rows("select object from meta.files")}
    return {
        **rows("select generation, built_at, product_version, duckdb_version from meta.build")[0],
        "files_not_built": len(objects - shown),
        "own_files_not_built": []
        if own_files is None
        else newer_own_files(Home.of(warehouse.settings), own_files),
        "datasets": rows(
            "select dataset, interval, clock, count(distinct series_id) as series,"
            ' min(first_time)::date as "from", date_trunc(\'minute\', max(last_time)) as "until",'
            " sum(rows)::bigint as rows,"
            " (sum(expected_rows) - sum(rows))::bigint as missing"
            " from meta.coverage"
            " group by dataset, interval, clock order by dataset, interval, clock"
        ),
        "largest_gaps": rows(
            "select dataset, symbol, interval, clock, gap_from, gap_until, bars"
            " from meta.gaps order by bars desc, dataset, series_id, gap_from limit 5"
        ),
        "drift": rows(
            'select dataset, kind, list(distinct "column" order by "column") as columns,'
            " count(distinct (series_id, period)) as files"
            " from meta.drift group by dataset, kind order by dataset, kind"
        ),
        "raw_rows_hidden": rows(
            "select dataset, symbol, period, rows_hidden from meta.files"
            " where interval is null and rows_hidden > 0 order by dataset, series_id, period"
        ),
        "funding_schedules": rows(_FUNDING_SCHEDULES)
        if there("funding_settlements", "schedule_source")
        else [],
        "warnings": rows(
            "select name, message from meta.results where status = 'warn'"
            " or (package <> 'warehouse' and status in ('error', 'fail')) order by name"
        ),
    }


# Hours between payments by series, and where they come from: home, seed, pattern; else unknown.
_FUNDING_SCHEDULES = """
with paid as (
    select
        exchange, symbol, "interval", clock, period_hours, schedule_source,
        count(*) as payments, min("time") as first_payment, max("time") as last_payment
    from funding_settlements
    group by all
)
select
    held.exchange, held.symbol, held."interval", held.clock, paid.period_hours as hours,
    coalesce(paid.schedule_source, 'unknown') as source, coalesce(paid.payments, 0) as payments,
    paid.first_payment, paid.last_payment
from (
    select distinct exchange, symbol, "interval", clock from meta.coverage
    where dataset = 'funding'
) as held
left join paid using (exchange, symbol, "interval", clock)
order by held.exchange, held.symbol, held."interval", held.clock, paid.first_payment
"""


def _render(facts: dict[str, Any]) -> str:
    lines = [
        f"home      {facts['home']}",
        f"lake      {counted(facts['files'], 'file')}, {render_size(facts['size_bytes'])}"
        + (f", {facts['simulated_files']:,} simulated" if facts["simulated_files"] else ""),
    ]
    catalog = facts["catalog"]
    if (failed := facts["failed_build"]) is not None:
        at, what = failed["at"], indented(failed["what"])
        lines.append(f"build     failed at {at}: {what}")
    if catalog is None:
        lines.append("catalog   none yet; run: warehouse build")
    else:
        files, own = catalog["files_not_built"], catalog["own_files_not_built"]
        newer = [counted(files, "newer file")] * bool(files)
        newer += [f"edited since: {first_few(own)}"] * bool(own)
        lines.append(
            f"catalog   generation {catalog['generation']}, built {catalog['built_at']} UTC"
            + (f"; {'; '.join(newer)}; run: warehouse build" if newer else "")
        )
        lines += ["", _table(catalog["datasets"]) or "no rows"]
        lines += _section("largest gaps", _table(catalog["largest_gaps"]))
        lines += _section("columns that differ from the contract", _drift(catalog["drift"]))
        hidden = [
            f"{h['dataset']} {h['symbol']} {h['period']}: {counted(h['rows_hidden'], 'row')}"
            for h in catalog["raw_rows_hidden"]
        ]
        lines += _section(
            "raw rows of a monthly file that a daily file replaces", "\n".join(hidden)
        )
        lines += _section("funding schedules", _table(catalog["funding_schedules"]))
        warned = [f"{w['name']}: {indented(w['message'] or '')}" for w in catalog["warnings"]]
        lines += _section("warnings of the last build", "\n".join(warned))
    salvaged = [
        f"{s['file']}: {counted(s['rows_left_out'], 'row')} left out" for s in facts["salvaged"]
    ]
    lines += _section("salvaged files, see meta.salvaged", "\n".join(salvaged))
    lines += _section("unusual values, kept, see meta.notes", "\n".join(facts["notes"]))
    refused = [f"{r['file']}\n    {r['reason']}" for r in facts["quarantine"]]
    lines += _section("in quarantine", "\n".join(refused))
    return "\n".join(lines)


def _section(title: str, body: str) -> list[str]:
    return ["", f"{title}:", body] if body else []


def _drift(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{row['dataset']}: {first_few(row['columns'])}"
        f" {_KINDS.get(row['kind'], row['kind'])}, in {counted(row['files'], 'file')}"
        for row in rows
    ]
    return "\n".join([*lines, f"  every column: {DRIFT_QUERY}"] if lines else [])


_KINDS = {"missing": "missing (read NULL)", "unexpected": "not in the contract (kept)"}


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    values = [list(row.values()) for row in rows]
    return render_table(list(rows[0]), values, width=table_width())
