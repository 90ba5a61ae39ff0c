"""A build becomes a generation or leaves everything unchanged."""

from __future__ import annotations

import shlex
import shutil
import stat
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pytest

import warehouse
from tests.support import (
    attached,
    bar_table,
    copy_home,
    file_key,
    grid,
    without_comments,
    write_file,
)
from warehouse.build import failed_build, publish_by_hand
from warehouse.build.catalog import prepare_catalog
from warehouse.config import Settings, load_settings
from warehouse.errors import BuildError, DamagedError, NotFoundError
from warehouse.generations.publish import (
    current_generation,
    generations,
    next_generation,
    publish_build,
    read_catalog,
    require_catalog,
    rollback,
)
from warehouse.home import Home, generation_path
from warehouse.sync.from_folder import sync_folder

Result = tuple[str, str, str, str]
Build = Callable[..., None]
GOOD: list[Result] = [("flow_features", "model", "warehouse", "success")]
ODD_NAME = 'o\'neill "ä"'


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with one file in its lake and a build file that dbt has not seen."""
    folder = tmp_path_factory.mktemp("prepared")
    key = file_key("flow", "2025-09")
    write_file(folder / "files", key, bar_table("flow", grid(date(2025, 9, 1), 2)))
    home = Home(folder / ODD_NAME)
    sync_folder(home, folder / "files")
    with without_comments():
        prepare_catalog(Settings(home.root), generation=1)
    return home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Home:
    return Home(copy_home(prepared.root, tmp_path / ODD_NAME))


@pytest.fixture
def build(prepared: Home) -> Build:
    """Leaves a build file in a home as dbt would, with the outcome of each node."""

    def leave(home: Home, results: list[Result] = GOOD, *, generation: int | None = None) -> None:
        shutil.copyfile(prepared.build_catalog, home.build_catalog)
        number = generation or next_generation(home)
        with attached(home.build_catalog, "w") as connection:
            connection.execute("update w.meta.build set generation = ?", [number])
            for name, kind, package, status in results:
                connection.execute(
                    "insert into w.meta.results values (?, ?, ?, ?, 1, 'said so')",
                    [name, kind, package, status],
                )

    return leave


def shown(path: Path) -> int:
    with attached(path, "w", "(read_only)") as connection:
        rows = connection.execute("select generation from w.meta.build").fetchall()
    return int(rows[0][0])


def test_publish_when_all_passed_then_is_a_generation_that_nobody_may_write(
    home: Home, build: Build
) -> None:
    build(home)
    published = publish_build(home)
    assert (published.generation, published.warnings) == (1, ())
    assert published.catalog == generation_path(home, 1)
    assert home.catalog.samefile(published.catalog)
    assert not home.build_catalog.exists()
    assert generations(home) == [1]
    assert current_generation(home) == shown(home.catalog) == 1
    assert stat.S_IMODE(home.catalog.stat().st_mode) == 0o444
    assert list(home.root.rglob("*.wal")) == []
    assert list(home.root.glob(".warehouse*")) == []


def test_publish_when_a_stale_wal_lies_beside_then_removes_it(home: Home, build: Build) -> None:
    build(home)
    publish_build(home)
    wal = home.catalog.with_name("warehouse.duckdb.wal")
    wal.write_bytes(b"stale")
    build(home)
    publish_build(home)
    assert not wal.exists()
    assert shown(home.catalog) == 2


def test_publish_when_there_is_no_build_then_reports_it(home: Home) -> None:
    home.build_catalog.unlink()
    with pytest.raises(NotFoundError, match="nothing to publish"):
        publish_build(home)


def test_publish_when_a_test_fails_then_shows_rows_that_broke_it(home: Home, build: Build) -> None:
    build(home, [*GOOD, ("flow", "test", "warehouse", "fail")])
    shows = 'warehouse sql "from flow where (series_id < 1) is distinct from true"'
    with duckdb.connect(home.build_catalog) as connection:
        connection.execute("create view flow as from vendor.flow")
        connection.execute(
            "update meta.results set message = ? where status = 'fail'",
            [f"condition not met by 48 of its rows; to see them: {shows}"],
        )
    with pytest.raises(BuildError) as caught:
        publish_build(home)
    count, names, _, first, *_ = caught.value.what.splitlines()[1:]
    assert count == "    test flow: condition not met by 48 of its rows, here the first"
    assert names.split() == ["series_id", "symbol", "interval", "time"]
    assert first.split() == ["1", "perpetual-BTC-USDT:USDT", "1h", "2025-09-01", "00:00"]
    assert f"{home.build_catalog}, for any DuckDB: from flow where" in caught.value.what


def test_publish_when_dbt_did_not_run_then_refuses(home: Home, build: Build) -> None:
    build(home, [])
    with pytest.raises(BuildError, match="has no models"):
        publish_build(home)
    assert not home.catalog.exists()


def test_publish_when_anything_structural_failed_then_the_old_catalog_stays(
    home: Home, build: Build
) -> None:
    build(home)
    publish_build(home)
    before = home.catalog.stat().st_ino
    for kind, status in (
        ("model", "error"),
        ("model", "skipped"),
        ("seed", "error"),
        ("test", "fail"),
        ("test", "error"),
        ("test", "skipped"),
        ("test", "runtime error"),
    ):
        build(home, [*GOOD, ("unique_grain", kind, "warehouse", status)])
        with pytest.raises(BuildError, match="unique_grain: said so") as caught:
            publish_build(home)
        assert caught.value.exit_code == 4
        assert home.catalog.stat().st_ino == before, (kind, status)
    assert generations(home) == [1]
    assert shown(home.catalog) == 1


def test_publish_when_values_warned_or_a_users_model_failed_then_publishes_and_warns(
    home: Home, build: Build
) -> None:
    warned, failed = (
        ("holds", "test", "warehouse", "warn"),
        ("mine", "model", "user_models", "error"),
    )
    build(home, [*GOOD, warned, failed])
    assert sorted((w.name, w.failures, w.message) for w in publish_build(home).warnings) == [
        ("holds", 1, "said so"),
        ("mine", 1, "said so"),
    ]
    assert current_generation(home) == 1


def test_publish_when_generation_is_there_already_then_refuses(home: Home, build: Build) -> None:
    build(home)
    publish_build(home)
    build(home, generation=1)
    with pytest.raises(BuildError, match="already published"):
        publish_build(home)
    with pytest.raises(BuildError, match="already published; nothing was changed"):
        publish_by_hand(load_settings(home.root), home.root / "target")
    assert failed_build(home) is None
    assert shown(home.catalog) == 1


def test_publish_when_build_file_is_torn_then_reports_damage(home: Home) -> None:
    home.build_catalog.write_bytes(b"torn" * 2000)
    with pytest.raises(DamagedError, match="cannot be read as a catalog"):
        publish_build(home)


def test_rollback_when_generation_is_not_named_then_takes_the_one_before_and_keeps_numbers(
    home: Home, build: Build
) -> None:
    for _ in range(3):
        build(home)
        publish_build(home)
    assert rollback(home) == 2
    assert shown(home.catalog) == current_generation(home) == 2
    assert rollback(home) == 1
    assert rollback(home, 3) == 3
    assert shown(home.catalog) == 3
    assert rollback(home) == 2
    build(home)
    assert publish_build(home).generation == 4
    assert shown(generation_path(home, 3)) == 3


def test_rollback_when_there_is_none_before_then_lists_what_is_kept(
    home: Home, build: Build
) -> None:
    with pytest.raises(NotFoundError, match="no catalog yet") as caught:
        rollback(home)
    assert caught.value.next_step == "run: warehouse build"
    with pytest.raises(NotFoundError, match="no catalog yet") as caught:
        warehouse.open(home.root / "none")
    program = f"warehouse --home {shlex.quote(str(home.root / 'none'))}"
    assert str(caught.value.next_step).startswith(f"run: {program} demo, or: {program} sync")
    build(home)
    publish_build(home)
    home.catalog.rename(home.root / "away")
    with pytest.raises(NotFoundError, match="although generation 1 was published") as caught:
        warehouse.open(home.root)
    assert caught.value.next_step == "run: warehouse verify --repair, or warehouse build"
    (home.root / "away").rename(home.catalog)
    with pytest.raises(NotFoundError, match="generation 1 is the earliest") as caught:
        rollback(home)
    assert caught.value.next_step == "kept generations: 1"
    with pytest.raises(NotFoundError, match="no generation 7"):
        rollback(home, 7)


def test_a_catalog_when_read_then_within_the_settings_and_a_spill_folder_of_its_own(
    tmp_path: Path,
) -> None:
    """Two connections that spilled into one folder overwrote each other's blocks (DuckDB 1.5)."""
    home = Home.of(Settings(tmp_path, threads=1, memory_limit="200MiB"))
    home.build.mkdir()
    duckdb.connect(home.catalog).close()
    names = ("threads", "memory_limit", "TimeZone", "temp_directory")
    text = f"select {', '.join(f'current_setting({name!r})' for name in names)}"
    (((*first, one),),), (((*second, other),),) = (
        read_catalog(home, home.catalog, text) for _ in range(2)
    )
    assert first == second == [1, "200.0 MiB", "UTC"]
    assert one != other and Path(one).parent == home.build


def test_a_home_whose_pull_was_interrupted_is_sent_to_pull_again(tmp_path: Path) -> None:
    """It has a manifest and no catalog, as a home that was synced and never built."""
    home = Home.of(load_settings(tmp_path))
    home.manifest.touch()
    with pytest.raises(NotFoundError) as synced:
        require_catalog(home)
    assert synced.value.next_step == "run: warehouse build"
    (tmp_path / "warehouse.toml").write_text('store = "s3://team/home"')
    with pytest.raises(NotFoundError) as pulled:
        require_catalog(Home.of(load_settings(tmp_path)))
    assert str(pulled.value.next_step).startswith("run: warehouse pull,")
