"""Kept generations always return the same results; prune removes only what none needs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

import warehouse
from tests.robustness.support import (
    FILES,
    MONTHS,
    ROUND_SQL,
    ROWS,
    answer,
    damage,
    faults,
    keep_aside,
    put_back,
    quick_build,
    sync_round,
)
from tests.support import copy_home, run_warehouse
from warehouse.config import Settings
from warehouse.errors import DamagedError, NotFoundError, UsageError
from warehouse.generations.history import find_generation, list_generations
from warehouse.generations.publish import (
    Publication,
    generations,
    next_generation,
    publications,
    rollback,
    write_publications,
)
from warehouse.home import Home, generation_path
from warehouse.upkeep.prune import drop_snapshot, plan_prune, prune_home, take_snapshot
from warehouse.upkeep.receipts import verify_receipt

ANSWER_ROWS = 3 * len(MONTHS) * ROWS


@pytest.fixture(scope="module")
def four_rounds(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Four generations, each of a round that restated every file."""
    folder = tmp_path_factory.mktemp("rounds")
    home = Home(folder / "home")
    for number in range(1, 5):
        sync_round(home, folder / "files", number)
        assert quick_build(home) == number
    keep_aside(home)
    return home


@pytest.fixture
def home(four_rounds: Home) -> Home:
    put_back(four_rounds)
    return four_rounds


def age(home: Home, number: int, days: int) -> None:
    """Backdate a generation's build and publication by this many days."""
    earlier = timedelta(days=days)
    notes = [
        replace(note, at=note.at - earlier) if note.generation == number else note
        for note in publications(home)
    ]
    home.publications.write_text(
        "".join(f'{{"at": "{n.at.isoformat()}", "generation": {n.generation}}}\n' for n in notes)
    )
    path = generation_path(home, number)
    path.chmod(0o644)
    with duckdb.connect(path) as connection:
        connection.execute(f"update meta.build set built_at = built_at - interval {days} day")
    path.chmod(0o444)


def test_every_kept_generation_returns_what_it_did(home: Home) -> None:
    for number in range(1, 5):
        assert answer(home, number) == (number, number, number, ANSWER_ROWS)
    assert answer(home) == answer(home, 4)


def test_prune_keeps_the_newest_with_all_that_they_read(home: Home) -> None:
    assert plan_prune(home, keep=5).generations == (), "there are four"
    plan = plan_prune(home, keep=2)
    assert plan.generations == (1, 2)
    assert len(plan.objects) == 2 * FILES
    assert generations(home) == [1, 2, 3, 4], "a plan changes nothing"
    assert prune_home(home, keep=2) == plan
    assert generations(home) == [3, 4]
    assert answer(home, 3) == (3, 3, 3, ANSWER_ROWS)
    assert answer(home) == (4, 4, 4, ANSWER_ROWS)
    assert len(list(home.objects.iterdir())) == 2 * FILES
    assert not faults(home)
    assert prune_home(home, keep=2).files == ()


def test_prune_never_removes_the_current_generation_whatever_it_is(home: Home) -> None:
    rollback(home, 2)
    assert prune_home(home, keep=0).generations == (1, 3, 4)
    assert answer(home) == (2, 2, 2, ANSWER_ROWS)
    # the lake's own files stay too: round 4 is what it holds
    assert len(list(home.objects.iterdir())) == 2 * FILES
    assert not damage(home)


def test_no_number_is_ever_given_twice(home: Home) -> None:
    rollback(home, 2)
    prune_home(home, keep=0)
    assert next_generation(home) == 5
    assert quick_build(home) == 5
    prune_home(home, keep=0)
    assert generations(home) == [5]
    assert next_generation(home) == 6


def test_a_snapshot_keeps_its_files_until_it_is_given_up(home: Home) -> None:
    rollback(home, 1)
    assert take_snapshot(home, "paper-v1") == 1
    rollback(home, 4)
    prune_home(home, keep=0)
    assert generations(home) == [1, 4]
    assert find_generation(home, snapshot="paper-v1") == 1
    assert answer(home, 1) == (1, 1, 1, ANSWER_ROWS)
    assert not faults(home)
    assert drop_snapshot(home, "paper-v1") == 1
    assert prune_home(home, keep=0).generations == (1,)
    with pytest.raises(NotFoundError, match="no snapshot 'paper-v1'"):
        find_generation(home, snapshot="paper-v1")
    with pytest.raises(NotFoundError, match="no snapshot"):
        drop_snapshot(home, "paper-v1")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "x" * 65, "a\0b", "ä", "a b"])
