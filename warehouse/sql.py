"""SQL text: names of tables, and the one place that quotes names and strings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.times import us_datetime

# The name of the catalog in DuckDB, also in compiled SQL.
DATABASE = "warehouse"


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


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """A table or view of the catalog."""

    schema: str
    name: str

    def __str__(self) -> str:
        return self.name if self.schema == "main" else f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """The full quoted name.

        Examples
        --------
        >>> Relation("staging", "stg_flow").sql
        '"warehouse"."staging"."stg_flow"'
        """
        return ".".join(map(identifier, (DATABASE, self.schema, self.name)))


def moment(at: int | dt.datetime) -> str:
    """Microseconds since the epoch, or a naive datetime, as an SQL timestamp in UTC.

    Examples
    --------
    >>> moment(0)
    "timestamp '1970-01-01 00:00:00'"
    """
    at = us_datetime(at) if isinstance(at, int) else at
    return f"timestamp {literal(at.isoformat(sep=' '))}"


def parquet_rows(listed: str) -> str:
    """The rows of parquet files, which are an SQL list; folders such as ``day=…`` add no column."""
    return f"read_parquet({listed}, hive_partitioning = false)"


def rows_of_files(paths: Iterable[Path]) -> str:
    """The rows of parquet files by their paths, which may be patterns.

    Examples
    --------
    >>> rows_of_files([Path("a.parquet")])
    "read_parquet(['a.parquet'], hive_partitioning = false)"
    """
    return parquet_rows(f"[{', '.join(literal(str(path)) for path in paths)}]")


# DuckDB variable with the current path of the home, for a catalog that was built elsewhere.
HOME_VARIABLE = "warehouse_home"

_AGENT = "current_setting('custom_user_agent')"


def user_agent(home: Path) -> str:
    """Value of DuckDB's ``custom_user_agent`` with the current path of the home.

    A variable belongs to one cursor, and cursors of that cursor lack it. This setting is the only
    text that all connections of a database share and that has no other effect.

    Examples
    --------
    >>> user_agent(Path("/data"))
    'warehouse_home=/data'
    """
    return f"{HOME_VARIABLE}={home}"


def files_below(home: Path, names: Iterable[str]) -> str:
    """A list of files of a home, for ``read_parquet`` in a stored view.

    They are found below :data:`HOME_VARIABLE`, else :func:`user_agent`, else the path that the
    home had when the view was created.

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


def bound(value: Any) -> object:
    """A value as DuckDB binds it: numpy's and pandas' as Python's, aware datetimes as naive UTC.

    Times are truncated to microseconds, like those of the catalog.

    Examples
    --------
    >>> bound(dt.datetime(2025, 9, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))).isoformat()
    '2025-09-01T00:00:00'
    """
    if type(value).__module__ == "pyarrow.lib" and hasattr(value, "as_py"):
        value = value.as_py()
    if isinstance(value, dt.datetime):
        if value != value:
            return None
        moment = value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [bound(item) for item in value]
    if type(value).__module__ == "numpy" and value.dtype.kind in "Mm":
        value = value.astype(f"{value.dtype.kind}8[us]")
    for listed in ("tolist", "to_pylist", "to_list"):  # numpy and pandas, Arrow, polars
        if hasattr(value, listed):
            return bound(getattr(value, listed)())
    return value


def comment(connection: duckdb.DuckDBPyConnection, kind: str, name: str, text: str) -> None:
    connection.execute(_comment(kind, name, text))


def comment_all(
    connection: duckdb.DuckDBPyConnection,
    kind: str,
    name: str,
    meaning: str | None,
    columns: Mapping[str, str | None],
) -> None:
    """Set the comments of a view or table and of its columns that have a text.

    This is one call, because beginning a statement takes DuckDB as long as setting a comment.
    """
    statements = [
        _comment("column", f"{name}.{identifier(column)}", text)
        for column, text in columns.items()
        if text
    ]
    if meaning:
        statements.insert(0, _comment(kind, name, meaning))
    if statements:
        connection.execute("; ".join(statements))


def _comment(kind: str, name: str, text: str) -> str:
    return f"comment on {kind} {name} is {literal(text)}"
