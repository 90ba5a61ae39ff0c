"""Folders with duplicates, other suffixes, dead links and misspelt names; ``warehouse forget``."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import BTC, Run, bar_table, file_key, grid, run_warehouse, write_file
from warehouse.build.catalog import prepare_catalog
from warehouse.config import Settings
from warehouse.home import Home

USTD = "perpetual-BTC-USTD:USTD"


class Desk:
    """A home and a folder of files beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir()
        self.home = Home(folder / "home")

    def write(self, *, period: str = "2025-09", close: float = 1.0, **parts: str) -> Path:
        table = bar_table("ohlcv", grid(date.fromisoformat(f"{period}-01"), 24))
        place = table.schema.get_field_index("close")
        table = table.set_column(place, "close", pa.array([close] * 24))
        return write_file(self.files, file_key("ohlcv", period, **parts), table)

    def run(self, verb: str, *arguments: object) -> Run:
        return run_warehouse(verb, "--home", self.home.root, *arguments, cwd=self.folder)

    def sync(self, *arguments: object) -> Run:
        return self.run("sync", "--from", self.files, *arguments)

    def shown(self, query: str) -> list[tuple[Any, ...]]:
        catalog = prepare_catalog(Settings(home=self.home.root), generation=1)
        with duckdb.connect(str(catalog), read_only=True) as connection:
            return connection.sql(query).fetchall()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_two_files_for_one_key_are_both_named_and_what_is_there_stays(desk: Desk) -> None:
    first = desk.write(close=1.0)
    assert desk.sync().exit_code == 0
    second = desk.files / "old-backup" / first.relative_to(desk.files)
    second.parent.mkdir(parents=True)
    shutil.copy(first, second)
    same = desk.sync()
    assert (same.exit_code, "nothing new" in same.stderr) == (0, True)
    desk.write(close=2.0)
    for _ in range(2):
        differ = desk.sync()
        assert differ.exit_code == 1
        assert str(first) in differ.stderr and str(second) in differ.stderr
        assert desk.shown("select max(close) from vendor.ohlcv") == [(1.0,)]
    second.unlink()
    assert "1 restated" in desk.sync().stderr


def test_endings_links_and_other_data_are_never_up_to_date(desk: Desk) -> None:
    first, second = desk.write(period="2025-09"), desk.write(period="2025-10")
    first.rename(first.with_suffix(".PARQUET"))
    second.rename(second.with_suffix(".pq"))
    first.with_name("2025-11.parquet").symlink_to(desk.folder / "gone.parquet")
    (desk.files / "bars.csv").write_text("time,close\n")
    done = desk.sync()
    assert done.exit_code == 1
    assert "2 files imported" in done.stderr
    assert "is a broken link" in done.stderr
    assert "1 file not imported, because only parquet is read: bars.csv" in done.stderr


