"""Results written by the command line: values of every kind, invalid places, lost files."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import warehouse
from tests.support import Run, copy_home, run_warehouse
from warehouse.errors import DamagedError, ExitCode, UsageError

ODD = """select interval '14 months 1 day 90 minutes' as i, [1.5::double, null] as l,
  {'a': 1, 'b': 'x'} as s, map {'k': 1} as m, '\\xAA'::blob as b, 1.50::decimal(9, 2) as d,
  time '12:00' as t, timestamptz '2025-01-01 00:00:00+00' as tz, 'a'::enum('a', 'b') as e,
  date '2025-01-01' as da, null as nu"""
IN_CSV = [
    *("14 months 1 day 01:30:00", "[1.5, null]", '{"a": 1, "b": "x"}', '[["k", 1]]', "aa", "1.50"),
    *("12:00:00.000000", "2025-01-01 00:00:00.000000Z", "a", "2025-01-01", ""),
]


def ask(home: Path, cwd: Path, *arguments: object) -> Run:
    return run_warehouse("--home", home, "sql", *arguments, cwd=cwd)


def test_csv_when_values_are_of_every_kind_then_holds_them_all(
    demo_home: Path, tmp_path: Path
) -> None:
    run = ask(demo_home, tmp_path, ODD, "--format", "csv")
    assert run.exit_code == 0, run.stderr
    names, values = csv.reader(io.StringIO(run.stdout))
    assert names == ["i", "l", "s", "m", "b", "d", "t", "tz", "e", "da", "nu"]
    assert values == IN_CSV


def test_json_when_values_are_of_every_kind_then_holds_them_all(
    demo_home: Path, tmp_path: Path
) -> None:
    (row,) = json.loads(ask(demo_home, tmp_path, ODD, "--json").stdout)
    assert (row["i"], row["l"], row["s"]) == (IN_CSV[0], [1.5, None], {"a": 1, "b": "x"})
    assert (row["m"], row["b"], row["d"], row["nu"]) == ([["k", 1]], "aa", 1.5, None)


def test_parquet_when_a_column_is_an_interval_then_names_what_to_write(
    demo_home: Path, tmp_path: Path
) -> None:
    refused = ask(demo_home, tmp_path, ODD, "-o", "x.parquet", "--format", "parquet")
    assert refused.exit_code == ExitCode.USAGE
    assert "column 'i' is an INTERVAL" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    others = f"select * exclude (i) from ({ODD})"
    assert ask(demo_home, tmp_path, others, "-o", "x.parquet", "--format", "parquet").exit_code == 0
    assert pq.read_table(tmp_path / "x.parquet").num_columns == 10


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["select 1", "-o", "none/x.csv", "--format", "csv"], "there is no folder none"),
        (["select 1", "-o", "."], "is a folder"),
        (["select 1", "--receipt", "none/r.json"], "there is no folder none"),
        (["none.sql"], "there is no such file"),
        (["bytes.sql"], "is not UTF-8 text"),
        (["select 1", "--timeout", "0"], "x>0"),
        (["select 1", "--memory", "1KB"], "too little"),
    ],
)
def test_sql_when_it_cannot_be_done_then_gives_the_reason_and_leaves_nothing(
    demo_home: Path, tmp_path: Path, arguments: list[str], word: str
) -> None:
    (tmp_path / "bytes.sql").write_bytes(b"select '\xff'")
    run = ask(demo_home, tmp_path, *arguments)
    assert (run.exit_code, run.stdout) == (ExitCode.USAGE, "")
    assert word in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bytes.sql"]


def test_sql_when_stdin_is_no_text_then_reports_it(demo_home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "warehouse", "--home", str(demo_home), "sql", "-"]
    done = subprocess.run(command, cwd=tmp_path, input=b"\xff\xfe", capture_output=True)
    assert done.returncode == ExitCode.USAGE
    assert b"stdin is not UTF-8 text" in done.stderr


def test_sql_when_a_month_that_it_reads_is_lost_then_is_damage_until_the_next_build(
    demo_home: Path, tmp_path: Path
) -> None:
    home = copy_home(demo_home, tmp_path / "home")
    text = "select count(volume_delta), max(volume_delta) from vendor.flow"
    lost = min((home / "marts" / "vendor.flow").glob("2025-10-*.parquet"))
    with warehouse.open(home) as wh:
        whole = wh.sql(text).fetchall()
    lost.unlink()
    with warehouse.open(home) as wh, pytest.raises(DamagedError, match=lost.name) as caught:
        wh.sql(text).fetchall()
    assert "next: run: warehouse verify --repair" in str(caught.value)
    build = run_warehouse("--home", home, "build", "--force", cwd=tmp_path, audits=False)
    assert build.exit_code == 0, build.stderr
    with warehouse.open(home) as wh:
        assert wh.sql(text).fetchall() == whole


def test_build_when_a_file_of_the_lake_is_lost_that_it_needs_then_is_damage(
    demo_home: Path, tmp_path: Path
) -> None:
    home = copy_home(demo_home, tmp_path / "home")
    with warehouse.open(home) as wh:
        ((lost,),) = wh.sql(
            "select object from meta.files where dataset = 'flow' order by all limit 1"
        ).fetchall()
    (home / "objects" / f"{lost}.parquet").unlink()
    for month in (home / "marts" / "vendor.flow").iterdir():
        month.unlink()
    build = run_warehouse("--home", home, "build", "--force", cwd=tmp_path)
    assert (build.exit_code, build.stderr.count(lost)) == (ExitCode.DAMAGED, 1)
    assert f"next: run: warehouse --home {home} verify --repair" in build.stderr


@pytest.mark.parametrize(
    "ask_wrongly",
    [
        lambda wh: wh.sql(None),
        lambda wh: wh.sql(b"select 1"),
        lambda wh: wh.sql("select '\udcff'"),
        lambda wh: wh.sql("select ?", [1]),
        lambda wh: wh.sql("select 1", timeout="1"),
        lambda wh: wh.sql("select 1", timeout=float("nan")),
        lambda wh: wh.sql("select 1", memory=5),
    ],
)
def test_sql_when_an_argument_is_impossible_then_is_refused(
    demo_home: Path, ask_wrongly: Callable[[Any], object]
) -> None:
    with warehouse.open(demo_home) as wh, pytest.raises(UsageError):
        ask_wrongly(wh)


def test_refresh_when_closed_then_stays_closed(demo_home: Path) -> None:
    wh = warehouse.open(demo_home)
    wh.close()
    with pytest.raises(UsageError, match="was closed"):
        wh.refresh()
