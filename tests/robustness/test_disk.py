"""A full or read-only disk: a plain message, exit code 6, and nothing damaged."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.robustness.support import (
    MONTHS,
    ROUND_SQL,
    ROWS,
    answer,
    current_tree,
    damage,
    faults,
    quick_build,
    sync_round,
    write_round,
)
from tests.support import Run, run_warehouse
from warehouse.home import Home
from warehouse.upkeep.verify import About, Severity

ANSWER_ROWS = 3 * len(MONTHS) * ROWS
IS_ROOT = os.geteuid() == 0


def limited(home: Home, *arguments: object, largest_file_bytes: int) -> Run:
    """``warehouse …`` that may write no file beyond a size: as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, largest_file_bytes))

    done = subprocess.run(
        [sys.executable, "-m", "warehouse", *map(str, arguments), "--home", str(home.root)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def require_plain(done: Run, code: int = 6) -> None:
    assert done.exit_code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "next:" in done.stderr or code != 6


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    sync_round(home, tmp_path / "files", 1)
    quick_build(home)
    return home


# -- full ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second_round(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The contents of a home that synced round 2 undisturbed."""
    folder = tmp_path_factory.mktemp("calm")
    sync_round(Home(folder / "home"), folder / "files", 2)
    return current_tree(Home(folder / "home"))


@pytest.mark.parametrize(
    "largest",
    [0, 5_000, 70_000, *(pytest.param(n, marks=pytest.mark.long) for n in (100, 14_000, 40_000))],
)
def test_sync_when_the_disk_is_full_then_reports_it_and_a_rerun_completes(
    home: Home, tmp_path: Path, second_round: dict[str, str], largest: int
) -> None:
    files = tmp_path / "files"
    write_round(files, 2)
    done = limited(home, "sync", "--from", files, largest_file_bytes=largest)
    if done.exit_code:
        require_plain(done)
    assert answer(home) == (1, 1.0, 1.0, ANSWER_ROWS)
    assert not damage(home)
    again = run_warehouse("sync", "--from", files, "--home", home.root, cwd=tmp_path)
    assert again.exit_code == 0, again.stderr
    found = {p: digest for p, digest in current_tree(home).items() if not p.startswith("marts/")}
    assert found == second_round
    assert {finding.about for finding in faults(home)} == {About.CATALOG}, "a build is due"


@pytest.mark.parametrize("largest", [0, 200_000, pytest.param(1_500_000, marks=pytest.mark.long)])
def test_build_when_the_disk_is_full_then_the_old_catalog_stays(
    home: Home, tmp_path: Path, largest: int
) -> None:
    done = limited(home, "build", "--force", largest_file_bytes=largest)
    assert done.exit_code in (4, 6), done.stderr
    assert "Traceback" not in done.stderr
    assert "next:" in done.stderr
    assert answer(home) == (1, 1.0, 1.0, ANSWER_ROWS)
    assert not damage(home)
    assert quick_build(home) == 2


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Path]:
    """A disk of a given size, if it can be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    if not IS_ROOT or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a small disk be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "size_kb",
    [100, pytest.param(64, marks=pytest.mark.long), pytest.param(160, marks=pytest.mark.long)],
)
def test_a_real_full_disk_while_syncing(tmp_path: Path, size_kb: int) -> None:
    files = tmp_path / "files"
    write_round(files, 1)
    with small_disk(tmp_path / "disk", size_kb) as disk:
        home = Home(disk / "home")
        done = run_warehouse("sync", "--from", files, "--home", home.root, cwd=tmp_path)
        if done.exit_code:
            require_plain(done)
        if home.manifest.is_file() and home.manifest.stat().st_size:
            found = faults(home)
            assert not [f for f in found if f.kind is Severity.DAMAGED], found
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        again = run_warehouse("sync", "--from", files, "--home", home.root, cwd=tmp_path)
        assert again.exit_code == 0, again.stderr
        quick_build(home)
        assert answer(home) == (1, 1.0, 1.0, ANSWER_ROWS)
        assert not faults(home)


def test_a_real_full_disk_while_building(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 20_000) as disk:
        home = Home(disk / "home")
        sync_round(home, tmp_path / "files", 1)
        quick_build(home)
        filler = disk / "filler"
        with filler.open("wb") as file:
            free = shutil.disk_usage(disk).free
            file.write(b"x" * max(0, free - 500_000))
        done = run_warehouse("build", "--force", "--home", home.root, cwd=tmp_path)
        assert done.exit_code in (4, 6), done.stderr
        assert "Traceback" not in done.stderr
        assert answer(home) == (1, 1.0, 1.0, ANSWER_ROWS)
        assert not damage(home)
        assert not home.build_catalog.exists() and not home.build_wal.exists()
        filler.unlink()
        assert quick_build(home) == 2
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)

        assert shutil.disk_usage(disk).free == 0
        for words, written in (
            (("sql", "from range(9)", "-o", disk / "rows.csv"), disk / "rows.csv"),
            (("docs",), home.build_catalog),
        ):
            done = run_warehouse(*words, "--home", home.root, cwd=tmp_path)
            require_plain(done)
            assert f"error: {written}: No space left on device\n" in done.stderr
        unfinished = run_warehouse("publish", "--home", home.root, cwd=tmp_path)
        assert (unfinished.exit_code, "nothing to publish" in unfinished.stderr) == (2, True)
        freed = run_warehouse("prune", "--keep", "1", "--yes", "--home", home.root, cwd=tmp_path)
        assert freed.exit_code == 0, freed.stderr
        assert shutil.disk_usage(disk).free > 1_000_000
        assert answer(home) == (2, 1.0, 1.0, ANSWER_ROWS)


SPILLING_SQL = (
    "select sum(n)::bigint as places from (select row_number() over (order by s) as n"
    " from (select repeat('x', 20) || hash(i) as s from range(1000000) as t(i)))"
)
LITTLE = {"WAREHOUSE_MEMORY": "60MB", "WAREHOUSE_THREADS": "1"}

# -- read-only -----------------------------------------------------------------------------------


@contextmanager
def read_only(home: Home) -> Iterator[None]:
    """The home on a read-only disk: a mount if root runs this, else by file modes."""
    if not IS_ROOT:
        subprocess.run(["chmod", "-R", "a-w", str(home.root)], check=True)
        try:
            yield
        finally:
            subprocess.run(["chmod", "-R", "u+w", str(home.root)], check=True)
        return
    place = str(home.root)
    if subprocess.run(["mount", "--bind", place, place], check=False).returncode:
        pytest.skip("this machine does not let a folder be mounted")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_read_only_home_can_be_read_and_gives_the_reason_it_cannot_be_written(
    home: Home, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}
    files = tmp_path / "files"
    write_round(files, 2)
    with read_only(home):
        assert answer(home) == (1, 1.0, 1.0, ANSWER_ROWS)
        done = run_warehouse(
            "sql",
            SPILLING_SQL,
            "--format",
            "csv",
            "--home",
            home.root,
            cwd=tmp_path,
            environment=LITTLE,
        )
        assert (done.exit_code, done.stdout.split()[1:]) == (0, ["500000500000"]), done.stderr
        for verb in (
            ["status"],
            ["verify"],
            ["sql", ROUND_SQL],
            ["describe"],
            ["snapshot"],
            ["prune"],
        ):
            done = run_warehouse(*verb, "--home", home.root, cwd=tmp_path)
            assert done.exit_code == 0, (verb, done.stderr)
        for verb in (
            ["sync", "--from", files],
            ["build", "--force"],
            ["build", "--no-dbt"],
            ["publish"],
            ["rollback", 1],
            ["snapshot", "v1"],
            ["prune", "--yes"],
            ["verify", "--repair"],
        ):
            done = run_warehouse(*verb, "--home", home.root, cwd=tmp_path)
            assert done.exit_code == 6, (verb, done.stderr)
            assert "Traceback" not in done.stderr
            assert "cannot be written" in done.stderr and "next:" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*")} == before


def test_a_home_that_cannot_be_made_reports_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write_round(tmp_path / "files", 1)
    inside = tmp_path / "file" / "home"
    done = run_warehouse("sync", "--from", tmp_path / "files", "--home", inside, cwd=tmp_path)
    require_plain(done)
    assert "choose another folder" in done.stderr
