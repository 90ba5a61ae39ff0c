"""The user's own frames in queries: which values are frames, and how a query reads them.

A frame of any library becomes an immutable Arrow table with times like the catalog's: naive UTC, to
the microsecond. Values that cannot be converted without loss are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from warehouse.analysis import Tree, cte_names, table_names
from warehouse.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.query.sql_text.guard import Statement

_FRAMES = {
    ("pandas", "DataFrame"), ("polars", "DataFrame"), ("polars", "LazyFrame"),
    ("pyarrow", "Table"), ("pyarrow", "RecordBatch"), ("pyarrow", "RecordBatchReader"),
    ("duckdb", "DuckDBPyRelation"), ("_duckdb", "DuckDBPyRelation"), ("warehouse", "Result"),
}  # fmt: skip


def is_frame(value: object) -> bool:
    """Whether a value is a table, not the value of a parameter.

    Tables of other libraries are recognised by Arrow's C stream, which single columns have too.
    """
    streams = hasattr(type(value), "__arrow_c_stream__") and hasattr(type(value), "columns")
    return streams or bool(_class_names(value) & _FRAMES)


def _class_names(value: object) -> set[tuple[str, str]]:
    return {(kind.__module__.split(".")[0], kind.__name__) for kind in type(value).__mro__}


def frame_table(name: str, frame: Any) -> pa.Table:
    """A frame as the Arrow table that a query reads.

    Raises
    ------
    QueryError
        The frame has no columns, two of one name, or values without a type; the message names them.
    """
    import pyarrow as pa

    try:
        table = _arrow(name, frame)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise _frame_error(name, "; ".join(map(str, error.args)), _CONVERT) from error
    if not table.num_columns:
        raise _frame_error(name, "it has no columns", "give it one, or leave it out")
    if "" in table.column_names:
        raise _frame_error(name, "a column without a name", _RENAME)
    _require_unique_names(name, table.column_names)
    columns = [
        _catalog_column(f"{name}.{column}", values)
        for column, values in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def _arrow(name: str, frame: Any) -> pa.Table:
    import pyarrow as pa

    kinds = _class_names(frame)
    if ("polars", "LazyFrame") in kinds:
        frame = frame.collect()
    if ("pandas", "DataFrame") in kinds:
        _require_unique_names(name, [str(column) for column in frame.columns])
        frame = _with_index(frame.copy())
        table = pa.Table.from_pandas(frame, preserve_index=False)
        _require_whole_moments(name, frame, table)
        return table
    if ("polars", "DataFrame") in _class_names(frame):
        return _polars_table(name, frame)
    return pa.table(frame)


def _polars_table(name: str, frame: Any) -> pa.Table:
    import polars

    objects = [column for column, kind in frame.schema.items() if kind == polars.Object]
    if objects:
        raise _frame_error(name, f"columns of Python objects: {', '.join(objects)}", _CONVERT)
    table: pa.Table = frame.to_arrow(compat_level=polars.CompatLevel.oldest())
    return table


def _with_index(frame: Any) -> Any:
    """A pandas frame with its index as columns, unless the index only numbers the rows."""
    index = frame.index
    is_number = index.nlevels == 1 and index.name is None and index.dtype.kind in "iu"
    return frame if is_number else frame.reset_index()


def _require_whole_moments(name: str, frame: Any, table: pa.Table) -> None:
    """Raise an error if pyarrow has truncated moments in columns whose type it had to infer.

    Among dates, times become dates, and pandas timestamps lose their nanoseconds.
    """
    import pyarrow.types as kinds

    for place, field in enumerate(table.schema):
        values, kind = frame.iloc[:, place], field.type
        if kinds.is_dictionary(kind):
            values, kind = values.cat.categories, kind.value_type
        if values.dtype != object or not kinds.is_temporal(kind):
            continue
        if kinds.is_date(kind) and any(isinstance(v, datetime) and v == v for v in values):
            why = f"column {field.name} holds both dates and times"
            raise _frame_error(name, why, "make them all times, such as with pd.to_datetime")
        if any(getattr(v, part, 0) > 0 for part in ("nanosecond", "nanoseconds") for v in values):
            raise _finer_than_us(f"{name}.{field.name}")


def _require_unique_names(name: str, columns: list[str]) -> None:
    """Raise an error if two columns have the same name, ignoring case."""
    counted = Counter(column.lower() for column in columns)
    twice = [column for column in columns if counted[column.lower()] > 1]
    if twice:
        raise _frame_error(name, f"several columns have the same name: {', '.join(twice)}", _RENAME)


def _catalog_column(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column with times converted to those of the catalog."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        if isinstance(kind.value_type, pa.BaseExtensionType):
            return _catalog_column(name, pa.chunked_array(map(_decoded, values.chunks)))
        return _catalog_column(name, values.cast(kind.value_type))
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name.startswith("pandas."):
        raise QueryError(
            f"{name}: values of type {kind.extension_name} have no counterpart in SQL",
            next_step="convert the column, such as with .dt.to_timestamp() or .astype(str)",
        )
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    if pa.types.is_decimal256(kind):
        raise QueryError(
            f"{name}: {kind} has more digits than DuckDB's 38",
            next_step="cast the column to a real, or to a decimal of at most 38 digits",
        )
    try:
        return _to_the_microsecond(values)
    except pa.ArrowInvalid as error:
        raise _finer_than_us(name) from error


def _finer_than_us(name: str) -> QueryError:
    return QueryError(
        f"{name}: has times finer than a microsecond or out of range, which the catalog cannot"
        " represent",
        next_step="round them first, such as with .dt.floor('us')",
    )


def _decoded(chunk: pa.DictionaryArray) -> pa.Array:
    return chunk.dictionary_decode()


def _to_the_microsecond(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Moments in naive UTC, durations and times of day, cast to microseconds without loss."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us", kind.tz)).cast(pa.timestamp("us"))
    if pa.types.is_duration(kind):
        return values.cast(pa.duration("us"))
    if pa.types.is_time64(kind):
        return values.cast(pa.time64("us"))
    if kind == pa.month_day_nano_interval() and any(
        value.nanoseconds % 1_000 for value in values.to_pylist() if value is not None
    ):
        raise pa.ArrowInvalid("a span finer than a microsecond")
    return values


_CONVERT = "convert that column, such as with .astype(str), or leave it out"
_RENAME = "give its columns names that differ, such as with .rename()"


def _frame_error(name: str, why: str, next_step: str) -> QueryError:
    return QueryError(f"frame {name}: {why}", next_step=next_step)


# -- names ---------------------------------------------------------------------------------------


def require_frames_read(frames: Mapping[str, object], statement: Statement) -> None:
    """Raise an error unless the query reads each frame as a table, and its name is nothing else."""
    tables, ctes = _tables_and_ctes(statement.tree, statement.bare)
    asked = {name.lower() for name in statement.parameters}
    counted = Counter(name.lower() for name in frames)
    for name in frames:
        low = name.lower()
        if low in asked:
            raise _ambiguous(name, f"${name} is a parameter of the query, and {name} a frame")
        if low in ctes:
            raise _ambiguous(name, f"{name} is a frame, and a WITH of the query")
        if counted[low] > 1:
            raise _ambiguous(name, f"{name}: two frames of the same name, ignoring case")
        if low not in tables:
            raise QueryError(
                f"{name} is a frame, but the query reads no table of that name",
                next_step=f"write: from {name}, or omit it; for a list write $name",
            )


def require_no_value_as_table(values: Mapping[str, object], statement: Statement) -> None:
    """Raise an error if a query reads a value that is not a frame as a table."""
    others = {name: value for name, value in values.items() if name not in statement.parameters}
    if not others:
        return
    tables, _ = _tables_and_ctes(statement.tree, statement.bare)
    for name, value in others.items():
        if name.lower() in tables:
            raise QueryError(
                f"{name} is read as a table, and {type(value).__name__} is not a frame",
                next_step="convert it, such as with pd.DataFrame(...) or .to_frame()",
            )


def _ambiguous(name: str, why: str) -> QueryError:
    return QueryError(why, next_step=f"pass it under another name, such as my_{name}=")


def require_no_catalog_names(frames: Mapping[str, object], tables: set[str]) -> None:
    """Raise an error if a frame has the name of a catalog table in any schema."""
    known = {table.lower() for table in tables}
    for name in frames:
        if name.lower() in known:
            raise _ambiguous(
                name, f"{name} is a table of the catalog, so it cannot be the name of a frame"
            )


def _tables_and_ctes(tree: Tree | None, bare: str) -> tuple[set[str], set[str]]:
    """Plain names of the tables that a query reads, and those of its CTEs, in lower case."""
    if tree is not None:
        plain = {parts[0].lower() for parts in table_names(tree) if len(parts) == 1}
        return plain, cte_names(tree)
    import sqlglot
    from sqlglot import exp

    parsed = sqlglot.parse_one(bare, dialect="duckdb")
    tables = {t.name.lower() for t in parsed.find_all(exp.Table) if len(t.parts) == 1}
    return tables, {cte.alias.lower() for cte in parsed.find_all(exp.CTE)}
