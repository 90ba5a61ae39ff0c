"""From a file of a foreign format to rows of the raw contract, by UTC day, checked.

The importer's SQL is not trusted: it must be one SELECT that calls readers only, it runs inside
``select * from (...)``, and its connection can reach only the files and the staging folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from warehouse.config import Settings
from warehouse.display import counted
from warehouse.engine import NO_EXTENSIONS, Fault, connect, restrict, translating
from warehouse.errors import (
    FileRefusedError,
    QueryError,
    UsageError,
    did_you_mean,
)
from warehouse.imports.importer import ContractSize, Importer
from warehouse.imports.source import SourceFile, unpack
from warehouse.interrupts import run
from warehouse.query import check, engine_message
from warehouse.sql import identifier, literal, rows_of_files
from warehouse.vendor import DatasetColumn

_READERS = frozenset(
    {"read_csv", "read_csv_auto", "read_parquet", "parquet_scan", "read_json", "read_json_auto"}
    | {"read_json_objects", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects"}
)
_FILES = "getvariable('files')"
_FIRST_TIME = "timestamptz '2009-01-01 00:00:00+00'"
# The day of rows whose time is missing or out of bounds.
NO_DAY = "none"
_LATEST_CLOCK_S = 1.0


@dataclass(frozen=True, slots=True)
class Staged:
    """Facts of one staged file.

    Attributes
    ----------
    rows
        Number of rows.
    days
        UTC days of the rows, in order.
    without_side, out_of_order, known_before
        Number of rows without a side, with a time before the previous row's, and received before
        their time.
    faults
        Why the file is refused.
    """

    source: SourceFile
    rows: int
    days: tuple[str, ...]
    without_side: int
    out_of_order: int
    known_before: int
    faults: tuple[str, ...] = ()


class Stage:
    """Reads files into a staging folder, one after the other.

    The caller removes ``folder``. At most ``limit`` rows of each file are read.
    """

    def __init__(
        self,
        settings: Settings,
        importer: Importer,
        sources: Sequence[SourceFile],
        folder: Path,
        *,
        symbol: str,
        contract_size: ContractSize | None,
        limit: int | None = None,
    ) -> None:
        self.folder = folder
        self._importer = importer
        self._symbol = symbol
        self._contract_size = contract_size
        self._limit = limit
        self.connection = connect(settings.session, config=NO_EXTENSIONS)
        self._sql = _checked(importer, self.connection)
        files = [source.path.resolve() for source in sources]
        restrict(self.connection, folders=[f"{folder}/"], files=files)

    def close(self) -> None:
        self.connection.close()

    def staged_files(self, number: int, day: str = "*") -> str:
        """SQL that reads the staged rows of a file, or of one of its days."""
        pattern = self.folder / "rows" / str(number) / f"day={day}" / "*.parquet"
        return rows_of_files([pattern])

    def read(self, number: int, source: SourceFile) -> Staged:
        """Stage one file, and check its rows.

        Raises
        ------
        FileRefusedError
            The importer cannot read it.
        """
        files = unpack(source, self.folder / "files" / str(number), unzips=self._importer.unzips)
        try:
            blaming = partial(self._refusal, source, files)
            with translating(but=Fault.DAMAGE, blaming=blaming):
                self._run("set variable files = $1", [str(file) for file in files])
                found = {row[0].lower(): row[1] for row in self._run(f"describe {self._sql}")}
                self._require_columns(found)
                target = self.folder / "rows" / str(number)
                target.mkdir(parents=True)
                self._run(
                    f"copy ({self._select(found)}) to {literal(str(target))}"
                    " (format parquet, partition_by (day), overwrite_or_ignore)"
                )
        finally:
            for file in files:
                file.unlink()
        return self._checked_rows(number, source)

    def _run(self, sql: str, value: object = None) -> list[tuple[Any, ...]]:
        parameters = [] if value is None else [value]
        return run(self.connection, lambda: self.connection.execute(sql, parameters).fetchall())

    def _refusal(
        self, source: SourceFile, files: Sequence[Path], error: duckdb.Error
    ) -> FileRefusedError:
        text = engine_message(str(error))
        for file in files:
            text = text.replace(str(file), source.name)
        if isinstance(error, duckdb.BinderException) and self._has_no_rows():
            return FileRefusedError("it has no rows, at most a header")
        if isinstance(error, duckdb.PermissionException):
            text = "its SQL reads something other than $files: " + text.splitlines()[0]
        return FileRefusedError(f"the importer {self._importer.path} cannot read it: {text}")

    def _has_no_rows(self) -> bool:
        """Whether the file has one line at most, in which DuckDB finds no types."""
        try:
            ((lines,),) = self._run(
                "select count(*) from read_csv(getvariable('files'), auto_detect = false,"
                " columns = {'line': 'VARCHAR'}, header = false, delim = e'\x01', quote = '',"
                " escape = '', max_line_size = 1000000)"
            )
        except duckdb.Error:
            return False
        return int(lines) < 2

    def _require_columns(self, found: dict[str, str]) -> None:
        importer = self._importer
        wanted = [column.name for column in importer.columns]
        missing = [n for n in wanted if n not in found and n not in importer.optional]
        others = [name for name in found if name not in wanted]
        if missing or others:
            what = [f"lacks {', '.join(missing)}"] if missing else []
            what += [f"has {name}{did_you_mean(name, missing or wanted)}" for name in others]
            raise UsageError(
                f"{importer.path}: its SELECT {'; '.join(what)}",
                next_step=f"select exactly {', '.join(wanted)}",
            )
        for name in ("exchange_timestamp", "local_timestamp"):
            if not found.get(name, "TIMESTAMP").startswith("TIMESTAMP"):
                raise UsageError(
                    f"{importer.path}: {name} is {found[name]}, not a timestamp",
                    next_step="write epoch_ms(x) for milliseconds, make_timestamp(x) for"
                    " microseconds",
                )

    def _select(self, found: dict[str, str]) -> str:
        """The rows in the types of the contract, with their place in the file and their UTC day."""
        values = []
        for column in self._importer.columns:
            value = identifier(column.name) if column.name in found else "null"
            if column.type == "TIMESTAMPTZ":
                value += "::timestamp"  # the session's zone is UTC
            elif self._contract_size is not None and column.name.endswith("amount"):
                price = identifier(column.name.removesuffix("amount") + "price")
                value = self._contract_size.in_base(value, price, self._symbol)
            values.append(f"({value})::{column.type} as {identifier(column.name)}")
        limit = "" if self._limit is None else f" limit {self._limit}"
        return f"""
            select
                *,
                row_number() over () as source_row,
                exchange_timestamp < lag(exchange_timestamp) over () as is_late,
                case
                    when exchange_timestamp >= {_FIRST_TIME}
                    and exchange_timestamp < now() + interval 1 day
                    then strftime(exchange_timestamp, '%Y-%m-%d')
                    else '{NO_DAY}'
                end as day
            from (select {", ".join(values)} from ({self._sql}){limit})
        """

    # -- checks of the rows ----------------------------------------------------------------------

    def _checked_rows(self, number: int, source: SourceFile) -> Staged:
        folder = self.folder / "rows" / str(number)
        days = sorted(path.name.removeprefix("day=") for path in folder.iterdir())
        if not days:
            return Staged(source, 0, (), 0, 0, 0)
        faults = list(self._faults())
        counts = ", ".join(
            f"count(*) filter (where {where}), min(source_row) filter (where {where})"
            for _, where in faults
        )
        side = "side is null" if self._importer.contract.column("side") else "false"
        lag = "epoch_us(local_timestamp) - epoch_us(exchange_timestamp)"
        ((rows, without_side, late, before, behind, *found),) = self._run(
            f"""
            select
                count(*),
                count(*) filter (where {side}),
                count(*) filter (where is_late),
                count(*) filter (where local_timestamp < exchange_timestamp),
                median(-({lag}))::double / 1e6,
                {counts}
            from {self.staged_files(number)}
            """
        )
        reasons = [
            f"{counted(count, 'row')} with {reason}, the first is row {first:,}"
            for (reason, _), count, first in zip(faults, found[::2], found[1::2], strict=True)
            if count
        ]
        if behind is not None and behind > _LATEST_CLOCK_S:
            reasons.append(
                f"the median row was received {behind:,.3f} s before its time: one of the clocks"
                " or zones is wrong"
            )
        return Staged(
            source,
            rows,
            tuple(day for day in days if day != NO_DAY),
            without_side,
            late,
            before,
            tuple(reasons),
        )

    def _faults(self) -> Iterator[tuple[str, str]]:
        """Reasons for which a row is refused, each with its condition."""
        importer = self._importer
        yield "no exchange_timestamp", "exchange_timestamp is null"
        yield "a time outside 2009 to tomorrow (is its unit wrong?)", _outside("exchange_timestamp")
        if importer.receive_clock == "none":
            yield (
                "a local_timestamp, although the header has receive_clock: none",
                "local_timestamp is not null",
            )
        else:
            yield "no local_timestamp", "local_timestamp is null"
            yield (
                "a local_timestamp outside 2009 to tomorrow (is its unit wrong?)",
                _outside("local_timestamp"),
            )
        is_trades = importer.contract.column("side") is not None
        if is_trades:
            yield (
                "a side other than buy, sell, NULL",
                "side is not null and side not in ('buy', 'sell')",
            )
        if importer.by_id:
            yield "no id", "coalesce(id, '') = ''"
        for column in importer.columns:
            if column.type == "DOUBLE":
                yield from _faults_of_number(column, is_trades=is_trades)


def _outside(time: str) -> str:
    """The condition that a time lies before the first exchange or in the future."""
    return f"{time} < {_FIRST_TIME} or {time} >= now() + interval 1 day"


def _faults_of_number(column: DatasetColumn, *, is_trades: bool) -> Iterator[tuple[str, str]]:
    name = identifier(column.name)
    is_positive = column.is_price or column.name.endswith("amount")
    if is_positive:
        yield f"{column.name} of 0 or below", f"{name} <= 0"
    elif column.minimum is not None:
        yield f"{column.name} below {column.minimum:g}", f"{name} < {column.minimum!r}"
    yield f"NaN or infinity in {column.name}", f"not isfinite({name})"
    if is_trades or not is_positive:  # one side of a book may be empty
        yield f"no {column.name}", f"{name} is null"


def _checked(importer: Importer, connection: duckdb.DuckDBPyConnection) -> str:
    """Check that the importer's SQL is one SELECT that reads only ``$files``; returns the SQL."""
    try:
        statement = check(importer.sql, connection, lambda name: name.lower() in _READERS)
    except QueryError as error:
        raise UsageError(f"{importer.path}: {error.what}", next_step=error.next_step) from error
    if statement.explains or {name.lower() for name in statement.parameters} != {"files"}:
        raise UsageError(
            f"{importer.path}: its SELECT must read $files, and cannot have other parameters",
            next_step="write: from read_csv($files, ...)",
        )
    (name,) = statement.parameters
    return statement.text.replace(f"${name}", _FILES)
