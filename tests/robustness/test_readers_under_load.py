"""Four readers query in a loop during rounds of sync, build and publish, one of them killed.

Every value of a round is its number, so a result from two generations would show two numbers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.robustness.reader import KINDS
from tests.robustness.support import (
    MONTHS,
    ROWS,
    answer,
    faults,
    quick_build,
    require_no_leftovers,
    sync_round,
    write_round,
)
from tests.support import ROOT, run_warehouse
from warehouse.generations.publish import current_generation
from warehouse.home import Home

ANSWER_ROWS = 3 * len(MONTHS) * ROWS


@pytest.mark.parametrize(
    ("rounds", "killed", "with_dbt"),
    [
        pytest.param(3, 2, {3}, id="3 rounds, one killed and a whole one of the product"),
        pytest.param(10, 6, {*range(1, 11)}, id="10 rounds with dbt", marks=pytest.mark.long),
    ],
)
def test_readers_never_fail_and_never_read_two_generations(
    tmp_path: Path, rounds: int, killed: int, with_dbt: set[int]
) -> None:
    home, files, stop = Home(tmp_path / "home"), tmp_path / "files", tmp_path / "stop"
    sync_round(home, files, 0)
    round_of = {quick_build(home): 0}
    readers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.robustness.reader", kind, home.root, stop],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in KINDS
    ]
    try:
        for number in range(1, rounds + 1):
            if number == killed:
                kill_a_round(home, files, number)
            run_round(home, files, number, with_dbt=number in with_dbt)
            round_of[current_generation(home)] = number
        time.sleep(1.0)
    finally:
        stop.touch()
        told = [json.loads(reader.communicate()[0] or "{}") for reader in readers]
    heard: set[tuple[int, float]] = set()
    for kind, said in zip(KINDS, told, strict=True):
        assert said["errors"] == [], kind
        assert said["count"] >= 3, kind
        heard |= {check_answer(one, round_of) for one in said["heard"]}
        assert rounds in {number for _, number in heard}, "the last round is heard"
    assert len(heard) > 2, "readers heard several generations"
    assert answer(home)[1:] == (rounds, rounds, ANSWER_ROWS)
    assert not faults(home)
    require_no_leftovers(home)


@pytest.mark.parametrize(
    "heard",
    [[7, 1.0, 2.0, ANSWER_ROWS], [7, 2.0, 2.0, ANSWER_ROWS], [7, 1.0, 1.0, ANSWER_ROWS - 1]],
)
def test_an_answer_of_two_generations_would_be_noticed(heard: list[Any]) -> None:
    assert check_answer([7, 1.0, 1.0, ANSWER_ROWS], {7: 1}) == (7, 1.0)
    with pytest.raises(AssertionError):
        check_answer(heard, {7: 1})


def check_answer(heard: list[Any], round_of: dict[int, int]) -> tuple[int, float]:
    """A result of exactly one generation, and of the round that made it."""
    generation, least, largest, rows = heard
    assert least == largest, heard
    assert rows == ANSWER_ROWS, heard
    assert least == round_of[int(generation)], heard
    return int(generation), least


def run_round(home: Home, files: Path, number: int, *, with_dbt: bool) -> None:
    if not with_dbt:
        sync_round(home, files, number)
        quick_build(home)
        return
    write_round(files, number)
    done = run_warehouse("update", "--from", files, "--home", home.root, cwd=files, audits=False)
    assert done.exit_code in (0, 1), done.stderr


def kill_a_round(home: Home, files: Path, number: int) -> None:
    """``warehouse update``, killed while it builds; its child processes end with it."""
    write_round(files, number)
    process = subprocess.Popen(
        [sys.executable, "-m", "warehouse", "update", "--from", files, "--home", home.root],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while not home.build_catalog.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    assert process.poll() is None
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while is_locked(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_locked(home), "what a killed build had started still runs"


def is_locked(home: Home) -> bool:
    done = run_warehouse("rollback", 10**6, "--home", home.root, cwd=home.root)
    return done.exit_code == 5
