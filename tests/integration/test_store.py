"""Stored marts: after any sequence of syncs they equal those of a full rebuild.

Those of a full rebuild equal the rows of the models, month after month.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.commands import own_models_audited
from tests.market import Market, write_market
from tests.oracle.project import shipped_project
from tests.support import bar_table, catalog_differences, file_key, grid, write_file
from warehouse.build.build_file import BuildFile
from warehouse.build.catalog import prepare_catalog
from warehouse.build.checks import lookahead_gate
from warehouse.build.marts.store import store_marts
from warehouse.build.meta.tables import META
from warehouse.build.months import compute_months
from warehouse.build.months.stored import StoredMonth, month_damage
from warehouse.build.pipeline import build
from warehouse.build.vendor_views import view_columns, view_sql
from warehouse.config import Settings
from warehouse.errors import BuildError, ExitCode, LockedError
from warehouse.files import leftovers
from warehouse.generations import generations, rollback
from warehouse.home import Home, writing
from warehouse.lake import Manifest, assign_ownership
from warehouse.project.project import Project, create_seeds, create_views
from warehouse.sql import literal
from warehouse.sync.from_folder import sync_folder
from warehouse.upkeep import prune_home

DATASETS = ("ohlcv", "flow", "l1_price", "funding")
MARTS = ("flow_features", "l1_features", "forward_returns", "funding_settlements")


@pytest.fixture(scope="module")
def project() -> Project:
    """The models of ``MARTS`` and what they read."""
    whole = shipped_project()
    return replace(whole, models=whole.with_ancestors(whole.model(name) for name in MARTS))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four months of one symbol at 1h and 4h, with missing bars and a gap."""
    folder = tmp_path_factory.mktemp("market")
    write_market(
        folder,
        Market(
            symbols=("perpetual-BTC-USDT:USDT",),
            datasets=DATASETS,
            intervals=("1h", "4h"),
            start=date(2025, 9, 1),
            end=date(2026, 1, 1),
            missing_bars=0.002,
            gaps=1,
        ),
    )
    return folder


@pytest.fixture(scope="module")
def stored_home(
    project: Project, market: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[StoredMonth]]:
    """A home with all of the market stored, to be copied; and what was stored."""
    home = tmp_path_factory.mktemp("stored") / "home"
    sync(home, market)
    return home, store(home, project)


def copy_of(home: Path, target: Path) -> Path:
    """A home to write into."""
    shutil.copytree(home, target)
    return target


def sync(home: Path, folder: Path) -> None:
    report = sync_folder(Home(home), folder)
    assert not report.refused


def store(home: Path, project: Project, workers: int | None = None) -> list[StoredMonth]:
    """The build without dbt's tests: prepare, the models as views, store."""
    settings = Settings(home, workers=workers)
    build_file = prepare_catalog(settings, generation=1)
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(build_file))} as warehouse")
        for schema in ("staging", "intermediate"):
            connection.execute(f"create schema warehouse.{schema}")
        create_seeds(connection, project)
        create_views(connection, project)
    with BuildFile(settings) as file:
        return store_marts(file, project)[0]


def contents(stored: list[StoredMonth]) -> dict[tuple[str, str], bytes]:
    return {(month.model, month.month): month.path.read_bytes() for month in stored}


def rows(home: Path, mart: str) -> pd.DataFrame:
    with duckdb.connect() as connection:
        catalog = Home(home).build_catalog
        connection.execute(f"attach {literal(str(catalog))} as warehouse (read_only)")
        return connection.sql(f"from warehouse.main.{mart} order by series_id, time").df()


def assert_as_the_models_say(home: Path, project: Project, marts: Sequence[str] = MARTS) -> None:
    """The months hold the rows of one run of the models over all data."""
    by_month = {mart: rows(home, mart) for mart in marts}
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(Home(home).build_catalog))} as warehouse")
        create_views(connection, project)
        for mart in marts:
            whole = connection.sql(f"from warehouse.main.{mart} order by series_id, time").df()
            assert len(whole) > 700 or mart == "funding_settlements"
            pd.testing.assert_frame_equal(by_month[mart], whole, rtol=1e-9, atol=1e-9)


