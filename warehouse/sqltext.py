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


def files_below(home: Path, names: Iterable[str]) -> str:
    """A list of files of a home, for ``read_parquet`` in a stored view.

    They are found where the home was when the view was made, or where :data:`HOME_VARIABLE` says.

    Examples
    --------
    >>> text = files_below(Path("/data"), ["objects/a.parquet"])
    >>> print(text.replace(" lambda", "\\nlambda"))
    list_transform(['objects/a.parquet'],
    lambda name: coalesce(getvariable('warehouse_home'), '/data') || '/' || name)
    """
    listed = ", ".join(literal(name) for name in names)
    place = f"coalesce(getvariable({literal(HOME_VARIABLE)}), {literal(str(home))})"
    return f"list_transform([{listed}], lambda name: {place} || '/' || name)"
