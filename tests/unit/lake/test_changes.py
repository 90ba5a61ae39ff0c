"""Tokens of the manifest: every writer gives the months that it changes new ones, and no others.

A build compares tokens instead of rows, so a writer that left one as it was would hide its change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import date
from pathlib import Path

import pytest

from tests.support import bar_table, file_key, grid, write_file
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.lake.manifest.records import FileFacts, Restatement
from warehouse.sync.from_folder import sync_folder

FACTS = FileFacts(1, 0, 0, ((0, 1),), (("time", "TIMESTAMP"),), (), (), 0, True, True)
SEPTEMBER, OCTOBER = file_key("flow", "2025-09"), file_key("flow", "2025-10")
OTHER = file_key("ohlcv", "2025-09")


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest(tmp_path / "manifest.sqlite", create=True) as opened:
        for number, key in enumerate((SEPTEMBER, OCTOBER, OTHER)):
            record(opened, key, f"object {number}")
        opened.record_refusal(OTHER, object="bad", size_bytes=1, reason="bad", origin="here")
        yield opened


def record(manifest: Manifest, key: object, sha256: str) -> None:
    manifest.record_file(
        key,
        object=sha256,
        size_bytes=1,
        facts=FACTS,
        origin="here",
        stamp="1",  # type: ignore[arg-type]
    )


def changed(manifest: Manifest, act: Callable[[], object]) -> set[tuple[str, ...]]:
    """The months and tables whose tokens a change makes new, adds or removes."""
    before = set(manifest.tokens())
    act()
    return {place for *place_, _ in before ^ set(manifest.tokens()) for place in [tuple(place_)]}


FLOW_SEPTEMBER = ("flow", "2025-09")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda m: record(m, SEPTEMBER, "restated"), {FLOW_SEPTEMBER}),
        (lambda m: record(m, file_key("flow", "2025-09-07"), "a day"), {FLOW_SEPTEMBER}),
        (lambda m: record(m, file_key("basis", "2025-09"), "x"), {("basis", "2025-09")}),
        (lambda m: record(m, OTHER, "good"), {("ohlcv", "2025-09"), ("quarantine",)}),
        (lambda m: m.supersede(SEPTEMBER), {FLOW_SEPTEMBER}),
        (lambda m: m.forget(m.file(SEPTEMBER)), {FLOW_SEPTEMBER}),
        (lambda m: m.correct(m.file(SEPTEMBER), facts=FACTS, size_bytes=2), {FLOW_SEPTEMBER}),
        (
            lambda m: m.record_refusal(
                SEPTEMBER, object="0", size_bytes=1, reason="bad", origin="here"
            ),
            {("quarantine",)},
        ),
        (
            lambda m: m.record_restatement(
                SEPTEMBER, kind="grown", old_object="0", new_object="1", difference={}
            ),
            {("restatements",)},
        ),
        (
            lambda m: m.restore_history(
                [Restatement(SEPTEMBER, 1, "grown", "0", "1", {}, "2025-10-01 00:00:00")], []
            ),
            {("restatements",)},
        ),
        (lambda m: m.record_audit("flow", 1, []), {("audits",)}),
        (lambda m: m.record_audit("flow", 1, [1]), {("audits",)}),
        (lambda m: m.record_stamp(m.file(SEPTEMBER), origin="there", stamp="2"), set()),
        (lambda m: m.record_settled("flow", SEPTEMBER.series, [(0, 1)]), set()),
        (lambda m: m.end_run(m.start_run("sync")[0], "nothing"), set()),
        (lambda m: m.forget_superseded(["object 0"]), set()),
    ],
)
def test_tokens_when_anything_is_written_then_those_of_its_months_are_new_and_no_others(
    manifest: Manifest, write: Callable[[Manifest], object], expected: set[tuple[str, ...]]
) -> None:
    assert changed(manifest, lambda: write(manifest)) == expected


def test_tokens_when_rows_are_edited_by_hand_or_rolled_back_then_change(
    manifest: Manifest,
) -> None:
    def by_hand(statement: str) -> None:
        with closing(sqlite3.connect(manifest.path)) as connection, connection:
            connection.execute(statement)

    def fail() -> None:
        with suppress(ZeroDivisionError), manifest.transaction():
            manifest.supersede(SEPTEMBER)
            raise ZeroDivisionError

    assert changed(manifest, fail) == set()
    assert changed(
        manifest, lambda: by_hand("update files set object = 'x' where file_id = 1")
    ) == {FLOW_SEPTEMBER}
    moved = changed(
        manifest, lambda: by_hand("update files set period = '2025-11' where file_id = 1")
    )
    assert moved == {FLOW_SEPTEMBER, ("flow", "2025-11")}
    renamed = changed(manifest, lambda: by_hand("update series set symbol = 'spot-A-B:B'"))
    assert len(renamed) == 3


def test_tokens_when_a_manifest_went_two_ways_then_never_meet_again(
    manifest: Manifest, tmp_path: Path
) -> None:
    other_path = tmp_path / "restored" / "manifest.sqlite"
    other_path.parent.mkdir()
    other_path.write_bytes(manifest.path.read_bytes())
    with Manifest(other_path) as other:
        assert other.tokens() == manifest.tokens()
        record(manifest, SEPTEMBER, "one")
        record(other, SEPTEMBER, "other")
        assert set(other.tokens()) != set(manifest.tokens())


def test_sync_when_nothing_is_new_then_looks_at_no_link_and_parses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    for month in ("2025-09", "2025-10"):
        table = bar_table("flow", grid(date.fromisoformat(f"{month}-01"), 5))
        write_file(files, file_key("flow", month), table)
    sync_folder(home, files)
    sync_folder(home, files)
    for name in ("files", "file", "files_of", "current_objects"):
        monkeypatch.setattr(Manifest, name, lambda *_: pytest.fail("rows were read"))
    monkeypatch.setattr(
        "warehouse.lake.objects.shows", lambda *_: pytest.fail("a link was looked at")
    )
    assert len(sync_folder(home, files).unchanged) == 2
