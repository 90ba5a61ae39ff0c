"""A scratch database in which the models are built repeatedly, each time on other data.

It is in memory under the name ``warehouse``, which compiled SQL uses. A world is the content of
``vendor.<dataset>``: all data of a cut, the data known at the cut, or noise after it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.audit.sample import ORIGIN, TICKS, VENDOR, Cut, load_cut, relation_of
from warehouse.engine import Fault, attach, connect, reading_catalog, translating
from warehouse.errors import BUILD, BuildError
from warehouse.project import Model, Project, create_schemas, create_seeds
from warehouse.sql import DATABASE, HOME_VARIABLE, Relation, identifier, literal
from warehouse.vendor import KEY_COLUMNS

KEYS = tuple(column.name for column in KEY_COLUMNS)

_MACHINERY = ("cut", "noise", "whole", "known", "noised", "short")


@dataclass(frozen=True, slots=True)
class World:
    """The content of the vendor's datasets.

    Attributes
    ----------
    rows
        Source: ``cut`` (the data) or ``noise`` (the data, with noise after the cut).
    condition
        Condition on the rows of all datasets; empty for all.
    conditions
        Further conditions, each with its dataset.
    """

    rows: str
    condition: str = ""
    conditions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def until(cls, rows: str, known_at_us: int) -> World:
        """The data known at a moment."""
        return cls(rows, f"known_at <= make_timestamp({known_at_us})")

    def select(self, dataset: str) -> str:
        own = [condition for name, condition in self.conditions if name == dataset]
        conditions = [self.condition, *own] if self.condition else own
        where = f" where {' and '.join(conditions)}" if conditions else ""
        return f"from memory.{self.rows}.{identifier(dataset)}{where}"


class Scratch:
    """The models of a project, which can be built on any world of the loaded cut.

    Parameters
    ----------
    project
        The audited models and all that they read.
    stored
        Models whose rows each build keeps as a table; the others are views.

    Attributes
    ----------
    kept
        Values derived from each result, until it is built again.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, project: Project, stored: Sequence[Model]
    ) -> None:
        self.connection = connection
        self._project = project
        self._stored = frozenset(model.relation for model in stored)
        read = {source for model in project.models for source in model.sources}
        self._datasets = vendor_datasets(project.models)
        self.kept: dict[str, dict[object, object]] = defaultdict(dict)
        self._described: dict[Relation, list[tuple[str, str]]] = {}
        self._views: set[Relation] = set()
        self._others = sorted(source for source in read if source.schema not in (VENDOR, TICKS))

    def prepare(self) -> None:
        """Create schemas, seeds, table macros, and tables outside ``vendor`` that models read."""
        self.connection.execute(f"create table {_FACTORS} as {_factors_sql()}")
        create_schemas(self.connection, self._project)
        create_seeds(self.connection, self._project)
        for other in self._others:
            name = f"{ORIGIN}.{identifier(other.schema)}.{identifier(other.name)}"
            self.connection.execute(f"create table {other.sql} as from {name}")
        self._copy_macros()

    def enter_cut(self, cut: Cut, seed: int, *, needs_noise: bool) -> None:
        """Read the data around a cut into memory, and make a copy that has noise after it."""
        for dataset in self._datasets:
            name = identifier(dataset)
            load_cut(self.connection, dataset, cut)
            columns = self._columns(dataset)
            if cut.is_holed:
                self.connection.execute(
                    f"create or replace table memory.cut.{name} as"
                    f" {_holed_sql(dataset, columns, cut, seed)}"
                )
            if needs_noise:
                self.connection.execute(
                    f"create or replace table memory.noise.{name} as"
                    f" {_noised_sql(dataset, columns, cut, seed)}"
                )

    def build(self, world: World, result: str, models: Sequence[Model]) -> dict[Relation, str]:
        """Build models on a world, in order; returns the errors by model.

        Afterwards the rows of stored models are in ``memory.<result>``.
        """
        self.kept.pop(result, None)
        self._show(world, self._datasets)
        failures: dict[Relation, str] = {}
        for model in models:
            broken = next((r for r in model.depends_on if r in failures), None)
            if broken is not None:
                failures[model.relation] = f"reads {broken}, which stopped"
                continue
            try:
                with translating(but=Fault.MEMORY):  # such a model is unproven
                    self._create(model, result)
            except duckdb.Error as error:
                failures[model.relation] = str(error).splitlines()[0]
        return failures

    def restore_views(self, model: Model) -> None:
        """Make the inputs of a model views again, so that ``rows`` reads the vendor's data."""
        for ancestor in self.ancestors(model):
            self._create_view(ancestor)

    def rows(
        self, world: World, model: Model, columns: Sequence[str], condition: str
    ) -> list[tuple[object, ...]]:
        """Some rows of a model after :meth:`restore_views`, on any world, in no order."""
        self._show(world, self.datasets_of(model))
        selected = ", ".join(identifier(column) for column in columns) or "true"
        return self.connection.execute(
            f"select {selected} from (\n{model.sql}\n) where {condition}"
        ).fetchall()

    def ancestors(self, model: Model) -> tuple[Model, ...]:
        """The models that a model reads, directly or not, in order."""
        return tuple(m for m in self._project.with_ancestors([model]) if m is not model)

    def datasets_of(self, model: Model) -> list[str]:
        """The vendor datasets that a model reads, directly or not."""
        return vendor_datasets(self._project.with_ancestors([model]))

    def latest_us(self, model: Model, rows: str) -> int:
        """The longest time from end to ``known_at`` of the bars that a model reads, in µs."""
        return max(
            (
                self.connection.execute(
                    "select coalesce(max(epoch_us(known_at) - epoch_us(bar_end(series_id,"
                    f' "time", known_at))), 0) from memory.{rows}.{identifier(dataset)}'
                ).fetchall()[0][0]
                for dataset in self.datasets_of(model)
            ),
            default=0,
        )

    def columns(self, result: str, model: Model) -> list[tuple[str, str]]:
        """Name (of keys in lower case) and type of a stored model's columns, as in every build."""
        if model.relation not in self._described:
            described = self.connection.execute(f"describe {stored(result, model)}").fetchall()
            self._described[model.relation] = [
                (name.lower() if name.lower() in KEYS else name, kind)
                for name, kind, *_ in described
            ]
        return self._described[model.relation]

    def _show(self, world: World, datasets: Iterable[str]) -> None:
        for dataset in datasets:
            self.connection.execute(
                f"create or replace view {relation_of(dataset).sql} as {world.select(dataset)}"
            )

    def _create(self, model: Model, result: str) -> None:
        if model.relation not in self._stored:
            if model.relation not in self._views:
                self._create_view(model)
            return
        table = stored(result, model)
        self.connection.execute(f"create or replace table {table} as\n{model.sql}")
        self.connection.execute(f"create or replace view {model.relation.sql} as from {table}")

    def _create_view(self, model: Model) -> None:
        """Create the views once, because a view reads the current content of its relations."""
        self._views.add(model.relation)
        self.connection.execute(f"create or replace view {model.relation.sql} as\n{model.sql}")

    def _columns(self, dataset: str) -> list[tuple[str, str]]:
        described = self.connection.execute(f"describe memory.cut.{identifier(dataset)}")
        return [(row[0], row[1]) for row in described.fetchall()]

    def _copy_macros(self) -> None:
        """Macros of the audited catalog that the models call, each after those that it calls."""
        macros = self.connection.execute(
            "select schema_name, function_name, parameters, function_type, macro_definition"
            f" from duckdb_functions() where database_name = {literal(ORIGIN)}"
            " and function_type in ('macro', 'table_macro') and not internal"
        ).fetchall()
        copied: set[int] = set()

        def copy_called(text: str) -> None:
            words = _words(text)
            for number, (schema, name, parameters, kind, definition) in enumerate(macros):
                # the text that query() runs may call any of them
                if number in copied or not (_words(name) <= words or "query" in words):
                    continue
                copied.add(number)
                copy_called(definition)
                table = "table " if kind == "table_macro" else ""
                place = f"{DATABASE}.{identifier(schema)}"
                self.connection.execute(f"create schema if not exists {place}")
                self.connection.execute(
                    f"create or replace macro {Relation(schema, name).sql}"
                    f"({', '.join(map(identifier, parameters))}) as {table}{definition}"
                )

        for model in self._project.models:
            copy_called(model.sql)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def vendor_datasets(models: Iterable[Model]) -> list[str]:
    """The vendor datasets that models read; kept bars are named like ``ticks.flow``."""
    read = {source for model in models for source in model.sources}
    names = {VENDOR: "{0.name}", TICKS: "{0.schema}.{0.name}"}
    return sorted(names[source.schema].format(source) for source in read if source.schema in names)


