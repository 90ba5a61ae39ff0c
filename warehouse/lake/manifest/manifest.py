"""The manifest: one SQLite file that maps vendor files to objects and stores their facts.

The catalog is derived from lake and manifest. Writers hold the home's lock;
readers need no lock. Every change is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from warehouse.errors import REPAIR, DamagedError, NewerHomeError, WarehouseError
from warehouse.home import Home
from warehouse.lake.manifest.queries import ManifestQueries
from warehouse.lake.manifest.records import (
    KEY,
    OF_KEY,
    OF_SERIES,
    FileFacts,
    Refusal,
    Restatement,
    StoredFile,
    flat_key,
    flat_series,
    plain_facts,
)
from warehouse.lake.manifest.schema import HOME_VERSION, STEPS
from warehouse.lake.manifest.sqlite_errors import is_sqlite_error, translate_error
from warehouse.times import utc_now_text
from warehouse.vendor import FileKey, SeriesKey


class Manifest(ManifestQueries):
    """An open manifest; a context manager.

    Parameters
    ----------
    path
        The SQLite file; created if it does not exist and ``create`` is true.
    clock
        Returns the time that is stored with every change, as :func:`utc_now_text` formats it.

    Raises
    ------
    DamagedError
        It cannot be read, or is lost: empty or missing although there are objects.
    DiskError
        The disk is full, or the file is not writable.
    """

    def __init__(
        self, path: Path, *, create: bool = False, clock: Callable[[], str] | None = None
    ) -> None:
        if not path.is_file():
            Home(path.parent).require_not_lost()  # all its files would count as strays
            if not create:
                raise DamagedError(f"{path}: no manifest", next_step="run: warehouse sync")
        self.path = path
        self._now = clock or utc_now_text
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        except sqlite3.Error as error:
            raise translate_error(path, error) from error
        try:
            self._prepare()
        except (sqlite3.Error, ValueError) as error:
            self._connection.close()
            raise translate_error(path, error) from error
        except WarehouseError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()
        if isinstance(error, sqlite3.Error) and is_sqlite_error(error):
            raise translate_error(self.path, error) from error

    def close(self) -> None:
        self._connection.close()

    def require_sound(self) -> None:
        """Raise DamagedError if SQLite finds damage in its pages, indices or references."""
        try:
            found = self._connection.execute("pragma integrity_check(1)").fetchall()
            found += self._connection.execute("pragma foreign_key_check").fetchall()
        except sqlite3.Error as error:
            raise translate_error(self.path, error) from error
        if found != [("ok",)]:
            raise DamagedError(f"{self.path}: {found[0][0]}", next_step=REPAIR)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction for several changes; inside another transaction it is part of that one."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk has already ended it
                self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def series_id(self, series: SeriesKey) -> int:
        """The number of a series; a new series permanently gets the next free number."""
        self._connection.execute(
            "insert or ignore into series (exchange, symbol, interval, clock) values (?, ?, ?, ?)",
            series.flat,
        )
        row = self._connection.execute(
            "select series_id from series"
            " where exchange = ? and symbol = ? and interval = ? and clock = ?",
            series.flat,
        ).fetchone()
        return int(row[0])

    def record_file(
        self,
        key: FileKey,
        *,
        object: str,
        size_bytes: int,
        facts: FileFacts,
        origin: str,
        stamp: str,
    ) -> None:
        """Make ``object`` the current file of ``key``; a former one becomes superseded."""
        series_id = self.series_id(key.series)
        place = (key.dataset, series_id, key.period.text)
        now = self._now()
        self._connection.execute(
            "update files set superseded_at = ? where dataset = ? and series_id = ? and period = ?"
            " and superseded_at is null",
            (now, *place),
        )
        self._connection.execute(
            "insert into files (dataset, series_id, period, object, size_bytes, facts, origin,"
            " origin_stamp, fetched_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, object, size_bytes, json.dumps(plain_facts(facts)), origin, stamp, now),
        )
        self._connection.execute(
            f"update quarantine set resolved_at = ? where {OF_KEY} and resolved_at is null",
            (now, *flat_key(key)),
        )

    def record_stamp(self, file: StoredFile, *, origin: str, stamp: str) -> None:
        """Record that the same bytes were found again under another stamp."""
        self._connection.execute(
            "update files set origin = ?, origin_stamp = ?, fetched_at = ? where file_id = ?",
            (origin, stamp, self._now(), file.file_id),
        )

    def record_refusal(
        self, key: FileKey, *, object: str, size_bytes: int, reason: str, origin: str
    ) -> None:
        """Record why a file was refused; the same bytes are recorded once."""
        known = self._connection.execute(
            f"select 1 from quarantine where {OF_KEY} and object = ? and resolved_at is null",
            (*flat_key(key), object),
        ).fetchone()
        if known is None:
            self._add_refusal(Refusal(key, object, size_bytes, reason, origin, self._now()))

    def record_restatement(
        self,
        key: FileKey,
        *,
        kind: str,
        old_object: str,
        new_object: str,
        difference: dict[str, Any],
    ) -> None:
        series_id, now = self.series_id(key.series), self._now()
        self._add_restatement(
            Restatement(key, series_id, kind, old_object, new_object, difference, now)
        )

    def record_settled(
        self, dataset: str, series: SeriesKey, spans: Iterable[tuple[int, int]]
    ) -> None:
        """Replace the settled spans of a series in a dataset by ``spans``, which are disjoint."""
        place = flat_series(dataset, series)
        with self.transaction():
            self._connection.execute(f"delete from settled where {OF_SERIES}", place)
            self._connection.executemany(
                "insert into settled values (?, ?, ?, ?, ?, ?, ?)",
                [(*place, start, end) for start, end in spans],
            )

    def restore_series(self, series: Mapping[int, SeriesKey]) -> None:
        """Restore the numbers of series in a new manifest."""
        self._connection.executemany(
            "insert into series values (?, ?, ?, ?, ?)",
            [(number, *key.flat) for number, key in series.items()],
        )

    def supersede(self, key: FileKey) -> None:
        """Remove the file of ``key`` from the lake; its row stays as that of a former file."""
        self._connection.execute(
            "update files set superseded_at = ? where dataset = ? and series_id = ?"
            " and period = ? and superseded_at is null",
            (self._now(), key.dataset, self.series_id(key.series), key.period.text),
        )

    def record_audit(self, dataset: str, series_id: int, findings: Sequence[Any]) -> None:
        """Replace the results of the last audit of a series' metrics: rows of ``meta.audit``."""
        self._connection.execute(
            "insert or replace into audits values (?, ?, ?, ?)",
            (dataset, series_id, json.dumps(findings), self._now()),
        )

    def forget(self, file: StoredFile) -> None:
        """Drop the row of a file whose bytes are gone, and the settled spans of its series."""
        place = flat_series(file.key.dataset, file.key.series)
        with self.transaction():
            self._connection.execute("delete from files where file_id = ?", (file.file_id,))
            self._connection.execute(f"delete from settled where {OF_SERIES}", place)

    def correct(self, file: StoredFile, *, facts: FileFacts, size_bytes: int) -> None:
        """Replace the facts of a file of known bytes."""
        self._connection.execute(
            "update files set facts = ?, size_bytes = ? where file_id = ?",
            (json.dumps(plain_facts(facts)), size_bytes, file.file_id),
        )

    def restore_history(
        self, restatements: Iterable[Restatement], refusals: Iterable[Refusal]
    ) -> None:
        """Restore restatements and refusals in a new manifest, with their times."""
        with self.transaction():
            for restatement in restatements:
                series_id = self.series_id(restatement.key.series)
                self._add_restatement(replace(restatement, series_id=series_id))
            for refusal in refusals:
                self._add_refusal(refusal)

    def _add_restatement(self, new: Restatement) -> None:
        self._connection.execute(
            "insert into restatements (dataset, series_id, period, kind, old_object, new_object,"
            " difference, seen_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(new.key.dataset, new.series_id, new.key.period.text, new.kind),
                *(new.old_object, new.new_object, json.dumps(new.difference), new.seen_at),
            ),
        )

    def _add_refusal(self, new: Refusal) -> None:
        self._connection.execute(
            f"insert into quarantine ({KEY}, object, size_bytes, reason, origin, refused_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *flat_key(new.key),
                *(new.object, new.size_bytes, new.reason, new.origin, new.refused_at),
            ),
        )

    def forget_superseded(self, objects: Iterable[str]) -> None:
        """Drop the rows of former files whose objects are about to be removed."""
        with self.transaction():
            self._connection.executemany(
                "delete from files where superseded_at is not null and object = ?",
                [(sha256,) for sha256 in objects],
            )

    def record_linked(self, *, has_links: bool) -> None:
        """Record that all links are made, or all left out."""
        with self.transaction():
            self._connection.execute("delete from unlinked")
            self._connection.execute(
                "insert into home values ('links', ?)"
                " on conflict do update set value = excluded.value where value <> excluded.value",
                (str(has_links).lower(),),
            )

    def distrust_links(self) -> None:
        """Record that the state of the links is unknown, as in a manifest of another machine."""
        self._connection.execute("insert or replace into home values ('links', 'unknown')")

    def start_run(self, verb: str) -> tuple[int, bool]:
        """Start a run; returns its number, and whether an earlier one was killed before its end."""
        with self.transaction():
            killed = self._connection.execute(
                "update runs set ended_at = ?, outcome = 'killed' where ended_at is null",
                (self._now(),),
            )
            cursor = self._connection.execute(
                "insert into runs (verb, started_at) values (?, ?)", (verb, self._now())
            )
        return int(cursor.lastrowid or 0), killed.rowcount > 0

    def end_run(self, run_id: int, outcome: str) -> None:
        self._connection.execute(
            "update runs set ended_at = ?, outcome = ? where run_id = ?",
            (self._now(), outcome, run_id),
        )

    def _prepare(self) -> None:
        """Bring the tables to this product's version, in one transaction."""
        if self._version() == 0:
            Home(self.path.parent).require_not_lost()
        if self._version() < HOME_VERSION:
            with self.transaction():
                for step in STEPS[self._version() :]:
                    for statement in step.split(";\n"):
                        self._connection.execute(statement)
                self._connection.execute(
                    "insert or replace into home values ('version', ?)", (str(HOME_VERSION),)
                )
        if self._version() > HOME_VERSION:
            raise NewerHomeError(
                f"{self.path}: written by a newer version of the product",
                next_step="upgrade the package",
            )

    def _version(self) -> int:
        if not self._connection.execute("select 1 from sqlite_master limit 1").fetchone():
            return 0
        row = self._connection.execute("select value from home where name = 'version'").fetchone()
        if row is None:
            raise DamagedError(f"{self.path}: has no version", next_step=REPAIR)
        return int(row[0])
