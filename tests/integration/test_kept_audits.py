"""Audits of builds: verdicts are kept by SQL, and one model in turn is audited again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from warehouse.audit import audit_sample
from warehouse.build import META
from warehouse.build.build_file import BuildFile
from warehouse.build.checks.lookahead_gate import AuditCounts, audit_build
from warehouse.config import Settings
from warehouse.home import Home
from warehouse.project.project import Model, Project
from warehouse.sql import Relation

PRICES = Relation("vendor", "prices")
KEY = 'series_id, "time", known_at'
NEXT = 'lead(price) over (partition by series_id order by "time")'
MEAN = (
    f'select {KEY}, avg(price) over (partition by series_id order by "time" rows 5 preceding) as m'
)

Build = Callable[..., AuditCounts]


def model(name: str, select: str, *reads: str) -> Model:
    return Model(
        relation=Relation("main", name), sql=f"{select} from {Relation('main', reads[0]).sql}"
        if reads else f"{select} from {PRICES.sql}",
        depends_on=tuple(Relation("main", read) for read in reads),
        sources=() if reads else (PRICES,), labels=frozenset(),
        path=Path(f"models/{name}.sql"), is_labels=False, is_whole_sample=False, is_stored=True,
        lookback_us=None, horizon_us=None, accumulates=(),
    )  # fmt: skip


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Home:
    """A separate home with the build file of ``prepared``."""
    home = Home(tmp_path)
    home.build.mkdir()
    shutil.copyfile(prepared.build_catalog, home.build_catalog)
    return home


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a build file: two weeks of 5m bars of one series."""
    home = Home(tmp_path_factory.mktemp("prepared"))
    home.build.mkdir()
    with duckdb.connect(home.build_catalog) as connection:
        connection.execute("create schema vendor; create schema meta")
        for name, (_, columns) in META.items():
            types = ", ".join(f'"{column}" {kind}' for column, kind, _ in columns)
            connection.execute(f"create table meta.{name} ({types})")
        connection.execute("insert into meta.build (generation) values (0)")
        connection.execute(
            """
            create table vendor.prices as
            select
                1 as series_id, 'here' as exchange, 'spot-A-USD' as symbol, '5m' as "interval",
                'true' as clock, timestamp '2025-01-01' + to_minutes(5 * bar) as "time",
                "time" + to_minutes(5) as known_at, 100 + (hash(bar) % 1000) / 100.0 as price,
                null::double as volume
            from range(4032) as bars (bar)
            """
        )
        connection.execute(
            """
            insert into meta.coverage by name
            select 'prices' as dataset, series_id, exchange, symbol, "interval", clock,
                '2025-01' as month, count(*) as rows, min("time") as first_time,
                max("time") as last_time
            from vendor.prices group by all
            """
        )
    return home


@pytest.fixture
def build(home: Home) -> Build:
    """Audit these models as the next generation, and publish it as if that was hours ago."""

    def run(*models: Model, changes: str = "select 1", hours: int = 25) -> AuditCounts:
        with duckdb.connect(home.build_catalog) as connection:
            connection.execute("update meta.build set generation = generation + 1")
            connection.execute("delete from meta.audited")
            connection.execute(changes)
        with BuildFile(Settings(home.root)) as file:
            counts = audit_build(file, Project(models, ()))
        shutil.copyfile(home.build_catalog, home.catalog)
        with duckdb.connect(home.catalog) as connection:
            connection.execute(
                f"update meta.audited set audited_at = audited_at - interval '{hours} hours'"
            )
        return counts

    return run


def stored_month(name: str, path: str, rows: int) -> str:
    values = f"'{name}' as model, '{path}' as path, {rows} as rows"
    return f"insert into meta.stored by name select {values}"


def found(home: Home, column: str = "status") -> dict[str, str]:
    with duckdb.connect(home.catalog, read_only=True) as connection:
        return dict(connection.execute(f"select name, {column} from meta.results").fetchall())


def test_build_when_sql_is_the_same_then_audits_one_model_in_turn(home: Home, build: Build) -> None:
    models = model("one", MEAN), model("two", f"select {KEY}, m", "one"), model("three", MEAN)
    assert build(*models) == AuditCounts(3, 0)
    for _ in range(3):
        assert build(*models) == AuditCounts(1, 2)
    with duckdb.connect(home.catalog, read_only=True) as connection:
        audited = connection.execute("select name, generation, rows from meta.audited").fetchall()
    assert [row[:2] for row in audited] == [("one", 2), ("two", 3), ("three", 4)]
    message = found(home, "message")
    for name, _, rows in audited:  # of two audits each
        assert rows > 2_000
        assert message[name] == f"clean, {rows:,} rows compared"