def stored(result: str, model: Model) -> str:
    """The table with a model's rows of one build."""
    return f"memory.{result}.{identifier(f'{model.relation.schema}.{model.name}')}"


@contextmanager
def open_catalog(
    catalog: Path, session: Mapping[str, str], home: Path | None, name: str = ORIGIN
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory connection with a catalog attached read-only.

    Its views read the files of ``home``; None for the home that it had when it was written.

    Raises
    ------
    DamagedError
        The catalog cannot be read.
    """
    with connect(session) as connection:
        with reading_catalog(catalog):
            attach(connection, catalog, name)
        if home is not None:
            connection.execute(f"set variable {HOME_VARIABLE} = {literal(str(home))}")
        yield connection


def scratch_beside(
    connection: duckdb.DuckDBPyConnection,
    catalog: Path,
    project: Project,
    stored: Sequence[Model],
) -> Scratch:
    """A scratch database on a connection of :func:`open_catalog`.

    Raises
    ------
    BuildError
        The catalog lacks something that the models read.
    """
    connection.execute(f"attach ':memory:' as {DATABASE}")
    for schema in _MACHINERY:
        connection.execute(f"create schema memory.{schema}")
    connection.execute(f"use {DATABASE}")
    scratch = Scratch(connection, project, stored)
    lacks = f"{catalog}: lacks a table or column that the models read"
    with translating(
        blaming=lambda e: BuildError(f"{lacks} ({str(e).splitlines()[0]})", next_step=BUILD)
    ):
        scratch.prepare()
    return scratch


# -- missing data and noise ----------------------------------------------------------------------

# Numbers drawn per row; neighbouring columns use different ones.
_DRAWS = 8

_FACTORS = "memory.main.noise_factors"
_BEFORE = '"bars before the cut"'
_SLOTS = 1_009
_MOST_HOLES = 4
_MOST_ROWS_LOST = 2
_REALS = ("DOUBLE", "FLOAT")
_WHOLES = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT")


def _holed_sql(dataset: str, columns: list[tuple[str, str]], cut: Cut, seed: int) -> str:
    """The data, with some of the last bars before the cut removed, and NULL in some columns."""
    # rounded down, because `//` rounds towards 0, which would count the bar around the cut
    bars_before = (
        f"floor(({cut.at_us} - epoch_us(known_at))"
        ' / greatest(epoch_us(known_at) - epoch_us("time"), 1))::bigint'
    )
    holes = "".join(
        f", {_BEFORE} between 0 and"
        f" {_draw(dataset, seed, cut, number, of_series=True)} % {2 * _MOST_HOLES}"
        f" - {_MOST_HOLES} as {_hole(number)}"
        for number in range(_DRAWS)
    )
    lost = (
        f"{_BEFORE} between 0 and"
        f" {_draw(dataset, seed, cut, _DRAWS, of_series=True)} % {2 * _MOST_ROWS_LOST}"
        f" - {_MOST_ROWS_LOST}"
    )
    chosen = ", ".join(
        name
        if column in KEYS
        else f"case when not {_hole(number % _DRAWS)} then {name} end as {name}"
        for number, (column, _) in enumerate(columns)
        for name in [identifier(column)]
    )
    return (
        f"with placed as (select *, {bars_before} as {_BEFORE}"
        f" from memory.cut.{identifier(dataset)}),"
        f" drawn as (select *{holes} from placed where not ({lost}))"
        f" select {chosen} from drawn"
    )


def _hole(number: int) -> str:
    return f'"hole {number} before the cut"'


def _noised_sql(dataset: str, columns: list[tuple[str, str]], cut: Cut, seed: int) -> str:
    """The data with rows after the cut removed, of another magnitude, NULL, NaN or infinite."""
    table, known = f"memory.cut.{identifier(dataset)}", f"known_at <= make_timestamp({cut.at_us})"
    chosen = ", ".join(
        _noised(column, kind, number % _DRAWS) for number, (column, kind) in enumerate(columns)
    )
    ended = ", ".join(map(str, cut.ended)) or "null"
    return (
        f"select * from {table} where {known} union all"
        f" select {chosen} from {table} as bar inner join {_FACTORS} as noise"
        f" on noise.slot = {_draw(dataset, seed, cut, 0)} % {_SLOTS} where not {known}"
        f" and series_id in ({ended}) is not true"
    )


def _noised(column: str, kind: str, number: int) -> str:
    name = identifier(column)
    if column not in KEYS and kind in _REALS:
        return f"(coalesce(bar.{name}, 1) * noise.real_{number})::{kind} as {name}"
    if column not in KEYS and kind in _WHOLES:
        return f"noise.whole_{number}::{kind} as {name}"
    return f"bar.{name}"


def _factors_sql() -> str:
    """The noise, by slot: factors for reals, values for whole numbers.

    Every seventh slot is missing, which removes the rows that draw it.
    """
    drawn = ", ".join(
        f"(hash(slot, {number}) >> 4)::bigint as draw_{number}" for number in range(_DRAWS)
    )
    made = ", ".join(
        f"case draw_{n} % 16 when 0 then null when 1 then 'nan' when 2 then 'infinity'"
        f" else (draw_{n} // 16 % 2001 - 1000) / 1.7 end::double as real_{n},"
        f" case draw_{n} % 16 when 0 then null else draw_{n} // 16 % 100 + 1 end as whole_{n}"
        for n in range(_DRAWS)
    )
    return (
        f"with drawn as (select range as slot, {drawn} from range({_SLOTS}) where range % 7 > 0)"
        f" select slot, {made} from drawn"
    )


def _draw(dataset: str, seed: int, cut: Cut, number: int, *, of_series: bool = False) -> str:
    """A pseudo-random number for each row or series, the same in every run."""
    what = literal(f"{dataset} {seed} {cut.number} {number}")
    row = "series_id" if of_series else 'series_id, "time", known_at'
    return f"(hash({row}, {what}) >> 4)::bigint"