def restate(path: Path, chooser: random.Random, name: str = "") -> None:
    """The vendor changes some values of a file, in any column or in this one."""
    table = pq.read_table(path)
    if not name:
        name = chooser.choice([f.name for f in table.schema if pa.types.is_floating(f.type)])
    values = table[name].to_numpy().copy()
    place = chooser.randrange(len(values))
    values[place : place + 5] *= np.asarray(1.25, values.dtype)
    index = table.schema.get_field_index(name)
    changed = table.set_column(index, table.schema.field(index), pa.array(values))
    pq.write_table(changed, path)


def test_months_put_together_equal_the_models_themselves(
    project: Project, stored_home: tuple[Path, list[StoredMonth]], tmp_path: Path
) -> None:
    home, stored = stored_home
    assert_as_the_models_say(copy_of(home, tmp_path / "home"), project)
    assert {month.model for month in stored} >= set(MARTS)
    assert not any(month.reused for month in stored)


def test_running_columns_when_series_pause_and_begin_late_then_go_on(
    project: Project, tmp_path: Path
) -> None:
    """One symbol lacks two months in the middle, the other the first: each month's sums count."""
    market = tmp_path / "market"
    symbols = ("perpetual-BTC-USDT:USDT", "perpetual-ETH-USDT:USDT")
    span = {"start": date(2025, 9, 1), "end": date(2026, 1, 1)}
    write_market(market, Market(symbols=symbols, datasets=DATASETS, intervals=("1h",), **span))
    paused = list(market.glob("*/**/*BTC*/**/2025-1[01].parquet"))
    late = list(market.glob("*/**/*ETH*/**/2025-09.parquet"))
    assert (len(paused), len(late)) == (2 * len(DATASETS), len(DATASETS))
    for path in paused + late:
        path.unlink()
    sync(tmp_path / "home", market)
    store(tmp_path / "home", project)
    assert_as_the_models_say(tmp_path / "home", project)


def test_running_column_when_its_mart_reads_windows_then_is_what_the_model_computes(
    project: Project, market: Path, tmp_path: Path
) -> None:
    """What it adds up looks back a day through the mart it reads, though it does not itself."""
    read = project.model("l1_features")
    relation = replace(read.relation, name="runs")
    columns = 'series_id, exchange, symbol, "interval", clock, "time", known_at'
    runs = replace(
        read,
        relation=relation,
        sql=f"""select {columns}, sum(rolling_spread_bps_1d) over (
            partition by series_id order by "time" rows unbounded preceding
        ) as so_far from {read.relation.sql}""",
        depends_on=(read.relation,),
        sources=(),
        lookback_us=0,
        accumulates=("so_far",),
    )
    both = replace(project, models=(*project.with_ancestors([read]), runs))
    sync(tmp_path, market)
    assert {month.model for month in store(tmp_path, both)} == {"l1_features", "runs"}
    assert_as_the_models_say(tmp_path, both, ["runs"])


