"""Files that appear whole."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from warehouse.cli import run
from warehouse.errors import ExitCode
from warehouse.files import absolute, link_atomically, put


def test_put_when_the_place_is_on_another_disk_then_the_file_is_copied(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk")
    finished = tmp_path / "catalog"
    finished.write_bytes(b"whole")
    finished.chmod(0o444)
    with TemporaryDirectory(dir=other) as folder:
        put(finished, Path(folder, "published"))
        assert [path.name for path in Path(folder).iterdir()] == ["published"]
        assert Path(folder, "published").read_bytes() == b"whole"
        assert Path(folder, "published").stat().st_mode & 0o777 == 0o444
    assert not finished.exists()


def test_show_what_is_shown_already_then_nothing_is_left_beside_it(tmp_path: Path) -> None:
    catalog, place = tmp_path / "catalog", tmp_path / "published" / "catalog"
    place.parent.mkdir()
    catalog.write_bytes(b"whole")
    for _ in range(2):  # a pull, and one more without news
        link_atomically(catalog, place)
        assert [path.name for path in place.parent.iterdir()] == ["catalog"]


def test_absolute_when_the_path_goes_up_then_is_the_short_one_of_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, beyond = tmp_path / "here", tmp_path / "far" / "away"
    folder.mkdir()
    beyond.mkdir(parents=True)
    (folder / "link").symlink_to(beyond)
    monkeypatch.chdir(folder)
    assert absolute(Path("../x.csv")) == tmp_path / "x.csv"
    assert absolute(Path("link/../x.csv")) == folder / "link" / ".." / "x.csv"  # far/x.csv


def test_a_command_in_a_folder_that_was_deleted_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("WAREHOUSE_HOME", raising=False)
    folder.rmdir()
    assert run(["status"]) == ExitCode.USAGE
    assert "no longer exists\n  next: cd to another folder" in capsys.readouterr().err
