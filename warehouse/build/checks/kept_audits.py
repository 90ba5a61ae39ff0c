"""Results of look-ahead audits in earlier builds, and the models that a build has to audit.

Whether a model looks ahead depends on its SQL, not on the data. So a model without findings is
audited again only if something that the audit depends on has changed (see ``_key``), if one of its
columns has its first values, or in turn: a build also audits the model whose last audit is the
oldest, on other moments and series, if it is more than a day ago. ``meta.audited`` of the published
catalog has the results of earlier builds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import duckdb

from warehouse.audit import ModelAudit, Verdict
from warehouse.build.build_file import BuildFile
from warehouse.errors import DamagedError
from warehouse.files import hash_of, sha256_of
from warehouse.project import Model, Project
from warehouse.sql import Relation, identifier, rows_of_files
from warehouse.times import utc_now

# Increase it if the audit or its sample changes, so that every model is audited again.
AUDIT_VERSION = 5

# Models with a more recent audit are not audited in turn.
_BETWEEN_AUDITS = timedelta(days=1)

_MONTHS = "select model, path from meta.stored where rows > 0"
_FILES = """
select dataset, shown from meta.months
union all select model, path from meta.stored where starts_with(model, 'ticks.')
"""
_MACROS = """
select function_name, parameters::varchar, macro_definition from duckdb_functions()
where database_name = 'warehouse' and macro_definition is not null
"""
_COLUMNS = """
select table_name, column_name, data_type from duckdb_columns()
where database_name = 'warehouse' and schema_name = 'vendor'
"""
_AUDITED = """
select schema, name, key, verdict, rows, untested, empty, generation, audited_at
from meta.audited
"""
_WITHOUT_FAULT = (Verdict.CLEAN, Verdict.LABELS, Verdict.IN_SAMPLE, Verdict.UNTESTED)


@dataclass(frozen=True, slots=True)
class KeptAudit:
    """A row of ``meta.audited``: the results of all audits of a model's SQL so far.

    Attributes
    ----------
    key
        Hash of everything that the outcome depends on, other than the sample.
    audit
        The verdict; rows compared in all these audits, columns that were NULL in all of them.
    empty
        Columns among these without a value in the data.
    generation, audited_at
        Generation whose build audited it last, and when.
    """

    key: str
    audit: ModelAudit
    empty: tuple[str, ...]
    generation: int
    audited_at: datetime

    def row(self) -> tuple[object, ...]:
        """The row."""
        audit = self.audit
        found = (str(audit.verdict), audit.rows, list(audit.untested), list(self.empty))
        return (
            audit.model.schema,
            audit.model.name,
            self.key,
            *found,
            self.generation,
            self.audited_at,
        )

    def with_more(self, later: ModelAudit) -> ModelAudit:
        """The combined outcome of these audits and a later one."""
        if later.findings or not self.audit.rows:
            return later
        return replace(
            later,
            verdict=self.audit.verdict,
            reason="",
            rows=self.audit.rows + later.rows,
            untested=tuple(name for name in self.audit.untested if name in later.untested)
            if later.rows
            else self.audit.untested,
        )


class KeptAudits:
    """The earlier audits of the models of a build file, from the published catalog.

    With ``is_same_lake`` the build file is a copy of the published catalog in which only the user's
    models may differ.
    """

    def __init__(
        self,
        file: BuildFile,
        project: Project,
        *,
        is_same_lake: bool,
    ) -> None:
        self._file, self._project = file, project
        self._now = utc_now().replace(microsecond=0)
        self._stored = {name for (name,) in self._rows("select model from meta.stored")}
        self._months = set(self._rows(_MONTHS))
        self._files = set(self._rows(_FILES))
        macros = sorted(
            (name, parameters, _in_one_order(body))
            for name, parameters, body in self._rows(_MACROS)
        )
        self._of_all = hash_of([AUDIT_VERSION, duckdb.__version__, macros])
        self._of_each = {model.relation: hash_of(_facts(model)) for model in project.models}
        self._columns = sorted(self._rows(_COLUMNS))
        self._keys = {model.relation: self._key(model) for model in project.models}
        rows: list[tuple[Any, ...]] = []
        self._old_months = self._old_files = set[tuple[Any, ...]]()
        if is_same_lake:
            rows = self._rows(_AUDITED)
            self._old_months, self._old_files = self._months, self._files
        else:
            with suppress(DamagedError):  # nothing was published, or by an earlier version
                rows, months, files = file.published(_AUDITED, _MONTHS, _FILES)
                self._old_months, self._old_files = set(months), set(files)
        kept = map(_kept_audit, rows)
        self._kept = {k.audit.model: k for k in kept if self._keys.get(k.audit.model) == k.key}

    def get(self, model: Model) -> KeptAudit | None:
        """The earlier audit of the model with its current SQL and inputs; None if there is none."""
        return self._kept.get(model.relation)

    def is_due(self, model: Model) -> bool:
        """Whether the model must be audited: it never was, or a column has its first values.

        An untested mart is due if a new month has rows, and a view if any file that it reads is
        new.
        """
        kept = self.get(model)
        if kept is None:
            return True
        is_untested = kept.audit.verdict is Verdict.UNTESTED
        if not kept.empty and not is_untested:
            return False
        if model.name in self._stored:
            new = sorted(set(self._paths(model)) - {path for _, path in self._old_months})
            return bool(new) and (is_untested or bool(self._filled(new, kept.empty)))
        datasets = {relation.name for relation in self._read(model) if relation.schema == "vendor"}
        new_ones = {dataset for dataset, _ in self._files - self._old_files}
        return any(
            dataset in datasets or (dataset.startswith("ticks.") and dataset in model.sql)
            for dataset in new_ones
        )

    def turn(self, models: Iterable[Model]) -> Model | None:
        """The model among these whose last audit is the oldest, and older than a day.

        It is audited again because an audit tests a sample of moments only: other moments, or newer
        rows, may show a leak that the earlier audits missed. Models without rows are not audited in
        turn.
        """
        known = [
            (kept.generation, model)
            for model in models
            if (kept := self.get(model)) is not None
            and kept.audit.rows
            and kept.audited_at < self._now - _BETWEEN_AUDITS
        ]
        return min(known, key=lambda pair: pair[0])[1] if known else None

    def with_new(self, model: Model, new: ModelAudit | None, generation: int) -> KeptAudit:
        """The audit of the model after this build, which has audited it unless ``new`` is None."""
        kept = self.get(model)
        if new is None:
            assert kept is not None, "models without an earlier audit are audited"
            return kept
        audit = new if kept is None else kept.with_more(new)
        empty = audit.untested
        if paths := self._paths(model):
            filled = self._filled(paths, audit.untested)
            empty = tuple(name for name in empty if name not in filled)
        return KeptAudit(self._keys[model.relation], audit, empty, generation, self._now)

    def _key(self, model: Model) -> str:
        """Hash of all inputs of the audit: SQL, declarations, seeds, columns, versions."""
        read = self._read(model)
        beside = [relation for relation in sorted(read) if relation.schema == "meta"]
        datasets = {relation.name for relation in read if relation.schema == "vendor"}
        facts = {
            "all": self._of_all,
            "models": [self._of_each[m.relation] for m in self._project.with_ancestors([model])],
            "seeds": [
                (str(seed.relation), sha256_of(seed.path))
                for seed in self._project.seeds
                if seed.relation in read
            ],
            "columns": [row for row in self._columns if row[0] in datasets],
            "beside": [
                (str(relation), sorted(map(str, self._rows(f"from {relation.sql}"))))
                for relation in beside
            ],
        }
        return hash_of(facts)

    def _read(self, model: Model) -> set[Relation]:
        """Everything that a model reads, directly or not."""
        lineage = self._project.with_ancestors([model])
        return {relation for m in lineage for relation in (*m.depends_on, *m.sources)}

    def _paths(self, model: Model) -> list[str]:
        """The stored months of a mart that have rows; empty for a view."""
        return sorted(path for name, path in self._months if name == model.name)

    def _filled(self, paths: Sequence[str], columns: Sequence[str]) -> set[str]:
        """Which of the columns have a value in these months."""
        if not columns:
            return set()
        rows = rows_of_files(self._file.home.root / path for path in paths)
        counts = ", ".join(f"count({identifier(name)})" for name in columns)
        (found,) = self._rows(f"select {counts} from {rows}")
        return {name for name, count in zip(columns, found, strict=True) if count}

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._file.open().execute(query).fetchall()


def _facts(model: Model) -> list[Any]:
    """The facts of the model itself on which the outcome depends."""
    return [
        *(str(model.relation), model.sql, model.is_labels, sorted(model.labels)),
        *(model.is_whole_sample, model.lookback_us, model.horizon_us, model.accumulates),
        *(model.outside, model.beside),
    ]


def _in_one_order(body: str) -> str:
    """The text of a macro, with the names in each EXCLUDE sorted.

    DuckDB 2.0 writes them in another order each time that it reads the macro from a file: see
    ``create macro m() as table select k.* exclude (a, b, c) from k`` in ``duckdb_functions()``.
    Remove when the oldest supported version keeps one order.

    Examples
    --------
    >>> _in_one_order("SELECT k.* EXCLUDE (b, a) FROM k")
    'SELECT k.* EXCLUDE (a, b) FROM k'
    """
    return re.sub(
        r"(?<=EXCLUDE \()[^()]*", lambda names: ", ".join(sorted(names[0].split(", "))), body
    )


def is_without_fault(audit: ModelAudit) -> bool:
    """Whether later builds may reuse the outcome; other models are audited in each build."""
    return audit.verdict in _WITHOUT_FAULT and not audit.reason


def _kept_audit(row: tuple[Any, ...]) -> KeptAudit:
    """The value of a row of ``_AUDITED``."""
    schema, name, key, verdict, rows, untested, empty, generation, audited_at = row
    audit = ModelAudit(Relation(schema, name), Verdict(verdict), (), rows, tuple(untested))
    return KeptAudit(key, audit, tuple(empty), generation, audited_at)
