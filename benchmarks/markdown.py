"""The tables of a benchmark's JSON as Markdown: ``python -m benchmarks.markdown FILE.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import Goal, Line, Part


def main() -> None:
    facts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    machine = facts["machine"]
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    print(
        f"{facts['started'][:10]}; {machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory_gb']} GB; load {machine['load_1m']:.1f} at the start; {versions}"
    )
    for part in facts["parts"]:
        print(f"\n{_part(part)}")


def _part(facts: dict[str, Any]) -> str:
    lines = [Line(x["work"], x["way"], x["runs"], x["note"]) for x in facts["lines"]]
    goals = [Goal(x["what"], x["ratio"], x["at_most"], x["at_least"]) for x in facts["goals"]]
    part = Part(facts["name"], facts["title"], lines, goals, facts["notes"])
    tables = [_rows(rows) for rows in part.tables()]
    return "\n\n".join([f"### {part.name}: {part.title}", *tables, *part.notes])


def _rows(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    ruled = [head, ["---" if place < 2 else "---:" for place in range(len(head))], *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


if __name__ == "__main__":
    main()
