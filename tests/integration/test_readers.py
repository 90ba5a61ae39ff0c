"""Builds do not disturb readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

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


def test_catalog_when_opened_by_plain_duckdb_then_can_be_queried_from_anywhere(
    demo_home: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(demo_home / "warehouse.duckdb", read_only=True) as connection:
        rows = connection.sql("select count(*) from flow_features").fetchall()
        meanings = connection.sql("select count(meaning) from help()").fetchall()
    assert rows == [(112_944,)]
    assert meanings[0][0] > 30


def test_catalog_when_attached_by_another_name_then_help_and_table_macros_answer(
    demo_home: Path,
) -> None:
    marts = "'w.flow_features', '5m', 'w.l1_features', '1h', interval '2 hours'"
    since = "timestamp '2026-02-01'"
    with duckdb.connect() as connection:
        connection.execute(f"attach '{demo_home}/warehouse.duckdb' as w (read_only)")
        beside = connection.sql('select "schema", name, meaning from w.help()').fetchall()
        paired = connection.sql(f"select count(*) from w.as_of({marts})").fetchall()
        flow = f"w.flow_from({since}, flow := 'w.flow_features')"
        summed = connection.sql(f"select count(*) from {flow}").fetchall()
        connection.execute("use w")
        inside = connection.sql("from help()").fetchall()
        short = marts.replace("w.", "")
        assert connection.sql(f"select count(*) from as_of({short})").fetchall() == paired
        assert connection.sql(f"select count(*) from flow_from({since})").fetchall() == summed
    assert beside == [(f"w.{schema}", name, meaning) for schema, name, meaning in inside]
    assert {name for schema, name, _ in inside if schema == "main"} >= {"flow_features", "as_of()"}
    assert paired == [(104_256,)]
    assert summed == [(17_472,)]


def test_session_when_it_reads_the_copy_then_its_tables_are_in_no_list(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh:
        listed = wh.sql("select distinct table_catalog from information_schema.tables").fetchall()
        marts = "select count(*) from information_schema.tables where table_name like '%\\_copy'"
        assert wh.sql(f"{marts} escape '\\'").fetchall() == [(0,)]
        assert wh.sql("explain from flow_features").pl().height > 0
    assert listed == [("warehouse",)]


def test_home_when_copied_elsewhere_then_its_catalog_can_still_be_queried(
    demo_home: Path, tmp_path: Path
) -> None:
    with warehouse.open(copy_home(demo_home, tmp_path / "copy")) as wh:
        assert wh.sql("select count(*) from vendor.flow").fetchall() == [(112_944,)]


def test_catalog_when_opened_in_the_older_shell_then_can_be_queried_and_has_comments(
    demo_home: Path,
) -> None:
    shell = Path(sys.executable).parent / "duckdb"
    if not shell.is_file():
        pytest.skip("no duckdb-cli is installed")
    path = demo_home / "warehouse.duckdb"

    def ask(text: str) -> list[dict[str, Any]]:
        finished = subprocess.run(
            [shell, "-readonly", "-json", path, text],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: list[dict[str, Any]] = json.loads(finished.stdout)
        return found

    version = ask("select version() as v")[0]["v"]
    if version == f"v{duckdb.__version__}":
        pytest.skip("the shell here is of the library's own version: another is the point")
    assert ask("select count(*) as rows, min(time)::text as first from vendor.flow") == [
        {"rows": 112_944, "first": "2025-09-01 00:00:00"}
    ]
    (comment,) = ask(
        "select comment from duckdb_columns()"
        " where table_name = 'flow' and column_name = 'volume_delta'"
    )
    assert comment["comment"].endswith("[base]")
    assert {row["name"] for row in ask("from help()")} >= {"flow", "coverage"}
