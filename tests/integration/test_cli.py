"""The command line as a caller sees it: stdout, stderr and exit code of every verb."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import warehouse
from tests.support import BTC, Run, bar_table, copy_home, file_key, grid, run_warehouse, write_file
from warehouse.cli import run as run_here
from warehouse.errors import ExitCode, QueryError
from warehouse.home import Home, writing
from warehouse.sync.from_folder import sync_folder


def sql(home: Path, cwd: Path, *arguments: object, stdin: str | None = None) -> Run:
    return run_warehouse("--home", home, "sql", *arguments, cwd=cwd, stdin=stdin)


def cli(*arguments: object) -> int:
    """``warehouse …`` in this process; its exit code."""
    return run_here([str(argument) for argument in arguments])


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A home with one file in its lake and no catalog."""
    write_file(
        tmp_path / "files",
        file_key("flow", "2025-09"),
        bar_table("flow", grid(date(2025, 9, 1), 3)),
    )
    sync_folder(Home(tmp_path / "home"), tmp_path / "files")
    return tmp_path / "home"


# -- help and usage ------------------------------------------------------------------------------


def test_help_when_asked_then_is_on_stdout_with_an_example(tmp_path: Path) -> None:
    run = run_warehouse("--help", cwd=tmp_path)
    assert (run.exit_code, run.stderr) == (0, "")
    assert "Example" in run.stdout
    for verb in ("demo", "sync", "build", "sql", "status"):
        assert f"\n  {verb} " in run.stdout


