"""The results of builds: the same marts by every way, or nothing new; and rollback."""

from __future__ import annotations

import json
import re
import shlex
import stat
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import warehouse
from warehouse.build.dbt_process import forget_other_projects
from warehouse.project.compiled import SHIPPED, write_compiled

Story = dict[str, Any]


def test_sync_when_files_are_whole_then_all_are_in(story: Story) -> None:
    assert story["sync"]["exit_code"] == 0, story["sync"]["stderr"]
    assert "7 files imported" in story["sync"]["stderr"]
    assert story["sync"]["stdout"] == ""


def test_by_hand_when_the_three_steps_are_taken_then_each_ends_well(story: Story) -> None:
    assert story["no-dbt"]["exit_code"] == 0, story["no-dbt"]["stderr"]
    exported = f"export WAREHOUSE_HOME={shlex.quote(str(story['home']))}; dbt build"
    assert exported in story["no-dbt"]["stderr"]
    assert story["dbt"]["exit_code"] == 0, story["dbt"]["stdout"][-3000:]
    assert story["publish"]["exit_code"] == 0, story["publish"]["stderr"]
    published = story["home"] / "generations" / "1" / "warehouse.duckdb"
    assert f"published generation 1: {published}" in story["publish"]["stderr"]
    assert story["publish"]["stdout"] == ""
    assert stat.S_IMODE(published.stat().st_mode) == 0o444


def test_build_when_dbt_built_the_same_by_hand_then_the_catalogs_are_equal(story: Story) -> None:
    assert story["by product"]["exit_code"] == 0, story["by product"]["stderr"]
    assert (story["by dbt only"], story["by product only"]) == ([], [])


def test_shipped_sql_is_what_dbt_compiles(story: Story, tmp_path: Path) -> None:
    write_compiled(story["folder"] / "dbt" / "target after compile", tmp_path / "compiled.json")
    compiled = json.loads((tmp_path / "compiled.json").read_bytes())
    assert compiled == json.loads(SHIPPED.read_bytes()), "run: make compiled"


def test_publish_when_dbt_last_only_read_the_models_then_takes_what_was_built(story: Story) -> None:
    left = (story["folder"] / "dbt" / "target" / "manifest.json").read_text("utf-8")
    assert '"compiled_code": "' not in left
    assert story["publish"]["exit_code"] == 0, story["publish"]["stderr"]


def test_publish_when_the_home_has_models_then_builds_them_on_what_dbt_built(story: Story) -> None:
    text = (
        'select count(*), bool_and(twice = 2 * net_delta) from "user".mine'
        " join flow_features using (series_id, time) where net_delta is not null"
    )
    with warehouse.open(story["home"], generation=1) as wh:
        ((rows, all_twice),) = wh.sql(text).fetchall()
    assert rows > 1400
    assert all_twice
    with warehouse.open(story["home"], generation=2) as wh:
        assert wh.sql("""from help() where "schema" = 'user'""").fetchall() == []


def test_publish_when_dbt_has_not_run_then_refuses_with_the_next_step(story: Story) -> None:
    early = story["publish too early"]
    assert early["exit_code"] in (2, 4)
    assert "dbt" in early["stderr"] and "next: run" in early["stderr"]


def test_update_when_new_values_break_a_test_then_publishes_and_exits_with_one(
    story: Story,
) -> None:
    update = story["update"]
    assert update["exit_code"] == 1, update["stderr"]
    assert "3 files imported" in update["stderr"]
    assert "published generation 2" in update["stderr"]
    assert re.search(r"^warning: test \w*flow_features\w*", update["stderr"], re.MULTILINE)
    assert "large_trade_share" in update["stderr"]


def test_status_when_a_build_warned_then_lists_the_warning(story: Story) -> None:
    assert story["status"]["exit_code"] == 0
    assert "warnings of the last build" in story["status"]["stdout"]
    assert "large_trade_share" in story["status"]["stdout"]
    assert "10 files" in story["status"]["stdout"]


