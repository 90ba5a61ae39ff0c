"""Charts of any query: all its rows, reduced to the points that a screen can show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from warehouse.display import counted
from warehouse.errors import UsageError
from warehouse.sql import identifier
from warehouse.ui.asking import Asking, is_number
from warehouse.ui.chart_tiles import Floats, bucketed
from warehouse.ui.pages import scattered

_MOST_LINES = 7
_MOST_PIXELS = 4_000
_TIME = re.compile(r"TIMESTAMP|DATE\b")


def drawing(
    asking: Asking, text: str, params: dict[str, Any], x: str, ys: Sequence[str], pixels: int
) -> dict[str, Any]:
    """Columns of a query as lines over a time column, or as points over a number."""
    columns = asking.sql(text, params).columns
    lacking = [name for name in (x, *ys) if name not in columns]
    if lacking or not 0 < len(ys) <= _MOST_LINES:
        raise UsageError(
            f"the query has no column {lacking[0]!r}"
            if lacking
            else f"{counted(len(ys), 'column')}: a chart has 1 to {_MOST_LINES}"
        )
    wrong = next((name for name in ys if not is_number(columns[name])), None)
    if wrong is not None:
        raise UsageError(f"{wrong} is {columns[wrong]}: a chart needs numbers")
    query = text.strip().rstrip(";")
    if _TIME.match(columns[x]):
        return _lines(asking, query, params, x, ys, min(max(pixels, 50), _MOST_PIXELS))
    pairs = (
        f"select x, y, hash(row_number() over ()) as place from (select {_double(x)} as x,"
        f" {_double(ys[0])} as y from ({query}\n)) where isfinite(x) and isfinite(y)"
    )
    return {"kind": "cloud"} | scattered(asking, pairs, params)


def _lines(
    asking: Asking, query: str, params: dict[str, Any], x: str, ys: Sequence[str], pixels: int
) -> dict[str, Any]:
    listed = "".join(
        f", case when isfinite({_double(name)}) then {_double(name)} end as c{place}"
        for place, name in enumerate(ys)
    )
    rows = (
        f"select epoch_us({identifier(x)}::timestamp) as t{listed} from ({query}\n)"
        f" where isfinite({identifier(x)})"
    )
    (found,) = asking.rows(
        f"select count(*) as n, min(t) as first, max(t) as last from ({rows})", params
    )
    if not found["n"]:
        return {"kind": "lines", "rows": 0, "x": [], "values": [[] for _ in ys]}
    if found["n"] <= 2 * pixels:
        every = asking.sql(f"{rows} order by t", params).arrow()
        at, *values = (column.to_pylist() for column in every.columns)
        shown = {"x": [one / 1e6 for one in at], "values": values}
    else:
        span = found["first"], found["last"] + 1
        width = -(-(span[1] - span[0]) // pixels)
        seconds, _, points = bucketed(asking, rows, params, len(ys), span, width)
        held = ~np.all([np.isnan(one) for one in points], axis=0)
        shown = {"x": seconds[held].tolist(), "values": [_nullable(one[held]) for one in points]}
    return {"kind": "lines", "rows": found["n"], **shown}


def _double(name: str) -> str:
    return f"{identifier(name)}::double"


def _nullable(values: Floats) -> list[float | None]:
    return [None if one != one else one for one in values.tolist()]
