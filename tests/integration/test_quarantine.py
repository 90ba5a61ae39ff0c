"""Bad files go to quarantine with the reason; all others are imported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support import Run, bar_table, file_key, grid, run_warehouse, write_file
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder

Sync = Callable[..., Run]
REASONS = {
    "2025-10": "cannot be read as parquet",
    "2025-11": "cannot be read as parquet",
    "2025-12": "'volume_delta' is string",
    "2026-01": "time outside 2026-01",
    "2026-02": "bar with more than one row",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good files of flow, five bad ones, and one that no series owns."""
    root = tmp_path / "files"
    for month in (8, 9):
        key = file_key("flow", f"2025-{month:02d}")
        write_file(root, key, bar_table("flow", grid(date(2025, month, 1), 3)))
    at = {text: root / file_key("flow", text).path for text in REASONS}
    at["2025-10"].write_bytes(b"")
    at["2025-11"].write_bytes(b"PAR1" + b"\x00" * 100 + b"PAR1")
    starts = grid(date(2025, 12, 1), 3)
    wrong = bar_table("flow", starts, volume_delta=pa.array(["a", "b", "c"]))
    write_file(root, file_key("flow", "2025-12"), wrong)
    write_file(root, file_key("flow", "2026-01"), bar_table("flow", starts))
    write_file(
        root, file_key("flow", "2026-02"), bar_table("flow", [*grid(date(2026, 2, 1), 2)] * 2)
    )
    (root / "notes.parquet").write_bytes(b"not one of the vendor's")
    return root


@pytest.fixture
def sync(tmp_path: Path, folder: Path) -> Sync:
    def run(*more: object) -> Run:
        return run_warehouse(
            "sync", "--from", folder, "--home", tmp_path / "home", *more, cwd=tmp_path
        )

    return run


def test_sync_when_files_are_bad_then_names_each_with_its_reason(
    sync: Sync, tmp_path: Path
) -> None:
    run = sync()
    assert run.exit_code == 1
    assert "2 files imported" in run.stderr
    for month, reason in REASONS.items():
        (line,) = [x for x in run.stderr.splitlines() if x.startswith("refused:") and month in x]
        after = run.stderr.split(line)[1].splitlines()[1]
        assert reason in after
    assert "not imported" in run.stderr and "notes.parquet" in run.stderr
    assert "Traceback" not in run.stderr
    kept = sorted((tmp_path / "home" / "quarantine").iterdir())
    assert len(kept) == 5


def test_quarantine_when_a_file_is_kept_then_it_is_the_very_bytes(
    tmp_path: Path, folder: Path
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    sync_folder(Home(tmp_path / "home"), folder)
    for path in (tmp_path / "home" / "quarantine").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
        assert path.suffix == ".refused"
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == before


def test_status_when_files_were_refused_then_names_them(tmp_path: Path, folder: Path) -> None:
    sync_folder(Home(tmp_path / "home"), folder)
    run = run_warehouse("status", "--home", tmp_path / "home", cwd=tmp_path)
    assert run.exit_code == 0
    for month, reason in REASONS.items():
        assert month in run.stdout and reason in run.stdout
    facts = json.loads(
        run_warehouse("status", "--json", "--home", tmp_path / "home", cwd=tmp_path).stdout
    )
    assert len(facts["quarantine"]) == 5
    assert facts["files"] == 2


def test_sync_when_run_again_then_brings_the_bad_ones_up_again_and_no_other(
    sync: Sync, tmp_path: Path, folder: Path
) -> None:
    sync_folder(Home(tmp_path / "home"), folder)
    run = sync("--json")
    assert run.exit_code == 1
    facts = json.loads(run.stdout)
    assert (facts["taken_in"], facts["unchanged"], len(facts["refused"])) == (0, 2, 5)
    assert len(list((tmp_path / "home" / "quarantine").iterdir())) == 5


def test_sync_when_a_bad_file_was_corrected_then_it_leaves_quarantine(
    sync: Sync, tmp_path: Path, folder: Path
) -> None:
    sync_folder(Home(tmp_path / "home"), folder)
    for text in REASONS:
        start = date.fromisoformat(f"{text}-01")
        write_file(folder, file_key("flow", text), bar_table("flow", grid(start, 3)))
    (folder / "notes.parquet").unlink()
    run = sync()
    assert (run.exit_code, "5 files imported" in run.stderr) == (0, True), run.stderr
    status = run_warehouse("status", "--home", tmp_path / "home", cwd=tmp_path)
    assert "quarantine" not in status.stdout


def test_sync_when_a_known_good_file_turned_bad_then_the_good_one_stays(
    sync: Sync, tmp_path: Path, folder: Path
) -> None:
    sync_folder(Home(tmp_path / "home"), folder)
    key = file_key("flow", "2025-09")
    (folder / key.path).write_bytes(b"torn")
    run = sync()
    assert run.exit_code == 1
    link = tmp_path / "home" / "lake" / key.path
    assert link.read_bytes().startswith(b"PAR1")
    status = run_warehouse("status", "--home", tmp_path / "home", cwd=tmp_path)
    assert "2 files" in status.stdout
    assert "2025-09" in status.stdout.split("in quarantine:")[1]
