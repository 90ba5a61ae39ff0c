"""Compares two builds of a model on the rows that both should contain.

A fingerprint of all rows is compared first, which suffices for clean models; then each column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from warehouse.audit.scratch import KEYS, Scratch, stored
from warehouse.project import Model
from warehouse.sql import identifier, literal

# Reals are equal up to this share of the larger one, or of the column's mean size in the series,
# because two builds may add up a window in another order.
RELATIVE_TOLERANCE = 1e-9

_REALS = ("DOUBLE", "FLOAT")
_PLACE = "place among equal keys"
_PRESENT = "is there"
NO_ROW = "no row"


@dataclass(frozen=True, slots=True)
class Row:
    """A row by its key: the key columns that the model has, and their values."""

    key: tuple[tuple[str, object], ...]

    @property
    def condition(self) -> str:
        return " and ".join(
            f"{identifier(name)} is not distinct from {_constant(value)}"
            for name, value in self.key
        )

    def value(self, name: str) -> object:
        return dict(self.key).get(name)


@dataclass(frozen=True, slots=True)
class Difference:
    """A column that differs (``None``: rows that only one build has), and the first such row."""

    column: str | None
    first: Row
    left: object
    right: object


def count_rows(scratch: Scratch, model: Model, result: str, condition: str) -> int:
    found = scratch.connection.execute(
        f"select count(*) from {stored(result, model)} where {condition}"
    ).fetchone()
    assert found is not None
    return int(found[0])


def count_around(scratch: Scratch, model: Model, result: str, known: str) -> tuple[int, bool]:
    """The number of rows after the cut, and whether the cut is at a row.

    It is if a series has a later row, and one that became known no earlier than the last data
    before the cut that the model reads.
    """
    has_series = any(name == "series_id" for name, _ in scratch.columns(result, model))
    last = " union all ".join(
        f"select max(known_at) as known_at from memory.cut.{identifier(dataset)} where {known}"
        for dataset in scratch.datasets_of(model)
    )
    of_cut = f"{known} and known_at >= (select max(known_at) from ({last}))" if last else known
    found = scratch.connection.execute(
        "select coalesce(sum(later), 0)::bigint, coalesce(bool_or(near > 0 and later > 0), false)"
        f" from (select count(*) filter ({of_cut}) as near, count(*) - count(*) filter ({known})"
        f" as later from {stored(result, model)} {'group by series_id' if has_series else ''})"
    ).fetchone()
    assert found is not None
    return int(found[0]), bool(found[1])


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of some rows of a build: number, fingerprint, and non-NULL values by column."""

    rows: int
    fingerprint: int | None
    filled: Mapping[str, int]


def summarise(
    scratch: Scratch, model: Model, result: str, condition: str, without: Sequence[str] = ()
) -> Summary:
    """A summary of the rows under ``condition``, without the columns in ``without``.

    It is kept as long as the build.
    """
    kept, place = scratch.kept[result], (model.relation, condition, tuple(without))
    if place not in kept:
        kept[place] = _summary(scratch, model, result, condition, without)
    summary = kept[place]
    assert isinstance(summary, Summary)
    return summary


def _summary(
    scratch: Scratch, model: Model, result: str, condition: str, without: Sequence[str]
) -> Summary:
    names = [name for name, _ in scratch.columns(result, model) if name not in without]
    packed = ", ".join(identifier(name) for name in names)
    counts = ", ".join(f"count({identifier(name)})" for name in names)
    found = scratch.connection.execute(
        f"select count(*), sum(hash({packed})), {counts} from {stored(result, model)}"
        f" where {condition}"
    ).fetchone()
    assert found is not None
    return Summary(found[0], found[1], dict(zip(names, found[2:], strict=True)))


