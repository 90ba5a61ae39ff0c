"""Rows as Python values; a moment that Python does not have is refused, never replaced by another.

These are infinite dates and timestamps, and those outside the years 1 to 9999.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from warehouse.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

_DATES = (dt.date.max, dt.date.min)
_TIMES = (dt.datetime.max, dt.datetime.min)  # noqa: DTZ901 (naive UTC)


def python_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of a table as tuples of Python values.

    Raises
    ------
    QueryError
        A moment is infinite or outside the years 1 to 9999.
    """
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (OverflowError, ValueError) as error:
            raise _outside(name) from error
    return list(zip(*columns, strict=True))


def require_python_years(column: pa.Array, name: str) -> None:
    """Raise QueryError if a column of moments has one that Python does not have."""
    from pyarrow import compute, types

    try:
        if types.is_nested(column.type):
            column.to_pylist()
        else:
            compute.min_max(column).as_py()
    except (OverflowError, ValueError) as error:
        raise _outside(name) from error


def may_be_infinite(rows: Iterable[tuple[Any, ...]]) -> bool:
    """Whether a row has the largest or smallest moment, which DuckDB gives for an infinite one."""
    return any(_is_end(value) for row in rows for value in row)


def _is_end(value: object) -> bool:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None) in _TIMES
    return isinstance(value, dt.date) and value in _DATES


def _outside(name: str) -> QueryError:
    return QueryError(
        f"column {name!r} has a moment that is infinite or outside the years 1 to 9999",
        next_step=f"write {name}::varchar; if it was computed from an epoch, check the"
        " unit: to_timestamp takes seconds, make_timestamp microseconds",
    )
