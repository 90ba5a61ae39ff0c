"""``warehouse status``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

import click

from warehouse._version import __version__
from warehouse.cli.common import (
    DRIFT_QUERY,
    drift_line,
    home_option,
    indented,
    json_option,
    note_lines,
    of_this_home,
    put,
    put_json,
    table_width,
)
from warehouse.config import Settings
from warehouse.display import counted, first_few, render_size, render_table
from warehouse.errors import REPAIR, ExitCode, NotFoundError
from warehouse.generations import WARNED, lost_catalog
from warehouse.home import Home
from warehouse.lake import Manifest, Note, notes_of
from warehouse.query import Warehouse
from warehouse.vendor import FileKey, Period, SeriesKey


@click.command(epilog="Example: warehouse status")
@json_option
@home_option
def status(settings: Settings, as_json: bool) -> int:
    """Show the lake's data, sizes, gaps and refused files, and the state of the catalog."""
    facts = _facts(settings)
    if as_json:
        put_json(facts)
    else:
        put("\n".join(map(of_this_home, _render(facts).splitlines())))
    return ExitCode.DONE


def _facts(settings: Settings) -> dict[str, Any]:
    from warehouse.build import failed_build

    home = Home.of(settings)
    if settings.store is not None and not home.manifest.is_file():
        raise NotFoundError(
            f"{settings.store}: this home only reads from the bucket, so it has no lake to show",
            next_step="list the bucket's data with: warehouse symbols; or fetch all of it with:"
            " warehouse pull",
        )
    home.require_lake()
    with ExitStack() as opened:
        manifest = opened.enter_context(Manifest(home.manifest))
        warehouse = None
        if home.catalog.is_file():
            warehouse = opened.enter_context(Warehouse(settings))
        catalog = None if warehouse is None else _Catalog(warehouse)
        lake = _lake_facts(manifest, catalog)
        runs = manifest.runs()
        facts: dict[str, Any] = {
            "home": str(home.root),
            "files": lake.files,
            "size_bytes": lake.size_bytes,
            "simulated_files": lake.simulated,
            "last_run": runs[0] if runs else None,
            "salvaged": [
                {"file": str(key), "rows_left_out": count}
                for key, count in sorted(lake.salvaged.items())
            ],
            "notes": note_lines(sorted(lake.notes, key=itemgetter(0))),
            "quarantine": [{"file": str(r.key), "reason": r.reason} for r in manifest.quarantine()],
            "catalog": None if catalog is None else _catalog_facts(catalog, lake.not_built),
            "lost_catalog": lost_catalog(home),
            "failed_build": failed_build(home),
        }
    return facts


class _Catalog:
    """The published catalog, which this or an earlier version has built."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.settings = warehouse.settings
        self._warehouse = warehouse

    def rows(self, text: str, **named: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._warehouse.sql(text, named).arrow().to_pylist()
        return found

    def has(self, table: str, column: str) -> bool:
        """Whether the catalog has a column; one of an older version may lack it."""
        return bool(self.rows(
            "select 1 from information_schema.columns"
            f" where table_name = '{table}' and column_name = '{column}'"
        ))  # fmt: skip

    def months(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Tokens of the manifest by dataset and month at the time of the build.

        Empty for a catalog of another version, which may have read files differently.
        """
        if not self.has("months", "described") or not self.rows(
            "from meta.build where product_version = $version", version=__version__
        ):
            return {}
        return {
            (row["dataset"], row["month"]): (_first(row["shown"]), _first(row["described"]))
            for row in self.rows("from meta.months")
        }


def _first(token: str) -> str:
    """The manifest's part of a token; kept bars add another part."""
    return token.partition(" ")[0]


@dataclass(slots=True)
class _LakeFacts:
    files: int = 0
    size_bytes: int = 0
    simulated: int = 0
    not_built: int = 0
    salvaged: dict[FileKey, int] = field(default_factory=dict)
    notes: list[tuple[FileKey, Note]] = field(default_factory=list)


