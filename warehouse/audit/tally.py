"""The results of an audit's cuts for one model, and the verdict after all of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from warehouse.audit.report import Kind, ModelAudit, ModelFinding, Verdict
from warehouse.project import Model
from warehouse.sql import Relation


@dataclass(slots=True)
class Tally:
    """The results of the cuts so far for one model; each finding with the number of its cut."""

    rows: int = 0
    later_rows: int = 0
    cuts_at_rows: int = 0
    filled: Counter[str] = field(default_factory=Counter)
    labels_seen: set[str] = field(default_factory=set)
    labels_differing: set[str] = field(default_factory=set)
    findings: dict[tuple[Kind, str | None], tuple[int, ModelFinding]] = field(default_factory=dict)

    def add(self, number: int, finding: ModelFinding) -> None:
        """Keep the finding of the first cut for each kind and column."""
        place = (finding.kind, finding.column)
        if place not in self.findings or number < self.findings[place][0]:
            self.findings[place] = (number, finding)

    def merge(self, other: Tally) -> None:
        self.rows += other.rows
        self.later_rows += other.later_rows
        self.cuts_at_rows += other.cuts_at_rows
        for name, count in other.filled.items():
            self.filled[name] += count
        self.labels_seen |= other.labels_seen
        self.labels_differing |= other.labels_differing
        for number, finding in other.findings.values():
            self.add(number, finding)


def merge(shares: Sequence[Mapping[Relation, Tally]]) -> dict[Relation, Tally]:
    merged: dict[Relation, Tally] = defaultdict(Tally)
    for share in shares:
        for relation, tally in share.items():
            merged[relation].merge(tally)
    return merged


def conclude(model: Model, tally: Tally, outside: str | None) -> ModelAudit:
    """The verdict on one model after all cuts; it is unproven if it has inputs ``outside``."""
    findings = [finding for _, finding in tally.findings.values()]
    if outside is not None:
        findings = [finding for finding in findings if finding.kind is not Kind.UNPROVEN]
        findings.append(ModelFinding(Kind.UNPROVEN, model.relation, None, outside))
    findings += [
        ModelFinding(
            Kind.BROKEN_LABEL,
            model.relation,
            column,
            "is declared as a label, but did not change when later data was hidden",
        )
        for column in sorted(tally.labels_seen - tally.labels_differing)
    ]
    verdict, reason = Verdict.CLEAN, ""
    kinds = {finding.kind for finding in findings}
    if Kind.LEAK in kinds:
        verdict = Verdict.LEAK
    elif kinds - {Kind.UNPROVEN}:
        verdict = Verdict.MISDECLARED
    elif kinds:
        verdict = Verdict.UNPROVEN
    elif model.is_whole_sample:
        verdict = Verdict.IN_SAMPLE
    elif not tally.rows:
        verdict = Verdict.UNTESTED
        if tally.later_rows:
            reason = _KNOWN_TOO_LATE
    elif model.is_labels:
        verdict = Verdict.LABELS
    untested = tuple(name for name, count in tally.filled.items() if not count)
    return ModelAudit(model.relation, verdict, tuple(findings), tally.rows, untested, reason)


_KNOWN_TOO_LATE = (
    "no row was compared: known_at of all its rows is after every cut, later than the data that"
    " they are made from; set known_at to the moment when the last input of a row was known"
)


_NONE_MADE = (
    "no row was compared: its rows need series or data that no sample had; compare"
    " them with rows made from data that ends earlier"
)


def with_earlier(earlier: ModelAudit, later: ModelAudit) -> ModelAudit:
    """The outcome of an audit at a model's own moments, and of the one before it."""
    if later.findings:
        return later
    if not later.rows:
        reason = earlier.reason or _NONE_MADE
        return replace(later, verdict=Verdict.UNTESTED, reason=reason)
    untested = later.untested
    if earlier.rows:
        untested = tuple(name for name in untested if name in earlier.untested)
    return replace(later, rows=earlier.rows + later.rows, untested=untested)
