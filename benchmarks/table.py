"""The results of a part of the benchmark: lines of runs, goals, and both as an aligned table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measure import median


@dataclass(frozen=True, slots=True)
class Line:
    """One way of doing one work: for each measure (named with its unit) every single run."""

    work: str
    way: str
    runs: dict[str, list[float]]
    note: str = ""

    def median(self, measure: str) -> float:
        return median(self.runs[measure])


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two medians and the limit that it is held to; a limit from below or above."""

    what: str
    ratio: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        above = self.at_most is None or self.ratio <= self.at_most
        return above and (self.at_least is None or self.ratio >= self.at_least)


@dataclass(slots=True)
class Part:
    """One part: its lines, its goals, and other findings."""

    name: str
    title: str
    lines: list[Line] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def line(self, work: str, way: str) -> Line | None:
        return next((x for x in self.lines if (x.work, x.way) == (work, way)), None)

    def median(self, work: str, way: str, measure: str) -> float:
        found = self.line(work, way)
        if found is None:
            raise KeyError(f"{self.name}: no line for {work}, {way}")
        return found.median(measure)

    def as_json(self) -> dict[str, Any]:
        medians = [{name: x.median(name) for name in x.runs} for x in self.lines]
        facts = asdict(self)
        for line, middle in zip(facts["lines"], medians, strict=True):
            line["medians"] = middle
        for shown, goal in zip(facts["goals"], self.goals, strict=True):
            shown["met"] = goal.is_met
        return facts

    def __str__(self) -> str:
        tables = [_aligned(rows) for rows in self.tables()]
        return "\n".join([f"== {self.name}: {self.title}", *tables, *self.notes])

    def tables(self) -> list[list[list[str]]]:
        """Medians and goals as rows of text, the head first."""
        measured = [_measured(self.lines)] if self.lines else []
        return measured + ([_held(self.goals)] if self.goals else [])


def _measured(lines: Sequence[Line]) -> list[list[str]]:
    measures = list(dict.fromkeys(name for line in lines for name in line.runs))
    rows = [["work", "way", *(name.replace("_", " ") for name in measures), ""]]
    for line in lines:
        cells = [_figure(line.median(m)) if m in line.runs else "" for m in measures]
        rows.append([line.work, line.way, *cells, line.note])
    return rows


def _held(goals: Sequence[Goal]) -> list[list[str]]:
    rows = [["ratio", "", "is", "goal", ""]]
    for goal in goals:
        limits = ((">=", goal.at_least), ("<=", goal.at_most))
        wanted = " ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
        rows.append([goal.what, "", _figure(goal.ratio), wanted, _verdict(goal, wanted)])
    return rows


def _verdict(goal: Goal, wanted: str) -> str:
    if not wanted:
        return ""
    return "met" if goal.is_met else "MISSED"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    texts = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row[:-1], widths[:-1], strict=True))
        ]
        texts.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(texts)
