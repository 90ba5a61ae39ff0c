"""``warehouse sync``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from warehouse.cli.common import home_option, json_option, put, put_json, say
from warehouse.config import Settings
from warehouse.display import render_size, render_table
from warehouse.errors import UsageError
from warehouse.folder import Said
from warehouse.home import Home
from warehouse.keys import CLOCKS, INTERVALS
from warehouse.lake import Outcome
from warehouse.sync import FolderPlan, SyncReport, plan_folder, sync_folder


@click.command(
    epilog="Example: warehouse sync --from ~/aperiodic-files --dry-run",
    short_help="Take vendor files into the lake.",
)
@click.option(
    "--from", "folder", type=click.Path(path_type=Path), help="Folder of vendor files to take in."
)
@click.option("--dataset", help="For files whose path does not say it, as the next four.")
@click.option("--exchange")
@click.option("--symbol")
@click.option("--interval", type=click.Choice(INTERVALS))
@click.option("--clock", type=click.Choice(CLOCKS))
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@json_option
@home_option
def sync(
    settings: Settings,
    folder: Path | None,
    dry_run: bool,
    as_json: bool,
    **said: str | None,
) -> int:
    """Take vendor files into the lake: bytes unchanged, each checked against its contract.

    A second run does nothing. A file that fails its check goes to quarantine with the reason, and
    the rest goes on (exit code 1).
    """
    if folder is None:
        raise UsageError("nothing to sync from", next_step="say --from FOLDER")
    home = Home(settings.home)
    if dry_run:
        _print_plan(plan_folder(home, folder, Said(**said)), as_json)
        return 0
    report = sync_folder(home, folder, Said(**said))
    print_report(report, as_json)
    return report.exit_code


def print_report(report: SyncReport, as_json: bool = False) -> None:
    """What a sync did: problems by name, the rest by number."""
    if as_json:
        put_json(_report_facts(report))
        return
    for admission in report.refused:
        say(f"refused: {admission.key}\n  {admission.reason}; the bytes are kept in quarantine/")
    for found in report.unrecognised:
        say(f"not taken in: {found.path}\n  {found.problem}")
    drifted = {(a.key.dataset, a.missing, a.unexpected) for a in report.taken_in}
    for dataset, missing, unexpected in sorted(drifted):
        if missing or unexpected:
            say(f"drift: {dataset}: {len(missing)} columns missing (NULL), {len(unexpected)} new")
    taken = report.taken_in
    if not taken and not report.refused:
        say(f"up to date: {len(report.unchanged):,} files known, nothing new")
        return
    rows = sum(admission.rows for admission in taken)
    size = render_size(sum(admission.size_bytes for admission in taken))
    counts = ", ".join(
        f"{report.count(outcome):,} {outcome}" for outcome in Outcome if report.count(outcome)
    )
    say(f"{len(taken):,} files taken in ({rows:,} rows, {size}): {counts}")


def _print_plan(plan: FolderPlan, as_json: bool) -> None:
    if as_json:
        put_json(
            {
                "files": [
                    {"key": str(f.key), "source": str(f.source), "size_bytes": f.size_bytes}
                    for f in plan.files
                ],
                "size_bytes": plan.size_bytes,
                "unchanged": len(plan.unchanged),
                "unrecognised": [str(found.path) for found in plan.unrecognised],
            }
        )
        return
    if plan.files:
        rows = [
            (f.key.dataset, str(f.key.series), f.key.period.text, f.size_bytes) for f in plan.files
        ]
        put(render_table(["dataset", "series", "period", "bytes"], rows))
    for found in plan.unrecognised:
        say(f"not recognised: {found.path}\n  {found.problem}")
    say(
        f"would read {len(plan.files):,} files, {render_size(plan.size_bytes)};"
        f" {len(plan.unchanged):,} are known and unchanged"
    )


def _report_facts(report: SyncReport) -> dict[str, Any]:
    return {
        "taken_in": len(report.taken_in),
        "rows": sum(admission.rows for admission in report.taken_in),
        "size_bytes": sum(admission.size_bytes for admission in report.taken_in),
        "outcomes": {str(o): report.count(o) for o in Outcome},
        "unchanged": len(report.unchanged) + report.count(Outcome.UNCHANGED),
        "refused": [{"key": str(a.key), "reason": a.reason} for a in report.refused],
        "unrecognised": [str(found.path) for found in report.unrecognised],
    }
