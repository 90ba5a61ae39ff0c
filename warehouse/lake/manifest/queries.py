"""Queries of an open manifest: files, series, refusals, restatements and changes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from warehouse.lake.manifest.records import (
    KEY,
    OF_KEY,
    OF_SERIES,
    SELECT_FILES,
    Refusal,
    Restatement,
    StoredFile,
    flat_key,
    flat_series,
    key_of_row,
    series_of_row,
    stored_file,
)
from warehouse.vendor import SERIES_COLUMNS, FileKey, SeriesKey

_SERIES = frozenset(SERIES_COLUMNS)


class ManifestQueries:
    """The queries; :class:`warehouse.lake.manifest.manifest.Manifest` opens the file and writes."""

    _connection: sqlite3.Connection

    def files(self, *, superseded: bool = False) -> Iterator[StoredFile]:
        """Files of the lake in the order of their keys; with ``superseded`` former ones too.

        A list takes about 4 kB per file; iterate over them if there may be many.
        """
        rows = self._connection.execute(
            f"{SELECT_FILES} where ? or superseded_at is null order by {KEY}, file_id",
            (superseded,),
        )
        return map(stored_file, rows)

    def files_fitting(self, patterns: Mapping[str, str]) -> list[StoredFile]:
        """Current files whose parts of the key fit patterns with ``*`` and ``?``, in order."""
        self._connection.create_function("fits", 2, fnmatchcase, deterministic=True)
        fitting = [f"{part} <> '' and fits({part}, :{part})" for part in patterns]
        of_series = [one for part, one in zip(patterns, fitting, strict=True) if part in _SERIES]
        of_file = [one for one in fitting if one not in of_series]
        if of_series:
            where = " and ".join(of_series)
            of_file.append(f"series_id in (select series_id from series where {where})")
        chosen = " and ".join(["superseded_at is null", *of_file])
        rows = self._connection.execute(
            f"{SELECT_FILES} where file_id in (select file_id from files where {chosen})"
            f" order by {KEY}",
            dict(patterns),
        )
        return [stored_file(row) for row in rows]

    def files_beyond(self, other: Path) -> list[StoredFile]:
        """Current files whose bytes are not in another manifest."""
        self._connection.execute("attach ? as other", (str(other),))
        try:
            rows = self._connection.execute(
                f"{SELECT_FILES} where superseded_at is null"
                " and not exists (select 1 from other.files as o where o.object = files.object)"
                f" order by {KEY}"
            )
            return [stored_file(row) for row in rows]
        finally:
            self._connection.execute("detach other")

    def raw_files(self) -> list[StoredFile]:
        """Current files of ticks, in the order of their keys."""
        rows = self._connection.execute(
            f"{SELECT_FILES} where superseded_at is null and interval = '' order by {KEY}"
        )
        return [stored_file(row) for row in rows]

    def count_files(self, *, real: bool = False) -> int:
        """The number of current files, or of those that are not simulated."""
        which = "and not json_extract(facts, '$.simulated')" if real else ""
        row = self._connection.execute(
            f"select count(*) from files where superseded_at is null {which}"
        )
        return int(row.fetchone()[0])

    def files_of(self, dataset: str, series: SeriesKey, *, most: int = -1) -> list[StoredFile]:
        """Current files of one series in one dataset, in the order of their periods."""
        rows = self._connection.execute(
            f"{SELECT_FILES} where superseded_at is null and {OF_SERIES} order by period limit ?",
            (*flat_series(dataset, series), most),
        )
        return [stored_file(row) for row in rows]

    def current_objects(self) -> Iterator[tuple[FileKey, str]]:
        """Key and object of every current file, without its facts."""
        rows = self._connection.execute(
            f"select {KEY}, object"
            " from files join series using (series_id) where superseded_at is null"
        )
        for row in rows:
            yield key_of_row(*row[:6]), row[6]

    def files_of_month(self, dataset: str, month: str) -> list[StoredFile]:
        """Current files of a UTC month of a dataset, in the order of their keys."""
        rows = self._connection.execute(
            f"{SELECT_FILES} where superseded_at is null and dataset = ?"
            f" and substr(period, 1, 7) = ? order by {KEY}, file_id",
            (dataset, month),
        )
        return [stored_file(row) for row in rows]

    def months(self) -> list[tuple[str, str, str, str]]:
        """Every dataset and month with files, and two tokens, in order.

        The first changes with the files and facts that are shown, the second also with their
        recorded origin.
        """
        return self._connection.execute(
            "select dataset, month, shown, described from months order by dataset, month"
        ).fetchall()

    def file(self, key: FileKey) -> StoredFile | None:
        """The current file of a key."""
        row = self._connection.execute(
            f"{SELECT_FILES} where superseded_at is null and {OF_KEY}", flat_key(key)
        ).fetchone()
        return None if row is None else stored_file(row)

    def origin(self, key: FileKey) -> tuple[str, str] | None:
        """The origin of the current file of a key, and its stamp there."""
        row: tuple[str, str] | None = self._connection.execute(
            "select origin, origin_stamp from files where superseded_at is null and dataset = ?"
            " and series_id = (select series_id from series where exchange = ? and symbol = ?"
            " and interval = ? and clock = ?) and period = ?",
            flat_key(key),
        ).fetchone()
        return row

    def first_with(self, sha256: str) -> FileKey | None:
        """The current file with these bytes; the earliest of several."""
        row = self._connection.execute(
            f"select {KEY} from files join series using (series_id)"
            " where object = ? and superseded_at is null order by file_id limit 1",
            (sha256,),
        ).fetchone()
        return None if row is None else key_of_row(*row)

    def tokens(self) -> list[tuple[str, ...]]:
        """Tokens that change whenever the lake shows other files or facts; a few rows per month."""
        months = self._connection.execute("select dataset, month, shown from months")
        changes = self._connection.execute("select subject, token from changes")
        return [*months.fetchall(), *changes.fetchall()]

    def holds_files(self) -> bool:
        """Whether any file is in the lake."""
        return self._connection.execute("select 1 from months limit 1").fetchone() is not None

    def unlinked(self) -> Iterator[tuple[FileKey, str | None]]:
        """Files whose link may be missing or wrong, with their object; None if not in the lake."""
        rows = self._connection.execute(
            f"select {KEY}, (select object from files where superseded_at is null"
            " and (dataset, series_id, period) = (todo.dataset, todo.series_id, todo.period))"
            " from unlinked as todo join series using (series_id)"
        )
        for row in rows:
            yield key_of_row(*row[:6]), row[6]

    def has_links(self) -> bool | None:
        """Whether all links were made or all left out at the last check; None if unknown."""
        row = self._connection.execute("select value from home where name = 'links'").fetchone()
        return True if row is None else {"true": True, "false": False}.get(row[0])

    def settled(self, dataset: str, series: SeriesKey) -> list[tuple[int, int]]:
        """Spans ``(start_us, end_us)`` for which the vendor's response will not change any more."""
        return self._connection.execute(
            f"select start_us, end_us from settled where {OF_SERIES} order by start_us",
            flat_series(dataset, series),
        ).fetchall()

    def symbols_of(self, exchange: str) -> list[str]:
        """Symbols of an exchange that have files, in order."""
        rows = self._connection.execute(
            "select distinct symbol from series where exchange = ? and series_id in"
            " (select series_id from files indexed by current_file where superseded_at is null)"
            " order by symbol",
            (exchange,),
        )
        return [symbol for (symbol,) in rows]

    def has_dataset(self, dataset: str) -> bool:
        row = self._connection.execute("select 1 from months where dataset = ? limit 1", (dataset,))
        return row.fetchone() is not None

    def typical_sizes(self) -> dict[tuple[str, str | None], int]:
        """Mean size in bytes of the current files of each (dataset, interval)."""
        rows = self._connection.execute(
            "select dataset, interval, avg(size_bytes) from files join series using (series_id)"
            " where superseded_at is null group by dataset, interval"
        )
        return {(dataset, interval or None): int(size) for dataset, interval, size in rows}

    def series(self) -> list[tuple[int, SeriesKey]]:
        rows = self._connection.execute(
            f"select series_id, {', '.join(SERIES_COLUMNS)} from series order by series_id"
        )
        return [(row[0], series_of_row(*row[1:])) for row in rows]

    def quarantine(self) -> list[Refusal]:
        """Files that were refused and not replaced by a good file since."""
        rows = self._connection.execute(
            f"select {KEY}, object, size_bytes, reason, origin, refused_at"
            " from quarantine where resolved_at is null order by quarantine_id"
        )
        return [Refusal(key_of_row(*row[:6]), *row[6:]) for row in rows]

    def restatements(self, *, skip: int = 0) -> list[Restatement]:
        """Restatements in the order in which they were seen, without the first ones."""
        rows = self._connection.execute(
            f"select {KEY}, series_id, kind, old_object, new_object, difference, seen_at"
            " from restatements join series using (series_id) order by restatement_id"
            " limit -1 offset ?",
            (skip,),
        )
        return [
            Restatement(
                key_of_row(*row[:6]), row[6], row[7], row[8], row[9], json.loads(row[10]), row[11]
            )
            for row in rows
        ]

    def audits(self) -> list[tuple[str, int, str, str]]:
        """Results of audits, as (dataset, series_id, JSON of the findings, moment)."""
        return self._connection.execute("select * from audits").fetchall()

    def objects(self) -> Iterator[tuple[str, bool, str | None]]:
        """Every object in a row, whether it is current, and the file from which it was salvaged.

        The last is the hash of the vendor's file, if the object has only its good rows.
        """
        original = "iif(json_valid(facts), json_extract(facts, '$.original'), null)"
        rows = self._connection.execute(
            f"select object, superseded_at is null, {original} from files"
        )
        for object, is_current, salvaged_of in rows:
            yield object, bool(is_current), salvaged_of

    def runs(self) -> list[tuple[str, str, str | None, str | None]]:
        """Runs as (verb, started_at, ended_at, outcome), the newest first."""
        return self._connection.execute(
            "select verb, started_at, ended_at, outcome from runs order by run_id desc"
        ).fetchall()
