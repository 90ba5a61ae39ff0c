"""Output of ``warehouse sync --from``: the plan, and the files that are not imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from warehouse.cli.common import put_json, put_table, say
from warehouse.display import counted, render_size
from warehouse.sync import LAYOUTS, FolderFault, FolderPlan, SyncReport, other_data

_FILES_SHOWN = 5
_NEXT = {
    FolderFault.MISNAMED: "rename them so that they end in .parquet, then sync again",
    FolderFault.UNNAMED: "give what the paths do not contain, for all files of the folder:"
    " --dataset --exchange --symbol --interval --clock",
}


def say_unrecognised(found: SyncReport | FolderPlan, folder: Path | None) -> None:
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
        if fault is FolderFault.UNNAMED and found.layouts_shown:
            say("  or arrange the files as shown at the end of warehouse sync --help")
        elif fault is FolderFault.UNNAMED:
            say("  or arrange the files in one of these ways:")
            for layout in LAYOUTS:
                say(f"    {layout}")


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
                **left_out(plan),
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
    say_unrecognised(plan, folder)
    say(
        f"would read {counted(len(plan.files), 'file')}, {render_size(plan.size_bytes)};"
        f" {len(plan.unchanged):,} are known and unchanged"
    )


def left_out(found: SyncReport | FolderPlan) -> dict[str, Any]:
    """The files that are not imported, with the same JSON keys for a plan and a run."""
    return {
        "unrecognised": [str(one.path) for one in found.unrecognised],
        "ambiguous": [one.problem for one in found.ambiguous],
        "others": [str(one.path) for one in found.others],
        "reasons": {str(one.path): one.problem for one in found.unrecognised},
    }
