"""Loading a module: garbage is collected afterwards as it was before."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from warehouse.loading import load


@pytest.fixture(params=[True, False], ids=["collecting", "not collecting"])
def is_collecting(request: pytest.FixtureRequest) -> Iterator[bool]:
    was = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was else gc.disable)()


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "loaded_here.py").write_text("import gc\nwas = gc.isenabled()\n")
    (tmp_path / "broken_here.py").write_text("raise ValueError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loaded_here", raising=False)
    return tmp_path


@pytest.mark.usefixtures("modules")
def test_load_when_done_then_collects_as_before(is_collecting: bool) -> None:
    assert load("loaded_here").was is False
    with pytest.raises(ValueError, match="broken"):
        load("broken_here")
    assert gc.isenabled() is is_collecting
