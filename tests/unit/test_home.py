"""One writer at a time, named in the second one's error; reading creates nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from warehouse.errors import DiskError, LockedError, NotFoundError
from warehouse.home import Home, writing


def test_home_when_only_looked_at_then_creates_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    with pytest.raises(NotFoundError, match="no files were synced"):
        home.require_lake()
    assert not home.root.exists()


def test_writing_when_home_is_new_then_makes_it_and_lets_go_after(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "b")
    for _ in range(2):
        with writing(home, "sync"):
            assert home.root.is_dir()


def test_writing_when_the_body_fails_then_lets_go(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(ZeroDivisionError), writing(home, "sync"):
        raise ZeroDivisionError
    with writing(home, "build"):
        pass


def test_writing_when_held_then_names_verb_process_and_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with writing(home, "build"), pytest.raises(LockedError) as caught, writing(home, "sync"):
        pytest.fail("two writers at once")
    assert f"`warehouse build` (process {os.getpid()}, since 20" in caught.value.what
    assert "UTC" in caught.value.what


def test_writing_when_home_is_a_file_then_reports_a_disk_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(DiskError, match="cannot be written"), writing(Home(path), "sync"):
        pass


def test_writing_when_the_note_is_garbage_then_still_names_another_process(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with writing(home, "build"):
        home.lock.write_bytes(b"\xff\x00{")
        with pytest.raises(LockedError, match="another process"), writing(home, "sync"):
            pass
