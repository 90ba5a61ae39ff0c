"""Output of ``warehouse sync``: plans and reports, for the vendor's files or those of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warehouse.cli.common import (
    DRIFT_QUERY,
    drift_line,
    note_lines,
    put_json,
    put_table,
    say,
    say_some,
)
from warehouse.display import counted, render_size
from warehouse.lake import Admission, BadRow, Outcome
from warehouse.sync import FolderFault, FolderPlan, SyncReport, other_data

if TYPE_CHECKING:
    from warehouse.sync import VendorPlan

_FILES_SHOWN = 5
_NEXT = {
    FolderFault.MISNAMED: "rename them so that they end in .parquet, then sync again",
    FolderFault.UNNAMED: "give what the paths do not contain, for all files of the folder:"
    " --dataset --exchange --symbol --interval --clock, or --pattern for their names; or arrange"
    " the files as shown at the end of: warehouse sync --help",
}


def print_report(
    report: SyncReport, as_json: bool = False, folder: Path | None = None, *, refused: int = 0
) -> None:
    """Print the outcome of a sync from ``folder`` or the vendor: the problems, then counts.

    ``refused`` files were already printed.
    """
    if as_json:
        put_json(report_facts(report))
        return
    for warning in report.warnings:
        say(f"warning: {warning}")
    say_some("empty", sorted(map(str, report.empty)))
    for admission in report.refused:
        say(f"refused: {admission.key}\n  {admission.reason}; the bytes are kept in quarantine/")
    if any(admission.can_be_salvaged for admission in report.refused):
        say("  next: run the same command with --salvage to import the good rows of such files")
    _say_salvaged(report.taken_in)
    for line in note_lines([(a.key, note) for a in report.taken_in for note in a.notes]):
        say(f"warning: {line}")
    for found in report.ambiguous:
        say(f"not imported: {found.problem}\n  next: leave only one of them in the folder")
    _say_unrecognised(report, folder)
    for failure in report.failures:
        say(f"failed: {failure}")
    _say_drift(report.taken_in)
    say(last_line(report, folder, refused))
    if folder is not None and not (
        report.admissions or report.unchanged or report.unrecognised or report.ambiguous
    ):
        say(f"  there is no *.parquet file in {folder}")
    if report.taken_in and not click.get_current_context().find_root().meta.get("builds"):
        say("  next: warehouse build")


def _say_salvaged(admissions: Sequence[Admission]) -> None:
    """Print the files from which rows were left out, with the first of these rows."""
    for admission in admissions:
        if admission.left_out:
            rows = [BadRow(*row) for row in admission.left_out]
            shown = "; ".join(f"{row}: {row.reason}" for row in rows[:_FILES_SHOWN])
            more = f"; {len(rows) - _FILES_SHOWN:,} more" if len(rows) > _FILES_SHOWN else ""
            say(f"warning: {admission.key}: {counted(len(rows), 'row')} left out: {shown}{more}")
    if any(admission.left_out for admission in admissions):
        say('  list all of them after the build: warehouse sql "from meta.salvaged"')


def _say_drift(admissions: Sequence[Admission]) -> None:
    """Print the columns that differ from the contract, by dataset, with the number of files."""
    datasets = sorted({admission.key.dataset for admission in admissions})
    has_drift = False
    for dataset in datasets:
        files = [admission for admission in admissions if admission.key.dataset == dataset]
        for kind, names in (
            ("missing", [a.missing for a in files]),
            ("unexpected", [a.unexpected for a in files]),
        ):
            columns = {name for some in names for name in some}
            if columns:
                some = f"{sum(map(bool, names)):,} of {counted(len(files), 'file')}"
                say(f"drift: {drift_line(dataset, kind, columns, some)}")
                has_drift = True
    if has_drift:
        say(f"  list all of them after the build: {DRIFT_QUERY}")


def last_line(report: SyncReport, folder: Path | None, refused: int = 0) -> str:
    taken, known = report.taken_in, len(report.unchanged) + report.count(Outcome.UNCHANGED)
    problems = refused + len(report.refused) + len(report.failures)
    problems += len(report.unrecognised) + len(report.ambiguous)
    if not taken:
        state = "nothing to import" if folder and not known else "up to date"
        if problems:
            state = f"nothing imported, problems: {problems:,}"
        return f"{state}; {counted(known, 'file')} known, nothing new" if known else state
    rows = sum(admission.rows for admission in taken)
    size = sum(admission.size_bytes for admission in taken)
    counts = ", ".join(
        f"{report.count(outcome):,} {outcome}" for outcome in Outcome if report.count(outcome)
    )
    speed = ""
    if report.received_bytes:
        rate = render_size(int(report.received_bytes / max(report.seconds, 0.001)))
        speed = f" in {report.seconds:,.1f} s, {rate}/s"
    failed = f"; {len(report.failures):,} failed" if report.failures else ""
    return (
        f"{counted(len(taken), 'file')} imported"
        f" ({counted(rows, 'row')}, {render_size(size)}{speed}): {counts}{failed}"
    )


def print_vendor_plan(plan: VendorPlan, as_json: bool) -> None:
    if as_json:
        put_json(
            {
                "files": [
                    {
                        "key": str(fetch.key),
                        "size_bytes": plan.size_of(fetch),
                        "held": fetch.held is not None,
                    }
                    for fetch in plan.fetches
                ],
                "size_bytes": plan.size_bytes,
                "unchanged": len(plan.unchanged),
                "settled_series": plan.settled,
                "empty": [str(answer) for answer in plan.empty],
                "failures": [failure.what for failure in plan.failures],
            }
        )
        return
    rows = [
        (f.key.dataset, str(f.key.series), f.key.period.text, plan.size_of(f), _why(f.held))
        for f in plan.fetches
    ]
    if rows:
        put_table(["dataset", "series", "period", "bytes", "why"], rows)
    say_some("empty", sorted(map(str, plan.empty)))
    for failure in plan.failures:
        say(f"failed: {failure}")
    if not rows:
        say("up to date: nothing to fetch")
        return
    unknown = sum(plan.size_of(fetch) is None for fetch in plan.fetches)
    size, files = render_size(plan.size_bytes), counted(len(rows), "file")
    if unknown == len(rows):
        say(f"would download {files}; the vendor does not list their sizes")
    elif unknown:
        say(f"would download {files}, {size} and {unknown:,} of unknown size")
    else:
        say(f"would download {files}, {size}")


def _why(held: object) -> str:
    return "new" if held is None else "may have changed"


def report_facts(report: SyncReport) -> dict[str, Any]:
    """The report of a sync as JSON values."""
    return {
        "taken_in": len(report.taken_in),
        "rows": sum(admission.rows for admission in report.taken_in),
        "size_bytes": sum(admission.size_bytes for admission in report.taken_in),
        "received_bytes": report.received_bytes,
        "seconds": round(report.seconds, 3),
        "outcomes": {str(o): report.count(o) for o in Outcome},
        "unchanged": len(report.unchanged) + report.count(Outcome.UNCHANGED),
        "settled_series": report.settled,
        "refused": [{"key": str(a.key), "reason": a.reason} for a in report.refused],
        "failures": [
            {"what": failure.what, "next": failure.next_step} for failure in report.failures
        ],
        "empty": [str(answer) for answer in report.empty],
        "warnings": list(report.warnings),
        "salvaged": [
            {"key": str(a.key), "rows": [list(row) for row in a.left_out]}
            for a in report.taken_in
            if a.left_out
        ],
        "notes": [
            {"key": str(a.key), "kind": kind, "text": text}
            for a in report.taken_in
            for kind, text in a.notes
        ],
        **_left_out(report),
    }


def _say_unrecognised(found: SyncReport | FolderPlan, folder: Path | None) -> None:
    """Print the files that are not imported: their number by kind, examples and a next step."""
    root = (folder or Path()).resolve()
    for fault in FolderFault:
        some = [one for one in found.unrecognised if one.fault is fault]
        if not some:
            continue
        say(f"not imported: {counted(len(some), 'file')} {fault}")
        for one in some[:_FILES_SHOWN]:
            is_inside = one.path.is_relative_to(root)
            say(f"  {replace(one, path=one.path.relative_to(root)) if is_inside else one}")
        if len(some) > _FILES_SHOWN:
            say(f"  and {len(some) - _FILES_SHOWN:,} more, see --json")
        if fault in _NEXT:
            say(f"  next: {_NEXT[fault]}")


def print_folder_plan(plan: FolderPlan, as_json: bool, folder: Path) -> None:
    if as_json:
        put_json(
            {
                "files": [
                    {"key": str(f.key), "source": str(f.source), "size_bytes": f.size_bytes}
                    for f in plan.files
                ],
                "size_bytes": plan.size_bytes,
                "unchanged": len(plan.unchanged),
                **_left_out(plan),
            }
        )
        return
    if plan.files:
        rows = [
            (f.key.dataset, str(f.key.series), f.key.period.text, f.size_bytes) for f in plan.files
        ]
        put_table(["dataset", "series", "period", "bytes"], rows)
    for warning in other_data(plan.others, folder):
        say(f"warning: {warning}")
    for found in plan.ambiguous:
        say(f"not imported: {found.problem}\n  next: leave only one of them in the folder")
    _say_unrecognised(plan, folder)
    say(
        f"would read {counted(len(plan.files), 'file')}, {render_size(plan.size_bytes)};"
        f" {len(plan.unchanged):,} are known and unchanged"
    )


def _left_out(found: SyncReport | FolderPlan) -> dict[str, Any]:
    """The files that are not imported, with the same JSON keys for a plan and a run."""
    return {
        "unrecognised": [str(one.path) for one in found.unrecognised],
        "ambiguous": [one.problem for one in found.ambiguous],
        "others": [str(one.path) for one in found.others],
        "reasons": {str(one.path): one.problem for one in found.unrecognised},
    }
