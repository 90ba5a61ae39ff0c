"""Who reads is not disturbed by who builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

import warehouse
from tests.support import copy_home


def test_readers_when_a_build_publishes_then_keep_what_they_opened(story: dict[str, Any]) -> None:
    readers = story["readers"]
    assert readers["after"] == readers["before"]
    assert readers["before"][0] == readers["before"][1]
    assert readers["before"][0][0][1].startswith("2025-10-31")
    assert readers["generation"] == 1


def test_readers_when_they_come_again_and_again_then_never_meet_an_error(
    story: dict[str, Any],
) -> None:
    assert story["readers"]["errors"] == []
    assert story["readers"]["seen"] == [1, 2]


def test_generations_when_newer_ones_are_there_then_old_ones_still_answer(
    story: dict[str, Any],
) -> None:
    lasts = {}
    for generation in (1, 2):
        with warehouse.open(story["home"], generation=generation) as wh:
            ((last,),) = wh.sql("select max(time)::varchar from flow_features").fetchall()
            lasts[generation] = last[:10]
    assert lasts == {1: "2025-10-31", 2: "2025-11-04"}


def test_catalog_when_opened_by_plain_duckdb_then_answers_from_anywhere(
    demo_home: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(demo_home / "warehouse.duckdb", read_only=True) as connection:
        rows = connection.sql("select count(*) from flow_features").fetchall()
        meanings = connection.sql("select count(meaning) from help()").fetchall()
    assert rows == [(112_944,)]
    assert meanings[0][0] > 30


def test_home_when_copied_elsewhere_then_its_catalog_still_answers(
    demo_home: Path, tmp_path: Path
) -> None:
    with warehouse.open(copy_home(demo_home, tmp_path / "copy")) as wh:
        assert wh.sql("select count(*) from vendor.flow").fetchall() == [(112_944,)]
