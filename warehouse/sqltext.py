"""SQL text: the one place that quotes names and strings."""

from __future__ import annotations

from warehouse.keys import us_datetime


def literal(text: str) -> str:
    """A string as an SQL literal.

    Examples
    --------
    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier.

    Examples
    --------
    >>> identifier("interval")
    '"interval"'
    """
    return '"' + name.replace('"', '""') + '"'


def moment(microseconds: int) -> str:
    """Microseconds since the epoch as an SQL timestamp, naive UTC.

    Examples
    --------
    >>> moment(0)
    "timestamp '1970-01-01 00:00:00'"
    """
    return f"timestamp {literal(us_datetime(microseconds).isoformat(sep=' '))}"
