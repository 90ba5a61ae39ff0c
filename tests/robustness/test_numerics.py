"""``warehouse verify --numerics`` passes with the real models, and detects wrong ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.oracle.project import loosened_models
from tests.support import run_warehouse
from warehouse.config import Settings
from warehouse.errors import NotFoundError
from warehouse.upkeep.numerics import compare_numerics

TARGET = Path(".build", "dbt", "target", "manifest.json")


@pytest.fixture
def home(demo_home: Path, tmp_path: Path) -> Path:
    """A home with only the models of a build."""
    target = tmp_path / "home" / TARGET
    target.parent.mkdir(parents=True)
    shutil.copyfile(demo_home / TARGET, target)
    return tmp_path / "home"


def test_numerics_of_this_duckdb_agree(home: Path) -> None:
    found = compare_numerics(Settings(home))
    assert len(found) == 13
    assert [one for one in found if not one.agrees] == []
    assert all(one.values > 350 and one.nulls >= 2 for one in found)


@pytest.mark.parametrize(
    ("text", "other", "column"),
    [
        ("stddev_samp", "stddev_pop", "realized_vol_1d_bps"),
        ("/ 1e6", "/ 1.00001e6", "rolling_net_delta_1d"),
        ("sum(net_delta)", "1.00001 * sum(net_delta)", "cumulative_delta"),
        ("rank(order by", "percent_rank(order by", "toxicity_rank_7d"),
        ("desc nulls last", "nulls last", "rank_funding"),
    ],
)
def test_numerics_when_a_model_computes_otherwise_then_it_is_named(
    home: Path, text: str, other: str, column: str
) -> None:
    manifest = home / TARGET
    content = manifest.read_text("utf-8")
    assert text in content, "the models changed: choose another text"
    manifest.write_text(content.replace(text, other), "utf-8")
    wrong = [one.column for one in compare_numerics(Settings(home)) if not one.agrees]
    assert column in wrong


def test_numerics_when_the_window_rule_is_loosened_then_agree_by_that_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "home" / TARGET
    target.parent.mkdir(parents=True)
    project = tmp_path / "project"
    shutil.copyfile(loosened_models(project) / "manifest.json", target)
    monkeypatch.setattr("warehouse.upkeep.numerics.dbt_project_dir", lambda: project)
    found = compare_numerics(Settings(tmp_path / "home"))
    assert [one for one in found if not one.agrees] == []
    (sums,) = (one for one in found if one.column == "rolling_net_delta_1d")
    assert sums.nulls == 5, "the first five bars are less than a quarter of a day"


def test_numerics_when_nothing_was_built_then_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no models of a build") as caught:
        compare_numerics(Settings(tmp_path))
    assert "warehouse build" in str(caught.value)


def test_the_command_prints_each_measure_and_its_error(demo_home: Path, tmp_path: Path) -> None:
    done = run_warehouse("verify", "--numerics", "--home", demo_home, cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "realized_vol_1d_bps" in done.stdout
    assert "all 13 measures agree" in done.stderr
    machine = run_warehouse("verify", "--numerics", "--json", "--home", demo_home, cwd=tmp_path)
    assert all(one["agrees"] for one in json.loads(machine.stdout))