def test_a_snapshots_name_cannot_leave_its_folder(home: Home, name: str) -> None:
    with pytest.raises(UsageError, match="not a valid name for a snapshot"):
        take_snapshot(home, name)


def test_a_snapshots_name_is_given_once(home: Home) -> None:
    take_snapshot(home, "v1")
    with pytest.raises(UsageError, match="already exists, of generation 4"):
        take_snapshot(home, "v1")


# -- time travel ---------------------------------------------------------------------------------


@pytest.fixture
def aged(home: Home) -> tuple[Home, datetime]:
    """Generations of 30, 20 and 10 days ago and of today; and what is now, naive UTC."""
    for number, days in ((1, 30), (2, 20), (3, 10)):
        age(home, number, days)
    return home, datetime.now(UTC).replace(tzinfo=None)


def of(home: Home, **which: object) -> int:
    with warehouse.open(home.root, **which) as opened:
        assert opened.sql(ROUND_SQL).fetchall()[0][0] == opened.generation
        return opened.generation


def test_as_of_is_what_was_published_last_then(aged: tuple[Home, datetime]) -> None:
    home, now = aged
    assert of(home, as_of=now + timedelta(seconds=5)) == 4
    assert of(home, as_of=now - timedelta(days=9)) == 3
    assert of(home, as_of=now - timedelta(days=15)) == 2
    eastern = datetime.fromisoformat("2026-01-01T00:00:00-05:00").tzinfo
    long_ago = (now - timedelta(days=25)).replace(tzinfo=UTC)
    assert of(home, as_of=long_ago.astimezone(eastern)) == 1
    assert of(home, as_of=long_ago.isoformat()) == of(home, as_of=long_ago.date()) == 1
    assert of(home, as_of=pd.Timestamp(long_ago)) == of(home, as_of=np.datetime64(now)) - 3
    published = publications(home)[1].at
    assert of(home, as_of=published) == 2, "the moment itself is included"
    assert of(home, as_of=published - timedelta(microseconds=1)) == 1
    with pytest.raises(NotFoundError, match="nothing was published") as caught:
        of(home, as_of=now - timedelta(days=31))
    assert f"1 of {publications(home)[0].at:%F %T} UTC, 2 of" in str(caught.value)


def test_as_of_after_a_rollback_is_what_was_rolled_back_to(aged: tuple[Home, datetime]) -> None:
    home, now = aged
    rollback(home, 2)
    assert of(home) == of(home, as_of=datetime.now(UTC)) == 2
    assert of(home, as_of=now) == 4
    assert [g.number for g in list_generations(home) if g.published_at > now] == [2]


def test_as_of_a_pruned_generation_gives_no_other_in_its_place(
    aged: tuple[Home, datetime],
) -> None:
    home, now = aged
    rollback(home, 1)
    take_snapshot(home, "paper-v1")
    rollback(home, 4)
    prune_home(home, keep=2)
    assert generations(home) == [1, 3, 4]
    assert of(home, as_of=now - timedelta(days=9)) == 3
    with pytest.raises(NotFoundError, match=r"was generation 2, .* no longer kept") as caught:
        of(home, as_of=now - timedelta(days=15))
    assert "1 (paper-v1) of" in str(caught.value)


def test_as_of_when_the_clock_was_set_back_then_follows_the_sequence(
    aged: tuple[Home, datetime],
) -> None:
    """Generation 2 was published while the clock was days ahead; 3 and 4 after it was set right."""
    home, now = aged
    days = {1: 9, 2: -3, 3: 5, 4: 4}
    entries = [Publication(now - timedelta(days=ago), number) for number, ago in days.items()]
    write_publications(home.publications, entries)
    asked = {ago: of(home, as_of=now - timedelta(days=ago)) for ago in (8, 4.5, 3, 0, -2, -4)}
    assert asked == {8: 1, 4.5: 3, 3: 4, 0: 4, -2: 4, -4: 4}
    text = (now + timedelta(days=4)).isoformat()
    done = run_warehouse(
        "sql", ROUND_SQL, "--as-of", text, "--format", "csv", "--home", home.root, cwd=home.root
    )
    assert done.stdout.splitlines()[1].startswith("4,"), done.stderr


