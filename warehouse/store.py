"""Stored marts: each mart month by month as immutable parquet, computed once, reused for ever.

dbt defines a mart as a view. After dbt ran, ``store_marts`` computes every month of it that no
earlier build has computed, and lets the view in the build file read the stored months instead. A
month's file is named by all that its rows depend on: the SQL of the mart and of what it reads, the
seeds, DuckDB's version, and the lake files within the mart's declared look-back and horizon. So a
restated or grown file recomputes the months it touches and no other, publishing stays instant, and
a full rebuild gives the same bytes because it is the same computation.

A column that runs from the first bar of its series (``meta.accumulates``) is carried from month to
month; such a mart's months also depend on the month before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from warehouse.config import Settings
from warehouse.contracts import load_contracts
from warehouse.coverage import OwnedFile, assign_ownership
from warehouse.gather import gather
from warehouse.home import Home
from warehouse.keys import Period
from warehouse.manifest import Manifest
from warehouse.meta import write_stored
from warehouse.months import Progress, StoredMonth, month_path, stored_month, write_month
from warehouse.project import Model, Project, create_schemas, create_seeds
from warehouse.sqltext import files_below, identifier, literal, moment, settings_sql
from warehouse.vendor_views import gathered_sql, view_columns, view_sql
from warehouse.views import show_instead

STORE_VERSION = 4
"""Raised when the way months are computed changes, so that no older file is reused."""


def store_marts(
    settings: Settings, project: Project, *, progress: Progress | None = None
) -> list[StoredMonth]:
    """Compute what is new of every storable mart and point the build file's views at it.

    The caller holds the home's lock; dbt has filled the build file.
    """
    home = Home(settings.home)
    home.marts.mkdir(parents=True, exist_ok=True)
    for leftover in home.marts.rglob("*.building"):
        leftover.unlink()
    with Manifest(home.manifest) as manifest:
        owned = assign_ownership(manifest.files())
    gathered = gather(settings, home, owned)
    stored: list[StoredMonth] = []
    for model in project.models:
        if is_storable(project, model):
            computation = _Computation(settings, home, project, model, owned, gathered)
            for month in computation.run():
                stored.append(month)
                if progress is not None:
                    progress(month)
    _show(settings, home, project, stored)
    return stored


def is_storable(project: Project, model: Model) -> bool:
    """Whether months of a mart can be computed from a bounded span of what it reads."""
    if not model.is_stored or model.is_whole_sample:
        return False
    return _reach(project, model) is not None


# -- computing -----------------------------------------------------------------------------------


class _Computation:
    """Months of one mart, in order; the carry of accumulating columns goes from one to the next."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        project: Project,
        model: Model,
        owned: Sequence[OwnedFile],
        gathered: Mapping[str, Sequence[StoredMonth]],
    ) -> None:
        reach = _reach(project, model)
        assert reach is not None, "only storable models come here"
        self.lookback_us, self.horizon_us = reach
        self.settings, self.home, self.project, self.model = settings, home, project, model
        self.lineage = project.with_ancestors([model])
        datasets = {s.name for m in self.lineage for s in m.sources if s.schema == "vendor"}
        self.datasets = sorted(datasets)
        self.owned = [f for f in owned if f.file.key.dataset in datasets and f.spans]
        self.columns = {
            name: view_columns(load_contracts().get(name), files)
            for name, files in self._by_dataset(self.owned)
        }
        self.gathered = {
            (dataset, month.month): month.path
            for dataset, months in gathered.items()
            for month in months
        }
        self.folder = home.marts / model.name

    def run(self) -> Iterator[StoredMonth]:
        """Every month that holds a file of what the mart reads."""
        self.folder.mkdir(exist_ok=True)
        before = ""
        with duckdb.connect() as connection:
            is_open = False
            for text in sorted({f.file.key.period.month for f in self.owned}):
                month = Period(text)
                files = self._files(month)
                facts = self._facts(files, before if self.model.accumulates else "")
                path = month_path(self.folder, text, facts)
                reused = path.is_file()
                if not reused:
                    if not is_open:
                        self._open(connection)
                        is_open = True
                    self._compute(connection, month, files, path, before)
                before = _key_of(path, month)
                yield stored_month(self.model.name, text, path, reused=reused)

    def _files(self, month: Period) -> list[OwnedFile]:
        """Files that own any time within the mart's reach of the month."""
        start, end = month.start_us - self.lookback_us, month.end_us + self.horizon_us
        return [f for f in self.owned if any(a < end and start < b for a, b in f.spans)]

    def _facts(self, files: list[OwnedFile], before: str) -> object:
        """All that a month's rows depend on."""
        return {
            "store": STORE_VERSION,
            "duckdb": duckdb.__version__,
            "sql": [(str(model.relation), model.sql) for model in self.lineage],
            "reach": (self.lookback_us, self.horizon_us),
            "accumulates": self.model.accumulates,
            "seeds": [
                (str(seed.relation), hashlib.sha256(seed.path.read_bytes()).hexdigest())
                for seed in self.project.seeds
                if any(seed.relation in model.depends_on for model in self.lineage)
            ],
            "columns": [[(c.name, c.type) for c in columns] for columns in self.columns.values()],
            "files": [
                (
                    f.file.key.dataset,
                    f.file.series_id,
                    str(f.file.key.series),
                    f.file.object,
                    f.spans,
                )
                for f in files
            ],
            "before": before,
        }

    def _by_dataset(self, files: Sequence[OwnedFile]) -> Iterator[tuple[str, list[OwnedFile]]]:
        for dataset in self.datasets:
            yield dataset, [f for f in files if f.file.key.dataset == dataset]

    def _open(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Seeds, vendor views and the models below the mart, in a database in memory."""
        connection.execute(settings_sql(self.settings.session))
        connection.execute("attach ':memory:' as warehouse")
        connection.execute("use warehouse")
        create_schemas(connection, self.project)
        create_seeds(connection, self.project)
        self._show_inputs(connection, self.owned, "false")
        for model in self.lineage[:-1]:
            connection.execute(f"create view {model.relation.sql} as\n{model.sql}")

    def _compute(
        self,
        connection: duckdb.DuckDBPyConnection,
        month: Period,
        files: list[OwnedFile],
        path: Path,
        before: str,
    ) -> None:
        reach = (
            f'"time" >= {moment(month.start_us - self.lookback_us)}'
            f" and known_at <= {moment(month.end_us + self.horizon_us)}"
        )
        self._show_inputs(connection, files, reach)
        source = f"({self.model.sql})"
        if self.model.accumulates:
            source = self._accumulated(connection, month, path, before)
        within = f'"time" >= {moment(month.start_us)} and "time" < {moment(month.end_us)}'
        write_month(connection, f"select * from {source} where {within}", path)

    def _show_inputs(
        self, connection: duckdb.DuckDBPyConnection, files: list[OwnedFile], condition: str
    ) -> None:
        """Let the vendor views read these files."""
        for dataset, chosen in self._by_dataset(files):
            sql = self._input_sql(dataset, chosen)
            connection.execute(
                f"create or replace view vendor.{identifier(dataset)} as"
                f" select * from (\n{sql}\n) where {condition}"
            )

    def _input_sql(self, dataset: str, files: list[OwnedFile]) -> str:
        """What the files hold, and maybe more of their months."""
        columns = self.columns[dataset]
        months = sorted({f.file.key.period.month for f in files})
        gathered = [self.gathered[dataset, m] for m in months if (dataset, m) in self.gathered]
        if gathered:
            listed = ", ".join(literal(str(path)) for path in gathered)
            return gathered_sql(columns, f"[{listed}]")
        return view_sql(columns, files, self.home, bulk=True)

    def _accumulated(
        self, connection: duckdb.DuckDBPyConnection, month: Period, path: Path, before: str
    ) -> str:
        """A query: the mart with its running columns continued from the month before.

        Each running column began at the first row of the reach: what it had reached there before
        the month is taken off, and what all earlier months had reached (the carry) is added.
        """
        names = [identifier(name) for name in self.model.accumulates]
        earlier = f"select series_id, {', '.join(names)} from computed where false"
        if before:
            earlier = f"from read_parquet({literal(str(self._carry_path(before)))})"
        start, known = moment(month.start_us), 'arg_max({0}, "time") filter (where {0} is not null'
        reached = ", ".join(
            f'{known.format(name)} and "time" {side} {start}) as {end}_{place}'
            for place, name in enumerate(names)
            for side, end in (("<", "base"), (">=", "last"))
        )
        carried = ", ".join(f"{name} as carry_{place}" for place, name in enumerate(names))
        connection.execute(f"create or replace temp table computed as {self.model.sql}")
        connection.execute(
            "create or replace temp table reached as select *"
            f" from (select series_id, {reached} from computed group by series_id)"
            f" full join (select series_id, {carried} from ({earlier})) using (series_id)"
        )
        shift = "- coalesce(base_{0}, 0) + coalesce(carry_{0}, 0)"
        carry = ", ".join(
            f"coalesce(last_{place} {shift.format(place)}, carry_{place}) as {name}"
            for place, name in enumerate(names)
        )
        carry_path = self._carry_path(_key_of(path, month))
        building = carry_path.with_suffix(".building")
        connection.execute(
            f"copy (select series_id, {carry} from reached order by series_id)"
            f" to {literal(str(building))} (format parquet)"
        )
        building.replace(carry_path)
        continued = ", ".join(
            f"{name} {shift.format(place)} as {name}" for place, name in enumerate(names)
        )
        return (
            f"(select computed.* replace ({continued}) from computed"
            " join reached using (series_id))"
        )

    def _carry_path(self, key: str) -> Path:
        """Where the running columns stood at the end of the month with this key."""
        return self.folder / f"{key}.carry"


def _key_of(path: Path, month: Period) -> str:
    """What stands for a month's facts in the name of its file."""
    return path.stem.removeprefix(f"{month.text}-")


def _reach(project: Project, model: Model) -> tuple[int, int] | None:
    """Look-back and horizon in microseconds through all that a model reads; None if unbounded."""
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


# -- showing -------------------------------------------------------------------------------------


def _show(settings: Settings, home: Home, project: Project, stored: list[StoredMonth]) -> None:
    """Let the views of the build file read the stored months; their comments stay."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(home.build_catalog))} as warehouse")
        connection.execute("use warehouse")
        for name in dict.fromkeys(month.model for month in stored):
            paths = [m.path.relative_to(home.root) for m in stored if m.model == name]
            listed = files_below(home.root, map(str, paths))
            relation = project.model(name).relation
            source = f"read_parquet({listed}, hive_partitioning = false)"
            show_instead(connection, relation.schema, relation.name, source)
        write_stored(connection, home, stored)
        connection.execute("use memory")
        connection.execute("detach warehouse")