def find_differences(
    scratch: Scratch,
    model: Model,
    results: tuple[str, str],
    condition: str,
    without: Sequence[str] = (),
) -> list[Difference]:
    """Columns in which two builds differ among the rows under ``condition``."""
    left, right = (summarise(scratch, model, r, condition, without) for r in results)
    if left == right:
        return []
    columns = [c for c in scratch.columns(results[0], model) if c[0] not in without]
    keys = [name for name, _ in columns if name in KEYS]
    measures = [column for column in columns if column[0] not in KEYS]
    joined = _joined_sql(model, results, condition, keys, measures)
    tests = {"": f"{identifier(_PRESENT)} is null or {_right(_PRESENT)} is null"}
    tests |= {name: _differs(name, kind) for name, kind in measures}
    counts = scratch.connection.execute(
        f"{joined} select {', '.join(f'count_if({test})' for test in tests.values())} from joined"
    ).fetchone()
    assert counts is not None
    return [
        _first(scratch, joined, keys, name, test)
        for (name, test), count in zip(tests.items(), counts, strict=True)
        if count
    ]


def are_equal(left: object, right: object) -> bool:
    """Whether two values count as equal; reals up to the tolerance."""
    if isinstance(left, float) and isinstance(right, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return math.isclose(left, right, rel_tol=RELATIVE_TOLERANCE, abs_tol=0.0)
    return left == right


def _joined_sql(
    model: Model,
    results: tuple[str, str],
    condition: str,
    keys: Sequence[str],
    measures: Sequence[tuple[str, str]],
) -> str:
    """``joined``: left rows joined with right ones, whose columns are named ``… on the right``.

    Rows with the same key are numbered.
    """
    key = ", ".join(identifier(name) for name in keys) or "1"
    order = ", ".join(identifier(name) for name, _ in measures) or "1"
    series = "series_id" if "series_id" in keys else "1"
    sizes = "".join(
        f", avg(case when isfinite({identifier(name)}) then abs({identifier(name)}) end)"
        f" over (partition by {series}) as {_size(name)}"
        for name, kind in measures
        if kind in _REALS
    )
    left, right = (stored(result, model) for result in results)
    numbered = f"row_number() over (partition by {key} order by {order})"
    place = f"{numbered} as {identifier(_PLACE)}, true as {identifier(_PRESENT)}"
    renamed = ", ".join(
        f"{identifier(name)} as {_right(name)}"
        for name in (*keys, *(name for name, _ in measures), _PLACE, _PRESENT)
    )
    matches = " and ".join(
        f"{identifier(name)} is not distinct from {_right(name)}" for name in (*keys, _PLACE)
    )
    return (
        f"with left_rows as (select *, {place}{sizes} from {left} where {condition}),"
        f" placed as (select *, {place} from {right} where {condition}),"
        f" right_rows as (select {renamed} from placed),"
        f" joined as (select * from left_rows full outer join right_rows"
        f" on {matches})"
    )


def _right(name: str) -> str:
    return identifier(f"{name} on the right")


def _size(name: str) -> str:
    return identifier(f"mean size of {name}")


def _differs(name: str, kind: str) -> str:
    left, right = identifier(name), _right(name)
    both = f"{identifier(_PRESENT)} and {_right(_PRESENT)}"
    differs = f"{both} and {left} is distinct from {right}"
    if kind not in _REALS:
        return f"({differs})"
    size = f"greatest(abs({left}), abs({right}), {_size(name)})"
    near = (
        f"isfinite({left}) and isfinite({right})"
        f" and abs({left} - {right}) <= {RELATIVE_TOLERANCE!r} * {size}"
    )
    return f"({differs} and not coalesce({near}, false))"


def _first(scratch: Scratch, joined: str, keys: Sequence[str], name: str, test: str) -> Difference:
    key = [f"coalesce({identifier(k)}, {_right(k)})" for k in keys]
    values = [identifier(name or _PRESENT), _right(name or _PRESENT)]
    order = [key[keys.index(k)] for k in ("time", "known_at", "series_id") if k in keys] or ["1"]
    found = scratch.connection.execute(
        f"{joined} select {', '.join((*values, *key))} from joined where {test}"
        f" order by {', '.join(order)} limit 1"
    ).fetchone()
    assert found is not None
    row = Row(tuple(zip(keys, found[2:], strict=True)))
    left, right = found[:2]
    if not name:
        left, right = ("a row" if side else NO_ROW for side in (left, right))
    return Difference(name or None, row, left, right)


def _constant(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, datetime):
        return f"timestamp {literal(value.isoformat(sep=' '))}"
    return str(value) if isinstance(value, int) else literal(str(value))
