"""Warnings of a result: models behind it that look ahead, and all warnings as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.analysis.absent_columns import AbsentColumn, absent_lines
from warehouse.analysis.empty_windows import EmptyWindow
from warehouse.analysis.gaps import Gap, IncompleteError, gap_lines, require_whole
from warehouse.errors import WarehouseError
from warehouse.sql import Relation

_FAILED = """
select name, comment
from (
    select view_name as name, comment from duckdb_views()
    where database_name = 'warehouse' and schema_name = 'user'
    union all
    select table_name, comment from duckdb_tables()
    where database_name = 'warehouse' and schema_name = 'user'
)
where comment is not null and name in (
    select name from warehouse.meta.results
    where resource_type = 'audit' and package <> 'warehouse' and status = 'fail'
)
order by name
"""


class LooksAheadError(WarehouseError):
    """A strict query reads a model that looks ahead; ``fields["marks"]`` lists them."""


@dataclass(frozen=True, slots=True)
class LookAhead:
    """A model of the user behind a result that did not pass the look-ahead audit.

    Attributes
    ----------
    model
        The model, as ``user.spread_z``.
    reason
        The verdict (looks ahead, misdeclared, unproven), then its cause.
    """

    model: str
    reason: str

    def __str__(self) -> str:
        return f"{self.model} {self.reason}"


def find_marks(
    cursor: duckdb.DuckDBPyConnection, read: Iterable[Relation]
) -> tuple[LookAhead, ...]:
    """The user's models among ``read`` that did not pass the audit, by name."""
    models = {relation.name for relation in read if relation.schema == "user"}
    if not models:
        return ()
    rows = cursor.execute(_FAILED).fetchall()
    return tuple(
        LookAhead(f"user.{name}", text.splitlines()[0]) for name, text in rows if name in models
    )


Remark = LookAhead | EmptyWindow | AbsentColumn | Gap


def warning_lines(warnings: Sequence[Remark], hint: str | None) -> list[str]:
    """Lines of text: models that look ahead, empty windows, absent columns, then the gaps.

    ``hint`` is that of the result; if given, it already names the missing series.
    """
    others = [w for w in warnings if not isinstance(w, (AbsentColumn, Gap))]
    lines = [*map(str, others), *absent_lines(_absent(warnings))]
    return [*(f"warning: {line}" for line in lines), *gap_lines(_gaps(warnings), hint)]


def require_clean(warnings: Sequence[Remark]) -> None:
    """Raise an error if a strict query has warnings."""
    marks = [warning for warning in warnings if isinstance(warning, LookAhead)]
    if marks:
        listed = "\n".join(f"  {mark}" for mark in marks)
        raise LooksAheadError(
            f"the query reads models that did not pass the look-ahead audit:\n{listed}",
            next_step="correct them and run: warehouse build; or omit strict",
            marks=tuple(marks),
        )
    for window in warnings:
        if isinstance(window, EmptyWindow):
            raise IncompleteError(
                str(window), next_step="use another length, or omit strict", window=window
            )
    absent = _absent(warnings)
    if absent:
        listed = "\n".join(f"  {line}" for line in absent_lines(absent))
        raise IncompleteError(
            f"the vendor's files lack columns that the query reads:\n{listed}",
            next_step="narrow the span, read other columns, or omit strict",
            absent=tuple(absent),
        )
    require_whole(_gaps(warnings))


def _gaps(warnings: Sequence[Remark]) -> list[Gap]:
    return [warning for warning in warnings if isinstance(warning, Gap)]


def _absent(warnings: Sequence[Remark]) -> list[AbsentColumn]:
    return [warning for warning in warnings if isinstance(warning, AbsentColumn)]
