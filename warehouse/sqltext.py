"""SQL text: the one place that quotes names and strings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

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


HOME_VARIABLE = "warehouse_home"
"""DuckDB variable that says where the home is now, for a catalog that was built elsewhere."""

_AGENT = "current_setting('custom_user_agent')"


def user_agent(home: Path) -> str:
    """DuckDB's ``custom_user_agent`` that says where the home is now.

    A variable belongs to one cursor, and cursors of that cursor lack it; this setting is the one
    text that all connections of a database share and that changes nothing else.

    Examples
    --------
    >>> user_agent(Path("/data"))
    'warehouse_home=/data'
    """
    return f"{HOME_VARIABLE}={home}"


def files_below(home: Path, names: Iterable[str]) -> str:
    """A list of files of a home, for ``read_parquet`` in a stored view.

    They are found where :data:`HOME_VARIABLE` or else :func:`user_agent` says, or else where the
    home was when the view was made.

    Examples
    --------
    >>> text = files_below(Path("/data"), ["objects/a.parquet"])
    >>> for step in (" lambda", " case", " then", " '/data'"):
    ...     text = text.replace(step, "\\n" + step.strip())
    >>> print(text)
    list_transform(['objects/a.parquet'],
    lambda name: coalesce(getvariable('warehouse_home'),
    case when starts_with(current_setting('custom_user_agent'), 'warehouse_home=')
    then substr(current_setting('custom_user_agent'), 16) end,
    '/data') || '/' || name)
    """
    listed = ", ".join(literal(name) for name in names)
    mark = f"{HOME_VARIABLE}="
    shared = (
        f"case when starts_with({_AGENT}, {literal(mark)})"
        f" then substr({_AGENT}, {len(mark) + 1}) end"
    )
    place = f"coalesce(getvariable({literal(HOME_VARIABLE)}), {shared}, {literal(str(home))})"
    return f"list_transform([{listed}], lambda name: {place} || '/' || name)"
