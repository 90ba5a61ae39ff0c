"""The look-ahead audit: the rows of a model must not depend on later data.

Every model is built from its compiled SQL in a scratch database: on all data around a random
moment, on the data known by then, and with noise after it. The values of a row that was known by
the cut must be the same in all three. The catalog is only read.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Event

import duckdb

from warehouse.audit.cause import Cause, explain_leaks
from warehouse.audit.compare import (
    Difference,
    Row,
    count_around,
    count_rows,
    find_differences,
    summarise,
)
from warehouse.audit.outside import find_outside, may_read_ticks, with_kept_bars
from warehouse.audit.report import AuditReport, Kind, Mode, ModelFinding, Verdict
from warehouse.audit.sample import (
    FULL,
    MARGIN_US,
    QUICK,
    Cut,
    Moments,
    Sample,
    SampleSize,
    moments_of,
    plan_sample,
    reach_of,
    total_lookback_us,
)
from warehouse.audit.scratch import (
    KEYS,
    Scratch,
    World,
    open_catalog,
    scratch_beside,
    vendor_datasets,
)
from warehouse.audit.tally import Tally, conclude, merge, with_earlier
from warehouse.display import counted
from warehouse.engine import Fault, reading_catalog, translating
from warehouse.project import Model, Project
from warehouse.sql import DATABASE, Relation
from warehouse.times import us_datetime
from warehouse.vendor import SERIES_COLUMNS, SeriesKey

_UTC = {"TimeZone": "UTC"}
_SHORT_EVERY = 5
_MOST_WORKERS = 4
_AT_ROWS_OF = 3  # one in this many cuts must be at a row of a model
_UNREADABLE = (
    "too few cuts were at its rows, and it cannot be read to choose others ({1}); to see why, run:"
    " warehouse sql 'select max(known_at) from {0}'"
)
_LEAST_WORK = 4  # cuts per model from which another scratch database pays off


def audit_lookahead(
    catalog: Path,
    project: Project,
    *,
    models: Sequence[str] = (),
    cuts: int = 20,
    seed: int = 0,
    size: SampleSize = FULL,
    session: Mapping[str, str] = _UTC,
    home: Path | None = None,
    after_cut: Callable[[], None] | None = None,
) -> AuditReport:
    """Search models for values that depend on data that was not known yet.

    A model for which fewer than a third of the cuts were at one of its rows is audited again,
    alone, with cuts at moments of its own rows and on its own series. If still none of its rows is
    compared, it is untested for this reason.

    Parameters
    ----------
    catalog
        A catalog with the data in its schemas ``vendor`` and ``meta``; it is only read.
    project
        The models, as :func:`warehouse.project.load_project` gives them.
    models
        Names of the models to audit; if empty, all but the staging views.
    cuts
        Number of random moments.
    seed
        The same seed on the same catalog chooses the same series and moments.
    size
        Amount of data to use.
    session
        DuckDB settings of the scratch database.
    home
        The folder with the files of the catalog; by default where they were when it was written.
    after_cut
        Called after each cut of the first pass, in any thread.

    Raises
    ------
    NotFoundError
        There is no model of that name.
    DamagedError
        The catalog cannot be read.
    """
    if any(map(may_read_ticks, project.models)):
        with open_catalog(catalog, session, home) as connection:
            project = with_kept_bars(connection, project)
    audited = [project.model(name) for name in models] or [
        model for model in project.models if model.relation.schema != "staging"
    ]

    run = _Run(catalog, project, cuts, seed, size, session, home, after_cut)
    report, missed = run.audit(audited)
    if not missed:
        return report
    again = {}
    for model, found in _moments(run, missed):
        earlier = report.of(model.relation)
        if isinstance(found, str):
            again[model.relation] = replace(earlier, verdict=Verdict.UNTESTED, reason=found)
        elif found:
            later = replace(run, after_cut=None).audit([model], found)[0].models[0]
            again[model.relation] = with_earlier(earlier, later)
    return replace(report, models=tuple(again.get(a.model, a) for a in report.models))


def _moments(run: _Run, models: Sequence[Model]) -> list[tuple[Model, Moments | str]]:
    """Moments of the rows of each built model, or why its rows cannot be read."""
    found: list[tuple[Model, Moments | str]] = []
    # under the name that the views of the user's models use
    opened = open_catalog(run.catalog, run.session, run.home, DATABASE)
    with opened as connection, reading_catalog(run.catalog):
        for model in models:
            try:
                with translating(run.home, but=Fault.MEMORY):  # such a model is untested
                    found.append((model, moments_of(connection, model, run.seed)))
            except (duckdb.CatalogException, duckdb.BinderException):
                continue  # the model was not built
            except duckdb.IOException:
                raise
            except duckdb.Error as error:
                fault = str(error).splitlines()[0]
                found.append((model, _UNREADABLE.format(model.relation, fault)))
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    """The arguments of :func:`audit_lookahead`."""

    catalog: Path
    project: Project
    cuts: int
    seed: int
    size: SampleSize
    session: Mapping[str, str]
    home: Path | None
    after_cut: Callable[[], None] | None

    def audit(
        self, audited: list[Model], moments: Moments | None = None
    ) -> tuple[AuditReport, list[Model]]:
        """Audit models on a sample, with cuts at ``moments`` if given.

        Also returns the models without a finding for which too few cuts were at a row.
        """
        compared = [model for model in audited if not model.is_whole_sample]
        needed = Project(self.project.with_ancestors(compared), self.project.seeds)
        compared = [model for model in needed.models if model in compared]
        with open_catalog(self.catalog, self.session, self.home) as first:
            sample = plan_sample(
                first,
                vendor_datasets(needed.models),
                size=self.size,
                reach=reach_of(needed),
                cuts=self.cuts,
                seed=self.seed,
                moments=moments,
            )
            outside = find_outside(first, needed, compared)
            tallies = self._tallies(first, needed, compared, sample)
        report = AuditReport(
            models=tuple(
                conclude(model, tallies[model.relation], outside.get(model.relation))
                for model in self.project.models
                if model in audited
            ),
            cuts=tuple(us_datetime(cut.at_us) for cut in sample.cuts),
            series=tuple(str(key) for key in sample.series.values()),
            seed=self.seed,
        )
        missed = [
            model
            for model in compared
            if tallies[model.relation].cuts_at_rows * _AT_ROWS_OF < len(sample.cuts)
            and not report.of(model.relation).findings
        ]
        return report, missed

    def _tallies(
        self,
        first: duckdb.DuckDBPyConnection,
        needed: Project,
        compared: list[Model],
        sample: Sample,
    ) -> Mapping[Relation, Tally]:
        """The findings of all cuts, by model; the first worker uses the connection."""
        stopped = Event()
        work = len(sample.cuts) * len(compared) // _LEAST_WORK  # a scratch database for each worker
        workers = max(1, min(len(sample.cuts), work, os.cpu_count() or 1, _MOST_WORKERS))

        def examine(worker: int) -> Mapping[Relation, Tally]:
            opened = (
                open_catalog(self.catalog, self.session, self.home)
                if worker
                else nullcontext(first)
            )
            with opened as connection:
                audit = _Audit(
                    scratch_beside(connection, self.catalog, needed, compared),
                    needed,
                    compared,
                    sample.series,
                    seed=self.seed,
                    takes_turns=self.size.takes_turns,
                    home=self.home,
                )
                for cut in sample.cuts[worker::workers]:
                    if not stopped.is_set():
                        audit.examine(cut)
                        if self.after_cut is not None:
                            self.after_cut()
                return audit.tallies

        with ThreadPoolExecutor(workers) as pool:
            try:
                return merge(list(pool.map(examine, range(workers))))
            except BaseException:
                stopped.set()
                raise


def audit_sample(
    catalog: Path,
    project: Project,
    *,
    models: Sequence[str] = (),
    seed: int = 0,
    session: Mapping[str, str] = _UTC,
    home: Path | None = None,
) -> AuditReport:
    """The audit in a build: three cuts, one of them early, with few bars, in about a second."""
    return audit_lookahead(
        catalog, project, models=models, cuts=3, seed=seed, size=QUICK, session=session, home=home
    )


@dataclass(frozen=True, slots=True)
class _Future:
    """The data after the cut in a world: its rows, and the name of its results."""

    mode: Mode
    rows: str
    result: str


_WHOLE = _Future(Mode.TRUNCATED, "cut", "whole")
_NOISED = _Future(Mode.NOISE, "noise", "noised")
_WORDS = {
    "known": "the data known at a cut",
    "whole": "the data around a cut",
    "noised": "data with noise after a cut",
}


class _Audit:
    """The state of an audit from cut to cut."""

    def __init__(
        self,
        scratch: Scratch,
        project: Project,
        compared: Sequence[Model],
        series: Mapping[int, SeriesKey],
        *,
        seed: int,
        takes_turns: bool,
        home: Path | None,
    ) -> None:
        self._scratch, self._project, self._compared = scratch, project, list(compared)
        self._series, self._seed, self._takes_turns = series, seed, takes_turns
        self._home = home
        self.tallies: dict[Relation, Tally] = defaultdict(Tally)

    def examine(self, cut: Cut) -> None:
        """Build all models on the worlds of one cut, and compare."""
        futures = self._futures(cut)
        with translating(self._home):
            self._scratch.enter_cut(cut, self._seed, needs_noise=_NOISED in futures)
        failures: dict[Relation, str] = {}
        for result, world in (
            ("known", World.until("cut", cut.at_us)),
            *((future.result, World(future.rows)) for future in futures),
        ):
            failed = self._scratch.build(world, result, self._project.models)
            for relation, message in failed.items():
                text = f"cannot be built on {_WORDS[result]}: {message}"
                failures.setdefault(relation, text)
        comparable = []
        for model in self._compared:
            unproven = failures.get(model.relation) or self._why_not_comparable(model)
            if unproven is None:
                comparable.append(model)
            elif unproven:
                self._give_up(model, cut, unproven)
        for model in comparable:
            try:
                with translating(but=Fault.MEMORY):  # such a model is unproven
                    self._compare(model, cut, futures)
            except duckdb.Error as error:
                self._give_up(model, cut, f"cannot be compared: {str(error).splitlines()[0]}")
        if cut.number % _SHORT_EVERY == 0:
            self._check_lookbacks(comparable, cut)

    def _why_not_comparable(self, model: Model) -> str | None:
        """Why a model cannot be compared; empty if it can."""
        if not self._scratch.datasets_of(model):
            return ""
        kind = dict(self._scratch.columns("known", model)).get("known_at")
        if kind is None:
            return "has no column known_at; add it, or declare config.meta.whole_sample"
        if not kind.startswith("TIMESTAMP") or kind.endswith("ZONE"):
            return f"known_at is {kind}; it must be TIMESTAMP, in UTC"
        without = count_rows(self._scratch, model, "known", "known_at is null")
        return f"{counted(without, 'row')} without known_at" if without else None

    def _give_up(self, model: Model, cut: Cut, cause: str) -> None:
        finding = ModelFinding(Kind.UNPROVEN, model.relation, None, cause)
        self.tallies[model.relation].add(cut.number, finding)

    def _futures(self, cut: Cut) -> tuple[_Future, ...]:
        if not self._takes_turns:
            return _WHOLE, _NOISED
        return (_NOISED,) if cut.is_holed else (_WHOLE,)

    def _compare(self, model: Model, cut: Cut, futures: Sequence[_Future]) -> None:
        self._count(model, cut, futures[0])
        for future in futures:
            if model.is_labels:
                self._check_horizon(model, cut, future)
            else:
                self._look_for_leaks(model, cut, future)
        self._look_for_labels(model, cut, futures[0])

    def _count(self, model: Model, cut: Cut, future: _Future) -> None:
        """Add the columns that have a value in any world, and so were tested."""
        tally = self.tallies[model.relation]
        whole, known = (
            summarise(self._scratch, model, result, _known(cut))
            for result in (future.result, "known")
        )
        tally.rows += known.rows
        later, is_at_row = count_around(self._scratch, model, future.result, _known(cut))
        tally.later_rows += later
        tally.cuts_at_rows += is_at_row
        for name, count in known.filled.items():
            tally.filled[name] += max(count, whole.filled[name])

    def _look_for_leaks(self, model: Model, cut: Cut, future: _Future) -> None:
        known = self.tallies[model.relation].findings
        differences = [
            difference
            for difference in find_differences(
                self._scratch, model, (future.result, "known"), _known(cut), sorted(model.labels)
            )
            if (Kind.LEAK, difference.column) not in known
        ]
        causes = explain_leaks(self._scratch, model, differences, future.rows, self._tainted())
        for difference, cause in zip(differences, causes, strict=True):
            self._record(Kind.LEAK, model, difference, cut, future.mode, cause)

    def _tainted(self) -> dict[Relation, str]:
        tainted = {}
        for model in self._project.models:
            if model.is_labels or model.labels:
                tainted[model.relation] = "holds labels"
            elif model.is_whole_sample:
                tainted[model.relation] = "is a statistic of all data"
            elif any(kind is Kind.LEAK for kind, _ in self.tallies[model.relation].findings):
                tainted[model.relation] = "looks ahead itself"
        return tainted

    def _look_for_labels(self, model: Model, cut: Cut, future: _Future) -> None:
        """Check that labels of a row known at the cut change without the data after it."""
        tally = self.tallies[model.relation]
        names = model.labels
        if model.is_labels:
            names = frozenset(n for n, _ in self._scratch.columns("known", model)) - set(KEYS)
        names -= tally.labels_differing
        if not names:
            return
        at_cut = f"known_at = make_timestamp({cut.at_us})"
        whole, known = (
            summarise(self._scratch, model, result, at_cut).filled
            for result in (future.result, "known")
        )
        seen = {name for name in names if whole[name]}
        tally.labels_seen |= seen
        tally.labels_differing |= {name for name in seen if whole[name] != known[name]}
        if seen <= tally.labels_differing:
            return
        for difference in find_differences(
            self._scratch, model, (future.result, "known"), _known(cut)
        ):
            if difference.column in names:
                tally.labels_differing.add(difference.column)

    def _check_horizon(self, model: Model, cut: Cut, future: _Future) -> None:
        """Check that labels look no further ahead than declared."""
        if model.horizon_us is None:
            return
        # A horizon is a span of bars, the last of which may be known late.
        settled_us = cut.at_us - model.horizon_us - self._scratch.latest_us(model, future.rows)
        settled = f"known_at <= make_timestamp({settled_us})"
        cause = Cause(
            "needs rows from further ahead than config.meta.horizon declares; if bars are "
            "missing, lead(), which counts rows, reaches further in time; join_at does not"
        )
        for difference in find_differences(self._scratch, model, (future.result, "known"), settled):
            self._record(Kind.HORIZON, model, difference, cut, future.mode, cause)

    def _check_lookbacks(self, models: Sequence[Model], cut: Cut) -> None:
        """Check that rows do not change when data further back than their lookback is removed."""
        groups: dict[int, list[Model]] = defaultdict(list)
        for model in models:
            lookback_us = total_lookback_us(model, self._project)
            has_time = any(name == "time" for name, _ in self._scratch.columns("known", model))
            if lookback_us is not None and has_time:
                groups[lookback_us].append(model)
        for lookback_us, group in sorted(groups.items()):
            start_us = cut.at_us - lookback_us - max(lookback_us, MARGIN_US) // 8
            world = World("cut", f'{_known(cut)} and "time" >= make_timestamp({start_us})')
            failures = self._scratch.build(world, "short", self._project.with_ancestors(group))
            for model in group:
                if model.relation not in failures:
                    self._compare_short(model, cut, start_us + lookback_us)

    def _compare_short(self, model: Model, cut: Cut, from_us: int) -> None:
        settled = f'{_known(cut)} and "time" >= make_timestamp({from_us})'
        cause = Cause("needs rows from further back than config.meta.lookback declares")
        for difference in find_differences(
            self._scratch, model, ("known", "short"), settled, model.accumulates
        ):
            self._record(Kind.LOOKBACK, model, difference, cut, Mode.FORGOTTEN, cause)

    def _record(
        self, kind: Kind, model: Model, difference: Difference, cut: Cut, mode: Mode, cause: Cause
    ) -> None:
        moments = [difference.first.value(name) for name in ("time", "known_at")]
        finding = ModelFinding(
            kind,
            model.relation,
            difference.column,
            cause.text,
            series=self._series_of(difference.first),
            time=next((moment for moment in moments if isinstance(moment, datetime)), None),
            value_known=difference.right,
            value_whole=difference.left,
            cut=us_datetime(cut.at_us),
            mode=mode,
            reach_us=cause.reach_us,
            reach_bars=cause.reach_bars,
        )
        self.tallies[model.relation].add(cut.number, finding)

    def _series_of(self, row: Row) -> str:
        series_id = row.value("series_id")
        if isinstance(series_id, int) and series_id in self._series:
            return str(self._series[series_id])
        values = (row.value(name) for name in SERIES_COLUMNS)
        return " ".join(str(value) for value in values if value is not None) or "no series"


def _known(cut: Cut) -> str:
    return f"known_at <= make_timestamp({cut.at_us})"