def test_version_when_asked_then_is_the_packages(tmp_path: Path) -> None:
    import warehouse

    run = run_warehouse("--version", cwd=tmp_path)
    assert run.exit_code == 0
    assert warehouse.__version__ in run.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-verb"],
        ["sql"],
        ["sql", "select 1", "--format", "xml"],
        ["sql", "select 1", "-p", "nothing"],
        ["sql", "select $x", "-p", "x:=[1"],
        ["sql", "select $x", "-p", "x:=" + "9" * 5000],
        ["sql", "select $x", "-p", "x:=" + "[" * 50_000],
        ["sql", "select $x", "-p", "x=1e400"],
        ["sql", "select $x", "-p", "x=1", "-p", "x=2"],
        ["sql", "select count(*) from flow where time < $x", "-p", "x=2026-02-31"],
        ["sql", "-- nothing but a comment"],
        ["sync", "--from"],
        ["sync", "--interval", "7m"],
        ["build", "--no-such-option"],
        ["rollback", "many"],
    ],
)
def test_usage_when_wrong_then_exits_with_two_and_reports_it_on_stderr(
    demo_home: Path, tmp_path: Path, arguments: list[str]
) -> None:
    run = run_warehouse("--home", demo_home, *arguments, cwd=tmp_path)
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["buidl"], "no such command 'buidl'; did you mean build or ui?\n  next: list them with"),
        (["audit", "lookahed"], "did you mean lookahead?"),
        (["audit", "lookahead", "nope"], "no model 'nope'\n  next: models: bars, "),
        (["build", "--froce"], "did you mean --force"),
        (["sync", "--start", "2025-02-30"], "is not a day of the calendar, such as 2025-09-30"),
        (["update", "--frm", "x"], "did you mean --from?\n  next: see: warehouse sync --help"),
        (["verify", "nix.json"], "(No such file or directory)\n  next: name a file"),
        (["sql", "select $day"], "  next: add -p day=...\n"),
        (
            ["sql", "select 1 from bars where time < $day and symbol = $s"],
            "  next: add -p day=2025-09-01 -p s=...\n",
        ),
        (["sql", "select 1", "-p", "day=1"], "  next: leave out day"),
        (["sql", "from bars where symbol = ", "-p", "s=x"], "in single quotes, because"),
        (["sql", "select count(*) from range(1e12::bigint)", "--timeout", "0.1"], "--timeout SEC"),
        (["sql", "select 1", "--as-of", "2026-01-01", "--generation", "1"], "--generation, --as"),
    ],
)
def test_error_when_arguments_are_wrong_then_names_the_way_on_as_a_command(
    demo_home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run_here(["--home", str(demo_home), *arguments]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ")
    assert told in err
    assert "Errno" not in err


@pytest.mark.parametrize(
    "act",
    [
        "exec('raise KeyboardInterrupt')",  # as dataclasses make classes
        "[duckdb.sql('select sum(range) from range(9999999)').fetchall() for _ in range(999)]",
    ],
    ids=["a class is made", "the main thread asks DuckDB"],
)
def test_interrupt_when_libraries_handle_it_then_the_command_ends_with_its_code(
    tmp_path: Path, act: str
) -> None:
    (tmp_path / "stopped.py").write_text(
        "import duckdb, os, signal, threading\n"
        "from unittest.mock import patch\n"
        "from warehouse import cli\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        f"with patch.object(cli.cli, 'main', lambda *_, **__: {act}):\n"
        "    cli.main([])\n"
    )
    command = [sys.executable, "-m", "stopped"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert done.stderr.startswith("interrupted; ")


def test_sync_when_a_dataset_is_misspelt_then_is_imported_and_reported(tmp_path: Path) -> None:
    write_file(
        tmp_path / "files",
        file_key("flwo", "2025-09"),
        bar_table("flow", grid(date(2025, 9, 1), 3)),
    )
    run = run_warehouse("--home", "home", "sync", "--from", "files", cwd=tmp_path)
    assert run.exit_code == 0
    assert "warning: flwo is not a known dataset" in run.stderr
    assert "did you mean flow?" in run.stderr


# -- where the home is ---------------------------------------------------------------------------


def test_home_when_given_anywhere_then_is_that_one(demo_home: Path, tmp_path: Path) -> None:
    text = ["sql", "select count(*) as n from flow_features", "--format", "csv"]
    (tmp_path / ".env").write_text(f"WAREHOUSE_HOME={demo_home}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data").symlink_to(demo_home)
    wrong = {"WAREHOUSE_HOME": str(tmp_path / "wrong")}
    runs = {
        "before the verb": run_warehouse(
            "--home", demo_home, *text, cwd=elsewhere, environment=wrong
        ),
        "after the verb": run_warehouse(
            *text, "--home", demo_home, cwd=elsewhere, environment=wrong
        ),
        "after wins": run_warehouse("--home", "wrong", *text, "--home", demo_home, cwd=elsewhere),
        "relative": run_warehouse(
            *text, "--home", os.path.relpath(demo_home, elsewhere), cwd=elsewhere
        ),
        "environment": run_warehouse(
            *text, cwd=elsewhere, environment={"WAREHOUSE_HOME": str(demo_home)}
        ),
        ".env": run_warehouse(*text, cwd=tmp_path),
        "./data": run_warehouse(*text, cwd=elsewhere),
    }
    assert {how: run.stdout.splitlines()[-1:] for how, run in runs.items()} == {
        how: ["112944"] for how in runs
    }


def test_home_when_its_path_is_odd_then_every_step_works(tmp_path: Path) -> None:
    home = tmp_path / 'ä b\'s "lake" %41 $HOME'
    write_file(
        tmp_path / "files",
        file_key("flow", "2025-09"),
        bar_table("flow", grid(date(2025, 9, 1), 3)),
    )
    runs = [
        run_warehouse("sync", "--from", tmp_path / "files", "--home", home, cwd=tmp_path),
        run_warehouse("build", "--no-dbt", "--home", home, cwd=tmp_path),
        run_warehouse("status", "--home", home, cwd=tmp_path),
    ]
    assert [run.exit_code for run in runs] == [0, 0, 0], runs
    assert str(home) in runs[2].stdout


@pytest.mark.parametrize("verb", [["sql", "select 1"], ["describe"], ["symbols"], ["status"],
                                  ["build"], ["publish"], ["rollback"], ["shell"]])  # fmt: skip
def test_home_when_nothing_is_there_then_names_the_command(tmp_path: Path, verb: list[str]) -> None:
    run = run_warehouse("--home", tmp_path / "nowhere", *verb, cwd=tmp_path)
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr.startswith("error: ")
    assert "next: run: warehouse" in run.stderr
    assert "Traceback" not in run.stderr


# -- sql -----------------------------------------------------------------------------------------

ROWS = (
    "select * from (values (1, 'a,\"b\"', 1.5, timestamp '2025-09-01 05:00:00', true),"
    " (2, null, null, null, false)) as t(n, text, x, moment, yes)"
)


def test_sql_when_table_then_is_aligned(demo_home: Path, tmp_path: Path) -> None:
    run = sql(demo_home, tmp_path, ROWS)
    assert (run.exit_code, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0].split() == ["n", "text", "x", "moment", "yes"]
    assert "2025-09-01 05:00" in lines[2]
    assert len(lines) == 4


def test_sql_when_csv_then_every_reader_reads_it_back(demo_home: Path, tmp_path: Path) -> None:
    run = sql(demo_home, tmp_path, ROWS, "--format", "csv")
    rows = list(csv.reader(io.StringIO(run.stdout)))
    assert rows[0] == ["n", "text", "x", "moment", "yes"]
    assert rows[1][:3] == ["1", 'a,"b"', "1.5"]
    assert rows[1][3].startswith("2025-09-01 05:00:00")
    assert rows[2][0] == "2" and rows[2][1:4] == ["", "", ""]


def test_sql_when_json_then_is_one_valid_value(demo_home: Path, tmp_path: Path) -> None:
    text = (
        f"select *, 'nan'::double as missing, 'inf'::double as endless,"
        f" sum(n::bigint) over () as total, [n] as some from ({ROWS}) order by n"
    )

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    rows = json.loads(
        sql(demo_home, tmp_path, text, "--format", "json").stdout, parse_constant=refuse
    )
    assert [row["n"] for row in rows] == [1, 2]
    assert rows[0]["moment"].startswith("2025-09-01") and rows[1]["moment"] is None
    assert rows[0]["total"] == 3
    assert rows[0]["some"] == [1]
    assert rows[0]["yes"] is True


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
def test_sql_when_written_to_a_file_then_stdout_stays_empty(
    demo_home: Path, tmp_path: Path, form: str
) -> None:
    target = tmp_path / f"out.{form}"
    text = "from l1_features where interval = '1h'"
    run = sql(demo_home, tmp_path, text, "--format", form, "-o", target)
    assert (run.exit_code, run.stdout) == (0, ""), run.stderr
    assert str(target) in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    if form == "parquet":
        assert pq.read_metadata(target).num_rows == 8_688
    elif form == "csv":
        with target.open() as file:
            assert sum(1 for _ in file) == 8_689


def test_sql_when_the_suffix_names_the_format_then_every_row_is_written(
    demo_home: Path, tmp_path: Path
) -> None:
    expected = [{"n": n} for n in range(100)]
    readers = {
        "a.csv": lambda p: pyarrow.csv.read_csv(p).to_pylist(),
        "A.CSV.GZ": lambda p: pyarrow.csv.read_csv(io.BytesIO(gzip.decompress(p.read_bytes())))
        .to_pylist(),
        "a.b.json": lambda p: json.loads(p.read_text()),
        "a.ndjson": lambda p: [json.loads(line) for line in p.read_text().splitlines()],
        "a.parquet": lambda p: pq.read_table(p).to_pylist(),
        "a.feather": lambda p: pyarrow.feather.read_table(p).to_pylist(),
    }  # fmt: skip
    for name, read in readers.items():
        run = sql(demo_home, tmp_path, "select range as n from range(100)", "-o", tmp_path / name)
        assert run.exit_code == 0, run.stderr
        assert read(tmp_path / name) == expected, name


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-o", "a.xlsx"], ".parquet"),
        (["-o", "a"], ".parquet"),
        (["-o", "a.csv", "--format", "parquet"], "--format is parquet"),
        (["-o", "a.parquet", "--json"], "--format is json"),
    ],
)
def test_sql_when_the_format_of_a_file_is_unclear_then_is_refused(
    demo_home: Path, tmp_path: Path, options: list[str], told: str
) -> None:
    run = sql(demo_home, tmp_path, "select 1", *options)
    assert (run.exit_code, run.stdout) == (2, "")
    assert told in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_infinite_moments_are_refused_and_the_last_moment_is_not(
    demo_home: Path, tmp_path: Path
) -> None:
    last = "select timestamp '9999-12-31 23:59:59.999999' as t, date '9999-12-31' as d"
    assert "23:59:59.999999" in sql(demo_home, tmp_path, last).stdout
    for text in ("select 'infinity'::timestamp as t", "select '-infinity'::date as t"):
        for options in ([], ["--format", "csv"], ["--format", "json"]):
            run = sql(demo_home, tmp_path, text, *options)
            assert run.exit_code == 2 and "'t' has a moment that is infinite" in run.stderr
    with warehouse.open(demo_home) as wh:
        assert wh.sql(last).head(1) == wh.sql(last).fetchall() == [(datetime.max, date.max)]  # noqa: DTZ901
        for name in ("fetchall", "head", "_repr_html_"):
            with pytest.raises(QueryError, match="infinite"):
                getattr(wh.sql("select 'infinity'::timestamptz as t"), name)()


@pytest.mark.parametrize("value", ["to_timestamp(1756684800000)", "['-infinity'::date]"])
def test_sql_when_a_moment_is_beyond_what_text_holds_then_is_refused(
    demo_home: Path, tmp_path: Path, value: str
) -> None:
    """Arrow would write another year for the first."""
    text = f"select {value} as late from range(2)"
    run = sql(demo_home, tmp_path, text, "-o", tmp_path / "a.csv")
    assert (run.exit_code, list(tmp_path.iterdir())) == (2, []), run.stderr
    assert (
        "column 'late' has a moment that is infinite or outside the years 1 to 9999" in run.stderr
    )
    run = sql(demo_home, tmp_path, f"{text} limit 1", "-o", tmp_path / "a.parquet")
    assert run.exit_code == 0, run.stderr


def test_sql_when_a_table_goes_to_a_file_then_stderr_reports_that_rows_are_left_out(
    demo_home: Path, tmp_path: Path
) -> None:
    run = sql(demo_home, tmp_path, "from range(100)")
    assert "only the first 40 rows of 100" in run.stderr
    assert "--format csv" in run.stderr
    assert "only" not in sql(demo_home, tmp_path, "from range(40)").stderr


def test_sql_when_parquet_and_no_rows_then_keeps_the_columns(
    demo_home: Path, tmp_path: Path
) -> None:
    target = tmp_path / "none.parquet"
    text = "from l1_features where false"
    run = sql(demo_home, tmp_path, text, "--format", "parquet", "-o", target)
    assert run.exit_code == 0, run.stderr
    table = pq.read_table(target)
    assert table.num_rows == 0
    assert table.column_names[:2] == ["series_id", "exchange"]


def test_sql_when_parquet_is_for_the_terminal_then_is_refused(
    demo_home: Path, tmp_path: Path
) -> None:
    run = sql(demo_home, tmp_path, "select 1", "--format", "parquet")
    assert (run.exit_code, run.stdout) == (2, "")
    assert "-o" in run.stderr


def test_sql_when_it_fails_then_leaves_no_file(demo_home: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    text = "select symbol::integer from flow_features"
    run = sql(demo_home, tmp_path, text, "--format", "csv", "-o", target)
    assert run.exit_code == 2
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_sql_when_the_caller_has_closed_its_streams_then_ends_as_ever(
    demo_home: Path, tmp_path: Path
) -> None:
    line = 'exec "$0" -P -m warehouse --home "$1" sql "select 1" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", line, sys.executable, demo_home], cwd=tmp_path, check=False)
    assert done.returncode == ExitCode.DONE


def test_sql_when_the_file_is_one_of_the_homes_own_then_is_refused_and_stays(
    demo_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.csv").symlink_to(demo_home / "manifest.sqlite")
    before = (demo_home / "manifest.sqlite").read_bytes()
    for place in (
        demo_home / "warehouse.duckdb",
        demo_home / "lake" / "x.csv",
        demo_home / "generations" / "published.jsonl",
        tmp_path / "link.csv",
    ):
        for option in ("-o", "--receipt"):
            done = cli("--home", demo_home, "sql", "select 1", "--format", "csv", option, place)
            assert done == ExitCode.USAGE, place
    assert (demo_home / "manifest.sqlite").read_bytes() == before
    assert not (demo_home / "lake" / "x.csv").exists()


def test_sql_when_the_file_is_a_link_or_a_pipe_then_it_is_written_into_without_rounding(
    demo_home: Path, tmp_path: Path
) -> None:
    link, pipe = tmp_path / "link.csv", tmp_path / "pipe"
    link.symlink_to(tmp_path / "target.csv")
    assert cli("--home", demo_home, "sql", "select 1 as x", "-o", link) == ExitCode.DONE
    assert link.is_symlink()
    long = "select 1.5::decimal(30,2) as short, 12345678901234567890.12::decimal(30,2) as long"
    assert cli("--home", demo_home, "sql", long, "-o", tmp_path / "d.json") == ExitCode.DONE
    numbers = json.loads((tmp_path / "d.json").read_text())
    assert numbers == [{"short": 1.5, "long": "12345678901234567890.12"}]
    assert (tmp_path / "target.csv").read_text() == '"x"\n1\n'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    done = cli("--home", demo_home, "sql", "select 1 as x", "--format", "csv", "-o", pipe)
    assert done == ExitCode.DONE
    assert os.read(reader, 100) == b'"x"\n1\n'
    os.close(reader)


def test_sql_when_it_begins_with_a_comment_and_digits_meet_text_then_both_are_taken_so(
    demo_home: Path, tmp_path: Path
) -> None:
    asked = "--a note; no option\nselect count(*) as n from meta.coverage where symbol <> $x"
    run = sql(demo_home, tmp_path, asked, "-p", "x=2025", "--json")
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)[0]["n"] > 0


def test_sql_when_parameters_are_given_then_are_typed_by_their_looks(
    demo_home: Path, tmp_path: Path
) -> None:
    given = {
        "day": "2025-09-01", "moment": "2025-09-01T05:00:00+02:00", "whole": "-3", "real": "1e-3",
        "yes": "true", "no": "false", "text": "a=b c", "empty": "", "dotted": "1.2.3",
        "zeros": "007",
    }  # fmt: skip
    options = [part for name, value in given.items() for part in ("-p", f"{name}={value}")]
    options += ["-p", "list:=[1, 2]", "-p", "none:=null"]
    names = [*given, "list", "none"]
    text = "select " + ", ".join(f"typeof(${name}) as {name}" for name in names)
    run = sql(demo_home, tmp_path, text, *options, "--format", "json")
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout) == [
        {
            "day": "DATE", "moment": "TIMESTAMP", "whole": "INTEGER", "real": "DOUBLE",
            "yes": "BOOLEAN", "no": "BOOLEAN", "text": "VARCHAR", "empty": "VARCHAR",
            "dotted": "VARCHAR", "zeros": "VARCHAR", "list": "INTEGER[]", "none": '"NULL"',
        }
    ]  # fmt: skip
    run = sql(demo_home, tmp_path, "select $m as m", "-p", given["moment"].join(["m=", ""]),
              "--format", "csv")  # fmt: skip
    assert run.stdout.splitlines()[-1].startswith("2025-09-01 03:00:00")


def test_sql_when_a_moment_has_an_offset_then_p_and_named_queries_convert_it(
    demo_home: Path, tmp_path: Path
) -> None:
    text = "select min(time) as first from flow_features where time >= $start"
    for form in ("start=2025-09-01T19:00:00-05:00", 'start:="2025-09-02 05:30:00+0530"'):
        run = sql(demo_home, tmp_path, text, "-p", form, "--format", "csv")
        assert run.stdout.split("\n")[1].startswith("2025-09-02 00:00:00"), (form, run.stderr)
    run = run_warehouse(
        "--home", demo_home, "sql", "-q", "flow_net_delta", "-p", "start=2025-09-01T19:00:00-05:00",
        "-p", "end=2025-09-01T22:00:00-05:00", "--json", cwd=tmp_path,
    )  # fmt: skip
    times = [row["time"] for row in json.loads(run.stdout)]
    assert times[0].startswith("2025-09-02 00:00:00") and times[-1] < "2025-09-02 03:00:00"


def test_sql_when_it_comes_from_stdin_or_a_file_then_is_run(
    demo_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "ask.sql").write_text("select 6 * $n as n -- the answer\n", "utf-8")
    for run in (
        sql(demo_home, tmp_path, "-", "-p", "n=7", "--format", "csv", stdin="select 6 * $n as n"),
        sql(demo_home, tmp_path, "ask.sql", "-p", "n=7", "--format", "csv"),
    ):
        assert (run.exit_code, run.stdout.split()[-1]) == (0, "42"), run.stderr


@pytest.mark.parametrize(
    "text",
    ["selec 1", "select symbo from flow_features", "from nowhere", "select 1; select 2", "",
     "drop view flow_features", "select $x", "select symbol::integer from flow_features",
     "from read_text('/etc/hostname')"],
)  # fmt: skip
def test_sql_when_wrong_or_refused_then_exits_with_two(
    demo_home: Path, tmp_path: Path, text: str
) -> None:
    run = sql(demo_home, tmp_path, text)
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr


def test_sql_when_the_reader_stops_early_then_ends_quietly(demo_home: Path, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "warehouse", "--home", str(demo_home), "sql",
         "from range(500000)", "--format", "csv"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout and child.stderr
    child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert (child.wait(60), said) == (0, b"")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_sql_when_nothing_is_found_then_stderr_shows_what_there_is(
    demo_home: Path, tmp_path: Path, form: str
) -> None:
    for name in ("large_trade_share", "flow_summary"):
        run = sql(demo_home, tmp_path, "-q", name, "-p", "clock=exchange", "--format", form)
        assert run.exit_code == 0, run.stderr
        assert run.stderr.splitlines()[-1] == (
            "hint: flow has no series with clock 'exchange'; available: true"
        )


def test_sql_when_a_named_query_is_given_a_bare_value_then_shows_how(
    demo_home: Path, tmp_path: Path
) -> None:
    run = sql(demo_home, tmp_path, "-q", "flow_summary", f"symbol={BTC}")
    assert run.exit_code == ExitCode.USAGE
    shown = f"warehouse --home {demo_home} sql -q flow_summary -p symbol={BTC}"
    assert shown in run.stderr.replace("\n", "")


def test_sql_when_the_terminal_is_narrow_then_keys_stay_and_what_is_hidden_is_counted(
    demo_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run_here(["--home", str(demo_home), "sql", "from flow_features limit 5"]) == 0
    head, _, first, *_, last = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["symbol", "interval", "time"]
    assert first.startswith(BTC)
    assert last.startswith("… 18 more of 23 columns: name them, ")


@pytest.mark.parametrize(
    "arguments", [["status"], ["sql", "from flow_features limit 5"], ["snapshot"]]
)
def test_table_when_piped_then_is_cut_nowhere(
    demo_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert run_here(["--home", str(demo_home), *arguments]) == 0
    assert "…" not in capsys.readouterr().out


def test_table_when_written_to_a_file_then_is_cut_nowhere(
    demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    target = tmp_path / "bars.txt"
    text = "from flow_features limit 5"
    assert run_here(["--home", str(demo_home), "sql", text, "-o", str(target)]) == 0
    assert "…" not in target.read_text("utf-8")


# -- finding tables and queries ------------------------------------------------------------------


def test_describe_when_named_then_shows_meaning_and_unit(demo_home: Path, tmp_path: Path) -> None:
    run = run_warehouse("--home", demo_home, "describe", "flow_features", cwd=tmp_path)
    assert run.exit_code == 0
    assert "net_delta" in run.stdout and "[base]" in run.stdout
    rows = json.loads(
        run_warehouse("--home", demo_home, "describe", "flow", "--json", cwd=tmp_path).stdout
    )
    assert {"column", "type", "meaning"} <= set(rows[0])
    run = run_warehouse("--home", demo_home, "describe", "flow_feature", cwd=tmp_path)
    assert (run.exit_code, run.stdout) == (2, "")
    assert "flow_features" in run.stderr


def test_describe_when_nothing_is_named_then_shows_what_has_data_and_groups_the_rest(
    demo_home: Path, tmp_path: Path
) -> None:
    run = run_warehouse("--home", demo_home, "describe", cwd=tmp_path)
    shown, without = run.stdout.split("without data in main: ")
    assert run.exit_code == 0
    listed = {tuple(line.split()[:2]) for line in shown.splitlines() if len(line.split()) > 1}
    assert {("main", "flow_features"), ("main", "help()"), ("vendor", "flow")} <= listed
    assert without.split("\n")[0] == "derivative_features funding_labels funding_settlements"
    assert "also in staging: " in without and "stg_flow stg_l1_price" in without
    assert not {name for schema, name in listed if schema == "vendor"} - {
        "flow",
        "l1_price",
        "ohlcv",
    }


def test_describe_on_a_terminal_then_no_line_is_wider(
    demo_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name in ((), ("market_state",)):
        assert run_here(["--home", str(demo_home), "describe", *name]) == 0
        printed = capsys.readouterr()
        lines = [*printed.out.splitlines(), *printed.err.splitlines()]
        assert len(lines) > 30 and max(map(len, lines)) <= 80


def test_symbols_when_asked_then_lists_what_is_in_the_lake(demo_home: Path, tmp_path: Path) -> None:
    rows = json.loads(run_warehouse("--home", demo_home, "symbols", "--json", cwd=tmp_path).stdout)
    assert [row["symbol"] for row in rows] == [BTC, "perpetual-ETH-USDT:USDT"]
    assert rows[0]["intervals"] == "5m 1h"
    assert (rows[0]["from"], rows[0]["until"]) == ("2025-09-01", "2026-02-28")


def test_shell_when_there_is_one_then_reads_the_catalog_in_utc(
    demo_home: Path, tmp_path: Path
) -> None:
    if not (Path(sys.executable).parent / "duckdb").is_file():
        pytest.skip("no duckdb-cli is installed")
    text = (
        "select count(*), current_setting('TimeZone') from flow_features;\ncreate table x(a int);"
    )
    run = run_warehouse("--home", demo_home, "shell", cwd=tmp_path, stdin=text)
    assert "112944" in run.stdout and "UTC" in run.stdout
    assert "read-only" in run.stderr


def test_shell_when_it_is_on_the_path_or_nowhere_then_is_run_or_its_installation_is_explained(
    demo_home: Path, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    shell = tmp_path / "bin" / "duckdb"
    shell.parent.mkdir()
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": str(shell.parent)}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", "warehouse", "--home", demo_home, "shell"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    told = run()
    assert told.returncode == 2
    assert f"{python} -m pip install duckdb-cli" in told.stderr
    assert f"duckdb -readonly {demo_home / 'warehouse.duckdb'}" in told.stderr
    shell.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    shell.chmod(0o755)
    given = run().stdout.splitlines()
    assert (given[0], given[-1]) == ("-readonly", str(demo_home / "warehouse.duckdb"))


# -- who is in the way ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["build"], ["build", "--no-dbt"], ["publish"], ["rollback"],
                                  ["sync", "--from", "{files}"]])  # fmt: skip
def test_writer_when_another_one_writes_then_exits_with_five_and_names_it(
    lake: Path, tmp_path: Path, verb: list[str]
) -> None:
    arguments = [part.replace("{files}", str(tmp_path / "files")) for part in verb]
    with writing(Home(lake), "build"):
        run = run_warehouse("--home", lake, *arguments, cwd=tmp_path)
    assert (run.exit_code, run.stdout) == (5, "")
    assert f"`warehouse build` (process {os.getpid()}, since" in run.stderr


def test_reader_when_another_process_writes_then_is_not_in_its_way(
    demo_home: Path, tmp_path: Path
) -> None:
    home = copy_home(demo_home, tmp_path / "home")
    with writing(Home(home), "build"):
        runs = [
            sql(home, tmp_path, "select 1"),
            run_warehouse("--home", home, "status", cwd=tmp_path),
            run_warehouse("--home", home, "symbols", cwd=tmp_path),
        ]
    assert [run.exit_code for run in runs] == [0, 0, 0]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "sealed"
    folder.mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_writer_when_the_home_is_read_only_then_exits_with_six(
    lake: Path, read_only: Path, tmp_path: Path
) -> None:
    run = run_warehouse(
        "sync", "--from", tmp_path / "files", "--home", read_only / "home", cwd=tmp_path
    )
    assert run.exit_code == 6
    assert "cannot be written" in run.stderr


def test_writer_when_the_home_cannot_be_made_then_exits_with_six(
    lake: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    run = run_warehouse(
        "sync", "--from", tmp_path / "files", "--home", tmp_path / "file" / "home", cwd=tmp_path
    )
    assert (run.exit_code, run.stdout) == (6, "")
    assert "cannot be written" in run.stderr and "next:" in run.stderr


def test_catalog_when_damaged_then_exits_with_four_and_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_bytes(b"torn" * 5000)
    run = sql(tmp_path, tmp_path, "select 1")
    assert (run.exit_code, run.stdout) == (4, "")
    assert f"next: run: warehouse --home {tmp_path} build" in run.stderr
    nothing = run_warehouse("--home", tmp_path / "no thing", "sql", "select 1", cwd=tmp_path)
    assert f"run: warehouse --home '{tmp_path}/no thing' demo, or: warehouse" in nothing.stderr


def test_settings_when_a_variable_is_wrong_then_exits_with_two_and_names_it(
    demo_home: Path, tmp_path: Path
) -> None:
    run = run_warehouse("--home", demo_home, "status", cwd=tmp_path,
                        environment={"WAREHOUSE_THREADS": "many"})  # fmt: skip
    assert run.exit_code == 2
    assert "WAREHOUSE_THREADS" in run.stderr
