"""The notebooks run in a clean kernel on the demo market, and contain their pictures."""

from __future__ import annotations

import base64
import importlib.util
import re
import sys
import warnings
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pytest

import warehouse
from tests.support import BTC, run_warehouse
from warehouse.query.sql_text.named_queries import list_queries
from warehouse.simulator.instrument import Instrument
from warehouse.simulator.process import Minutes

FOLDER = Path(__file__).parents[2] / "notebooks"
CHARTS = {"guide": 7, "intro_flow": 7, "intro_l1_price": 7, "tour": 0}


@pytest.fixture(scope="module")
def refresh() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(notebook: nbformat.NotebookNode) -> list[bytes]:
    return [
        base64.b64decode(output.data["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def stored(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in stored(name).cells if cell.cell_type == "code"]


def test_notebooks_when_listed_then_are_those_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(CHARTS)


@pytest.mark.parametrize("name", CHARTS)
def test_notebook_when_run_from_a_clean_kernel_then_ends_well(
    refresh: ModuleType, demo_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "guide":
        monkeypatch.setenv("WAREHOUSE_HOME", str(demo_home))
        build_without_audits(*(cell.source for cell in code(name)[:2]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the kernel's client warns of is not ours
        fresh = refresh.run_notebook(FOLDER / f"{name}.ipynb", demo_home)
    drawn = pictures(fresh)
    assert len(drawn) == CHARTS[name]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn)
    if name == "guide":
        assert_mart_shows_the_episodes(demo_home.parent / "guide")


def build_without_audits(imports: str, cell: str) -> None:
    """Run the cell of a notebook that builds a home, half of whose time is the audit."""

    def run(line: list[object], **_: object) -> None:
        assert line[:3] == [sys.executable, "-m", "warehouse"]
        done = run_warehouse(*line[3:], cwd=FOLDER, audits=False)
        assert done.exit_code == 0, done.stderr

    names: dict[str, Any] = {}
    plain = r"^(?:(?:import|from) (?!matplotlib)|[A-Z, ]+ = ).*"  # no magic, nothing of charts
    exec("\n".join(re.findall(plain, imports, re.MULTILINE)), names)
    exec(cell, {**names, "subprocess": SimpleNamespace(run=run)})


def assert_mart_shows_the_episodes(home: Path) -> None:
    """The guide's statements about February match the simulator's episodes and the mart."""
    minutes = Minutes(Instrument(7, "binance-futures", BTC, has_episodes=True), date(2026, 2, 1))
    assert minutes.episodes is not None
    began = np.datetime64("2026-02-01T00:00") + np.arange(minutes.count)
    hollow, jumps = minutes.episodes.beneath < 1, minutes.episodes.jump_end > 0
    on_18th, on_21st = (
        (began >= np.datetime64(f"2026-02-{day}")) & (began < np.datetime64(f"2026-02-{day + 1}"))
        for day in (18, 21)
    )
    assert str(began[on_18th & hollow][0]) == "2026-02-18T16:18"
    assert str(began[on_18th & hollow][-1]) == "2026-02-18T18:29"
    assert str(began[on_21st & jumps][0]) == "2026-02-21T14:24"
    assert str(began[minutes.episodes.heat > 0][0]) == "2026-02-16T23:35"
    with warehouse.open(home) as wh:
        state = wh.sql(
            "select * from market_state where clock = 'true' and time >= '2026-02-01' order by time"
        ).df()
    state = state.set_index("time")
    hours = state["2026-02-18 16:20":"2026-02-18 18:20"], state["2026-02-18 19:00":"2026-02-18"]
    assert hours[0]["top_share_25"].min() > 0.4 > hours[1]["top_share_25"].mean()
    assert hours[0]["top_share_rank_7d"].mean() > 0.9
    assert state["2026-02-18":"2026-02-19"]["realized_vol_rank_30d"].min() > 0.9
    assert state["2026-02-14":"2026-02-16 23:00"]["realized_vol_rank_30d"].max() < 0.5
    spell, before = (
        state["2026-02-21 14:30":"2026-02-21 18:15"],
        state["2026-02-21":"2026-02-21 14:00"],
    )
    assert spell["mean_spread_bps"].median() > 2 * before["mean_spread_bps"].median()
    assert spell["spread_bps"].median() == pytest.approx(before["spread_bps"].median(), rel=0.01)
    assert state["spread_instability_1d"]["2026-02-21 20:00"] > 3
    assert before["spread_instability_1d"].max() < 1


@pytest.mark.parametrize("name", CHARTS)
def test_notebook_when_stored_then_holds_its_output_and_nothing_of_a_machine(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    text, cells = path.read_text("utf-8"), code(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert len(pictures(stored(name))) == CHARTS[name]
    assert len(text) < 1_500_000
    assert not re.search(r"/(home|root|tmp|Users|work|opt)/", text)
    assert '"output_type": "error"' not in text


def test_notebooks_when_read_then_their_charts_are_named_queries() -> None:
    known = {query.name for query in list_queries(Path("nowhere"))}
    asked: set[str] = set()
    for name in ("guide", "intro_flow", "intro_l1_price"):
        charts = [cell.source for cell in code(name) if "plt.show()" in cell.source]
        names = [re.findall(r'wh\.query\("(\w+)"', source) for source in charts]
        assert [len(found) for found in names] == [1] * 7
        asked |= {found[0] for found in names}
    assert len(asked) == 21
    assert asked <= known