def test_files_when_not_imported_then_have_a_reason(desk: Desk) -> None:
    """A dead link, a copy, parquet without the suffix, a cut download; the plan lists the same."""
    good = desk.write()
    whole = good.read_bytes()
    good.with_name("2025-09 (1).parquet").write_bytes(whole)
    for name in ("one", "two.parquet.bak", "three\nlines", "four.data"):
        (desk.files / name).write_bytes(whole)
    (desk.files / "2025-09.crdownload").write_bytes(whole[: len(whole) // 2])
    (desk.files / "BTCUSDT").symlink_to(desk.folder / "unmounted")
    (desk.files / "readme.txt").write_text("PAR")
    latin = Path(os.fsdecode(os.fsencode(desk.files) + b"/caf\xe9"))  # a name that is no UTF-8
    latin.mkdir()
    (desk.files / "ohlcv").rename(latin / "ohlcv")
    assert whole[:4] == b"PAR1"

    reasons = desk.sync()
    shown = reasons.stderr
    assert reasons.exit_code == 1 and "1 file imported" in shown
    assert f"BTCUSDT: is a broken link to {desk.folder / 'unmounted'}" in shown
    assert "2025-09 (1).parquet: is named like a copy of 2025-09.parquet" in shown
    assert "2025-09.crdownload: is the beginning of a parquet file" in shown
    assert "4 files in parquet format whose name does not end in .parquet" in shown
    assert r"three\nlines: " in shown and "rename them" in shown
    assert "arrange the files" not in shown and "readme" not in shown

    lost = desk.files / "BTC" / "2025-10.parquet"
    lost.parent.mkdir()
    lost.write_bytes(whole)
    planned, plan = desk.sync("--dry-run"), desk.sync("--dry-run", "--json")
    run, again = desk.sync("--json"), desk.sync()
    assert "--pattern for their names" in planned.stderr
    for shown in (planned.stderr, again.stderr):
        assert "shown at the end of: warehouse" in shown
    assert planned.exit_code == plan.exit_code == run.exit_code == again.exit_code == 1
    said, did = json.loads(plan.stdout), json.loads(run.stdout)
    for name in ("unrecognised", "ambiguous", "others", "reasons"):
        assert said[name] == did[name]
    assert len(said["reasons"]) == 8


def test_a_restatement_names_which_columns_came_and_went(desk: Desk) -> None:
    path = desk.write()
    desk.sync()
    table = pq.read_table(path)
    table = table.drop_columns(["open"]).append_column("fresh", table.column("close"))
    pq.write_table(table, path)
    assert desk.sync().exit_code == 0
    changes = "kind, rows_changed, columns_added, columns_removed from meta.restatements"
    assert desk.shown(f"select {changes}") == [("restated", 0, ["fresh"], ["open"])]


def test_a_flat_folder_is_explained_by_a_pattern(desk: Desk) -> None:
    for period in ("2025-09", "2025-10"):
        desk.write(period=period).rename(desk.files / f"{BTC}_ohlcv_1h_{period}.parquet")
    pattern = "{symbol}_{dataset}_{interval}_{period}"
    unexplained = desk.sync("--exchange", "binance-futures", "--clock", "true")
    assert unexplained.exit_code == 1 and "--pattern" in unexplained.stderr
    done = desk.sync("--exchange", "binance-futures", "--clock", "true", "--pattern", pattern)
    assert (done.exit_code, "2 files imported" in done.stderr) == (0, True), done.stderr
    twice = desk.sync("--symbol", BTC, "--pattern", pattern)
    assert (twice.exit_code, "symbol is given twice" in twice.stderr) == (2, True)


def test_a_symbol_that_is_none_is_refused_and_one_with_known_bytes_is_warned_of(
    desk: Desk,
) -> None:
    flat = desk.files / "2025-09.parquet"
    desk.write().rename(flat)
    options = ("--dataset", "ohlcv", "--exchange", "binance-futures", "--interval", "1h")
    options = (*options, "--clock", "true", "--symbol")
    wrong = desk.sync(*options, "perpetual-BTC-USDT")
    assert wrong.exit_code == 1 and f"did you mean '{BTC}'?" in wrong.stderr
    assert desk.sync(*options, BTC).exit_code == 0
    slip = desk.sync(*options, USTD)
    assert "has the same bytes as" in slip.stderr and "warehouse forget" in slip.stderr

    asked = desk.run("forget", "--symbol", "perpetual-BTC-USTD*")
    assert asked.exit_code == 0 and USTD in asked.stdout and "--yes" in asked.stderr
    assert desk.shown("select count(distinct symbol) from vendor.ohlcv") == [(2,)]
    done = desk.run("forget", "--symbol", "perpetual-BTC-USTD*", "--yes")
    assert "1 file removed from the lake" in done.stderr
    assert desk.shown("select distinct symbol from vendor.ohlcv") == [(BTC,)]
    assert desk.shown("select symbol from meta.series") == [(BTC,)]
    assert not list(desk.home.lake.rglob("*USTD*/**/*.parquet"))
    assert desk.run("verify").exit_code == 0
    again = desk.run("forget", "--symbol", USTD)
    assert (again.exit_code, "no file" in again.stderr) == (2, True)
    assert desk.run("forget").exit_code == 2
    assert desk.sync(*options, USTD).exit_code == 0, "a later sync may bring it in again"
    assert desk.shown("select count(distinct symbol) from vendor.ohlcv") == [(2,)]


def test_a_misspelt_dataset_is_refused_before_any_request(desk: Desk) -> None:
    place = ("--exchange", "okx", "--symbol", BTC, "--interval", "1h", "--clock", "true")
    slip = desk.run("sync", "flwo", *place, "--start", "2025-01-01")
    assert (slip.exit_code, "did you mean flow?" in slip.stderr) == (2, True)
    desk.home.root.mkdir()
    (desk.home.root / "warehouse.toml").write_text(
        '[[sync]]\ndatasets = ["flwo"]\nexchanges = ["okx"]\nsymbols = ["spot-BTC-USDT"]\n'
        'intervals = ["1h"]\nclocks = ["true"]\nstart = 2025-01-01\n'
    )
    slip = desk.run("sync")
    assert (slip.exit_code, "did you mean flow?" in slip.stderr) == (2, True)
