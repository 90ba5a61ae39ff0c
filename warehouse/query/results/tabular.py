"""Results as tables of other tools: frames, and the protocols for rows and columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, overload

from warehouse.errors import needing_extras

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class Tabular(ABC):
    """A table with numbered rows and named columns.

    Attributes
    ----------
    _types
        The type of each column by its name, in order.
    """

    _types: dict[str, str]

    @abstractmethod
    def arrow(self) -> pa.Table:
        """The whole result as a pyarrow Table."""

    @abstractmethod
    def df(self) -> pd.DataFrame:
        """The whole result as a pandas DataFrame."""

    def to_pandas(self) -> pd.DataFrame:
        """The same as :meth:`df`, for tools that look for this name, such as plotnine."""
        return self.df()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The result for tools that read Arrow's C stream: polars, DuckDB, pyarrow."""
        return self.arrow().__arrow_c_stream__(requested_schema)

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> object:
        """The result for tools of the older interchange protocol: seaborn, altair, plotly."""
        return self.arrow().__dataframe__(nan_as_null=nan_as_null, allow_copy=allow_copy)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows of the result, each with its values by column."""
        for batch in self.arrow().to_batches():
            yield from batch.to_pylist()

    @overload
    def __getitem__(self, key: str) -> pa.ChunkedArray: ...
    @overload
    def __getitem__(self, key: list[str]) -> pa.Table: ...
    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, key: str | list[str] | int | slice) -> object:
        """A column or several by name, as Arrow data; a row or several by number.

        Raises
        ------
        KeyError
            The result has no such column; the message lists its columns.
        IndexError
            The result has no such row.
        """
        if isinstance(key, slice):
            import numpy as np

            return self.arrow().take(np.arange(len(self.arrow()))[key]).to_pylist()
        if isinstance(key, SupportsIndex):
            row = range(len(self.arrow()))[key]
            return self.arrow().slice(row, 1).to_pylist()[0]
        for name in key if isinstance(key, list) else [key]:
            if name not in self.keys():
                raise KeyError(f"{name!r} is not a column of this result: {', '.join(self._types)}")
        return self.arrow().select(key) if isinstance(key, list) else self.arrow()[key]

    def __contains__(self, column: object) -> bool:
        """Whether the result has a column of that name, as for data frames."""
        return isinstance(column, str) and column in self._types

    def keys(self) -> list[str]:
        """Names of the columns, in order, so that ``dict(r)`` has the columns by name."""
        return list(self._types)


class Column(str):
    """A column of a result: its DuckDB type as text, with its unit and meaning.

    ``unit`` and ``meaning`` are None if the query itself computes the column.
    """

    __slots__ = ("meaning", "unit")
    unit: str | None
    meaning: str | None

    def __new__(cls, type: str, unit: str | None = None, meaning: str | None = None) -> Self:
        column = super().__new__(cls, type)
        column.unit, column.meaning = unit, meaning
        return column

    @property
    def type(self) -> str:
        """The DuckDB type as plain text."""
        return str(self)


def as_pandas(table: pa.Table) -> pd.DataFrame:
    """A table as a pandas DataFrame."""
    with needing_extras():
        import pandas  # noqa: F401

    frame: pd.DataFrame = table.to_pandas()
    return frame


def as_polars(table: pa.Table) -> pl.DataFrame:
    """A table as a polars DataFrame."""
    with needing_extras():
        import polars

    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    return frame