def test_months_that_a_power_failure_left_empty_or_torn_are_computed_again(
    project: Project, stored_home: tuple[Path, list[StoredMonth]], tmp_path: Path
) -> None:
    home = copy_of(stored_home[0], tmp_path / "home")
    first = contents(stored_home[1])
    months = sorted(Home(home).marts.rglob("*.parquet"))
    for path, size in ((months[0], 0), (months[-1], months[-1].stat().st_size // 2)):
        os.truncate(path, size)
    assert contents(store(home, project)) == first
    assert not [path for path in months if month_damage(path) is not None]


def test_a_second_build_when_nothing_changed_computes_nothing(
    project: Project,
    stored_home: tuple[Path, list[StoredMonth]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, first = copy_of(stored_home[0], tmp_path / "home"), stored_home[1]
    second = store(home, project)
    assert [month.path.name for month in first] == [month.path.name for month in second]
    assert all(month.reused for month in second)
    monkeypatch.setattr(Manifest, "files_of_month", lambda *_: pytest.fail("a file was read"))
    with BuildFile(Settings(home)) as file:
        third, _ = store_marts(file, project)
    assert [month.path for month in second] == [month.path for month in third]


def test_workers_when_one_is_killed_then_its_job_is_retried_and_all_bytes_are_the_same(
    project: Project,
    stored_home: tuple[Path, list[StoredMonth]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, stored = stored_home
    copied = copy_of(home, tmp_path / "home")
    shutil.rmtree(copied / "marts")
    killed = kill_workers(monkeypatch, "l1_features 2025-10", times=1)
    again = store(copied, project, workers=2)
    assert killed == ["l1_features 2025-10"]
    assert [month.path.name for month in again] == [month.path.name for month in stored]
    assert contents(again) == contents(stored)
    assert not any(month.reused for month in again)


def test_workers_when_two_are_killed_at_one_month_then_it_is_named_and_nothing_is_left(
    project: Project,
    stored_home: tuple[Path, list[StoredMonth]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, stored = stored_home
    copied = copy_of(home, tmp_path / "home")
    shutil.rmtree(copied / "marts" / "l1_features")
    kill_workers(monkeypatch, "l1_features 2025-10", times=2)
    with pytest.raises(BuildError, match=r"l1_features 2025-10: .* by signal 9, and so did"):
        store(copied, project, workers=2)
    assert leftovers(copied) == []
    assert contents(store(copied, project, workers=1)) == contents(stored)


def test_workers_when_interrupted_then_none_is_left_and_the_next_build_is_whole(
    project: Project, stored_home: tuple[Path, list[StoredMonth]], tmp_path: Path
) -> None:
    home, stored = stored_home
    copied = copy_of(home, tmp_path / "home")
    shutil.rmtree(copied / "marts" / "l1_features")
    shutil.rmtree(copied / "marts" / "flow_features")
    assert not any((copied / "marts").glob("[fl]*_features/*.parquet"))
    command = [sys.executable, "-m", "warehouse", "--home", str(copied), "build", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as building:
        assert building.stderr is not None
        while not any((copied / "marts").glob("[fl]*_features/*.parquet")):
            assert building.poll() is None
            time.sleep(0.01)
        building.send_signal(signal.SIGINT)
        building.stderr.read()
    assert building.returncode == ExitCode.INTERRUPTED
    give_up = time.monotonic() + 60
    while True:
        try:
            with writing(Home(copied), "build"):
                break
        except LockedError:  # a worker holds the lock as long as it lives
            assert time.monotonic() < give_up
            time.sleep(0.05)
    assert contents(store(copied, project, workers=1)) == contents(stored)


def kill_workers(monkeypatch: pytest.MonkeyPatch, name: str, *, times: int) -> list[str]:
    """Kill the worker that gets this job, so many times; returns the names of killed jobs."""
    killed: list[str] = []
    ask = compute_months._asked

    def kill_and_ask(child: subprocess.Popen[bytes], job: compute_months.Job) -> Path | Exception:
        if job.name == name and len(killed) < times:
            killed.append(job.name)
            threading.Timer(0.05, child.kill).start()
            child.send_signal(signal.SIGSTOP)
        return ask(child, job)

    monkeypatch.setattr(compute_months, "_asked", kill_and_ask)
    return killed


def test_a_restated_month_when_built_recomputes_only_what_it_reaches(
    project: Project,
    market: Path,
    stored_home: tuple[Path, list[StoredMonth]],
    tmp_path: Path,
) -> None:
    copy = tmp_path / "market"
    shutil.copytree(market, copy)
    copy_of(stored_home[0], tmp_path / "home")
    restate(next(copy.glob("l1_price/**/interval=1h/**/2025-10.parquet")), random.Random(1))
    sync(tmp_path / "home", copy)
    computed = {(m.model, m.month) for m in store(tmp_path / "home", project) if not m.reused}
    assert ("l1_features", "2025-10") in computed
    assert ("l1_features", "2025-11") in computed, "the window of a month's first bars looks back"
    assert ("forward_returns", "2025-09") in computed, "labels of a month's last bars look ahead"
    assert ("l1_features", "2025-09") not in computed
    assert ("l1_features", "2025-12") not in computed
    assert not any(model == "flow_features" for model, _ in computed)
    flow = next(copy.glob("flow/**/interval=1h/**/2025-10.parquet"))
    restate(flow, random.Random(1), "volume_delta")
    sync(tmp_path / "home", copy)
    computed = {(m.model, m.month) for m in store(tmp_path / "home", project) if not m.reused}
    assert computed == {("flow_features", "2025-10"), ("flow_features", "2025-11")}
    assert_as_the_models_say(tmp_path / "home", project, ["flow_features"])


def test_a_seed_when_edited_then_recomputes_the_marts_that_read_it(
    project: Project, stored_home: tuple[Path, list[StoredMonth]], tmp_path: Path
) -> None:
    home = copy_of(stored_home[0], tmp_path / "home")
    (seed,) = (seed for seed in project.seeds if seed.relation.name == "funding_schedules")
    hourly = tmp_path / "funding_schedules.csv"
    hourly.write_text(seed.path.read_text().replace(",8\n", ",1\n"))
    seeds = tuple(replace(s, path=hourly) if s is seed else s for s in project.seeds)
    edited = replace(project, seeds=seeds)
    again = store(home, edited)
    computed = {month.model for month in again if not month.reused}
    assert "funding_settlements" in computed
    assert computed.isdisjoint({"bars", "flow_features", "l1_features"})
    assert_as_the_models_say(home, edited, sorted(computed & set(MARTS)))
    sync_in_same_order(home, tmp_path / "fresh")
    assert contents(again) == contents(store(tmp_path / "fresh", edited))


def test_market_state_when_a_book_is_restated_then_equals_a_full_rebuild(tmp_path: Path) -> None:
    """Its months leave out bars that their own windows do not need, and read another series."""
    whole = shipped_project()
    project = replace(whole, models=whole.with_ancestors([whole.model("market_state")]))
    market, home = tmp_path / "market", tmp_path / "home"
    symbols = ("perpetual-BTC-USDT:USDT",)
    span = {"start": date(2025, 9, 1), "end": date(2026, 1, 1), "missing_bars": 0.002}
    traded = ("flow", "l1_price", "impact", "funding")
    for datasets, clock in ((traded, "true"), (("l2_liquidity",), "exchange")):
        shape = Market(symbols, datasets=datasets, intervals=("1h",), clocks=(clock,), **span)
        write_market(market, shape)
    sync(home, market)
    store(home, project)
    restate(next(market.glob("l2_liquidity/**/interval=1h/**/2025-10.parquet")), random.Random(1))
    sync(home, market)
    stored = [month for month in store(home, project) if month.model == "market_state"]
    assert [month.month for month in stored if month.reused] == ["2025-09"]
    state = rows(home, "market_state")
    assert state["top_share_25"].notna().mean() > 0.9
    assert_as_the_models_say(home, project, ["market_state"])
    sync_in_same_order(home, tmp_path / "fresh")
    full = contents(store(tmp_path / "fresh", project))
    assert contents(stored).items() <= full.items()


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 8))]
)
def test_any_sequence_of_changes_when_built_equals_a_full_rebuild(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Months arrive in any order and are restated, models are edited; rollbacks and prunes occur.

    The bytes of the months and all of the catalog are those of a rebuild without any of it.
    """
    monkeypatch.setattr(lookahead_gate, "_audit", own_models_audited(lookahead_gate._audit))
    chooser = random.Random(seed)
    arriving = [path for path in sorted(market.rglob("*.parquet")) if "2025-12" not in path.name]
    chooser.shuffle(arriving)
    home, seen = Home(tmp_path / "home"), tmp_path / "market"
    home.models.mkdir(parents=True)
    for name in OWN_MODELS:
        edit(home, chooser, name)
    steps: list[str] = []
    while arriving:
        for _ in range(chooser.randint(13, 20)):
            if arriving:
                source = arriving.pop()
                target = seen / source.relative_to(market)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        if not arriving:  # the first ticks, whose macros a copied catalog lacks
            ticks = file_key("raw_funding_rate", "2025-09-01")
            write_file(seen, ticks, bar_table(ticks.dataset, grid(ticks.period.start, 3)))
        if chooser.random() < 0.7:
            restate(chooser.choice(sorted(seen.rglob("*.parquet"))), chooser)
        sync(home.root, seen)
        if chooser.random() < 0.5:
            edit(home, chooser, chooser.choice(list(OWN_MODELS)))
        steps += build_steps(home)
        match chooser.choice(("edit", "edit", "rollback", "prune")):
            case "rollback" if len(generations(home)) > 1:
                with writing(home, "rollback"):
                    rollback(home, chooser.choice(generations(home)[:-1]))
            case "prune":
                prune_home(home, keep=1)
        edit(home, chooser, chooser.choice(list(OWN_MODELS)))
        steps += build_steps(home)
    assert 0 < steps.count("models") < steps.count("publish"), "some changed a copy"
    fresh = Home(tmp_path / "fresh")
    sync_in_same_order(home.root, fresh.root)
    assert "models" in build_steps(fresh, force=True)
    assert catalog_differences(home.root, fresh.root, EVERYTHING) == ([], [])
    months = {path.relative_to(fresh.marts): path for path in fresh.marts.rglob("*.parquet")}
    assert len(months) > 40
    for name, path in months.items():
        assert (home.marts / name).read_bytes() == path.read_bytes()


OWN_MODELS = {
    "base": (
        "-- A: spread.\nselect series_id, time, known_at, spread_bps * {} as a"
        " from {{{{ ref('l1_features') }}}}",
        "-- a: Half of it.\n{{{{ config(materialized='table') }}}}"
        "select series_id, time, known_at, spread_bps / {} as a, spread_bps as b"
        " from {{{{ ref('l1_features') }}}}",
        "select series_id, time, known_at, lead(a) over (order by time, series_id) as a, {} as b"
        " from {{{{ ref('other') }}}}",
    ),
    "other": (
        "select series_id, time, known_at, net_delta + {} as a from {{{{ ref('flow_features') }}}}",
        "select *, {} as a from {{{{ source('vendor', 'flow') }}}}",
    ),
    "growing": (
        "{{{{ config(materialized='incremental', unique_key=['series_id', 'time']) }}}}"
        "select series_id, time, known_at, net_delta * {} as a from {{{{ ref('flow_features') }}}}"
        " {{% if is_incremental() %}} where time > (select max(time) from {{{{ this }}}})"
        " {{% endif %}}",
    ),
}
"""Versions of models of the user's: view, table and incremental, one reads another and leaks."""

EVERYTHING = {
    **{
        f"meta.{name}": f"from warehouse.meta.{name}"
        for name in META
        if name not in ("audited", "build", "months", "results", "stored")
    },
    "meta.months": "select * exclude (shown, described) from warehouse.meta.months",
    "meta.build": "select * exclude (generation, built_at, home, inputs) from warehouse.meta.build",
    "meta.audited": "select schema, name, key, verdict from warehouse.meta.audited",
    "base": "from warehouse.user.base",
    "growing": "select bit_xor(hash(m)), count(*) from warehouse.user.growing as m",
    "rows": "select bit_xor(hash(m)), count(*) from warehouse.flow_features as m",
    # DuckDB 1.5 adds the parts of a mean in the order in which its threads end.
    "seasonality": "select * replace (round(mean, 9) as mean) from warehouse.seasonality",
    "running": "select bit_xor(hash(m)), count(*) from warehouse.vendor.l1_price as m",
}
"""Beside ``CATALOG``: what differs only by the number of the generation, its time and its place."""


def edit(home: Home, chooser: random.Random, name: str) -> None:
    """Another version of a model."""
    text = chooser.choice(OWN_MODELS[name])
    (home.models / f"{name}.sql").write_text(text.format(chooser.randrange(1, 9)))


def build_steps(home: Home, *, force: bool = False) -> list[str]:
    """The steps of a build."""
    told: list[str] = []
    build(Settings(home.root), force=force, progress=lambda event: told.append(event["step"]))
    return told


# -- gathered months -----------------------------------------------------------------------------


def test_vendor_view_shows_what_the_files_hold(market: Path, tmp_path: Path) -> None:
    """A file with NaN, one of another width, days over a month: values and types."""
    copy = tmp_path / "market"
    shutil.copytree(market, copy)
    odd = sorted(copy.glob("flow/**/interval=1h/**/2025-1*.parquet"))
    table = pq.read_table(odd[0])
    values = table["volume_delta"].to_numpy().copy()
    values[:3] = [np.nan, -np.inf, -0.0]
    place = table.schema.get_field_index("volume_delta")
    pq.write_table(table.set_column(place, "volume_delta", pa.array(values)), odd[0])
    extra = pa.array([f"{n}" for n in range(len(pq.read_table(odd[1])))])
    pq.write_table(
        pq.read_table(odd[1]).drop_columns(["flow_entropy"]).append_column("new", extra), odd[1]
    )
    month = pq.read_table(odd[2])
    pq.write_table(month.slice(24, 24), odd[2].with_name("2025-12-02.parquet"))
    sync(tmp_path / "home", copy)
    prepare_catalog(Settings(tmp_path / "home"), generation=1)
    with Manifest(Home(tmp_path / "home").manifest) as manifest:
        owned = assign_ownership(manifest.files())
    with duckdb.connect() as connection:
        catalog = Home(tmp_path / "home").build_catalog
        connection.execute(f"attach {literal(str(catalog))} as warehouse (read_only)")
        for dataset in DATASETS:
            files = [f for f in owned if f.file.key.dataset == dataset]
            columns = view_columns(dataset, {f.file.facts.columns for f in files})
            held = f"({view_sql(columns, files, Home(tmp_path / 'home'))})"
            assert content(connection, held) == content(connection, f"warehouse.vendor.{dataset}")


def content(connection: duckdb.DuckDBPyConnection, source: str) -> tuple[list[str], list[str]]:
    """Names and types of columns, and rows as text, so that NaN and -0.0 count."""
    relation = connection.sql(f"from {source}")
    text = connection.sql(f"select columns(*)::varchar from {source} order by series_id, time")
    rows = list(map(str, text.fetchall()))
    assert len(rows) > 2_000
    return [
        f"{name} {kind}" for name, kind in zip(relation.columns, relation.types, strict=False)
    ], rows


def test_gathered_month_when_a_file_is_restated_then_is_the_only_new_one(
    market: Path, tmp_path: Path
) -> None:
    copy, home = tmp_path / "market", tmp_path / "home"
    shutil.copytree(market, copy)
    sync(home, copy)
    told: list[StoredMonth] = []
    prepare_catalog(Settings(home), generation=1, progress=lambda month, _: told.append(month))
    assert told and not any(month.reused for month in told)
    restate(next(copy.glob("flow/**/interval=1h/**/2025-10.parquet")), random.Random(1))
    sync(home, copy)
    told.clear()
    prepare_catalog(Settings(home), generation=2, progress=lambda month, _: told.append(month))
    assert [(m.model, m.month) for m in told if not m.reused] == [("vendor.flow", "2025-10")]


def sync_in_same_order(home: Path, fresh: Path) -> None:
    """The same lake and the same numbers of series, without any stored month."""
    shutil.copytree(home, fresh)
    shutil.rmtree(Home(fresh).marts)
