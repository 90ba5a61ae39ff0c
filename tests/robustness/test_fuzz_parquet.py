"""Hostile parquet is refused with a reason, or DuckDB shows it exactly as it was checked.

Each file is checked in a separate process (``judge``), so that a crash, a hang or a memory
explosion fails the case and not the run. A case is reproduced by its number: ``make_case(number)``.
"""

from __future__ import annotations

import json
import random
import select
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.robustness.hostile_parquet import (
    SLOW_BUILT,
    Case,
    make_case,
    page_bomb,
)
from tests.support import ROOT

LONGEST_CHECK_S = 5.0
MOST_MEMORY_MB = 1_000
BATCHES = 10
FEW, MANY = 15, 1_000


class Judge:
    """The judging process; a new one after each that died."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "objects"
        self.folder.mkdir(parents=True)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def verdict(self, case: Case) -> dict[str, Any]:
        path = self.folder / f"{case.number}.parquet"
        path.write_bytes(case.content)
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        facts = {"path": str(path), "dataset": case.key.dataset, "period": case.key.period.text}
        process.stdin.write(json.dumps(facts) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else ""
        path.unlink()
        if not line:
            self._end()
            return {"wrong": f"it hung or ended with {process.returncode}"}
        verdict: dict[str, Any] = json.loads(line)
        if verdict.get("check_s", 0) > LONGEST_CHECK_S:
            verdict["wrong"] = f"took {verdict['check_s']} s"
        if verdict.get("peak_mb", 0) > MOST_MEMORY_MB:
            self._end()
            verdict["wrong"] = f"took {verdict['peak_mb']} MB"
        return verdict

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.robustness.judge"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.mark.parametrize(
    ("first", "count"),
    [(1_000_000, FEW * BATCHES)]
    + [pytest.param(n * MANY, MANY, marks=pytest.mark.long) for n in range(BATCHES)],
)
def test_hostile_files_are_refused_with_a_reason_or_shown_as_they_were_checked(
    tmp_path: Path, first: int, count: int
) -> None:
    outcomes: Counter[str] = Counter()
    with Judge(tmp_path) as judge:
        for number in range(first, first + count):
            case = make_case(number)
            verdict = judge.verdict(case)
            assert not verdict.get("wrong"), (number, case.how, verdict)
            refused = verdict.get("refused")
            assert refused is None or (0 < len(refused) < 500 and "\n" not in refused), refused
            outcomes["refused" if refused else "accepted"] += 1
    assert outcomes["refused"] > count / 3
    assert outcomes["accepted"] > count / 20


@pytest.mark.parametrize("how", SLOW_BUILT)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_bombs_cost_little_time_and_memory(tmp_path: Path, how: str, seed: int) -> None:
    key, content = SLOW_BUILT[how](random.Random(seed))
    with Judge(tmp_path) as judge:
        verdict = judge.verdict(Case(0, how, key, content))
    assert not verdict.get("wrong"), verdict


def test_a_page_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    key, content = page_bomb(size_mb=1_500)
    assert len(content) < 200_000
    with Judge(tmp_path) as judge:
        verdict = judge.verdict(Case(0, "page_bomb", key, content))
    assert "memory" in verdict["refused"], verdict
    assert not verdict.get("wrong"), verdict


def test_the_judge_can_find_fault(tmp_path: Path) -> None:
    """A file that passes the check but shows other values is reported as wrong."""
    case = make_case(0)
    with Judge(tmp_path) as judge:
        good = judge.verdict(Case(1, "good", *_good()))
        assert good["wrong"] is None and good["rows"] == 60, good
        spoilt = Case(case.number, "bytes", _good()[0], _good()[1][:-1])
        assert judge.verdict(spoilt)["refused"]
        judge._end()
        assert judge.verdict(Case(2, "good", *_good()))["rows"] == 60


def _good() -> tuple[Any, bytes]:
    from tests.robustness.hostile_parquet import FLOW, _bases

    key, content = _bases()[0]
    assert key == FLOW
    assert pq.read_table(pa.BufferReader(content)).num_rows == 60
    return key, content