def test_as_of_where_nothing_was_noted_goes_by_the_time_of_building(
    aged: tuple[Home, datetime],
) -> None:
    """As in a home of an earlier version, or where a line was torn."""
    home, now = aged
    home.publications.unlink()
    assert of(home, as_of=now - timedelta(days=15)) == 2
    assert of(home, as_of=now) == 4
    home.publications.write_text('{"at": "2026-01')
    rollback(home, 3)
    assert [note.generation for note in publications(home)] == [3]
    assert of(home, as_of=datetime.now(UTC)) == 3
    assert of(home, as_of=now) == 4


def test_a_home_copied_by_hard_links_has_a_past_of_its_own(home: Home, tmp_path: Path) -> None:
    copied = Home(copy_home(home.root, tmp_path / "copy"))
    rollback(copied, 2)
    assert of(home, as_of=datetime.now(UTC)) == 4
    assert len(publications(copied)) == len(publications(home)) + 1


def test_one_of_the_past_stays_when_refreshed(home: Home) -> None:
    with warehouse.open(home.root, snapshot=None, generation=2) as opened:
        opened.refresh()
        assert opened.generation == 2
    rollback(home, 3)
    take_snapshot(home, "v3")
    assert of(home, snapshot="v3") == 3
    with pytest.raises(NotFoundError, match="no snapshot 'v4'") as caught:
        of(home, snapshot="v4")
    assert "snapshots: v3" in str(caught.value)
    with pytest.raises(NotFoundError, match="no generation 9 is kept") as caught:
        of(home, generation=9)
    assert "kept generations: 1 of" in str(caught.value)


@pytest.mark.parametrize(
    "which",
    [
        {"generation": 1, "as_of": "2026-01-01"},
        {"snapshot": "v1", "as_of": date(2026, 1, 1)},
        {"as_of": "yesterday"},
        {"as_of": 2026},
        {"as_of": pd.NaT},
    ],
)
def test_what_is_no_one_generation_is_refused(home: Home, which: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        warehouse.open(home.root, **which)


def test_the_commands_go_back_too(aged: tuple[Home, datetime]) -> None:
    home, now = aged

    def run(*arguments: object, code: int = 0) -> str:
        done = run_warehouse(*arguments, "--home", home.root, cwd=home.root)
        assert done.exit_code == code, done.stderr
        return done.stdout or done.stderr

    asked = json.loads(run("sql", ROUND_SQL, "--json", "--generation", 2))
    assert list(asked[0].values()) == list(answer(home, 2))
    early = (now - timedelta(days=25)).isoformat(timespec="seconds")
    text = "from meta.build select generation"
    assert json.loads(run("sql", text, "--json", "--as-of", early)) == [{"generation": 1}]
    assert "flow_features" in run("describe", "--generation", 1)
    assert "BTC" in run("symbols", "--as-of", early)
    assert "no snapshot 'x'" in run("sql", "select 1", "--snapshot", "x", code=2)
    assert "more than one" in run("symbols", "--snapshot", "x", "--generation", 1, code=2)
    listed = json.loads(run("snapshot", "--json"))
    assert [one["published_at"] for one in listed] == [str(n.at) for n in publications(home)]


def test_a_receipt_shows_whether_its_result_can_still_be_computed(home: Home) -> None:
    with warehouse.open(home.root, generation=2) as opened:
        path = opened.sql("from flow_features order by time").receipt.save(home.root / "r.json")

    def verified() -> str:
        done = run_warehouse("verify", path, "--home", home.root, cwd=home.root)
        assert done.exit_code == 1, done.stderr
        return done.stdout

    assert "other inputs, another result\n  restated: flow" in verified()
    assert "generation 2 still has it: warehouse sql --generation 2" in verified()
    prune_home(home, keep=1)
    said = verified()
    assert "its own generation is not kept" in said
    assert said.count("no longer in this home: flow") == len(MONTHS)


def test_a_receipt_of_a_snapshot_outlives_a_prune(home: Home) -> None:
    rollback(home, 2)
    take_snapshot(home, "paper-v1")
    with warehouse.open(home.root) as opened:
        receipt = opened.sql("from flow_features order by time").receipt
    rollback(home, 4)
    prune_home(home, keep=0)
    assert verify_receipt(Settings(home.root), receipt).kept == 2


# -- age and use ---------------------------------------------------------------------------------


def test_what_somebody_has_open_stays(home: Home) -> None:
    """A notebook on an old generation keeps working, through the API and through plain DuckDB."""
    text = "select min(taker_buy_volume)::int from vendor.flow"
    readers = [
        f"import warehouse; w = warehouse.open({str(home.root)!r}, generation=1)",
        f"import duckdb; w = duckdb.connect({str(generation_path(home, 2))!r}, read_only=True)",
    ]
    wait = f"print('open', flush=True); input(); print(w.sql({text!r}).fetchall())"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"{code}; {wait}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for code in readers
    ]
    try:
        for process in processes:
            assert process.stdout is not None and process.stdout.readline() == "open\n"
        plan = prune_home(home, keep=0)
        assert (plan.generations, plan.in_use) == ((3,), (1, 2))
        done = run_warehouse("prune", "--keep", 0, "--home", home.root, cwd=home.root)
        assert "generation 1 stays, because a session has it open" in done.stderr
        for number, process in enumerate(processes, 1):
            said, _ = process.communicate("\n")
            assert said == f"[({number},)]\n"
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert prune_home(home, keep=0).generations == (1, 2)


