"""The look-ahead audit as a structural test of every build: a sample of it, in about a second.

Its outcome goes to ``meta.results``, where ``publish`` reads it: a leak in a built-in
model stops publication, one in a model of the user is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.audit import ModelAudit, Verdict
from warehouse.build.build_file import BuildFile
from warehouse.build.checks.kept_audits import KeptAudits, is_without_fault
from warehouse.build.meta.rows import add_rows
from warehouse.build.models import OURS
from warehouse.display import counted
from warehouse.errors import BuildError
from warehouse.project import PACKAGE, BuiltModel, Model, Project, load_project
from warehouse.sql import Relation, comment, identifier


@dataclass(frozen=True, slots=True)
class AuditCounts:
    """Number of models that a build audited, and of those whose earlier audits it reused."""

    audited: int
    reused: int


def audit_build(file: BuildFile, project: Project, *, is_same_lake: bool = False) -> AuditCounts:
    """Audit models in the build file on a sample and record the verdicts.

    Models that are due (see :mod:`kept_audits`) are audited with seed 0, so that the next build of
    the same data finds the same. Then the model whose turn it is, if any, is audited with the
    generation's number as seed, unless only the user's models have changed.
    """
    standing = _user_relations(file.open())
    models = [
        model
        for model in project.models
        if (model.relation.schema == "user" and model.name in standing)
        or model.relation.schema not in ("staging", "user")
    ]
    (((generation,),),) = file.built("select generation from meta.build")
    kept = KeptAudits(file, project, is_same_lake=is_same_lake)
    due = [model for model in models if kept.is_due(model)]
    others = [model for model in models if model not in due]
    turn = None if is_same_lake else kept.turn(others)
    found = _audit(file, project, due, seed=0)
    if turn is not None:
        found |= _audit(file, project, [turn], seed=generation)
    outcomes = [kept.with_new(model, found.get(model.relation), generation) for model in models]
    connection = file.open()
    connection.execute("begin")
    _record(connection, [outcome.audit for outcome in outcomes], standing)
    connection.execute("delete from meta.audited")
    rows = [outcome.row() for outcome in outcomes if is_without_fault(outcome.audit)]
    add_rows(connection, "audited", rows)
    connection.execute("commit")
    return AuditCounts(len(found), len(outcomes) - len(found))


def _audit(
    file: BuildFile, project: Project, models: Sequence[Model], *, seed: int
) -> dict[Relation, ModelAudit]:
    if not models:
        return {}
    from warehouse.audit import audit_sample  # local: most builds audit nothing

    file.close()  # the audit opens it in a DuckDB of its own
    report = audit_sample(
        file.home.build_catalog,
        project,
        models=[f"{model.relation.schema}.{model.name}" for model in models],
        seed=seed,
        session=file.settings.session,
        home=file.home.root,
    )
    return {audit.model: audit for audit in report.models}


def _record(
    connection: duckdb.DuckDBPyConnection,
    audits: Sequence[ModelAudit],
    standing: Mapping[str, tuple[str, str | None]],
) -> None:
    """Write the outcomes to ``meta.results``, and warnings to the comments of the user's models."""
    connection.execute("delete from meta.results where resource_type = 'audit'")
    add_rows(
        connection,
        "results",
        [
            (
                audit.model.name,
                "audit",
                PACKAGE if audit.model.schema == "user" else OURS,
                _status(audit),
                len(audit.findings),
                _message(audit),
            )
            for audit in audits
        ],
    )
    for audit in audits:
        warning = _warning(audit)
        if warning and audit.model.schema == "user":
            kind, described = standing[audit.model.name]
            text = "\n".join(filter(None, (warning, described)))
            comment(connection, kind, audit.model.sql, text)
            _mark_columns(connection, audit)


def _mark_columns(connection: duckdb.DuckDBPyConnection, audit: ModelAudit) -> None:
    """Put the verdict before the meaning of each affected column, for ``describe``."""
    found = sorted({f.column for f in audit.findings if f.column is not None})
    for column, described in connection.execute(
        "select column_name, comment from duckdb_columns() where database_name = 'warehouse'"
        " and schema_name = 'user' and table_name = ? and column_name in (select unnest(?))",
        [audit.model.name, found],
    ).fetchall():
        text = ". ".join(filter(None, (_WARNINGS[audit.verdict], described)))
        comment(connection, "column", f"{audit.model.sql}.{identifier(column)}", text)


def _user_relations(
    connection: duckdb.DuckDBPyConnection,
) -> dict[str, tuple[str, str | None]]:
    """The user's models in the build file, each with its kind, view or table, and its comment.

    Models that could not be built are in ``meta.results`` instead.
    """
    where = "database_name = 'warehouse' and schema_name = 'user'"
    rows = connection.execute(
        f"select view_name, 'view', comment from duckdb_views() where {where}"
        f" union all select table_name, 'table', comment from duckdb_tables() where {where}"
    )
    return {str(name): (str(kind), text) for name, kind, text in rows.fetchall()}


def project_by_hand(file: BuildFile, target: Path) -> Project:
    """The models that dbt commands by hand have built, with their SQL."""
    try:
        rows = file.open().execute("select schema, name, sql, checksum from meta.models").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise BuildError(
            f"{file.home.build_catalog}: prepared by another version of warehouse; the old catalog"
            " stays",
            next_step="run: warehouse build --no-dbt && dbt build && warehouse publish",
        ) from error
    built = {Relation(row[0], row[1]): BuiltModel(row[2], row[3]) for row in rows}
    return load_project(target, built=built)


def _message(audit: ModelAudit) -> str:
    found = [str(finding) for finding in audit.findings]
    compared = f"{audit.verdict}, {counted(audit.rows, 'row')} compared"
    return "\n".join(found) or (f"{audit.verdict}: {audit.reason}" if audit.reason else compared)


def _status(audit: ModelAudit) -> str:
    """The verdict as a status of dbt; a model without compared rows does not fail."""
    if audit.findings:
        return "fail"
    return "warn" if audit.reason else "pass"


_WARNINGS = {
    Verdict.LEAK: "LOOKS AHEAD, do not use as a feature",
    Verdict.MISDECLARED: "MISDECLARED, its declaration of look-ahead is wrong",
    Verdict.UNPROVEN: "UNPROVEN, may look ahead",
    Verdict.UNTESTED: "UNTESTED for look-ahead",
}


def _warning(audit: ModelAudit) -> str | None:
    """Prefix of the comment of a model that did not pass the audit."""
    if not audit.findings and not audit.reason:
        return None
    reasons = [f.cause for f in audit.findings if f.kind == str(audit.verdict)]
    reasons += [f.cause for f in audit.findings]
    return f"{_WARNINGS[audit.verdict]}: {reasons[0] if reasons else audit.reason}"
