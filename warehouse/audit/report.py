"""The report of an audit, as values and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from warehouse.display import counted
from warehouse.sql import Relation


class Kind(StrEnum):
    """Kind of a finding."""

    LEAK = "leak"
    BROKEN_LABEL = "broken label"
    LOOKBACK = "lookback too short"
    HORIZON = "horizon too short"
    UNPROVEN = "unproven"


class Mode(StrEnum):
    """Change to the data whose effect on earlier rows was tested."""

    # Everything after the cut was removed.
    TRUNCATED = "truncated"
    # Everything after the cut was replaced by noise.
    NOISE = "noise"
    # Everything before a moment further back than the lookback was removed.
    FORGOTTEN = "forgotten"


class Verdict(StrEnum):
    """Verdict on a model, under the same name in builds, status, comments and JSON."""

    CLEAN = "clean"
    # A value depends on data that became known after its row.
    LEAK = "leak"
    # Its declaration is wrong: labels, lookback or horizon.
    MISDECLARED = "misdeclared"
    # It could not be tested; the finding names the cause and a next step.
    UNPROVEN = "unproven"
    # It looks ahead, as declared.
    LABELS = "labels"
    # Declared as a statistic of the whole sample, so not usable at the time of its rows.
    IN_SAMPLE = "in-sample"
    # None of its rows was compared; ``ModelAudit.reason`` is the cause.
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True)
class ModelFinding:
    """One finding.

    Attributes
    ----------
    column
        ``None`` if whole rows appear or vanish, or if the finding is about the whole model.
    series, time
        The first affected row: its series as text, its ``time`` (UTC).
    value_known
        The model's value in that row, computed from the data known by the cut.
    value_whole
        Its value computed from all data (or with the noise).
    reach_us, reach_bars
        How far the row's inputs reach beyond its ``known_at``, in microseconds and in bars of the
        row.
    cause
        The probable cause as text.
    """

    kind: Kind
    model: Relation
    column: str | None
    cause: str
    series: str | None = None
    time: datetime | None = None
    value_known: object = None
    value_whole: object = None
    cut: datetime | None = None
    mode: Mode | None = None
    reach_us: int | None = None
    reach_bars: int | None = None

    def __str__(self) -> str:
        name = str(self.model) if self.column is None else f"{self.model}.{self.column}"
        text = f"{name}: {self.kind}: {self.cause}"
        if self.time is not None:
            values = (self.value_known, self.value_whole)
            known, whole = values if self.column is None else map(_value, values)
            text += (
                f"\n  first row: {self.series}, time {self.time}: {known} from what was known at"
                f" the cut {self.cut}, but {whole} {_WORLD[self.mode]}"
            )
        return text


def _value(value: object) -> str:
    return "NULL" if value is None else repr(value)


_MOST_NAMED = 3
_WORLD = {
    Mode.TRUNCATED: "from all data",
    Mode.NOISE: "with noise after the cut",
    Mode.FORGOTTEN: "with a longer past",
    None: "",
}


@dataclass(frozen=True, slots=True)
class ModelAudit:
    """The result for one model.

    Attributes
    ----------
    rows
        Rows that were compared, over all cuts.
    untested
        Columns that were NULL in every compared row and so could not be tested.
    reason
        Why none of its rows was compared, if it has rows; else empty.
    """

    model: Relation
    verdict: Verdict
    findings: tuple[ModelFinding, ...]
    rows: int
    untested: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The outcome of an audit: one entry per model, in the order in which models are built."""

    models: tuple[ModelAudit, ...]
    cuts: tuple[datetime, ...]
    series: tuple[str, ...]
    seed: int

    def of(self, model: Relation) -> ModelAudit:
        return next(audit for audit in self.models if audit.model == model)

    @property
    def findings(self) -> tuple[ModelFinding, ...]:
        return tuple(finding for model in self.models for finding in model.findings)

    @property
    def passed(self) -> bool:
        """Whether there are no findings; untested models do not count as findings."""
        return not self.findings

    def lines(self) -> Iterator[str]:
        """The report as text: a line per model, untested columns, then every finding."""
        width = max((len(str(audit.model)) for audit in self.models), default=0)
        for audit in self.models:
            line = f"{audit.model!s:{width}}  {audit.verdict:11}  {counted(audit.rows, 'row'):>14}"
            if audit.untested and audit.verdict is not Verdict.UNTESTED:
                named = ", ".join(audit.untested[:_MOST_NAMED])
                more = len(audit.untested) - _MOST_NAMED
                line += f"  not tested (always NULL): {named}"
                line += f" and {more} more" if more > 0 else ""
            if audit.reason:
                line += f"  {audit.reason}"
            yield line
        untried = [len(audit.untested) for audit in self.models if audit.untested]
        if untried:
            yield ""
            yield (
                f"not tested: {counted(sum(untried), 'column')} of"
                f" {counted(len(untried), 'model')}, NULL in every compared row"
                " (--json lists them all)"
            )
        for finding in self.findings:
            yield ""
            yield str(finding)