def test_prune_when_a_generation_cannot_be_read_then_removes_nothing(home: Home) -> None:
    path = generation_path(home, 2)
    path.chmod(0o644)
    path.write_bytes(b"torn" * 1000)
    before = sorted(home.root.rglob("*"))
    with pytest.raises(DamagedError, match="cannot be read as a catalog"):
        prune_home(home, keep=0)
    assert sorted(home.root.rglob("*")) == before


def test_prune_when_a_killed_one_left_a_folder_then_goes_on(home: Home) -> None:
    generation_path(home, 1).unlink()
    assert generations(home) == [2, 3, 4]
    assert [g.number for g in list_generations(home)] == [2, 3, 4]
    assert not faults(home)
    prune_home(home, keep=2)
    assert sorted(path.name for path in home.generations.iterdir()) == ["3", "4", "published.jsonl"]


def test_prune_takes_objects_that_a_killed_sync_left(home: Home) -> None:
    stray = home.objects / f"{'a' * 64}.parquet"
    stray.write_bytes(b"x")
    assert prune_home(home, keep=9).files == (stray,)
    assert not stray.exists()


def test_rollback_when_the_current_catalog_is_damaged_then_works(home: Home) -> None:
    path = generation_path(home, 4)
    path.chmod(0o644)
    path.write_bytes(b"torn" * 1000)
    assert rollback(home) == 3
    assert answer(home) == (3, 3, 3, ANSWER_ROWS)


def test_rollback_when_the_wanted_one_is_damaged_then_the_current_stays(home: Home) -> None:
    path = generation_path(home, 2)
    path.chmod(0o644)
    path.write_bytes(b"torn" * 1000)
    with pytest.raises(DamagedError):
        rollback(home, 2)
    assert answer(home) == (4, 4, 4, ANSWER_ROWS)


def test_the_command_line_names_lists_drops_and_prunes(home: Home) -> None:
    def run(*arguments: object) -> str:
        done = run_warehouse(*arguments, "--home", home.root, cwd=home.root)
        assert done.exit_code == 0, done.stderr
        return done.stdout + done.stderr

    assert "generation 4 is now the snapshot paper-v1" in run("snapshot", "paper-v1")
    assert "paper-v1" in run("snapshot")
    would = run("prune", "--keep", 1)
    assert "would remove generations: 1, 2, 3" in would and "--yes" in would
    assert "removed generations: 1, 2, 3" in run("prune", "--keep", 1, "--yes")
    assert "no longer the snapshot" in run("snapshot", "paper-v1", "--drop")
    refused = run_warehouse("snapshot", "--drop", "--home", home.root, cwd=home.root)
    assert refused.exit_code == 2
