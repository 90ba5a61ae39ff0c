"""Infinite dates and timestamps, which Python does not have: as values, and as text for people.

DuckDB gives Python the largest and the smallest moment in their place, and so does this module.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from warehouse.errors import QueryError
from warehouse.sql import identifier

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
_TEXTS = ("infinity", "-infinity")
_DATES = (dt.date.max, dt.date.min)
_TIMES = (dt.datetime.max, dt.datetime.min)  # noqa: DTZ901 (naive UTC)


def python_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of a table as tuples of Python values; see :func:`to_python`."""
    columns = map(to_python, table.columns, table.column_names)
    return list(zip(*columns, strict=True))


def to_python(column: pa.Array | pa.ChunkedArray, name: str) -> list[Any]:
    """The values of a column; infinite moments are the largest and the smallest one.

    Raises
    ------
    QueryError
        A moment is finite and outside the years 1 to 9999.
    """
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError) as error:
        found = _without_infinity(column, name, error)
    is_zoned = getattr(column.type, "tz", None) is not None
    times = [moment.replace(tzinfo=dt.UTC if is_zoned else None) for moment in _TIMES]
    ends = times if hasattr(column.type, "unit") else _DATES
    return [value if end is None else ends[end] for value, end in found]


def as_text(column: pa.Array, name: str) -> pa.Array:
    """A column of moments as it is; as text, with DuckDB's words, if any of them is infinite.

    Raises
    ------
    QueryError
        A moment is finite and outside the years 1 to 9999.
    """
    import pyarrow as pa
    from pyarrow import compute, types

    try:
        if types.is_nested(column.type):
            column.to_pylist()
        else:
            compute.min_max(column).as_py()
    except (OverflowError, ValueError) as error:
        found = _without_infinity(column, name, error)
        texts = [
            _TEXTS[end] if end is not None else None if value is None else str(value)
            for value, end in found
        ]
        return pa.array(texts, pa.string())
    return column


def with_infinity(
    rows: list[tuple[Any, ...]],
    types: Mapping[str, str],
    query: str,
    read: Callable[[str], list[tuple[Any, ...]]],
) -> list[tuple[Any, ...]]:
    """The first rows of a query, whose infinite moments are text; ``read`` runs another query."""
    kinds = [place for place, kind in enumerate(types.values()) if kind in _KINDS]
    suspects = [place for place in kinds if any(_is_end(row[place]) for row in rows)]
    if not suspects:
        return rows
    names = list(types)
    flags = ", ".join(f"isinf({identifier(names[place])})" for place in suspects)
    found = []
    for row in read(f"select *, {flags} from (\n{query}\n) limit {len(rows)}"):
        values = list(row[: len(names)])
        for place, is_infinite in zip(suspects, row[len(names) :], strict=True):
            if is_infinite:
                values[place] = _TEXTS[values[place].year == dt.MINYEAR]
        found.append(tuple(values))
    return found


def _is_end(value: object) -> bool:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None) in _TIMES
    return value in _DATES


def _without_infinity(
    column: pa.Array | pa.ChunkedArray, name: str, error: Exception
) -> list[tuple[Any, int | None]]:
    """Values, each with the number of the end that it stands for; None for a finite one."""
    import pyarrow as pa
    from pyarrow import compute, types

    refused = QueryError(
        f"column {name!r} has a moment outside the years 1 to 9999",
        next_step=f"write {name}::varchar; if it was made of an epoch, mind its"
        " unit: to_timestamp takes seconds, make_timestamp microseconds",
    )
    kind = column.type
    if not (types.is_timestamp(kind) or types.is_date32(kind)):
        raise refused from error
    number = pa.int32() if types.is_date32(kind) else pa.int64()
    largest = 2 ** (number.bit_width - 1) - 1
    counts = column.cast(number)
    is_top, is_bottom = (compute.equal(counts, end) for end in (largest, -largest))
    finite = compute.if_else(compute.or_(is_top, is_bottom), pa.scalar(None, kind), column)
    try:
        values = finite.to_pylist()
    except (OverflowError, ValueError):
        raise refused from error
    ends = (
        0 if top else 1 if bottom else None
        for top, bottom in zip(is_top.to_pylist(), is_bottom.to_pylist(), strict=True)
    )
    return list(zip(values, ends, strict=True))
