"""Kept bars from ticks: the ``[[ticks]]`` tables of ``warehouse.toml``, computed day by day.

They are the views ``ticks.<dataset>``, with the columns of ``vendor.<dataset>``; no mart reads
them. A UTC day of a series is one stored file below ``marts/``, computed again only where the ticks
of that day or of its neighbours change, or the formulas do.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.build.declared_ticks import Wish, wished_ticks
from warehouse.build.meta import write_stored
from warehouse.build.partitions import (
    OnMonth,
    StoredMonth,
    find_stored,
    month_path,
    stored_month,
    write_month,
)
from warehouse.build.vendor_views import view_columns, view_sql
from warehouse.config import Settings
from warehouse.engine import connect
from warehouse.errors import BuildError, UsageError
from warehouse.home import Home
from warehouse.lake import OwnedFile
from warehouse.project import tick_macros
from warehouse.sql import comment, files_below, identifier, literal, moment
from warehouse.times import us_datetime
from warehouse.vendor import KEY_COLUMNS, SeriesKey, is_raw, load_contracts

_DAY = 86_400_000_000
# Parameters of the macros that name a source, and the dataset that it is.
_SOURCES = {
    "trades": "raw_trades",
    "quotes": "raw_quotes",
    "mark_prices": "raw_mark_price",
    "index_prices": "raw_index_price",
    "funding_rates": "raw_funding_rate",
    "open_interests": "raw_open_interest",
}


@dataclass(frozen=True, slots=True)
class KeptDay:
    """The stored file of a UTC day of kept bars."""

    dataset: str
    series: SeriesKey
    every: str
    clock: str
    stored: StoredMonth


def keep_ticks(
    settings: Settings, home: Home, owned: Iterable[OwnedFile], progress: OnMonth | None = None
) -> list[KeptDay]:
    """Write what is new of all bars that are to be kept; every day of them.

    The caller holds the home's lock.
    """
    wishes = wished_ticks(home.subscription)
    if not wishes:
        return []
    by_dataset: dict[str, list[OwnedFile]] = defaultdict(list)
    for file in owned:
        if file.spans and is_raw(file.file.key.dataset):
            by_dataset[file.file.key.dataset].append(file)
    macros = tick_macros()
    with connect(settings.session) as connection:
        connection.execute("create schema vendor")
        for dataset in _SOURCES.values():
            files = by_dataset[dataset]
            sql = view_sql(view_columns(load_contracts().get(dataset), files), files, home)
            connection.execute(f"create view vendor.{dataset} as {sql}")
        connection.execute(macros)
        keeping = _Keeping(
            connection, home, by_dataset, hashlib.sha256(macros.encode()).hexdigest()
        )
        return [day for wish in wishes for day in keeping.days(wish, progress)]


def write_ticks(connection: duckdb.DuckDBPyConnection, home: Home, days: Sequence[KeptDay]) -> None:
    """Show these days alone: a view of the schema ``ticks`` per dataset, and ``meta.stored``."""
    connection.execute("drop schema if exists ticks cascade")
    connection.execute("delete from meta.stored where starts_with(model, 'ticks.')")
    if not days:
        return
    connection.execute("create schema ticks")
    write_stored(connection, home, [day.stored for day in days])
    by_series: dict[str, dict[tuple[str, str, str, str], list[KeptDay]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for day in days:
        key = (day.series.exchange, day.series.symbol, day.every, day.clock)
        by_series[day.dataset][key].append(day)
    numbers = {key: n for n, key in enumerate(sorted({k for s in by_series.values() for k in s}))}
    for dataset, series in sorted(by_series.items()):
        view = f"ticks.{identifier(dataset)}"
        branches = []
        for key, of_series in series.items():
            files = [day.stored for day in of_series if day.stored.rows] or [of_series[0].stored]
            listed = files_below(home.root, (str(f.path.relative_to(home.root)) for f in files))
            # Numbers of the vendor's series are positive, so none is taken for another.
            branches.append(
                f"select * replace ({-1 - numbers[key]}::integer as series_id)"
                f" from read_parquet({listed}, hive_partitioning = false)"
            )
        connection.execute(f"create view {view} as\n" + "\nunion all\n".join(branches))
        _describe(connection, dataset, view)


def _describe(connection: duckdb.DuckDBPyConnection, dataset: str, view: str) -> None:
    contract = load_contracts()[dataset]
    comment(connection, "view", view, f"Kept bars from ticks ([[ticks]]): {contract.description}")
    texts = {c.name: c.comment for c in (*KEY_COLUMNS, *contract.columns)} | {
        "known_at": "End of the bar, or the receipt of its last tick if that is later. [UTC]",
        "n_events": "How many ticks made the bar. [count]",
        "is_partial": "Whether the ticks may begin or end inside the bar.",
    }
    for (name,) in connection.execute(f"select column_name from (describe {view})").fetchall():
        comment(connection, "column", f"{view}.{identifier(name)}", texts[name])


class _Keeping:
    """Computes days of bars on a connection that has the macros and the ticks."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        home: Home,
        files: dict[str, list[OwnedFile]],
        formulas: str,
    ) -> None:
        self._connection, self._home = connection, home
        self._files, self._formulas = files, formulas

    def days(self, wish: Wish, progress: OnMonth | None) -> Iterator[KeptDay]:
        sources = self._sources(wish.dataset)
        by_series: dict[SeriesKey, list[OwnedFile]] = defaultdict(list)
        for file in self._files[sources[0]]:
            if wish.symbol in ("", file.file.key.series.symbol):
                by_series[file.file.key.series].append(file)
        if wish.symbol and not by_series:
            raise UsageError(
                f"{self._home.subscription}: [[ticks]] {wish.dataset} of {wish.symbol}:"
                f" the lake has no {sources[0]} of it",
                next_step=f"bring them in: warehouse sync {sources[0]}, or leave the symbol out",
            )
        for series, files in sorted(by_series.items(), key=lambda item: str(item[0])):
            read = [f for s in sources for f in self._files[s] if f.file.key.series == series]
            spans = [span for file in files for span in file.spans]
            for day in sorted({d for a, b in spans for d in range(a // _DAY, -(-b // _DAY))}):
                kept = self._day(wish, series, day * _DAY, read)
                if progress is not None:
                    progress(kept.stored)
                yield kept

    def _day(self, wish: Wish, series: SeriesKey, start: int, read: list[OwnedFile]) -> KeptDay:
        around = start - _DAY, start + 2 * _DAY
        name = f"ticks.{wish.dataset}"
        month = f"{us_datetime(start):%Y-%m}"
        facts = {
            "formulas": self._formulas,
            "duckdb": duckdb.__version__,
            "bars": [wish.dataset, wish.every, wish.clock, str(series), start],
            "files": [
                (f.file.key.dataset, f.file.object, spans)
                for f in read
                if (spans := [s for s in f.spans if s[0] < around[1] and s[1] > around[0]])
            ],
        }
        folder = self._home.marts / name
        folder.mkdir(parents=True, exist_ok=True)
        place = month_path(folder, month, facts)
        path = find_stored(place)
        reused = path is not None
        if path is None:
            query = (
                f"select * from ticks_{wish.dataset}({literal(wish.every)},"
                f" clock := {literal(wish.clock)}, exchange := {literal(series.exchange)},"
                f" symbol := {literal(series.symbol)},"
                f" start_time := {moment(start)}, end_time := {moment(start + _DAY)})"
            )
            try:
                path = write_month(self._connection, query, place)
            except duckdb.InvalidInputException as error:
                raise BuildError(
                    f"[[ticks]] {wish.dataset} of {series.symbol}; the old catalog stays\n{error}",
                    next_step=f"correct {self._home.subscription}, then run: warehouse build",
                ) from error
        stored = stored_month(name, month, path, reused=reused)
        return KeptDay(wish.dataset, series, wish.every, wish.clock, stored)

    def _sources(self, dataset: str) -> list[str]:
        """The raw datasets that a dataset is made of; the bars are where the first has ticks."""
        ((names,),) = self._connection.execute(
            "select parameters from duckdb_functions() where function_name = ?",
            [f"ticks_{dataset}"],
        ).fetchall()
        return [_SOURCES[name] for name in names if name in _SOURCES]
