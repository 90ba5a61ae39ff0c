"""Output of ``warehouse audit metrics``."""

from __future__ import annotations

from typing import Any

from warehouse.audit import ColumnAudit, MetricsReport, SeriesAudit, ValueOutcome
from warehouse.cli.common import put, put_json
from warehouse.display import counted

_NAMES_SHOWN = 12
_FEW_COLUMNS = 3


def print_metrics(report: MetricsReport, as_json: bool) -> None:
    if as_json:
        put_json({"passed": report.passed, "series": [_facts(audit) for audit in report.audits]})
        return
    for audit in report.audits:
        for line in _lines(audit):
            put(line)
    compared = [audit for audit in report.audits if audit.skipped is None]
    values = sum(count for a in compared for c in a.columns for count in c.outcomes.values())
    problems = sum(audit.problems for audit in compared)
    put(
        f"{counted(values, 'value')} of {len(compared):,} series compared with ticks,"
        f" {counted(problems, 'problem')};"
        f" {len(report.audits) - len(compared):,} series not compared"
    )


def _lines(audit: SeriesAudit) -> list[str]:
    if audit.skipped is not None:
        return [f"{audit.series}: not compared: {audit.skipped}"]
    lines = [f"{audit.series}, {audit.first} to {audit.last}: {counted(audit.compared, 'bar')}"]
    if audit.bars[ValueOutcome.NO_BAR]:
        lost = ", ".join(map(str, audit.lost))
        lines.append(
            f"  {ValueOutcome.NO_BAR}: {audit.bars[ValueOutcome.NO_BAR]:,}, such as {lost}"
        )
    if audit.bars[ValueOutcome.NO_TICKS]:
        lines.append(
            f"  {ValueOutcome.NO_TICKS}: {counted(audit.bars[ValueOutcome.NO_TICKS], 'bar')}"
        )
    plain: dict[str, list[str]] = {}
    for column in audit.columns:
        if column.best == "" and all(outcome.is_equal for outcome in column.outcomes):
            weakest = (ValueOutcome.RANK, ValueOutcome.FLOAT32, ValueOutcome.EQUAL)
            label = next(outcome for outcome in weakest if outcome in column.outcomes)
            plain.setdefault(str(label), []).append(column.column)
    for outcome, names in plain.items():
        lines.append(f"  {outcome}: {_few(names)}")
    others = [c for c in audit.columns if not any(c.column in names for names in plain.values())]
    for column in others[:_NAMES_SHOWN]:
        lines += _column_lines(column, examples=1 if len(others) > _FEW_COLUMNS else None)
    if len(others) > _NAMES_SHOWN:
        lines.append(f"  and {counted(len(others) - _NAMES_SHOWN, 'more column')}, see --json")
    if audit.unserved:
        lines.append(f"  not served: {_few(audit.unserved)}")
    return lines + [f"  {line}" for line in audit.ticks]


def _column_lines(column: ColumnAudit, examples: int | None) -> list[str]:
    counts = ", ".join(
        f"{count:,} {'on one side only' if outcome is ValueOutcome.MISSING else outcome}"
        for outcome, count in column.outcomes.most_common()
    )
    by = ""
    if column.best:
        default = sum(n for o, n in column.by_reading[""].items() if o.is_problem)
        by = f" by the reading {column.best}; by the default {default:,} differ"
    lines = [f"  {column.column}: {counts}{by}"]
    for bad in column.worst[:examples]:
        if bad.outcome.is_problem:
            relative = "" if bad.relative is None else f", {bad.relative:.2g} relative"
            values = f"vendor {_number(bad.vendor)}, ticks {_number(bad.ticks)}"
            lines.append(f"    {bad.time}: {values}{relative}")
    return lines


def _few(names: list[str]) -> str:
    if len(names) <= _NAMES_SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMES_SHOWN])} and {len(names) - _NAMES_SHOWN:,} more"


def _number(value: float | None) -> str:
    return "none" if value is None else repr(value)


def _facts(audit: SeriesAudit) -> dict[str, Any]:
    return {
        "series": str(audit.series),
        "skipped": audit.skipped,
        "first": audit.first,
        "last": audit.last,
        "bars": {str(outcome): count for outcome, count in audit.bars.items()},
        "vendor_lacks": audit.lost,
        "problems": audit.problems,
        "not_served": audit.unserved,
        "columns": [
            {
                "column": column.column,
                "best_reading": column.best or "default",
                "readings": {
                    reading or "default": {str(o): n for o, n in outcomes.items()}
                    for reading, outcomes in column.by_reading.items()
                },
                "worst": [
                    {"time": bad.time, "vendor": bad.vendor, "ticks": bad.ticks,
                     "verdict": str(bad.outcome)}
                    for bad in column.worst
                ],
            }
            for column in audit.columns
        ],
        "ticks": audit.ticks,
    }  # fmt: skip
