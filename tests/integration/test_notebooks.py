"""The notebooks run from a clean kernel on the demo market, and hold their pictures."""

from __future__ import annotations

import base64
import importlib.util
import re
import warnings
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from warehouse.query.named_queries import list_queries

FOLDER = Path(__file__).parents[2] / "notebooks"
CHARTS = {"intro_flow": 7, "intro_l1_price": 7, "tour": 0}


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


def test_notebooks_when_listed_then_are_those_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(CHARTS)


@pytest.mark.parametrize("name", CHARTS)
def test_notebook_when_run_from_a_clean_kernel_then_ends_well(
    refresh: ModuleType, demo_home: Path, name: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the kernel's client warns of is not ours
        fresh = refresh.run_notebook(FOLDER / f"{name}.ipynb", demo_home)
    drawn = pictures(fresh)
    assert len(drawn) == CHARTS[name]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn)


@pytest.mark.parametrize("name", CHARTS)
def test_notebook_when_stored_then_holds_its_output_and_nothing_of_a_machine(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    text, notebook = path.read_text("utf-8"), stored(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(pictures(notebook)) == CHARTS[name]
    assert len(text) < 1_500_000
    assert not re.search(r"/(home|root|tmp|Users|work|opt)/", text)
    assert '"output_type": "error"' not in text


def test_intro_notebooks_when_read_then_their_charts_are_named_queries() -> None:
    known = {query.name for query in list_queries(Path("nowhere"))}
    asked: set[str] = set()
    for name in ("intro_flow", "intro_l1_price"):
        cells = [cell for cell in stored(name).cells if cell.cell_type == "code"]
        charts = [cell.source for cell in cells if "plt.show()" in cell.source]
        names = [re.findall(r'wh\.query\("(\w+)"', source) for source in charts]
        assert [len(found) for found in names] == [1] * 7
        asked |= {found[0] for found in names}
    assert len(asked) == 14
    assert asked <= known
