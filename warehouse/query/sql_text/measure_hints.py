"""Next steps for errors in the use of measures, which DuckDB reports as errors of windows."""

from __future__ import annotations

import re

_KEYS = r'"?(series_id|time|known_at)"?'


def measure_hint(message: str, sql: str) -> str | None:
    """The next step for an error of DuckDB that a measure may have caused; None for others.

    Examples
    --------
    >>> measure_hint('Parser Error: window "bars_1_day" does not exist', "select 1 over bars_1_day")
    "end the SELECT with {{ windows('1 day') }}, with every length that its measures use"
    """
    window = re.search(r'window "(?:bars|last)_(\w+)" does not exist', message)
    if window:
        length = window[1].replace("_", " ")
        return (
            f"end the SELECT with {{{{ windows('{length}') }}}}, with every length that its"
            " measures use"
        )
    if "WHERE clause cannot contain window" in message:
        return (
            "measures are windows: put a condition on a measure in qualify instead of where, and"
            " repeat the measure's expression there"
        )
    if "the expression has side effects" in message:
        return (
            "in qualify write the measure out instead of its alias, or put the SELECT into a"
            " subquery and the condition around it"
        )
    if macro := re.match(r"Binder Error: Macro (\w+)\(\) does not support", message):
        return f"see: warehouse describe {macro[1]}"
    if re.search(r"\w+ -> INTERVAL\)|extract specifier", message):
        return "write a measure's length as a span of time, such as '1 day', not a number of rows"
    if re.search(r"cast to the destination type \w+\[\]", message):
        return "use in with a list of values: symbol in $symbols"
    if re.search("window function calls cannot be nested|cannot contain window function", message):
        return "measures are windows: compute the inner one in a subquery or a WITH first"
    if re.search(rf"Ambiguous reference to column name {_KEYS}", message):
        return (
            "measures read series_id, time and known_at of the SELECT: join with using"
            " (series_id, time, known_at), or compute the measure before the join"
        )
    is_windowed = re.search(r"\bover\b", sql, re.IGNORECASE)
    if is_windowed and re.search(rf"Referenced column {_KEYS} not found", message):
        return (
            "measures read series_id, time and known_at: select these columns in the subquery too"
        )
    return None
