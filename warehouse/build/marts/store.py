"""Stored marts: each mart month by month as immutable parquet files, computed once and reused.

A mart is defined as a view. ``store_marts`` computes every month that no earlier build has
computed, and makes the view in the build file read the stored months. A month's file is named by a
hash of all its inputs: the SQL of the mart and of what it reads, the seeds, DuckDB's version, and
the lake files within the mart's declared look-back and horizon. So a restated or grown file
recomputes only the months within its reach, and a full rebuild has the same bytes because it is the
same computation.

A column that runs from the first bar of its series is summed within each month; the view adds the
sum of the months before (see ``running_columns``).

Exchange, symbol, interval and clock of a row are those of its series. These key columns are added
when rows are written, so windows and sorts do not carry them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.gathered_months import gather
from warehouse.build.marts.running_columns import continued, sums_within, write_running
from warehouse.build.marts.spark import SparkMarts, find_or_compute_by_spark
from warehouse.build.marts.views import Comments, show_instead
from warehouse.build.meta.rows import create_with_rows, write_stored
from warehouse.build.months.compute_months import Job, Lists, set_lists
from warehouse.build.months.find_or_compute import WantedMonth, find_or_compute
from warehouse.build.months.lake_months import LakeByMonth, LakeMonth, kept_in, stored_key
from warehouse.build.months.stored import DUCKDB, OnMonth, StoredMonth, month_path
from warehouse.build.ticks.kept import keep_ticks, show_kept
from warehouse.build.vendor_views import (
    gathered_sql,
    key_of_series,
    lists_of_series,
    months_of,
    view_columns,
    view_sql,
)
from warehouse.errors import UsageError
from warehouse.files import leftovers, sha256_of
from warehouse.home import Home
from warehouse.lake import Manifest, OwnedFile
from warehouse.project import (
    Model,
    Project,
    create_bar_end,
    create_schemas,
    create_seeds,
)
from warehouse.sql import Relation, files_below, identifier, literal, moment, parquet_rows
from warehouse.times import Span
from warehouse.vendor import (
    SERIES_COLUMNS,
    DatasetColumn,
    Period,
    is_raw,
)

Rows = list[tuple[Any, ...]]

# Increase it if the way months are computed changes, so that no older file is reused.
STORE_VERSION = 7


def store_marts(
    file: BuildFile,
    project: Project,
    *,
    progress: OnMonth | None = None,
    spark: SparkMarts | None = None,
) -> tuple[list[StoredMonth], Comments]:
    """Compute the new months of every storable mart and make the build file's views read them.

    Returns all months, and the comments that the views have lost: see :func:`show_instead`.
    With ``spark`` the server computes them, and a sample is compared with DuckDB's results.

    The build file contains the models.
    """
    home, settings = file.home, file.settings
    home.marts.mkdir(parents=True, exist_ok=True)
    for leftover in leftovers(home.root, of_lake=False):
        leftover.unlink()
    with _lake(file) as lake:
        wanted = _wanted(file, lake, project, DUCKDB if spark is None else spark.engine)
        if spark is None:
            stored = find_or_compute(settings, wanted, lake.kept, progress)
        else:
            _require_prompt(lake)
            running = {model.name: model.accumulates for model in project.models}
            stored = find_or_compute_by_spark(file, spark, wanted, lake.kept, running, progress)
    return stored, _show(file, project, stored)


def show_on_spark(file: BuildFile, project: Project, spark: SparkMarts) -> None:
    """Make the server's tables show everything that the marts read, for dbt by hand."""
    with _lake(file) as lake:
        _require_prompt(lake)
        wanted = _wanted(file, lake, project, spark.engine)
        spark.show(file, [month.job(month.place) for month in wanted])


def _require_prompt(lake: LakeByMonth) -> None:
    """Raise UsageError if bars are known after their end, because Spark lacks ``bar_end``."""
    for series_id in lake.late:
        raise UsageError(
            f"{lake.home.subscription}: [[ticks]]: some bars of {lake.series[series_id]} are known"
            " after their end, and marts over these cannot be computed by Spark",
            next_step='build without --engine spark, or write marts = "no"',
        )


