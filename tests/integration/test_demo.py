"""``warehouse demo`` as a new user runs it: its output, its files, and queries afterwards."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import warehouse
from tests.support import bar_table, copy_home, file_key, grid, run_warehouse, utc, write_file


def test_demo_when_run_then_ends_well_with_data_on_stdout_and_steps_on_stderr(
    demo_run: dict[str, Any],
) -> None:
    assert demo_run["exit_code"] == 0, demo_run["stderr"]
    assert "Traceback" not in demo_run["stderr"]
    assert [line[:3] for line in demo_run["stderr"].splitlines() if line[1:3] == "/4"] == [
        "1/4", "2/4", "3/4", "4/4",
    ]  # fmt: skip
    assert "1/4" not in demo_run["stdout"]


def test_demo_when_run_then_shows_a_table_a_sketch_and_the_way_on(
    demo_run: dict[str, Any],
) -> None:
    text = demo_run["stdout"]
    assert re.search(r"^time +close +net_delta", text, re.MULTILINE)
    assert re.search(r"^2026-02-28 23:00 +[\d,.]+ +", text, re.MULTILINE)
    assert "close, USDT" in text and "█" in text
    assert "simulated" in text
    home = demo_run["home"]
    assert f"picture   {home / 'demo.png'}" in text
    assert f"catalog   {home / 'warehouse.duckdb'}" in text
    assert max(map(len, text.splitlines())) <= max(100, len(str(home)) + 20)


def test_demo_when_run_then_leaves_a_picture_and_no_scaffolding(demo_home: Path) -> None:
    picture = (demo_home / "demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert not (demo_home / ".build" / "demo-files").exists()
    assert not (demo_home / ".build" / "warehouse.duckdb").exists()
    assert list(demo_home.rglob("*.wal")) == []


def test_demo_when_its_next_commands_are_typed_then_they_work(
    demo_run: dict[str, Any], tmp_path: Path
) -> None:
    text = demo_run["stdout"].split("try next:")[1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert len(lines) == 4
    assert lines.pop().endswith(" ui")  # serves until it is stopped: see test_page.py
    for line in lines:
        program, *arguments = shlex.split(line)
        assert Path(program).name == "warehouse"
        run = run_warehouse(*arguments, cwd=demo_run["home"].parent)
        assert run.exit_code == 0, line
        assert run.stderr == "" or run.stderr.startswith(("only the first", "One row per")), line
        assert len(run.stdout.splitlines()) > 3


def test_demo_when_asked_then_every_mart_has_every_bar(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh:
        for mart in ("flow_features", "l1_features", "forward_returns"):
            counts = wh.sql(
                f"select symbol, interval, count(*), count(distinct time), min(time), max(time)"
                f" from {mart} group by all order by all"
            ).fetchall()
            assert [row[2] for row in counts] == [181 * 24, 181 * 288] * 2
            assert all(row[2] == row[3] for row in counts)
            assert {row[4] for row in counts} == {utc("2025-09-01")}
        day = wh.sql(
            "select count(*), count(rolling_net_delta_1d), max(bars_1d) from flow_features"
            " where interval = '1h' group by series_id"
        ).fetchall()
        assert day == [(4344, 4344 - 23, 24)] * 2


def test_demo_when_done_then_its_files_are_marked_simulated_and_intact(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh:
        files = wh.sql("select path, object, rows, simulated from meta.files").fetchall()
        missing = wh.sql("select sum(expected_rows) - sum(rows) from meta.coverage").fetchall()
    assert len(files) == 72
    assert missing == [(0,)]
    for path, object, rows, simulated in files:
        assert simulated
        assert (demo_home / path).samefile(demo_home / "objects" / f"{object}.parquet")
        assert pq.read_metadata(demo_home / path).num_rows == rows


def test_demo_when_the_home_holds_real_files_then_refuses_to_mix(tmp_path: Path) -> None:
    from datetime import date

    from warehouse.home import Home
    from warehouse.sync.from_folder import sync_folder

    write_file(tmp_path, file_key("flow", "2025-09"), bar_table("flow", grid(date(2025, 9, 1), 1)))
    sync_folder(Home(tmp_path / "home"), tmp_path)
    run = run_warehouse("demo", "--home", tmp_path / "home", cwd=tmp_path)
    assert run.exit_code == 2
    assert "holds 1 file of real data" in run.stderr
    assert not (tmp_path / "home" / "warehouse.duckdb").exists()


def test_status_when_demo_then_shows_what_is_here(demo_home: Path, tmp_path: Path) -> None:
    run = run_warehouse("status", "--home", copy_home(demo_home, tmp_path / "home"), cwd=tmp_path)
    assert run.exit_code == 0
    assert "72 files" in run.stdout and "72 simulated" in run.stdout
    assert "generation 1" in run.stdout
    flow = r"^flow +1h +true +2 +2025-09-01 00:00 +2026-02-28 23:00 +8,688 +0$"
    assert re.search(flow, run.stdout, re.MULTILINE)
    assert "quarantine" not in run.stdout