def test_build_when_nothing_changed_then_does_nothing_and_reports_it(story: Story) -> None:
    assert story["build again"]["exit_code"] == 0
    assert "up to date" in story["build again"]["stderr"]


def test_build_when_nothing_changed_but_the_last_build_warned_then_counts_its_warnings(
    story: Story,
) -> None:
    assert re.search(
        r"; that build had \d+ warnings?; see: warehouse .*status", story["build again"]["stderr"]
    )


@pytest.mark.parametrize(
    ("mart", "until"),
    [
        ("flow_features", "2025-11-01"),
        ("l1_features", "2025-11-01"),
        ("forward_returns", "2025-10-31"),
    ],
)
def test_marts_when_built_by_either_way_then_are_the_same(
    story: Story, mart: str, until: str
) -> None:
    """Generation 1 was built by hand, 2 by ``update``, with later bars that no feature may see.

    One computes its windows in one pass, the other month by month, so the last bits may differ.
    """
    frames = []
    for generation in (1, 2):
        with warehouse.open(story["home"], generation=generation) as wh:
            text = f"select * from {mart} where time < $until order by series_id, time"
            frames.append(wh.sql(text, until=date.fromisoformat(until)).df())
    assert len(frames[0]) > 1400
    pd.testing.assert_frame_equal(*frames, rtol=1e-9, atol=1e-9)


def test_build_when_a_structural_test_fails_then_the_old_catalog_stays(story: Story) -> None:
    broken = story["broken"]
    assert broken["exit_code"] == 4
    assert "no_bars_at_all" in broken["stderr"]
    assert "the old catalog stays" in broken["stderr"]
    assert "next:" in broken["stderr"]
    assert "Traceback" not in broken["stderr"]
    assert story["after broken"]["stdout"].splitlines()[-1] == "2"
    assert not (story["home"] / "generations" / "3").exists()
    for name, failed in (("status", False), ("status after broken", True)):
        lines = story[name]["stdout"].splitlines()
        assert any(re.match(r"build +failed at 2.*did not pass", line) for line in lines) == failed


def test_rollback_when_asked_then_goes_back_one_or_to_the_one_named(story: Story) -> None:
    assert story["rollback"]["exit_code"] == 0
    assert "generation 1 is now the catalog" in story["rollback"]["stderr"]
    assert "2025-10-31 23:" in story["after rollback"]["stdout"]
    assert "generation 2 is now the catalog" in story["rollback to 2"]["stderr"]


def test_rollback_when_there_is_none_before_then_lists_what_is_kept(story: Story) -> None:
    far = story["rollback too far"]
    assert far["exit_code"] == 2
    assert "kept generations: 1, 2" in far["stderr"]


def test_home_when_all_is_done_then_no_step_left_scaffolding(story: Story) -> None:
    home: Path = story["home"]
    assert list(home.rglob("*.wal")) == []
    assert list(home.glob(".warehouse*")) == []
    assert not (home / ".build" / "native").exists()  # also after the build that failed
    assert [p for p in (home / "objects").iterdir() if p.suffix != ".parquet"] == []
    assert story["sync"]["objects"] == 7
    assert story["update"]["objects"] == story["rollback to 2"]["objects"] == 10


def test_build_when_stray_modules_lie_in_the_working_folder_then_they_are_not_loaded(
    story: Story,
) -> None:
    assert (story["folder"] / "dbt.py").is_file()
    said = [run["stderr"] for run in story.values() if isinstance(run, dict) and "stderr" in run]
    assert len(said) > 10
    assert not any("a stray module was loaded" in text for text in said)


def test_parse_when_the_product_has_moved_then_is_not_taken_over(tmp_path: Path) -> None:
    target, kept = tmp_path / "target", tmp_path / "target" / "partial_parse.msgpack"
    forget_other_projects(target, Path("/old/env"))
    kept.write_bytes(b"a parse")
    forget_other_projects(target, Path("/old/env"))
    assert kept.is_file(), "the same place: dbt goes on from its last parse"
    forget_other_projects(target, Path("/new/env"))
    assert not kept.exists()
