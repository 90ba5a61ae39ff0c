"""Files of every layout are imported by the command line; real files too, if they are available."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import warehouse
from tests.support import (
    BTC,
    ROOT,
    VENUE,
    Run,
    bar_table,
    file_key,
    grid,
    once,
    run_warehouse,
    write_file,
)
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder
from warehouse.vendor.keys import FileKey, encode

SEPTEMBER = date(2025, 9, 1)
KEYS = [
    file_key("flow", "2025-09"),
    file_key("ohlcv", "2025-09", "5m"),
    file_key("flow", "2025-09-02", clock="exchange"),
    file_key("raw_trades", "2025-09"),
]


def table_of(key: FileKey) -> Any:
    interval = key.series.interval or "1h"
    return bar_table(key.dataset, grid(key.period.start, 3, interval))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for key in KEYS:
        write_file(tmp_path / "files", key, table_of(key))
    return tmp_path / "files"


def sync(tmp_path: Path, *more: object) -> Run:
    return run_warehouse("--home", tmp_path / "home", "sync", *more, cwd=tmp_path)


def lake(tmp_path: Path) -> dict[str, bytes]:
    root = tmp_path / "home" / "lake"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# -- layouts -------------------------------------------------------------------------------------


def test_sync_when_folder_has_the_lakes_layout_then_every_byte_is_kept(
    tmp_path: Path, folder: Path
) -> None:
    run = sync(tmp_path, "--from", folder)
    assert (run.exit_code, run.stdout) == (0, ""), run.stderr
    assert "4 files imported (12 rows" in run.stderr
    assert lake(tmp_path) == {str(key.path): (folder / key.path).read_bytes() for key in KEYS}
    for path in (tmp_path / "home" / "lake").rglob("*.parquet"):
        assert path.stat().st_mode & 0o222 == 0


def test_sync_when_folder_is_the_clients_tree_then_takes_it_in(tmp_path: Path) -> None:
    places = {
        f"trades/exchange={VENUE}/symbol={encode(BTC)}/year=2025/month=09/data.parquet": "2025-09",
        f"trades/exchange={VENUE}/symbol={encode(BTC)}/year=2025/month=10/day=03/data.parquet": (
            "2025-10-03"
        ),
    }
    for place, period in places.items():
        path = tmp_path / "tree" / place
        path.parent.mkdir(parents=True)
        written = write_file(
            tmp_path / "made",
            file_key("raw_trades", period),
            table_of(file_key("raw_trades", period)),
        )
        shutil.copyfile(written, path)
    run = sync(tmp_path, "--from", tmp_path / "tree")
    assert run.exit_code == 0, run.stderr
    assert set(lake(tmp_path)) == {
        str(file_key("raw_trades", period).path) for period in places.values()
    }


def test_sync_when_many_files_are_of_no_known_layout_then_reports_it_once(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / "odd").mkdir(exist_ok=True)
        (tmp_path / "odd" / f"{number}.parquet").write_bytes(b"")
    run = sync(tmp_path, "--from", tmp_path / "odd")
    assert run.exit_code == 1
    said = run.stderr.splitlines()
    assert said[0] == "not imported: 8 files whose path does not identify the vendor file"
    assert (said[1].split(":")[0], said[6]) == ("  0.parquet", "  and 3 more, see --json")


def test_sync_when_folder_holds_no_file_then_reports_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = sync(tmp_path, "--from", tmp_path / "empty")
    assert run.exit_code == 0
    assert f"no *.parquet file in {tmp_path / 'empty'}" in run.stderr


def test_sync_when_columns_differ_then_sync_and_status_name_them(tmp_path: Path) -> None:
    for period, lacking in (("2025-09", 6), ("2025-10", 2)):
        table = table_of(file_key("flow", period))
        names = [name for name in table.column_names if name != "time"]
        table = table.drop_columns(names[:lacking]).append_column("fresh", table.column("time"))
        write_file(tmp_path / "files", file_key("flow", period), table)
    run = sync(tmp_path, "--from", tmp_path / "files")
    few = f"{', '.join(sorted(names[:6])[:4])} and 2 more"
    missing = "some columns of the contract are missing and read NULL: " + few
    kept = "some columns are not in the contract; they are kept: fresh"
    assert f"drift: flow: in 2 of 2 files, {missing}" in run.stderr
    assert f"drift: flow: in 2 of 2 files, {kept}" in run.stderr
    home = tmp_path / "home"
    assert run_warehouse("--home", home, "build", "--no-dbt", cwd=tmp_path).exit_code == 0
    shutil.copy(home / ".build" / "warehouse.duckdb", home)
    told = run_warehouse("--home", home, "status", cwd=tmp_path).stdout
    assert f"flow: in 2 files, {missing}" in told
    assert f"flow: in 2 files, {kept}" in told


def test_sync_when_folder_is_flat_then_needs_the_options(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for period in ("2025-09", "2025-10-01"):
        key = file_key("flow", period)
        shutil.copyfile(
            write_file(tmp_path / "made", key, table_of(key)), flat / f"{period}.parquet"
        )
    run = sync(tmp_path, "--from", flat)
    assert run.exit_code == 1
    assert run.stderr.count("not imported") == 1
    assert "not imported: 2 files whose path does not identify" in run.stderr
    assert "  2025-09.parquet: no dataset, exchange or symbol" in run.stderr
    assert "--dataset --exchange --symbol --interval --clock" in run.stderr
    assert "arrange the files as shown at the end of: warehouse sync --help" in run.stderr
    run = sync(tmp_path, "--from", flat, "--dry-run", "--dataset", "flow", "--exchange", VENUE,
               "--symbol", BTC)  # fmt: skip
    assert "not imported: 2 files" in run.stderr
    assert "2025-09.parquet: no interval or clock" in run.stderr
    said = ["--dataset", "flow", "--exchange", VENUE, "--symbol", BTC, "--interval", "1h",
            "--clock", "true"]  # fmt: skip
    run = sync(tmp_path, "--from", flat, *said)
    assert run.exit_code == 0, run.stderr
    assert set(lake(tmp_path)) == {
        str(file_key("flow", "2025-09").path), str(file_key("flow", "2025-10-01").path),
    }  # fmt: skip


def test_sync_when_the_path_is_a_symbolic_link_or_relative_then_works(
    tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "link").symlink_to(folder)
    run = run_warehouse("sync", "--from", "link", "--home", "home", cwd=tmp_path)
    assert run.exit_code == 0, run.stderr
    assert len(lake(tmp_path)) == 4


def test_sync_when_there_is_no_such_folder_then_exits_with_two(tmp_path: Path) -> None:
    run = sync(tmp_path, "--from", "nowhere")
    assert run.exit_code == 2
    assert "no such folder" in run.stderr
    assert not (tmp_path / "home").exists()


# -- again ---------------------------------------------------------------------------------------


def test_sync_when_run_again_then_does_nothing_and_reports_it(tmp_path: Path, folder: Path) -> None:
    sync_folder(Home(tmp_path / "home"), folder)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "home" / "objects").iterdir()}
    run = sync(tmp_path, "--from", folder)
    assert (run.exit_code, run.stdout) == (0, "")
    assert "up to date" in run.stderr and "4 files known" in run.stderr
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "home" / "objects").iterdir()} == before


def test_sync_when_files_were_touched_or_moved_then_reads_but_changes_nothing(
    tmp_path: Path, folder: Path
) -> None:
    sync_folder(Home(tmp_path / "home"), folder)
    moved = folder.rename(tmp_path / "moved")
    for path in moved.rglob("*.parquet"):
        os.utime(path, (1, 1))
    facts = json.loads(sync(tmp_path, "--from", moved, "--json").stdout)
    assert (facts["taken_in"], facts["unchanged"]) == (0, 4)
    assert len(lake(tmp_path)) == 4


def test_sync_when_a_file_grew_or_was_restated_then_reports_which(
    tmp_path: Path, folder: Path
) -> None:
    sync_folder(Home(tmp_path / "home"), folder)
    grown, restated = KEYS[0], KEYS[1]
    write_file(folder, grown, bar_table("flow", grid(SEPTEMBER, 5)))
    changed = table_of(restated)
    place = changed.column_names.index("close")
    write_file(folder, restated, changed.set_column(place, "close", [[1.0, 2.0, 1.0]]))
    run = sync(tmp_path, "--from", folder)
    assert run.exit_code == 0
    assert "1 grown, 1 restated" in run.stderr
    assert len(list((tmp_path / "home" / "objects").iterdir())) == 6, "old versions are kept"
    assert lake(tmp_path)[str(grown.path)] == (folder / grown.path).read_bytes()


# -- plan ----------------------------------------------------------------------------------------


def test_dry_run_when_asked_then_prints_the_plan_and_makes_nothing(
    tmp_path: Path, folder: Path
) -> None:
    run = sync(tmp_path, "--from", folder, "--dry-run")
    assert run.exit_code == 0, run.stderr
    assert not (tmp_path / "home").exists()
    lines = run.stdout.splitlines()
    assert len(lines) == 2 + 4
    assert any("raw_trades" in line and "2025-09" in line for line in lines)
    assert "would read 4 files" in run.stderr
    sync_folder(Home(tmp_path / "home"), folder)
    facts = json.loads(sync(tmp_path, "--from", folder, "--dry-run", "--json").stdout)
    assert (facts["files"], facts["unchanged"]) == ([], 4)


# -- the real files ------------------------------------------------------------------------------


def real_folder() -> Path | None:
    named = os.environ.get("WAREHOUSE_REAL_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "real"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real(shared_folder: Path) -> dict[str, Any]:
    """The real files, synced and built once for all workers."""
    folder = real_folder()
    if folder is None:
        pytest.skip("the real files are not here; WAREHOUSE_REAL_DATA can name their folder")
    home = shared_folder / "real"

    def run() -> dict[str, Any]:
        return {
            "sync": asdict(
                run_warehouse("sync", "--from", folder, "--home", home, cwd=shared_folder)
            ),
            "build": asdict(
                run_warehouse("build", "--home", home, cwd=shared_folder, audits=False)
            ),
        }

    return {**once(shared_folder / "real.json", run), "home": home, "folder": folder}


def test_real_files_when_synced_then_every_one_is_in_with_drift_named(real: dict[str, Any]) -> None:
    assert real["sync"]["exit_code"] == 0, real["sync"]["stderr"]
    count = len(list(real["folder"].rglob("*.parquet")))
    assert f"{count} files imported" in real["sync"]["stderr"]
    (line,) = [x for x in real["sync"]["stderr"].splitlines() if x.startswith("drift: flow: ")]
    assert "are missing and read NULL: " in line and line.endswith(" and 26 more")
    home = shlex.quote(str(real["home"]))
    assert f'warehouse --home {home} sql "from meta.drift"' in real["sync"]["stderr"]


def test_real_files_when_built_then_marts_hold_their_bars(real: dict[str, Any]) -> None:
    assert real["build"]["exit_code"] in (0, 1), real["build"]["stderr"]
    with warehouse.open(real["home"]) as wh:
        rows = wh.sql(
            "select count(*), count(distinct time) from flow_features"
            " where symbol = 'perpetual-WLD-USDT:USDT' and interval = '1h'"
        ).fetchall()
        assert rows == [(2160, 2160)]
        for dataset in ("ohlcv", "flow", "l1_price"):
            held, shown = wh.sql(
                f"select (select sum(rows) from meta.files where dataset = '{dataset}'),"
                f" (select count(*) from vendor.{dataset})"
            ).fetchall()[0]
            assert held == shown > 0
        not_finite = wh.sql(
            "select count(*) from flow_features where not isfinite(taker_buy_sell_ratio)"
            " or not isfinite(flow_toxicity_score) or not isfinite(large_trade_share)"
        ).fetchall()
        assert not_finite == [(0,)]
