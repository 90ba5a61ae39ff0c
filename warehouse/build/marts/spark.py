"""Computes months of marts on Spark, and compares some of them with DuckDB's.

dbt builds the marts on the server from the same models; the returned rows are stored as months. The
name of a month includes its engine, so neither engine reuses the other's months.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Protocol, cast

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.meta.tables import META
from warehouse.build.months.compute_months import Job, JobRunner
from warehouse.build.months.find_or_compute import WantedMonth, find_or_compute
from warehouse.build.months.lake_months import Kept
from warehouse.build.months.stored import OnMonth, StoredMonth
from warehouse.build.vendor_views import months_of
from warehouse.display import counted
from warehouse.errors import BuildError
from warehouse.home import Home
from warehouse.spark import Cluster, connected
from warehouse.sql import Relation, identifier, literal, rows_of_files
from warehouse.vendor import KEY_COLUMNS, DatasetColumn

# Number of months that DuckDB computes again, for one series each; at least one of every mart.
SAMPLE = 5
# Tables that dbt's tests read besides the marts.
_SERIES = Relation("meta", "series")
# Largest |a - b| / max(1, |a|, |b|) of equal values: the engines add up in different orders.
TOLERANCE = 1e-9


class _MartTask(Protocol):
    """Inputs of the jobs of a mart: datasets with their columns, and other tables."""

    columns: dict[str, list[DatasetColumn]]
    tables: Mapping[Relation, object]


@dataclass(frozen=True)
class SparkMarts:
    """A session in which dbt can build marts.

    Attributes
    ----------
    run_dbt
        Builds the named marts and the models that they read on the server of this address.
    """

    cluster: Cluster
    run_dbt: Callable[[Sequence[str], str], None]

    @property
    def engine(self) -> str:
        """Name and version, as in meta.stored."""
        return self.cluster.engine

    def compute(
        self,
        file: BuildFile,
        jobs: Sequence[Job],
        months: Mapping[str, Sequence[str]],
        running: Mapping[str, Sequence[str]],
    ) -> dict[tuple[str, str], list[Path]]:
        """Compute months by mart from the inputs of their jobs; returns the files of their rows.

        A month may have no rows.
        """
        self.show(file, jobs)
        self.run_dbt(list(months), self.cluster.server.remote)
        return {
            (mart, month): found
            for mart in months
            for month, found in self.cluster.export(mart, months[mart], running[mart]).items()
        }

    def show(self, file: BuildFile, jobs: Sequence[Job]) -> None:
        """Make the server's tables show what these jobs read."""
        files: dict[str, set[str]] = defaultdict(set)
        types: dict[str, dict[str, str]] = {}
        tables = {_SERIES}
        for job in jobs:
            task = cast(_MartTask, job.task)
            for dataset, columns in task.columns.items():
                types[dataset] = {c.name: c.type for c in (*KEY_COLUMNS, *columns)}
                files[dataset].update(job.lists[months_of(dataset)][1])
            tables.update(task.tables)
        self.cluster.show_datasets(
            {name: (types[name], [Path(path) for path in sorted(files[name])]) for name in types}
        )
        for relation in sorted(tables):
            (rows,) = file.built(f"from {relation.sql}")
            kinds = {name: kind for name, kind, _ in META[relation.name][1]}
            self.cluster.show_rows(f"{relation.schema}.{relation.name}", kinds, rows)


@contextmanager
def spark_marts(home: Home, run_dbt: Callable[[Sequence[str], str], None]) -> Iterator[SparkMarts]:
    """A session of the home's Spark server; the exported files are removed at the end."""
    with connected(home) as cluster:
        try:
            yield SparkMarts(cluster, run_dbt)
        finally:
            cluster.forget()