@contextmanager
def _lake(file: BuildFile) -> Iterator[LakeByMonth]:
    home = file.home
    with Manifest(home.manifest) as manifest:
        lake = LakeByMonth(home, manifest, kept_in(home, file.published, file.built))
        show_kept(lake, keep_ticks(file.settings, lake, manifest).days)
        yield lake


def _wanted(file: BuildFile, lake: LakeByMonth, project: Project, engine: str) -> list[WantedMonth]:
    """All months of all marts that can be stored."""
    gathered = gather(file.settings, lake)
    marts = [model for model in project.models if is_storable(project, model)]
    tables = _tables_beside(file, project.with_ancestors(marts))
    names = _column_names(file)
    return [
        month
        for model in marts
        for month in _Mart(
            lake, project, model, names[model.relation], gathered, tables, engine
        ).months()
    ]


def is_storable(project: Project, model: Model) -> bool:
    """Whether months of a mart can be computed from a bounded span of what it reads."""
    read = [source for other in project.with_ancestors([model]) for source in other.sources]
    if any(source.schema == "vendor" and is_raw(source.name) for source in read):
        return False
    if not model.is_stored or model.is_whole_sample:
        return False
    return _reach(project, model) is not None


# -- computing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Opening:
    """Shared by all months of a mart: seeds, tables, vendor views and the models that it reads."""

    home: Home
    project: Project
    names: tuple[str, ...]  # of the mart's columns
    lineage: tuple[Model, ...]
    columns: dict[str, list[DatasetColumn]]  # of each dataset
    gathered: frozenset[str]  # datasets that have months
    tables: dict[Relation, Rows]
    series: Lists
    late: dict[int, int]  # length of the bars of series with late bars

    def open(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Create the tables and views in memory, unless another mart has created them.

        Returns the expression of each column over a sorted row.
        """
        if not connection.execute(
            "from duckdb_schemas() where database_name = 'warehouse'"
        ).fetchall():
            connection.execute("attach ':memory:' as warehouse")
            self.begin(connection)
            create_bar_end(connection, self.late)
            create_schemas(connection, self.project)
            create_seeds(connection, self.project)
        there = {
            Relation(*place)
            for place in connection.execute(
                "select schema_name, view_name from duckdb_views()"
                " where database_name = 'warehouse' union all"
                " select schema_name, table_name from duckdb_tables()"
                " where database_name = 'warehouse'"
            ).fetchall()
        }
        for relation, rows in self.tables.items():
            if relation not in there:
                create_with_rows(connection, relation.sql, relation.name, rows)
        for dataset, columns in self.columns.items():
            view = Relation("vendor", dataset)
            if view in there:
                continue
            sql = view_sql(columns, [], self.home)
            if dataset in self.gathered:
                sql = gathered_sql(columns, f"getvariable({literal(months_of(dataset))})")
            connection.execute(
                f"create view {view.sql} as select * from (\n{sql}\n)"
                " where \"time\" >= getvariable('since') and \"time\" < getvariable('until')"
            )
        for model in self.lineage[:-1]:
            if model.relation not in there:
                connection.execute(f"create view {model.relation.sql} as\n{model.sql}")
        written = {name: identifier(name) for name in self.names}
        for key in written.keys() & set(SERIES_COLUMNS):
            written[key] = key_of_series(key)
        return ", ".join(f"{sql} as {identifier(name)}" for name, sql in written.items())

    def begin(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("use warehouse")
        set_lists(connection, self.series)


class _Mart:
    """The months of one mart, each of which is computed on its own."""

    def __init__(
        self,
        lake: LakeByMonth,
        project: Project,
        model: Model,
        names: Sequence[str],
        gathered: Mapping[str, Sequence[StoredMonth]],
        tables: Mapping[Relation, Rows],
        engine: str,
    ) -> None:
        reach = _reach(project, model)
        assert reach is not None, "only storable models get here"
        self.lookback_us, self.horizon_us = reach
        self.project, self.model, self.engine, self.lake = project, model, engine, lake
        self.lineage = project.with_ancestors([model])
        datasets = {s.name for m in self.lineage for s in m.sources if s.schema == "vendor"}
        self.datasets = sorted(datasets)
        self.columns = {
            name: view_columns(name, lake.columns_shown(name)) for name in self.datasets
        }
        self.gathered = {
            dataset: {month.month: month.path for month in gathered.get(dataset, ())}
            for dataset in self.datasets
        }
        self.tables = {
            relation: rows
            for relation, rows in tables.items()
            if any(relation in m.sources for m in self.lineage)
        }
        self.folder = lake.home.marts / model.name
        self.opening = _Opening(
            lake.home,
            project,
            tuple(names),
            self.lineage,
            self.columns,
            frozenset(dataset for dataset, months in self.gathered.items() if months),
            self.tables,
            lists_of_series(lake.series),
            {series_id: series.bar_us for series_id, series in lake.late.items()},
        )

    def months(self) -> Iterator[WantedMonth]:
        """Every month with a file of the datasets that the mart reads.

        A month that has no rows, by the mart's declaration, depends on none of its files.
        """
        self.folder.mkdir(exist_ok=True)
        shown = [
            (month, (Period(month.month).span,))
            for dataset in self.datasets
            for month in self.lake.shown_months(dataset)
        ]
        facts, rows_of = self._facts(), self.model.rows_of
        for text in sorted({month.month for month, _ in shown}):
            reach = self._reach_of(text)
            within = [month for month, span in shown if _overlaps(reach, span)]
            if rows_of and not any(month.dataset in rows_of for month in within):
                within = []
            tokens = [(month.dataset, month.month, month.shown) for month in within]
            yield WantedMonth(
                self.model.name,
                text,
                stored_key([facts, tokens]),
                partial(self._place, text, within),
                partial(self._job, text, within),
                self.engine,
            )

    def _reach_of(self, month: str) -> Span:
        """A month with look-back and horizon."""
        period = Period(month)
        return period.start_us - self.lookback_us, period.end_us + self.horizon_us

    def _files(self, month: str, within: Sequence[LakeMonth]) -> list[OwnedFile]:
        """Files that own any time within the month, the mart's look-back and its horizon."""
        months: dict[str, list[str]] = defaultdict(list)
        for one in within:
            months[one.dataset].append(one.month)
        reach = self._reach_of(month)
        return [
            file
            for dataset, texts in months.items()
            for file in self.lake.files_of(dataset, texts)
            if file.spans and _overlaps(reach, file.spans)
        ]

    def _place(self, month: str, within: Sequence[LakeMonth]) -> Path:
        files = [
            (f.file.key.dataset, f.file.series_id, str(f.file.key.series), *f.shown_from)
            for f in self._files(month, within)
        ]
        return month_path(self.folder, month, self._facts() | {"files": files})

    def _facts(self) -> dict[str, object]:
        """What a month's rows depend on, other than the files."""
        return ({} if self.engine == DUCKDB else {"engine": self.engine}) | {
            "store": STORE_VERSION,
            "duckdb": duckdb.__version__,
            "sql": [(str(model.relation), model.sql) for model in self.lineage],
            "reach": (self.lookback_us, self.horizon_us),
            "accumulates": self.model.accumulates,
            "seeds": [
                (str(seed.relation), sha256_of(seed.path))
                for seed in self.project.seeds
                if any(seed.relation in model.depends_on for model in self.lineage)
            ],
            "tables": [(str(name), [*map(str, rows)]) for name, rows in self.tables.items()],
            "columns": [[(c.name, c.type) for c in columns] for columns in self.columns.values()],
        }

    def _job(self, month: str, within: Sequence[LakeMonth], place: Path) -> Job:
        start_us, end_us = Period(month).span
        since, until = moment(start_us), moment(end_us)
        if self.model.accumulates:
            rows = sums_within(self.model.sql, self.model.accumulates, since, until)
        else:
            inside = f'"time" >= {since} and "time" < {until}'
            rows = f"select * from ({self.model.sql}) where {inside}"
        files = self._files(month, within)
        return Job(
            f"{self.model.name} {month}",
            self.opening,
            rows,
            self._lists(files),
            _moments(start_us, start_us - self.lookback_us, end_us + self.horizon_us),
            place,
            sum(file.file.size_bytes for file in files),
        )

    def _lists(self, files: list[OwnedFile]) -> Lists:
        """The gathered months behind the vendor views that have these files."""
        lists: Lists = {}
        for dataset in self.datasets:
            of_month = self.gathered[dataset]
            chosen = {f.file.key.period.month for f in files if f.file.key.dataset == dataset}
            months = sorted(chosen) or list(of_month)[:1]
            lists[months_of(dataset)] = "VARCHAR", [str(of_month[month]) for month in months]
        return lists


def _overlaps(reach: Span, spans: Sequence[Span]) -> bool:
    """Whether any of these spans, which are in order, overlaps the first one."""
    start, end = reach
    return (
        spans[0][0] < end  # for most files comparing the ends suffices, in a third of the time
        and start < spans[-1][1]
        and any(a < end and start < b for a, b in spans)
    )


def _moments(month_us: int, since_us: int, until_us: int) -> dict[str, str]:
    """The variables that models and vendor views read: the month, and the bars that are shown."""
    return {
        "month_start": moment(month_us),
        "since": moment(since_us),
        "until": moment(until_us),
    }


def _reach(project: Project, model: Model) -> tuple[int, int] | None:
    """Total look-back and horizon of a model and all it reads in microseconds, or None."""
    lookback_us, horizon_us = model.lookback_us, model.horizon_us
    if lookback_us is None or horizon_us is None:
        return None
    below = []
    for relation in model.depends_on:
        for other in project.models:
            if other.relation == relation:
                reach = None if other.accumulates else _reach(project, other)
                if reach is None:
                    return None
                below.append(reach)
    return (
        lookback_us + max((lookback for lookback, _ in below), default=0),
        horizon_us + max((horizon for _, horizon in below), default=0),
    )


def _tables_beside(file: BuildFile, models: Sequence[Model]) -> dict[Relation, Rows]:
    """The rows of tables of ``meta`` that models read, such as declared schedules."""
    read = sorted({s for m in models for s in m.sources if s.schema != "vendor"})
    connection = file.open()
    return {relation: connection.execute(f"from {relation.sql}").fetchall() for relation in read}


def _column_names(file: BuildFile) -> dict[Relation, list[str]]:
    """The columns of every model, in their order."""
    names: dict[Relation, list[str]] = defaultdict(list)
    for schema, table, column in (
        file.open()
        .execute(
            "select schema_name, table_name, column_name from duckdb_columns()"
            " where database_name = 'warehouse' order by column_index"
        )
        .fetchall()
    ):
        names[Relation(schema, table)].append(column)
    return names


# -- showing -------------------------------------------------------------------------------------


def _show(file: BuildFile, project: Project, stored: list[StoredMonth]) -> Comments:
    """Make the views of the build file read the stored months; returns the comments they lose.

    In a copy of the published catalog, views that already read these months are left unchanged.
    """
    home, connection = file.home, file.open()
    connection.execute("begin")
    shown = defaultdict(set)
    for name, path in connection.execute("select model, path from meta.stored").fetchall():
        shown[name].add(path)
    sources = {}
    for name in dict.fromkeys(month.model for month in stored):
        paths = [str(m.path.relative_to(home.root)) for m in stored if m.model == name]
        if shown[name] == set(paths):
            continue
        model = project.model(name)
        source = parquet_rows(files_below(home.root, paths))
        sources[model.relation.schema, name] = source
        connection.execute("delete from meta.running where model = ?", [name])
        write_running(connection, name, model.accumulates, source)
    shows = continued(connection, sources)
    comments = show_instead(connection, {name: [source] for name, source in shows.items()})
    connection.execute("delete from meta.stored where not contains(model, '.')")
    write_stored(connection, home, stored)
    connection.execute("commit")
    return comments