def test_build_when_all_models_were_audited_within_a_day_then_audits_none_in_turn(
    build: Build,
) -> None:
    models = model("one", MEAN), model("two", MEAN)
    build(*models, hours=23)
    assert build(*models, hours=2) == AuditCounts(0, 2)
    assert build(*models, hours=0) == AuditCounts(1, 1)
    assert build(*models, hours=0) == AuditCounts(1, 1)
    assert build(*models) == AuditCounts(0, 2)


def test_build_when_a_model_is_edited_to_look_ahead_then_finds_it_and_what_reads_it(
    home: Home, build: Build
) -> None:
    clean = model("one", MEAN), model("two", f"select {KEY}, m", "one"), model("three", MEAN)
    build(*clean)
    edited = model("one", f"select {KEY}, {NEXT} as m"), *clean[1:]
    assert build(*edited) == AuditCounts(3, 0)  # the third in its turn
    assert found(home) == {"one": "fail", "two": "fail", "three": "pass"}
    assert "looks ahead" in found(home, "message")["two"]
    assert build(*edited) == AuditCounts(3, 0)  # what has failed is audited in every build
    assert found(home)["two"] == "fail"
    assert build(*clean).audited == 3
    assert set(found(home).values()) == {"pass"}
    hooked = replace(clean[0], beside="has a hook")  # its SQL is the same
    assert build(hooked, *clean[1:]) == AuditCounts(3, 0)
    assert found(home) == {"one": "fail", "two": "fail", "three": "pass"}


def test_build_when_a_leak_shows_under_another_seed_only_then_finds_it_by_the_turn(
    home: Home, build: Build
) -> None:
    plain = Project((model("late", MEAN), model("mean", MEAN)), ())

    def cuts(seed: int, *names: str) -> set[datetime]:
        return set(audit_sample(home.build_catalog, plain, seed=seed, models=names).cuts)

    bar = timedelta(minutes=5)
    moment = min(cuts(2, "late") - {cut + n * bar for cut in cuts(0) for n in (-1, 0, 1)})
    sql = f"select {KEY}, case when known_at = timestamp '{moment}' then {NEXT} else 0 end as x"
    models = model("late", sql), model("mean", MEAN)
    build(*models)
    assert found(home) == {"late": "pass", "mean": "pass"}
    assert build(*models) == AuditCounts(1, 1)
    assert found(home) == {"late": "fail", "mean": "pass"}


def test_build_when_a_column_has_its_first_values_then_audits_the_model(
    home: Home, build: Build
) -> None:
    sql = MEAN.replace("price", "volume").replace(" as m", " as v")
    models = model("mean", MEAN), model("other", MEAN), model("volume", sql)
    months = [home.root / f"{number}.parquet" for number in range(3)]
    for path, value in zip(months, ("null", "null", "1"), strict=True):
        duckdb.sql(f"select {value}::double as v").write_parquet(str(path))

    def stored(number: int) -> str:
        return stored_month("volume", months[number].name, 1)

    build(*models, changes=stored(0))
    assert build(*models, changes=stored(1)) == AuditCounts(1, 2)  # a month without values
    filled = "update vendor.prices set volume = price;" + stored(2)
    assert build(*models, changes=filled) == AuditCounts(2, 1)
    with duckdb.connect(home.catalog, read_only=True) as connection:
        kept = "select untested, empty from meta.audited where name = 'volume'"
        assert connection.execute(kept).fetchall() == [([], [])]


def test_build_when_a_mart_has_no_rows_then_audits_it_with_the_first_month_that_has_some(
    home: Home, build: Build
) -> None:
    none = model("none", f"select {KEY}, price")
    none = replace(none, sql=f"{none.sql} where false")
    models = model("mean", MEAN), none

    duckdb.sql(
        "select 1.0 as price, null as known_at, now() as time, 1 as series_id"
    ).write_parquet(str(home.root / "2"))
    build(*models, changes=stored_month("none", "0", 0))
    assert build(*models, changes=stored_month("none", "1", 0)) == AuditCounts(1, 1)
    assert build(*models, changes=stored_month("none", "2", 5)) == AuditCounts(2, 0)
