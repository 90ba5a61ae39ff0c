"""Stored homes of earlier versions are upgraded when they are used.

``homes/v1`` is of the first version that had a home: two series of simulated data, numbered in the
order in which they came and not in that of their names.
"""

from __future__ import annotations

import multiprocessing
import shutil
from datetime import date
from pathlib import Path

import pytest

from tests.robustness.support import change_manifest, faults, quick_build, sqlite_rows
from tests.support import bar_table, file_key, grid, run_warehouse, write_file
from warehouse.errors import NewerHomeError
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.lake.manifest.schema import HOME_VERSION
from warehouse.sync.from_folder import sync_folder
from warehouse.upkeep.repair import repair_home
from warehouse.upkeep.verify import About

STORED = Path(__file__).parent / "homes"
SERIES = {1: "perpetual-ZZZ-USDT:USDT", 2: "perpetual-AAA-USDT:USDT"}


@pytest.fixture(params=sorted(path.name for path in STORED.iterdir()))
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    shutil.copytree(STORED / request.param, home.root)
    for path in home.objects.iterdir():
        path.chmod(0o444)
    return home


def version(home: Home) -> int:
    ((value,),) = sqlite_rows(home, "select value from home where name = 'version'")
    return int(value)


def numbers(home: Home) -> dict[int, str]:
    with Manifest(home.manifest) as manifest:
        return {number: series.symbol for number, series in manifest.series()}


def test_the_stored_home_is_older_than_the_product(old: Home) -> None:
    assert version(old) < HOME_VERSION


def test_an_old_home_when_used_is_upgraded_and_keeps_its_numbers(old: Home, tmp_path: Path) -> None:
    objects = {path.name for path in old.objects.iterdir()}
    key = file_key("flow", "2025-10", symbol=SERIES[2])
    write_file(tmp_path / "files", key, bar_table("flow", grid(date(2025, 10, 1), 5)))
    sync_folder(old, tmp_path / "files")
    assert version(old) == HOME_VERSION
    assert numbers(old) == SERIES
    assert objects < {path.name for path in old.objects.iterdir()}
    assert len(list(old.lake.rglob("*.parquet"))) == 3, "its links are made again"
    quick_build(old)
    assert not faults(old)
    done = run_warehouse(
        "sql", "select distinct series_id, symbol from vendor.flow order by all",
        "--format", "csv", "--home", old.root, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.splitlines()[1:] == [f'{n},"{s}"' for n, s in SERIES.items()]


@pytest.mark.parametrize("verb", ["status", "verify"])
def test_an_old_home_is_upgraded_by_looking_at_it(old: Home, tmp_path: Path, verb: str) -> None:
    done = run_warehouse(verb, "--home", old.root, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert version(old) == HOME_VERSION
    assert numbers(old) == SERIES


def test_an_old_home_that_many_open_at_once_is_upgraded_once(old: Home) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        found = pool.map(numbers, [old] * 8)
    assert found == [SERIES] * 8
    assert version(old) == HOME_VERSION


def test_an_old_home_on_a_disk_that_may_not_be_written_still_opens_or_gives_the_reason(
    old: Home, tmp_path: Path
) -> None:
    quick_build(old)
    change_manifest(old, "update home set value = '1'")
    change_manifest(old, "drop table settled")
    with Manifest(old.manifest) as manifest:
        assert len([*manifest.files()]) == 2


def test_an_old_home_whose_manifest_is_lost_is_made_again_from_its_lake(old: Home) -> None:
    repair_home(old, lambda: quick_build(old))
    quick_build(old)
    old.manifest.unlink()
    repair_home(old, lambda: quick_build(old))
    assert numbers(old) == SERIES
    assert not faults(old)


def test_a_newer_home_is_refused_by_every_verb_and_not_touched(old: Home, tmp_path: Path) -> None:
    with Manifest(old.manifest):
        change_manifest(old, f"update home set value = '{HOME_VERSION + 1}'")
    before = old.manifest.read_bytes()
    for verb in (
        ["status"],
        ["build"],
        ["verify"],
        ["verify", "--repair"],
        ["sync", "--from", "."],
    ):
        done = run_warehouse(*verb, "--home", old.root, cwd=tmp_path)
        assert done.exit_code == 4, (verb, done.stderr)
        assert "newer version" in done.stderr and "upgrade the package" in done.stderr
    assert old.manifest.read_bytes() == before
    with pytest.raises(NewerHomeError):
        Manifest(old.manifest)


def test_findings_of_an_old_home_are_links_and_a_catalog_only(old: Home) -> None:
    assert {finding.about for finding in faults(old)} == {About.LINK, About.CATALOG}
