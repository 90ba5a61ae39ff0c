"""The state after a failed build."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from warehouse.build import build
from warehouse.config import Settings
from warehouse.home import Home
from warehouse.lake import Manifest


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOENT])
def test_build_when_it_fails_then_removes_its_file_only_if_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    home = Home(tmp_path)
    Manifest(home.manifest, create=True).close()

    def fail(_: Settings) -> NoReturn:
        home.build.mkdir(exist_ok=True)
        home.build_catalog.touch()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("warehouse.build.pipeline.fingerprint", fail)
    with pytest.raises(OSError):
        build(Settings(tmp_path))
    assert home.build_catalog.exists() is (number in (errno.EIO, errno.ENOENT))