def find_or_compute_by_spark(
    file: BuildFile,
    spark: SparkMarts,
    wanted: Sequence[WantedMonth],
    kept: Kept,
    running: Mapping[str, Sequence[str]],
    progress: OnMonth | None,
) -> list[StoredMonth]:
    """All months in their order, those computed by Spark that no earlier build has stored.

    ``running`` names the running columns of each mart.

    Raises
    ------
    BuildError
        A month differs from what DuckDB computes.
    """
    settings = file.settings
    missing = {one.place: one for one in wanted if one.found(kept) is None}
    if not missing:
        return find_or_compute(settings, wanted, kept, progress)
    jobs = {place: one.job(place) for place, one in missing.items()}
    months: dict[str, list[str]] = defaultdict(list)
    for one in missing.values():
        months[one.model].append(one.month)
    files = spark.compute(file, list(jobs.values()), months, running)

    new_ones = {(one.model, one.month) for one in missing.values()}

    def by_spark(one: WantedMonth, place: Path) -> Job:
        job = jobs[place]
        return replace(job, rows=_rows_of(files[one.model, one.month], job.rows))

    asked = [
        replace(one, job=partial(by_spark, one)) if (one.model, one.month) in new_ones else one
        for one in wanted
    ]
    stored = find_or_compute(settings, asked, kept, progress)
    paths = {(month.model, month.month): month.path for month in stored}
    new = {paths[one.model, one.month]: jobs[place] for place, one in missing.items()}
    with JobRunner(settings.session) as runner:
        for month in _sample([month for month in stored if month.path in new]):
            _require_equal(*runner.opened(new[month.path]), new[month.path], month)
    return stored


def _rows_of(files: Sequence[Path], like: str) -> str:
    """The rows of files that Spark wrote, with the columns of a query that it did not run."""
    none = f"select * from ({like}) where false"
    if not files:
        return none
    return f"{none} union all by name from {rows_of_files(files)}"


def _sample(months: Sequence[StoredMonth]) -> list[StoredMonth]:
    """Months to compare: one of each mart, and more up to SAMPLE; the same for the same files."""
    chosen = random.Random(",".join(month.path.name for month in months))
    by_mart: dict[str, list[StoredMonth]] = defaultdict(list)
    for month in chosen.sample(list(months), len(months)):
        if month.rows:
            by_mart[month.model].append(month)
    in_turns = [month for turn in zip_longest(*by_mart.values()) for month in turn if month]
    return in_turns[: max(SAMPLE, len(by_mart))]


def _require_equal(
    connection: duckdb.DuckDBPyConnection, columns: str, job: Job, month: StoredMonth
) -> None:
    """Raise BuildError if a month of Spark differs from DuckDB's rows, for one series.

    Numbers may differ by TOLERANCE; NULLs, types, columns and rows may not.
    """
    source = f"read_parquet({literal(str(month.path))})"
    numbers = connection.execute(f"select distinct series_id from {source} order by all").fetchall()
    ((series_id,),) = random.Random(month.path.name).sample(numbers, 1)
    connection.execute(
        f"create or replace temp table by_duckdb as select {columns} from ({job.rows})"
        f" where series_id = {series_id}"
    )
    connection.execute(
        f"create or replace temp table by_spark as from {source} where series_id = {series_id}"
    )
    ours, theirs = (
        connection.execute(f"describe {name}").fetchall() for name in ("by_duckdb", "by_spark")
    )
    where = f"{month.model} {month.month}, series {series_id}"
    if [row[:2] for row in ours] != [row[:2] for row in theirs]:
        odd = sorted({row[:2] for row in ours} ^ {row[:2] for row in theirs})
        raise _unequal(where, f"columns or types differ: {odd}")
    for name, kind, *_ in ours:
        ours_sql, theirs_sql = f"a.{identifier(name)}", f"b.{identifier(name)}"
        differs = f"{ours_sql} is distinct from {theirs_sql}"
        if kind == "DOUBLE":
            largest = f"greatest(1, abs({ours_sql}), abs({theirs_sql}))"
            distance = f"abs({ours_sql} - {theirs_sql})"
            differs += f" and not coalesce({distance} <= {TOLERANCE} * {largest}, false)"
        found = connection.execute(
            f'select coalesce(a."time", b."time"), {ours_sql}, {theirs_sql}, count(*) over ()'
            f' from by_duckdb as a full join by_spark as b on a."time" = b."time"'
            f" where {differs} order by 1 limit 1"
        ).fetchall()
        for time, mine, other, rows in found:
            values = f"DuckDB has {mine!r}, Spark has {other!r}"
            raise _unequal(where, f"{name} at {time}: {values} ({counted(rows, 'row')})")


def _unequal(where: str, what: str) -> BuildError:
    return BuildError(
        f"Spark and DuckDB compute different marts; the old catalog stays\n{where}: {what}",
        next_step="run: warehouse build, which uses DuckDB, and report this difference",
    )
