"""Kept bars from ticks: the ``[[ticks]]`` tables of ``warehouse.toml``, computed day by day.

They are the views ``ticks.<dataset>``, with the columns of ``vendor.<dataset>``. If ``marts`` is
``add`` or ``replace``, ``vendor.<dataset>`` shows them too. A UTC day of a series is one stored
file below ``marts/``, computed again only if the ticks of that day or of its neighbours change, or
the formulas do.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import duckdb

from warehouse.build.declared_ticks import ForMarts, TickSetting, tick_settings
from warehouse.build.months.lake_months import LakeByMonth
from warehouse.build.months.late import (
    LateDay,
    LateSeries,
    write_late_days,
)
from warehouse.build.months.stored import (
    OnMonth,
    StoredMonth,
    find_stored,
    month_path,
    stored_month,
    write_month,
)
from warehouse.build.ticks.days import TickDays
from warehouse.build.vendor_views import view_columns, view_sql
from warehouse.config import Settings
from warehouse.engine import connect
from warehouse.errors import BuildError, UsageError
from warehouse.home import Home
from warehouse.lake import FileFacts, Manifest, OwnedFile, StoredFile
from warehouse.project import TICK_SOURCES, tick_day_macros, tick_macros, tick_sources
from warehouse.sql import identifier
from warehouse.times import DAY_US, us_datetime
from warehouse.vendor import (
    FileKey,
    Period,
    SeriesKey,
    interval_us,
    load_contracts,
)

# Increase it if the way days are written changes, so that no older file is reused.
KEEP_VERSION = 1


@dataclass(frozen=True, slots=True)
class KeptDay:
    """The stored file of a UTC day of kept bars; ``for_marts`` if ``vendor.*`` shows it.

    ``late`` are the late bars of its series on that day, from which ``known_at`` follows.
    """

    key: FileKey
    series_id: int
    for_marts: bool
    stored: StoredMonth
    late: LateDay | None = None

    @property
    def number(self) -> int:
        """The series in ``ticks.*``, with its own number if ``vendor.*`` does not show the bars."""
        return self.series_id if self.for_marts else -self.series_id

    def as_file(self, home: Home) -> OwnedFile:
        """The day as if it were a daily file of the lake."""
        facts_in_file = _facts_in(self.stored.path)
        runs = tuple((start, end) for start, end in facts_in_file["runs"])
        names = [c.name for c in load_contracts()[self.key.dataset].columns]
        facts = FileFacts(
            rows=self.stored.rows,
            first_us=runs[0][0] if runs else None,
            last_us=runs[-1][1] - interval_us(self.key.series.interval or "") if runs else None,
            runs=runs,
            columns=tuple((name, _TIME if name == "time" else _CAST) for name in names),
            missing=(),
            unexpected=(),
            nulls=facts_in_file["nulls"],
            is_sorted=True,
            simulated=False,
        )
        path = self.stored.path
        file = StoredFile(
            0, self.key, self.series_id, path.stem, self.stored.size_bytes, facts, "ticks", "", ""
        )
        spans = (self.key.period.span,) if self.stored.rows else ()
        return OwnedFile(file, spans, runs, kept_at=str(path.relative_to(home.root)))


@dataclass(frozen=True, slots=True)
class KeptTicks:
    """The days of all kept bars.

    ``left_out`` are the series of ticks that have no bars on the clock ``true``, because the times
    of receipt are unknown, each with the datasets that the settings select.
    """

    days: tuple[KeptDay, ...] = ()
    left_out: Mapping[SeriesKey, frozenset[str]] = field(default_factory=dict)


# Types of the columns of a kept day: times, and others, which are cast to the contract's types.
_TIME, _CAST = "TIMESTAMP", "ANY"


def keep_ticks(
    settings: Settings,
    lake: LakeByMonth,
    manifest: Manifest,
    progress: OnMonth | None = None,
) -> KeptTicks:
    """Write the new days of all kept bars; returns every day of them.

    The caller holds the home's lock.

    Raises
    ------
    UsageError
        A setting selects bars without ticks, or adds bars that the vendor's files have too.
    """
    wanted = tick_settings(lake.home.subscription)
    if not wanted:
        return KeptTicks()
    with _Keeping(settings, lake) as keeping:
        chosen, left_out = _chosen(keeping, wanted, manifest)
        # Compute all bars of a day together, because they share its ticks.
        bars = sorted(
            (series.clock, series.exchange, series.symbol, start, dataset, series)
            for dataset, series in chosen
            for start in keeping.starts(dataset, series)
        )
        days = []
        for number, (*_, start, dataset, series) in enumerate(bars, start=1):
            rate = chosen[dataset, series].notional_usd_rate
            stored = keeping.day(dataset, series, start, rate)
            if progress is not None:
                progress(stored, len(bars) - number)
            key = FileKey(dataset, series, Period(f"{us_datetime(start):%Y-%m-%d}"))
            for_marts = chosen[dataset, series].marts is not ForMarts.NO
            days.append(KeptDay(key, manifest.series_id(series), for_marts, stored))
        days = _with_late(lake.home, keeping, days)
        days.sort(key=lambda day: (day.key.dataset, day.key.series, day.key.period.text))
        return KeptTicks(tuple(days), left_out)


def _with_late(home: Home, keeping: _Keeping, days: Iterable[KeptDay]) -> list[KeptDay]:
    """The days with the late bars of their series, which are written if they are new."""
    found: dict[SeriesKey, dict[int, list[KeptDay]]] = defaultdict(lambda: defaultdict(list))
    for day in days:
        found[day.key.series][day.key.period.start_us].append(day)
    every = []
    for series, by_start in found.items():
        some = next(iter(by_start.values()))[0]
        late = write_late_days(
            home,
            keeping.connection,
            some.series_id,
            interval_us(series.interval or ""),
            (
                (
                    start,
                    [day.stored.path for day in of_start],
                    any(_facts_in(day.stored.path)["late"] for day in of_start),
                )
                for start, of_start in sorted(by_start.items())
            ),
        )
        by_late = {day.start_us: day for day in late.days} if late else {}
        every += [
            replace(day, late=by_late.get(start))
            for start, of_start in by_start.items()
            for day in of_start
        ]
    return every


def late_series(days: Iterable[KeptDay]) -> dict[int, LateSeries]:
    """The late bars of each series by its number, in order."""
    found: dict[int, dict[int, LateDay]] = defaultdict(dict)
    widths: dict[int, int] = {}
    for day in days:
        if day.late is not None:
            found[day.number][day.late.start_us] = day.late
            widths[day.number] = interval_us(day.key.series.interval or "")
    return {
        number: LateSeries(widths[number], tuple(late for _, late in sorted(of_series.items())))
        for number, of_series in found.items()
    }


def show_kept(lake: LakeByMonth, days: Iterable[KeptDay]) -> None:
    """Add the days of bars that ``vendor.*`` shows to the files of the lake."""
    for_marts = [day for day in days if day.for_marts]
    lake.show_beside([day.as_file(lake.home) for day in for_marts], late_series(for_marts))


# -- which bars ----------------------------------------------------------------------------------


def _chosen(
    keeping: _Keeping, wanted: Sequence[TickSetting], manifest: Manifest
) -> tuple[dict[tuple[str, SeriesKey], TickSetting], dict[SeriesKey, frozenset[str]]]:
    """Each series of each dataset to keep, with its setting; and those that are left out."""
    chosen: dict[tuple[str, SeriesKey], TickSetting] = {}
    left_out: dict[SeriesKey, frozenset[str]] = defaultdict(frozenset)
    for setting in wanted:
        found = [raw for raw in keeping.series(setting.dataset) if setting.covers(raw)]
        if not found and (setting.symbol or setting.exchange):
            source = keeping.sources(setting.dataset)[0]
            what = " ".join(filter(None, (setting.exchange, setting.symbol)))
            raise UsageError(
                f"{setting.where}: {setting.dataset} of {what}: the lake has no {source} for it",
                next_step=f"run: warehouse sync {source}, or remove the entry",
            )
        for raw in found:
            if setting.clock == "true" and not keeping.has_receipts(setting.dataset, raw):
                left_out[raw] |= {setting.dataset}
                continue
            series = SeriesKey(raw.exchange, raw.symbol, setting.every, setting.clock)
            place = setting.dataset, series
            other = chosen.setdefault(place, setting)
            for name in ("marts", "notional_usd_rate"):
                value, other_value = getattr(setting, name), getattr(other, name)
                if value != other_value:
                    raise UsageError(
                        f"{setting.where}: {setting.dataset} {series}: {name} is"
                        f" {value} here and {other_value} in"
                        f" {other.where.rpartition(': ')[2]}",
                        next_step="give it the same value in both",
                    )
            held = manifest.files_of(*place) if setting.marts is ForMarts.ADD else []
            if any(file.facts.rows for file in held):
                raise UsageError(
                    f"{setting.where}: {setting.dataset} {series}: the vendor's files have these"
                    " bars too, and a series of a dataset can have only one source",
                    next_step='write marts = "replace" to use the bars from ticks in the marts,'
                    ' or marts = "no" to use the vendor\'s',
                )
    return chosen, left_out


# -- computing -----------------------------------------------------------------------------------


class _Keeping:
    """Computes days of bars from ticks of the lake; its connection is opened with the first day."""

    def __init__(self, settings: Settings, lake: LakeByMonth) -> None:
        self._settings, self._home = settings, lake.home
        self._files = {
            dataset: [file for file in lake.files_of(dataset) if file.spans]
            for dataset in TICK_SOURCES.values()
        }
        self._of_series: dict[tuple[str, SeriesKey], list[OwnedFile]] = defaultdict(list)
        for dataset, files in self._files.items():
            for file in files:
                self._of_series[dataset, file.file.key.series].append(file)
        self._closing = ExitStack()
        self._opened: tuple[duckdb.DuckDBPyConnection, TickDays] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def sources(self, dataset: str) -> list[str]:
        """The raw datasets of a dataset; there are bars where the first one has ticks."""
        return [TICK_SOURCES[source] for source in _sources()[dataset]]

    def series(self, dataset: str) -> list[SeriesKey]:
        """Series of ticks from which bars of a dataset can be computed."""
        return sorted({f.file.key.series for f in self._files[self.sources(dataset)[0]]})

    def has_receipts(self, dataset: str, raw: SeriesKey) -> bool:
        """Whether the ticks from which bars are computed have times of receipt."""
        return not any(
            (imported := file.file.facts.imported) and imported.receive_clock == "none"
            for source in self.sources(dataset)
            for file in self._of_series[source, raw]
        )

    def starts(self, dataset: str, series: SeriesKey) -> list[int]:
        """Start of each UTC day with ticks."""
        raw = SeriesKey(series.exchange, series.symbol)
        files = self._of_series[self.sources(dataset)[0], raw]
        spans = [span for file in files for span in file.spans]
        # A file has the ticks of a day by the venue's clock; some are received the next day.
        after = 1 if series.clock == "true" else 0
        days = {day for a, b in spans for day in range(a // DAY_US, -(-b // DAY_US) + after)}
        return [day * DAY_US for day in sorted(days)]

    def day(self, dataset: str, series: SeriesKey, start: int, rate: float) -> StoredMonth:
        """The file of a day of bars, which is written if it does not exist."""
        raw = SeriesKey(series.exchange, series.symbol)
        around = start - DAY_US, start + 2 * DAY_US
        name = f"ticks.{dataset}"
        month = f"{us_datetime(start):%Y-%m}"
        facts = {
            "keep": KEEP_VERSION,
            "formulas": _formulas(),
            "duckdb": duckdb.__version__,
            "bars": [dataset, str(series), start],
            "files": [
                (f.file.key.dataset, f.file.object, spans)
                for source in self.sources(dataset)
                for f in self._of_series[source, raw]
                if (spans := [s for s in f.spans if s[0] < around[1] and s[1] > around[0]])
            ],
        }
        if rate != 1:
            facts["notional_usd_rate"] = rate
        folder = self._home.marts / name
        folder.mkdir(parents=True, exist_ok=True)
        place = month_path(folder, month, facts)
        path = find_stored(place)
        reused = path is not None
        if path is None:
            try:
                path = self._written(dataset, series, start, place, rate)
            except duckdb.InvalidInputException as error:
                raise BuildError(
                    f"[[ticks]] {dataset} of {series}; the old catalog stays\n{error}",
                    next_step="leave this series out, by exchanges, symbols or clocks in"
                    f" {self._home.subscription}, then run: warehouse build",
                ) from error
        return stored_month(name, month, path, reused=reused)

    def _written(
        self, dataset: str, series: SeriesKey, start: int, place: Path, rate: float
    ) -> Path:
        """Compute a day; the metadata of the file has the facts that builds need."""
        connection, ticks = self._ready()
        every, clock = series.interval or "", series.clock or ""
        known = [name for name in TICK_SOURCES if self._is_in_order(name, series, start)]
        query = ticks.query(
            dataset,
            every,
            clock,
            series.exchange,
            series.symbol,
            start,
            in_order=known,
            notional_usd_rate=rate,
        )
        connection.execute(f"create or replace temp table day as {query}")
        bar = interval_us(every)
        runs = connection.execute(
            f"select min(us), max(us) + {bar} from ("
            f" select us, us - {bar} * row_number() over (order by us) as island"
            ' from (select epoch_us("time") as us from day))'
            " group by island order by 1"
        ).fetchall()
        columns = [identifier(c.name) for c in load_contracts()[dataset].columns]
        ((nulls, late),) = connection.execute(
            f"select {' + '.join(f'count(*) - count({name})' for name in columns)},"
            f' count(*) filter (where epoch_us(known_at) > epoch_us("time") + {bar}) from day'
        ).fetchall()
        facts = json.dumps({"runs": runs, "nulls": nulls, "late": late})
        return write_month(connection, "from day", place, metadata={_FACTS: facts})

    def _is_in_order(self, source: str, series: SeriesKey, start: int) -> bool:
        """Whether the ticks of a day in the files of a source are known to be in order."""
        read = []
        for file in self._of_series[
            TICK_SOURCES[source], SeriesKey(series.exchange, series.symbol)
        ]:
            facts = file.file.facts
            spans = {clock: (first, last) for clock, first, last in facts.in_order}
            if not facts.rows:
                continue
            if series.clock not in spans:
                return False
            first, last = spans[series.clock]
            if first < start + DAY_US and last >= start - DAY_US:
                read.append((first, last, file))
        # The view reads several files one after the other if they are alike and complete.
        return all(
            last < next_first
            and (file.owns_all and next_file.owns_all)
            and file.file.facts.columns == next_file.file.facts.columns
            for (_, last, file), (next_first, _, next_file) in pairwise(read)
        )

    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection that computes."""
        return self._ready()[0]

    def _ready(self) -> tuple[duckdb.DuckDBPyConnection, TickDays]:
        """The connection, with the ticks and the formulas."""
        if self._opened is None:
            connection = self._closing.enter_context(connect(self._settings.session))
            connection.execute("create schema vendor")
            for dataset in TICK_SOURCES.values():
                files = self._files[dataset]
                columns = view_columns(dataset, {f.file.facts.columns for f in files})
                sql = view_sql(columns, files, self._home)
                connection.execute(f"create view vendor.{dataset} as {sql}")
            self._opened = connection, TickDays(connection)
        return self._opened


_FACTS = "bars"


@lru_cache(maxsize=100_000)
def _facts_in(path: Path) -> dict[str, Any]:
    """The facts in the metadata of a day: runs of bars, number of NULLs and of late bars."""
    import pyarrow.parquet as pq  # local: most homes have no kept bars

    facts: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[_FACTS.encode()])
    return facts


@cache
def _formulas() -> str:
    return hashlib.sha256(tick_day_macros().encode()).hexdigest()


@cache
def _sources() -> dict[str, list[str]]:
    with connect({}) as connection:
        connection.execute(tick_macros())
        return tick_sources(connection)
