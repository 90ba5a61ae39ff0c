"""After a kill at any moment a home opens, reports its state, and ends with the same bytes.

Moments are drawn with a seed over the time that the undisturbed run takes. About a hundred of them
run under ``-m long``, five by default.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.robustness.steps import VERBS
from tests.robustness.support import (
    MONTHS,
    ROWS,
    answer,
    current_tree,
    damage,
    faults,
    keep_aside,
    put_back,
    quick_build,
    require_no_leftovers,
    sync_round,
    write_round,
)
from tests.support import ROOT, run_warehouse
from warehouse.cli import run
from warehouse.errors import ExitCode
from warehouse.home import Home, writing
from warehouse.upkeep.repair import repair_home
from warehouse.upkeep.verify import Severity

ANSWER_ROWS = 3 * len(MONTHS) * ROWS
SYNC_MOMENTS, STEP_MOMENTS, BUILD_MOMENTS = 70, 25, 5
MANY = ("ohlcv", "flow", "l1_price", "returns", "range", "vtwap", "impact", "slippage")


def moments(count: int, few: int) -> list[object]:
    """All moments; the first few run without ``-m long``."""
    order = random.Random(count).sample(range(count), count)
    return [
        pytest.param(moment, marks=[] if place < few else pytest.mark.long)
        for place, moment in enumerate(order)
    ]


# -- sync ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def to_sync(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, str], float, float]:
    """A home of round 1, its state after a sync of round 2, and when that sync begins and ends."""
    folder = tmp_path_factory.mktemp("crash")
    home, files = Home(folder / "home"), folder / "files"
    write_round(files, 1, datasets=MANY)
    run_warehouse("sync", "--from", files, "--home", home.root, cwd=folder)
    quick_build(home)
    write_round(files, 2, datasets=MANY)
    keep_aside(home)
    times = []
    for _ in range(2):
        put_back(home)
        started = time.monotonic()
        done = run_warehouse("sync", "--from", files, "--home", home.root, cwd=folder)
        times.append(time.monotonic() - started)
        assert done.exit_code == 0, done.stderr
    started = time.monotonic()
    run_warehouse("sync", "--help", cwd=folder)
    return home, current_tree(home), time.monotonic() - started, max(times)


@pytest.mark.parametrize("moment", moments(SYNC_MOMENTS, 2))
def test_sync_killed_at_a_moment(
    to_sync: tuple[Home, dict[str, str], float, float], moment: int
) -> None:
    home, expected, begins_s, ends_s = to_sync
    files = home.root.with_name("files")
    put_back(home)
    line = [sys.executable, "-m", "warehouse", "sync", "--from", files, "--home", home.root]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    share = (moment + random.Random(moment).random()) / SYNC_MOMENTS
    time.sleep(begins_s + share * (ends_s - begins_s))
    process.kill()
    process.wait()
    rows = 3 * len(MONTHS) * ROWS
    assert answer(home) == (1, 1.0, 1.0, rows), "readers hear the old round"
    require_told(home)
    done = run_warehouse("sync", "--from", files, "--home", home.root, cwd=files)
    assert done.exit_code == 0, done.stderr
    assert current_tree(home) == expected
    require_no_leftovers(home)
    assert not damage(home)


def require_told(home: Home) -> None:
    """Nothing is damaged, and every other finding has a next step."""
    for finding in faults(home):
        assert finding.kind is not Severity.DAMAGED, finding
        assert finding.next_step, finding


# -- publish, rollback, prune --------------------------------------------------------------------


@pytest.fixture(scope="module")
def three_rounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, str]]:
    folder = tmp_path_factory.mktemp("steps")
    home = Home(folder / "home")
    for number in (1, 2, 3):
        sync_round(home, folder / "files", number)
        quick_build(home)
    keep_aside(home)
    return home, current_tree(home)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(n, marks=pytest.mark.long if n >= len(VERBS) else [])
        for n in range(STEP_MOMENTS)
    ],
)
def test_publish_rollback_and_prune_killed_at_a_moment(
    three_rounds: tuple[Home, dict[str, str]], moment: int
) -> None:
    home, expected = three_rounds
    put_back(home)
    chance = random.Random(moment)
    verb = list(VERBS)[moment % len(VERBS)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.robustness.steps", verb, home.root, str(moment)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(chance.uniform(0.0, 1.5 if verb != "roll_back" else 0.2))
    process.kill()
    process.communicate()
    generation, least, largest, rows = answer(home)
    assert least == largest and rows == ANSWER_ROWS
    require_told(home)
    quick_build(home)
    assert answer(home)[0] > generation
    assert answer(home)[1:] == (3.0, 3.0, ANSWER_ROWS)
    assert current_tree(home) == expected
    assert not [f for f in repair_home(home, lambda: quick_build(home)) if "removed" not in f]
    assert not damage(home)
    require_no_leftovers(home)


# -- forget --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "forgotten"), [("Manifest.record_settled", False), ("Lake.settle_links", True)]
)
def test_forget_killed_before_a_step_then_takes_all_or_nothing_and_a_rerun_ends_it(
    three_rounds: tuple[Home, dict[str, str]], step: str, forgotten: bool
) -> None:
    home, expected = three_rounds
    put_back(home)
    name, method = step.split(".")
    killed = (
        "import os; from pathlib import Path;"
        " from warehouse.upkeep.forget import Home, Lake, Manifest, Selection, forget_files;"
        f" {name}.{method} = lambda *arguments: os._exit(9);"
        f" forget_files(Home(Path({str(home.root)!r})), Selection(dataset='flow'))"
    )
    assert subprocess.run([sys.executable, "-c", killed], cwd=ROOT, check=False).returncode == 9
    assert answer(home)[1:] == (3.0, 3.0, ANSWER_ROWS), "readers keep their generation"
    require_told(home)
    line = ["forget", "flow", "--yes", "--home", str(home.root)]
    assert (run(line) == ExitCode.USAGE) is forgotten, "once forgotten there is none to select"
    assert not [path for path in current_tree(home) if path.startswith("lake/flow")]
    assert all(f.kind is Severity.STALE for f in faults(home)), "only a build is left to do"
    run(["sync", "--from", str(home.root.with_name("files")), "--home", str(home.root)])
    assert current_tree(home) == expected


# -- build with dbt ------------------------------------------------------------------------------


@pytest.mark.long
def test_build_killed_at_a_moment(tmp_path: Path) -> None:
    """Five moments over a build with dbt; the last, undisturbed one makes the same marts."""
    home, files, calm = Home(tmp_path / "home"), tmp_path / "files", Home(tmp_path / "calm")
    for one in (home, calm):
        sync_round(one, files, 1)
    started = time.monotonic()
    done = run_warehouse("build", "--home", calm.root, cwd=tmp_path)
    assert done.exit_code in (0, 1), done.stderr
    seconds = time.monotonic() - started
    quick_build(home)
    for moment in range(BUILD_MOMENTS):
        line = [sys.executable, "-m", "warehouse", "build", "--force", "--home", home.root]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds * (moment + random.Random(moment).random()) / BUILD_MOMENTS)
        process.kill()
        process.wait()
        assert answer(home)[1:] == (1.0, 1.0, ANSWER_ROWS)
        require_told(home)
    deadline = time.monotonic() + 60
    while True:
        done = run_warehouse("build", "--force", "--home", home.root, cwd=tmp_path)
        if done.exit_code != 5 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert done.exit_code in (0, 1), done.stderr
    require_no_leftovers(home)
    assert not damage(home)
    expected = {k: v for k, v in current_tree(calm).items() if "marts/" in k}
    found = current_tree(home)
    assert expected and {k: found.get(k) for k in expected} == expected


# -- the lock ------------------------------------------------------------------------------------


def test_writing_when_the_holder_was_killed_then_is_free(tmp_path: Path) -> None:
    body = (
        "import os, sys; from pathlib import Path; from warehouse.home import Home, writing\n"
        "with writing(Home(Path(sys.argv[1])), 'sync'): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", body, str(tmp_path)], check=False)
    assert killed.returncode == -9
    with writing(Home(tmp_path), "build"):
        pass


def test_writing_when_a_child_of_the_holder_lives_on_then_is_free(tmp_path: Path) -> None:
    with writing(Home(tmp_path), "build"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with writing(Home(tmp_path), "sync"):
            pass
    finally:
        child.communicate(b"\n")
