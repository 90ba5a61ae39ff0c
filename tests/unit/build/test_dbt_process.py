"""What the process of dbt reports to the build when it fails."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from warehouse.build.dbt_process import _run
from warehouse.config import Settings
from warehouse.home import Home


def test_a_model_that_is_removed_and_a_full_disk_are_named_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(tmp_path)
    model = Home.of(settings).models / "mine.sql"

    def full(_: Settings) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device", str(model))

    assert not _run(lambda _: bool(model.read_text()), settings)
    assert not _run(full, settings)
    removed, on_disk = map(json.loads, capsys.readouterr().out.splitlines())
    assert removed["message"] == "models/mine.sql: was removed while the build read it"
    assert (on_disk["message"], on_disk["is_disk"]) == (f"{model}: No space left on device", True)
    with pytest.raises(FileNotFoundError):
        _run(lambda _: bool((tmp_path / "other").read_text()), settings)