def _lake_facts(manifest: Manifest, catalog: _Catalog | None) -> _LakeFacts:
    """Counts and unusual values of the current files.

    For months that have not changed since the last build they are read from the catalog.
    """
    built = {} if catalog is None else catalog.months()
    current = {(dataset, month): tokens for dataset, month, *tokens in manifest.months()}
    same = {place for place, tokens in current.items() if built.get(place) == tuple(tokens)}
    facts = _LakeFacts()
    changed = set[str]()
    for place in current.keys() - same:
        for file in manifest.files_of_month(*place):
            facts.files += 1
            facts.size_bytes += file.size_bytes
            facts.simulated += file.facts.simulated
            changed.add(file.object)
            if file.facts.left_out:
                facts.salvaged[file.key] = len(file.facts.left_out)
            fetched_at = datetime.fromisoformat(file.fetched_at)
            facts.notes += ((file.key, n) for n in notes_of(file.key, file.facts, fetched_at))
    if catalog is not None:
        _add_built(facts, catalog, [" ".join(place) for place in same], changed)
    return facts


def _add_built(facts: _LakeFacts, catalog: _Catalog, same: list[str], changed: set[str]) -> None:
    """Add the catalog's facts of these months, and the number of changed files that it lacks."""
    is_same = "list_contains($same::varchar[], dataset || ' ' || period[:7])"
    if same:
        (counts,) = catalog.rows(
            "select count(*) as files, coalesce(sum(size_bytes), 0)::bigint as size_bytes,"
            f" count_if(simulated)::bigint as simulated from meta.files where {is_same}",
            same=same,
        )
        facts.files += counts["files"]
        facts.size_bytes += counts["size_bytes"]
        facts.simulated += counts["simulated"]
        for row in catalog.rows(
            f"select {_KEY}, count(*) as count from meta.salvaged where {is_same} group by all",
            same=same,
        ):
            facts.salvaged[_key_of(row)] = row["count"]
        for row in catalog.rows(
            f"select {_KEY}, kind, text from meta.notes where {is_same}"
            " and kind not in ('rows hidden', 'hidden bars differ')",  # shown elsewhere
            same=same,
        ):
            facts.notes.append((_key_of(row), (row["kind"], row["text"])))
    if changed:
        others = catalog.rows(f"select object from meta.files where not {is_same}", same=same)
        facts.not_built = len(changed - {row["object"] for row in others})


_KEY = 'dataset, exchange, symbol, "interval", clock, period'


def _key_of(row: dict[str, Any]) -> FileKey:
    series = SeriesKey(row["exchange"], row["symbol"], row["interval"], row["clock"])
    return FileKey(row["dataset"], series, Period(row["period"]))


def _catalog_facts(catalog: _Catalog, not_built: int) -> dict[str, Any]:
    from warehouse.build import newer_own_files

    rows, there = catalog.rows, catalog.has
    own_files = None
    if there("own_files", "sha256") and rows("from meta.build where inputs <> ''"):
        own_files = {row["path"]: row["sha256"] for row in rows("from meta.own_files")}
    return {
        **rows("select generation, built_at, product_version, duckdb_version from meta.build")[0],
        "files_not_built": not_built,
        "own_files_not_built": []
        if own_files is None
        else newer_own_files(Home.of(catalog.settings), own_files),
        "datasets": rows(
            "select dataset, interval, clock, count(distinct series_id) as series,"
            " date_trunc('minute', min(first_time)) as \"from\","
            " date_trunc('minute', max(last_time)) as \"until\","
            " sum(rows)::bigint as rows,"
            " (sum(expected_rows) - sum(rows))::bigint as missing"
            " from meta.coverage"
            " group by dataset, interval, clock order by dataset, interval::interval, clock"
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
        "warnings": rows(WARNED),
    }


# Hours between payments by series, and their source: home, seed, pattern or unknown.
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
    if (lost := facts["lost_catalog"]) is not None:
        lines.append(f"catalog   {lost}; {REPAIR}")
    elif catalog is None:
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
        drift_line(row["dataset"], row["kind"], row["columns"], counted(row["files"], "file"))
        for row in rows
    ]
    return "\n".join([*lines, f"  every column: {DRIFT_QUERY}"] if lines else [])


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    values = [list(row.values()) for row in rows]
    return render_table(list(rows[0]), values, width=table_width())
