"""One UTC day of an imported series: rows of several files, sorted, numbered, each id once.

A day holds rows of any number of files. An import replaces the rows of the files that it reads, by
name or by the hash of their bytes, and keeps those of all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from warehouse.display import counted
from warehouse.errors import FileRefusedError
from warehouse.imports.importer import ContractSize, Importer
from warehouse.imports.stage import Stage, Staged
from warehouse.interrupts import run
from warehouse.lake import IMPORTED, Imported, ImportedSource, StoredFile
from warehouse.sql import identifier, literal, rows_of_files
from warehouse.vendor import Period

# Share of repeated rows without ids above which there is a warning.
_MANY_REPEATS = 0.001
# Share of a file's rows in another file above which both count as the same data.
_SAME_DATA = 0.5


@dataclass(frozen=True, slots=True)
class DayFile:
    """A written day: its file, and warnings about its rows."""

    path: Path
    sources: tuple[ImportedSource, ...]
    warnings: tuple[str, ...]


class Days:
    """Writes the days of one import from the rows of the stage and of the lake.

    The connection, which reads the lake and the stage, is used by nothing else.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        importer: Importer,
        contract_size: ContractSize | None,
    ) -> None:
        self._connection = connection
        self._importer = importer
        self._contract_size = contract_size
        self._names = [column.name for column in importer.columns]

    def write(
        self,
        period: Period,
        stage: Stage,
        staged: Mapping[int, Staged],
        current: StoredFile | None,
        known: Path | None,
    ) -> DayFile:
        """Write one day.

        Parameters
        ----------
        staged
            The files staged in this run, by number.
        current, known
            The lake's file of the day and its path, if there is one.

        Raises
        ------
        FileRefusedError
            Rows of the day contradict each other.
        """
        kept = _kept_sources(current, staged)
        parts = []
        if known is not None and kept:
            listed = ", ".join(literal(source.name) for source in kept)
            parts.append(
                f"select {self._columns()}, source_file, sequence_number as source_row"
                f" from {rows_of_files([known])}"
                f" where source_file in ({listed})"
            )
        read = {n: found for n, found in staged.items() if period.text in found.days}
        for number, found in read.items():
            parts.append(
                f"select {self._columns()}, {literal(found.source.name)} as source_file, source_row"
                f" from {stage.staged_files(number, period.text)}"
            )
        if not parts:
            empty = ", ".join(
                f"null::{column.type} as {identifier(column.name)}"
                for column in self._importer.columns
            )
            parts = [f"select {empty}, ''::varchar as source_file, 0 as source_row where false"]
        self._run(f"create or replace temp view ticks as {' union all by name '.join(parts)}")
        warnings = self._find_repeated() if self._importer.by_id else self._count_repeats(period)
        sources = self._sources(kept, read.values())
        path = stage.folder / f"{period.text}.parquet"
        self._copy(path, sources)
        return DayFile(path, sources, tuple(warnings))

    def _columns(self) -> str:
        return ", ".join(map(identifier, self._names))

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        return run(self._connection, lambda: self._connection.execute(sql).fetchall())

    def _find_repeated(self) -> list[str]:
        """Find the rows that repeat an id; they are left out if they have the same values."""
        values = ", ".join(
            identifier(name) for name in self._names if name not in ("id", "local_timestamp")
        )
        self._run(
            f"""
            create or replace temp table repeated as
            select
                id, source_file, source_row, hash({values}) as content,
                row_number() over (
                    partition by id order by local_timestamp nulls last, source_file, source_row
                ) as place
            from ticks
            where id in (select id from ticks group by id having count(*) > 1)
            """
        )
        found = self._run(
            "select id, any_value(source_file), arg_max(source_file, place), count(*) over ()"
            " from repeated group by id having count(distinct content) > 1 order by id limit 1"
        )
        if found:
            ((id, first, last, count),) = found
            where = f"{first} and {last}" if first != last else str(first)
            raise FileRefusedError(
                f"ids with different values: {count:,}, the first is {id}, in {where}"
            )
        return []

    def _count_repeats(self, period: Period) -> list[str]:
        """Warn about rows that repeat another in every column; without ids all are kept."""
        self._run("create or replace temp table repeated (source_file varchar, source_row bigint,"
                  " place bigint)")  # fmt: skip
        columns = self._columns()
        self._run(
            f"""
            create or replace temp table equal as
            select {columns}, count(*) as rows, count(distinct source_file) as files
            from ticks group by {columns} having count(*) > 1
            """
        )
        ((repeats, rows),) = self._run(
            "select coalesce((select sum(rows - 1) from equal), 0), count(*) from ticks"
        )
        same = " and ".join(
            f"ticks.{identifier(name)} is not distinct from equal.{identifier(name)}"
            for name in self._names
        )
        for name, share in self._run(
            f"""
            select source_file, count(equal.rows) / count(*)
            from ticks left join (from equal where files > 1) as equal on {same}
            group by source_file having count(equal.rows) > {_SAME_DATA} * count(*)
            order by source_file
            """
        ):
            raise FileRefusedError(
                f"{share:.0%} of the rows of {name} are also in another file: is it the same"
                " data under another name?"
            )
        if repeats <= _MANY_REPEATS * rows:
            return []
        share = repeats / rows
        return [
            f"{period.text}: {counted(repeats, 'row')} ({share:.1%}) repeat another in"
            " every column; all are kept, because without ids each may be a separate event"
        ]

    def _sources(
        self, kept: Sequence[ImportedSource], read: Iterable[Staged]
    ) -> tuple[ImportedSource, ...]:
        """The files of the day, with the number of rows from each."""
        found = {
            name: (rows, left_out)
            for name, rows, left_out in self._run(
                "select source_file, count(*) filter (where coalesce(place, 1) = 1),"
                " count(*) filter (where place > 1)"
                " from ticks left join repeated using (source_file, source_row) group by all"
            )
        }
        sources = [
            *kept,
            *(ImportedSource(one.source.name, one.source.sha256, 0, 0, one.rows) for one in read),
        ]
        for place, source in enumerate(sources):
            rows, left_out = found.get(source.name, (0, 0))
            sources[place] = replace(source, rows=rows, duplicates=source.duplicates + left_out)
        return tuple(sorted(sources, key=lambda source: source.name))

    def _copy(self, path: Path, sources: tuple[ImportedSource, ...]) -> None:
        importer = self._importer
        note = Imported(
            importer.name,
            importer.checksum(self._contract_size),
            importer.grain,
            importer.receive_clock,
            sources,
        )
        order = "exchange_timestamp, source_file, source_row"
        if importer.by_id:
            order = f"exchange_timestamp, try_cast(id as hugeint), id, {order}"
        key = identifier(IMPORTED.decode())
        self._run(
            f"""
            copy (
                select
                    {self._columns()},
                    row_number() over (order by {order}) as sequence_number,
                    source_file
                from ticks
                anti join (from repeated where place > 1) as repeated
                    using (source_file, source_row)
                order by sequence_number
            ) to {literal(str(path))} (
                format parquet, compression zstd, write_bloom_filter false,
                kv_metadata {{{key}: {literal(note.text())}}}
            )
            """
        )


def _kept_sources(current: StoredFile | None, staged: Mapping[int, Staged]) -> list[ImportedSource]:
    """Files of the lake's version of the day that this import does not read."""
    if current is None or current.facts.imported is None:
        return []
    names = {found.source.name for found in staged.values()}
    hashes = {found.source.sha256 for found in staged.values()}
    return [
        source
        for source in current.facts.imported.sources
        if source.name not in names and source.sha256 not in hashes
    ]
