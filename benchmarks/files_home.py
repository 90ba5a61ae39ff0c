"""A home of many files for :mod:`benchmarks.files`: ``HOME NEW COUNT``."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb

from benchmarks.data import VENUE, symbols
from warehouse.audit import ModelAudit, Verdict
from warehouse.build import build, gathered_months
from warehouse.build.checks import lookahead_gate
from warehouse.build.months import find_or_compute as wanted_months
from warehouse.build.months.compute_months import Job, compute
from warehouse.build.months.lake_months import LakeByMonth
from warehouse.build.vendor_views import view_sql
from warehouse.config import Settings
from warehouse.files import sha256_of
from warehouse.home import Home
from warehouse.lake import Manifest, check_file
from warehouse.lake.manifest.records import plain_facts
from warehouse.lake.manifest.schema import STEPS
from warehouse.project import Model
from warehouse.sql import Relation
from warehouse.vendor import Contract, FileKey, Period, SeriesKey, load_contracts

LAST = Period("2025-09")
MOST_MONTHS = 60
NEW_DAYS = 3
NEW_SERIES = 500

_VERSION = 3
_MOST_LINKS = 60_000


def main() -> None:
    home, new, count = Home(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
    contracts = [c for c in load_contracts().values() if not c.is_raw]
    names = symbols(max(27, count // (len(contracts) * MOST_MONTHS)))
    periods = _months_until(LAST, round(count / (len(contracts) * len(names))))
    write_lake(home, contracts, names, periods)
    write_new_days(new, contracts, names)
    build_with_empty_months(home)


def _months_until(last: Period, count: int) -> list[Period]:
    number = last.start.year * 12 + last.start.month - 1
    return [Period(f"{n // 12}-{n % 12 + 1:02}") for n in range(number - count + 1, number + 1)]


def _key(contract: Contract, symbol: str, period: Period) -> FileKey:
    clock = "true" if "true" in contract.clocks else contract.clocks[0]
    return FileKey(contract.name, SeriesKey(VENUE, symbol, "1d", clock), period)


def write_lake(
    home: Home, contracts: Sequence[Contract], names: Sequence[str], periods: Sequence[Period]
) -> None:
    """All rows of the manifest, and a link for each object; the last month alone has real bytes.

    The rows are those of a home of version 3. What the manifest has had since then follows from
    them in its upgrade, much faster than by a trigger for each row.
    """
    for folder in (home.root, home.objects):
        folder.mkdir(parents=True, exist_ok=True)
    home.subscription.write_text("links = false\n")
    series = {key: 1 + place for place, key in enumerate(_series(contracts, names))}
    with closing(sqlite3.connect(home.manifest)) as connection, connection:
        for step in STEPS[:_VERSION]:
            connection.executescript(step)
        connection.execute("insert into home values ('version', ?)", (str(_VERSION),))
        connection.executemany(
            "insert into series values (?, ?, ?, ?, ?)",
            ((number, k.exchange, k.symbol, k.interval, k.clock) for k, number in series.items()),
        )
        for contract in contracts:
            connection.executemany(
                "insert into files (dataset, series_id, period, object, size_bytes, facts, origin,"
                " origin_stamp, fetched_at) values (?, ?, ?, ?, ?, ?, ?, ?, '2025-10-01 00:00:00')",
                _rows(home, contract, names, periods, series),
            )
    with Manifest(home.manifest) as manifest:
        manifest.record_linked(has_links=False)


def _series(contracts: Sequence[Contract], names: Sequence[str]) -> list[SeriesKey]:
    return list(dict.fromkeys(_key(c, name, LAST).series for c in contracts for name in names))


def _rows(
    home: Home,
    contract: Contract,
    names: Sequence[str],
    periods: Sequence[Period],
    series: dict[SeriesKey, int],
) -> Iterator[tuple[object, ...]]:
    """Rows of the files of a dataset, of which each has its object."""
    written = write_bars(home.root / "new.parquet", contract, LAST)
    facts = check_file(written, _key(contract, names[0], LAST), contract)
    size, real = written.stat().st_size, sha256_of(written)
    stand_in = _Named(home, written)
    for period in periods:
        start, end = period.span
        of_month = replace(
            facts,
            rows=(end - start) // 86_400_000_000,
            first_us=start,
            last_us=end - 86_400_000_000,
            runs=((start, end),),
        )
        said = json.dumps(plain_facts(of_month))
        for name in names:
            key = _key(contract, name, period)
            digest = real
            if period != LAST:
                digest = hashlib.sha256(str(key).encode()).hexdigest()
                stand_in.show(digest)
            yield (
                key.dataset, series[key.series], period.text, digest, size, said,
                f"/data/vendor/{key.path}", f"{size}@1760000000000000000",
            )  # fmt: skip
    stand_in.end()
    written.chmod(0o444)
    written.replace(home.object_path(real))


class _Named:
    """A file under many names of objects; a file system allows 65,000 links of one."""

    def __init__(self, home: Home, file: Path) -> None:
        self._home = home
        self._file = home.objects / f".{file.name}"
        self._content = file.read_bytes()
        self._left = 0

    def show(self, digest: str) -> None:
        if self._left == 0:
            self._file.unlink(missing_ok=True)
            self._file.write_bytes(self._content)
            self._file.chmod(0o444)
            self._left = _MOST_LINKS
        os.link(self._file, self._home.object_path(digest))
        self._left -= 1

    def end(self) -> None:
        self._file.unlink(missing_ok=True)


def write_bars(path: Path, contract: Contract, period: Period, scale: float = 1.0) -> Path:
    """A file of daily bars with every column of the contract."""
    first, last = period.start, period.end
    columns = ", ".join(
        f'(epoch_us(day) / 1e15 + {place} * {scale})::{column.type} as "{column.name}"'
        if column.type != "VARCHAR"
        else f"'x' as \"{column.name}\""
        for place, column in enumerate(contract.columns)
        if column.name != "time"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = next(column.type for column in contract.columns if column.name == "time")
    duckdb.sql(
        f"copy (select day::{kind} as time, {columns} from"
        f" range(timestamp '{first}', timestamp '{last}', interval 1 day) as days(day))"
        f" to '{path}' (format parquet)"
    )
    return path


def write_new_days(folder: Path, contracts: Sequence[Contract], names: Sequence[str]) -> None:
    """Folders that bring a new day each, of the same series."""
    wanted = [(contract, symbol) for symbol in names for contract in contracts][:NEW_SERIES]
    for number in range(NEW_DAYS):
        day = Period(str(LAST.end + timedelta(days=number)))
        for scale, (contract, symbol) in enumerate(wanted, 1):
            key = _key(contract, symbol, day)
            write_bars(folder / day.text / key.path, contract, day, 1 + scale / 1e6)


def build_with_empty_months(home: Home) -> None:
    """A build that takes all months before the last for empty, and all models for clean.

    Empty months prove nothing to an audit, which would take place in each build again.
    """
    gather_job = gathered_months._job

    def job(
        lake: LakeByMonth, task: object, dataset: str, month: str, columns: object, place: Path
    ) -> Job:
        if month == LAST.text:
            return gather_job(lake, task, dataset, month, columns, place)  # type: ignore[arg-type]
        rows = view_sql(columns, [], lake.home)  # type: ignore[arg-type]
        return Job(f"vendor.{dataset} {month}", task, rows, {}, {}, place, 0)  # type: ignore[arg-type]

    made: dict[Path, Path] = {}

    def compute_some(
        settings: Settings, jobs: Sequence[Job], done: Callable[[Job, Path], None]
    ) -> None:
        def keep(one: Job, path: Path) -> None:
            made[one.place.parent] = path
            done(one, path)

        real = [one for one in jobs if one.place.name.startswith(LAST.text)]
        for one in jobs:
            if one in real:
                continue
            first = made.get(one.place.parent)
            if first is None:
                compute(settings, [one], keep)
                continue
            copy = one.place.with_name(f"{one.place.stem}-{first.stem[-16:]}.parquet")
            copy.write_bytes(first.read_bytes())
            done(one, copy)
        compute(settings, real, done)

    def find_clean(
        settings: Settings, project: object, models: Sequence[Model], *, seed: int
    ) -> dict[Relation, ModelAudit]:
        return {m.relation: ModelAudit(m.relation, Verdict.CLEAN, (), 1, ()) for m in models}

    gathered_months._job = job
    wanted_months.compute = compute_some  # type: ignore[attr-defined]
    lookahead_gate._audit = find_clean
    build(Settings(home.root))


if __name__ == "__main__":
    main()
