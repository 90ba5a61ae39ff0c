"""A moved, copied or linked home works at once; other shells need one build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import warehouse
from tests.robustness.support import (
    MONTHS,
    ROUND_SQL,
    ROWS,
    answer,
    damage,
    faults,
    quick_build,
    sync_round,
)
from tests.support import reads_native_copy, run_warehouse
from warehouse.generations.publish import rollback
from warehouse.home import Home
from warehouse.upkeep.prune import take_snapshot
from warehouse.upkeep.verify import About

ANSWER_ROWS = 3 * len(MONTHS) * ROWS
ODD_NAME = "größe & co 'x' \"y\" %41 中"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two rounds, the first of them a snapshot."""
    folder = tmp_path_factory.mktemp("moved")
    home = Home(folder / "home")
    for number in (1, 2):
        sync_round(home, folder / "files", number)
        quick_build(home)
    rollback(home, 1)
    take_snapshot(home, "paper-v1")
    rollback(home, 2)
    return home


@pytest.fixture
def moved(built: Home, tmp_path: Path) -> Home:
    """The home at another path, with nothing left at the old one."""
    target = Home(tmp_path / "else where" / ODD_NAME)
    target.root.parent.mkdir()
    subprocess.run(["cp", "-a", built.root, target.root], check=True)
    away = built.root.rename(built.root.with_name("away"))
    try:
        yield target
    finally:
        away.rename(built.root)


def test_a_moved_home_can_be_queried_without_any_command(moved: Home, tmp_path: Path) -> None:
    assert answer(moved) == (2, 2.0, 2.0, ANSWER_ROWS)
    done = run_warehouse("sql", ROUND_SQL, "--format", "csv", "--home", moved.root, cwd=tmp_path)
    assert done.stdout.splitlines()[1] == f"2,2,2,{ANSWER_ROWS}", done.stderr


def test_a_home_that_was_copied_plainly_keeps_its_native_copy(built: Home, tmp_path: Path) -> None:
    """``cp -r`` turns hard links into separate files."""
    copied = Home(tmp_path / "copied")
    subprocess.run(["cp", "-r", built.root, copied.root], check=True)
    with warehouse.open(copied.root) as opened:
        assert reads_native_copy(opened.connection())
    assert answer(copied) == (2, 2.0, 2.0, ANSWER_ROWS)


def test_a_moved_homes_connection_works_in_cursors_of_its_cursors(moved: Home) -> None:
    """Tools open cursors of a connection, and a cursor has none of DuckDB's variables."""
    with warehouse.open(moved.root) as opened:
        connection = opened.connection()
        for cursor in (connection.cursor(), connection.cursor().cursor()):
            assert cursor.execute(ROUND_SQL).fetchall() == [(2, 2.0, 2.0, ANSWER_ROWS)]


def test_a_moved_homes_snapshots_can_be_queried_too(moved: Home) -> None:
    assert answer(moved, 1) == (1, 1.0, 1.0, ANSWER_ROWS)


def test_a_moved_home_reads_its_own_files_though_the_old_ones_are_there(
    built: Home, tmp_path: Path
) -> None:
    """A copy beside its original is a separate home."""
    copy = Home(tmp_path / "copy")
    subprocess.run(["cp", "-a", built.root, copy.root], check=True)
    shutil.rmtree(copy.marts)
    with warehouse.open(copy.root) as opened, pytest.raises(warehouse.WarehouseError):
        opened.sql("select count(taker_buy_volume) from vendor.flow").fetchall()


def test_verify_names_what_repairs_a_moved_home(moved: Home) -> None:
    (finding,) = faults(moved)
    assert finding.about is About.CATALOG
    assert "when the home was" in finding.what
    assert finding.next_step == "run: warehouse build"


def test_one_build_repairs_it_for_every_shell(moved: Home) -> None:
    path = str(moved.catalog).replace("'", "''")
    with duckdb.connect() as shell:
        shell.execute(f"attach '{path}' as w (read_only)")
        shell.execute("use w")
        with pytest.raises(duckdb.IOException):
            shell.sql(ROUND_SQL).fetchall()
    quick_build(moved)
    with duckdb.connect() as shell:
        shell.execute(f"attach '{path}' as w (read_only)")
        shell.execute("use w")
        assert shell.sql(ROUND_SQL).fetchall() == [(3, 2.0, 2.0, ANSWER_ROWS)]
    assert not faults(moved)


def test_a_moved_home_can_still_sync(moved: Home, built: Home) -> None:
    files = built.root.with_name("files")
    sync_round(moved, files, 5)
    quick_build(moved)
    assert answer(moved)[1:] == (5.0, 5.0, ANSWER_ROWS)
    assert not damage(moved)
    sync_round(moved, files, 2)


def test_a_home_by_a_relative_path_a_link_and_another_working_folder(
    built: Home, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(built.root)
    relative = os.path.relpath(built.root, tmp_path)
    for place in (link, Path("link"), Path(relative)):
        done = run_warehouse("sql", ROUND_SQL, "--format", "csv", "--home", place, cwd=tmp_path)
        assert done.stdout.splitlines()[1:] == [f"2,2,2,{ANSWER_ROWS}"], done.stderr


def test_the_shell_verb_reads_a_moved_home(moved: Home, tmp_path: Path) -> None:
    if not (Path(sys.executable).parent / "duckdb").is_file():
        pytest.skip("no DuckDB shell is installed")
    done = run_warehouse(
        "shell", "--home", moved.root, cwd=tmp_path, stdin=f".mode csv\n{ROUND_SQL};\n"
    )
    assert f"2,2.0,2.0,{ANSWER_ROWS}" in done.stdout, done.stderr
