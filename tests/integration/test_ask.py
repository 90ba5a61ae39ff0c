"""Queries as a user runs them: the command line, stopping, limits, streaming, the vendor's
client."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

import warehouse
from tests.support import BTC, Run, run_warehouse
from warehouse.cli import run as run_here
from warehouse.errors import NotFoundError, QueryError, UsageError

ENDLESS = "select count(*) from range(100000) a, range(100000000) b where a.range + b.range = 3"


def ask(home: Path, cwd: Path, *arguments: object, **options: str) -> Run:
    return run_warehouse("--home", home, *arguments, cwd=cwd, **options)


# -- the command line ----------------------------------------------------------------------------


def test_sql_when_a_query_is_named_then_takes_its_parameters(
    demo_home: Path, tmp_path: Path
) -> None:
    run = ask(
        demo_home, tmp_path, "sql", "-q", "large_trade_share", "--json",
        "-p", "start=2025-10-01", "-p", "end=2025-10-02",
    )  # fmt: skip
    rows = json.loads(run.stdout)
    assert len(rows) == 24 and rows[0]["time"] == "2025-10-01 00:00:00"
    wrong = ask(demo_home, tmp_path, "sql", "-q", "large_trade_share", "-p", "symbl=x")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "did you mean symbol?" in wrong.stderr
    nothing = ask(demo_home, tmp_path, "sql", "-q", "large_trade_shar")
    assert nothing.exit_code == 2 and "did you mean large_trade_share" in nothing.stderr


@pytest.mark.parametrize("arguments", [[], ["select 1", "-q", "flow_summary"]])
def test_sql_when_there_is_no_one_text_then_names_what_to_give(
    demo_home: Path, tmp_path: Path, arguments: list[str]
) -> None:
    run = ask(demo_home, tmp_path, "sql", *arguments)
    assert run.exit_code == 2 and "-q" in run.stderr


def test_queries_when_listed_or_named_then_are_shown(
    demo_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = json.loads(ask(demo_home, tmp_path, "queries", "--json").stdout)
    assert {"name", "purpose", "parameters", "source"} == set(listed[0])
    assert len(listed) >= 14
    told = ask(demo_home, tmp_path, "queries", "l1_zoom").stdout
    assert "start time = 2025-10-09" in told and "from l1_features" in told
    purpose = next(row["purpose"] for row in listed if row["name"] == "flow_toxicity")
    for width in ("60", "80", "400"):
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert run_here(["--home", str(demo_home), "queries"]) == 0
        out, err = capsys.readouterr()
        assert max(map(len, out.splitlines())) <= int(width)
        assert purpose in " ".join(out.replace("package", "").split())
        assert f"warehouse --home {demo_home} queries NAME" in err


def test_explain_when_asked_then_names_tables_datasets_and_vendor_columns(
    demo_home: Path, tmp_path: Path
) -> None:
    text = "select time, rolling_net_delta_1d as d from flow_features where symbol = $s"
    run = ask(demo_home, tmp_path, "sql", "--explain", text, "-p", f"s={BTC}")
    assert run.exit_code == 0, run.stderr
    assert "flow ohlcv" in run.stdout and f"symbol {BTC}" in run.stdout
    assert "vendor.flow.volume_delta_notional" in run.stdout
    facts = json.loads(
        ask(demo_home, tmp_path, "sql", "--explain", text, "-p", f"s={BTC}", "--json").stdout
    )
    assert facts["columns"][1]["unit"] == "10^6 quote"


def test_receipt_when_written_then_verifies(demo_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    run = ask(demo_home, tmp_path, "sql", "-q", "flow_summary", "--receipt", path)
    assert run.exit_code == 0, run.stderr
    good = ask(demo_home, tmp_path, "verify", path)
    assert (good.exit_code, good.stdout.strip()) == (0, "identical")
    facts = json.loads(path.read_text())
    facts["files"][0]["object"] = "0" * 64
    path.write_text(json.dumps(facts))
    other = ask(demo_home, tmp_path, "verify", path)
    assert other.exit_code == 1
    assert "restated: flow binance-futures" in other.stdout
    for generation, told in ((1, "1, is kept, but also returns another"), (99, "is not kept")):
        path.write_text(json.dumps(facts | {"content": "0" * 64, "generation": generation}))
        assert told in ask(demo_home, tmp_path, "verify", path).stdout
    path.write_text("not a receipt")
    assert ask(demo_home, tmp_path, "verify", path).exit_code == 2
    assert ask(demo_home, tmp_path, "verify", tmp_path / "none.json").exit_code == 2


def test_strict_when_bars_are_missing_then_exits_with_one(demo_home: Path, tmp_path: Path) -> None:
    text = "from flow_features where time >= '2025-08-01'"
    run = ask(demo_home, tmp_path, "sql", "--strict", text)
    assert (run.exit_code, run.stdout) == (1, "")
    assert "never synced" in run.stderr


def test_completion_when_requested_then_lists_queries_tables_and_series(
    demo_home: Path, tmp_path: Path
) -> None:
    def complete(words: str, at: int) -> str:
        environment = {"_WAREHOUSE_COMPLETE": "bash_complete", "COMP_WORDS": words,
                       "COMP_CWORD": str(at)}  # fmt: skip
        return run_warehouse(cwd=tmp_path, environment=environment).stdout

    home = shlex.quote(str(demo_home))
    assert "flow_summary" in complete(f"warehouse --home {home} sql -q flow_s", 5)
    assert "l1_features" in complete(f"warehouse describe --home {home} l1", 4)
    at_home = f"warehouse --home {home}"
    assert "perpetual-ETH-USDT:USDT" in complete(f"{at_home} preview --symbol perp", 5)
    assert "binance-futures" in complete(f"{at_home} audit metrics --exchange b", 6)
    assert "forward_returns" in complete(f"{at_home} audit lookahead forw", 5)
    for words, at in (("sql -q fl", 5), ("sql --snapshot p", 5), ("preview --symbol p", 5)):
        assert complete(f"warehouse --home nowhere {words}", at).strip() == ""


# -- stopping and limits -------------------------------------------------------------------------


def test_interrupt_when_a_query_runs_then_stops_it_at_once(demo_home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "warehouse", "--home", str(demo_home), "sql", ENDLESS]
    running = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    time.sleep(2)
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = running.communicate()
    assert (running.returncode, out) == (130, b""), err
    assert b"Traceback" not in err
    assert time.monotonic() - began < 10


def test_interrupt_when_in_a_session_then_the_session_goes_on(
    demo_home: Path, tmp_path: Path
) -> None:
    program = f"""
import os, signal, threading, time, warehouse
wh = warehouse.open({str(demo_home)!r})
for read in ("head", "df", "batches"):
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        found = getattr(wh.sql({ENDLESS!r}), read)()
        list(found)
    except KeyboardInterrupt:
        print(read, wh.sql("select 1").fetchall())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[:3] == [f"{r} [(1,)]" for r in ("head", "df", "batches")], done


@pytest.mark.parametrize("read", ["df", "head", "batches", "__len__"])
def test_timeout_when_over_then_stops_and_the_session_goes_on(demo_home: Path, read: str) -> None:
    with warehouse.open(demo_home) as wh:
        result = wh.sql(ENDLESS, timeout=0.3)
        with pytest.raises(QueryError, match=r"time limit of 0\.3 s") as caught:
            for _ in getattr(result, read)() if read == "batches" else [getattr(result, read)()]:
                pass
        assert caught.value.next_step is not None
        assert wh.sql("select 1", timeout=30).fetchall() == [(1,)]


def test_timeout_when_batches_are_used_slowly_then_only_the_engine_is_timed(
    demo_home: Path,
) -> None:
    with warehouse.open(demo_home) as wh:
        for batch in wh.sql("from range(300)", timeout=1).batches(100):
            time.sleep(0.5)
            assert batch.num_rows == 100


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (("--timeout", "0.3"), "stopped at its time limit of 0.3 s; given up after 1."),
        (("--memory", "200MB"), "stopped: the process grew by more than 399,"),
    ],
)
def test_limit_when_the_engine_does_not_heed_it_then_the_command_ends_and_gives_the_seconds(
    demo_home: Path, tmp_path: Path, limits: tuple[str, str], said: str
) -> None:
    text = "select len(list_sort(list_transform(range(100000000), lambda x: hash(x))))"
    command = [sys.executable, "-m", "warehouse", "--home", str(demo_home), "sql", text, *limits]
    began = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith(f"error: {said}")) == (2, True), done
    assert time.monotonic() - began < 10  # the query alone takes half a minute


def test_timeout_when_the_text_takes_the_parser_long_then_it_is_given_up(demo_home: Path) -> None:
    text = "select 1 where 1 in (" + ",".join(map(str, range(400_000))) + ")"
    with warehouse.open(demo_home) as wh:
        with pytest.raises(QueryError, match=r"time limit of 0\.05 s") as caught:
            wh.sql(text, timeout=0.05)
        assert float(str(caught.value.fields["after_s"])) < 3
        assert wh.sql("select 1").fetchall() == [(1,)]


@pytest.mark.parametrize("read", ["df", "head", "batches", "__len__"])
def test_cancel_when_called_by_another_thread_then_the_reader_stops_for_good(
    demo_home: Path, read: str
) -> None:
    with warehouse.open(demo_home) as wh:
        result = wh.sql(ENDLESS)
        threading.Timer(0.2, result.cancel).start()
        for _ in range(2):
            with pytest.raises(QueryError, match="cancelled"):
                for _ in (
                    getattr(result, read)() if read == "batches" else [getattr(result, read)()]
                ):
                    pass
        assert wh.sql("select 1").fetchall() == [(1,)]


def test_memory_when_limited_then_holds_for_that_query_only(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh:
        text = "select current_setting('memory_limit')"
        assert wh.sql(text, memory="300MB").fetchall() == [("286.1 MiB",)]
        assert wh.sql(text).fetchall() != [("286.1 MiB",)]
        with pytest.raises(QueryError, match="not a memory size"):
            wh.sql(text, memory="much")


def test_parameters_when_named_like_an_option_then_go_by_the_mapping(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh:
        assert wh.sql("select $timeout + 1", {"timeout": 2}, timeout=60).fetchall() == [(3,)]


def test_result_when_the_warehouse_was_closed_then_reports_it(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh:
        result = wh.sql("select 1")
    with pytest.raises(UsageError, match="closed"):
        result.df()


# -- streaming -----------------------------------------------------------------------------------

STREAM = """
import re, sys, warehouse
wh = warehouse.open(sys.argv[1])
text = "select i, i * 2.0 as x, i + $a as y, 'text ' || (i % 10) as s from range($n) t(i)"
print(sum(len(batch) for batch in wh.sql(text, a=1, n=int(sys.argv[2])).batches()))
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def stream(home: Path, cwd: Path, rows: int) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(home), str(rows)], cwd=cwd, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    counted, megabytes = done.stdout.split()
    return int(counted), int(megabytes)


def test_batches_when_the_answer_is_large_then_memory_stays_flat(
    demo_home: Path, tmp_path: Path
) -> None:
    counted, megabytes = stream(demo_home, tmp_path, 8_000_000)
    assert counted == 8_000_000
    assert megabytes < 350


@pytest.mark.long
def test_batches_when_fifty_million_rows_then_take_under_500_mb(
    demo_home: Path, tmp_path: Path
) -> None:
    counted, megabytes = stream(demo_home, tmp_path, 50_000_000)
    assert counted == 50_000_000
    assert megabytes < 500


# -- cold start ----------------------------------------------------------------------------------


def test_rolling_count_when_given_what_only_count_takes_then_counts_or_refuses_as_it_does(
    demo_home: Path,
) -> None:
    counts = (
        "select count(*) > 100, bool_and(n = bars_1d), max(days) from (select bars_1d,"
        " {{ rolling_count('*', '1 day') }} as n,"
        " {{ rolling_count('distinct time::date', '1 day') }} as days"
        " from l1_features {{ windows('1 day') }}) where bars_1d = 24"
    )
    with warehouse.open(demo_home) as wh:
        assert wh.sql(counts).fetchall() == [(True, True, 2)]
        either = "{{ rolling_percentile('spread_bps > 1 or time is null', '1 day') }}"
        either = f"select bars_1d, {either} as p from l1_features {{{{ windows('1 day') }}}}"
        assert wh.sql(f"select max(p), count(p) from ({either}) where bars_1d < 24").fetchall() == [
            (None, 0)
        ]
        listed = "{{ rolling_count('bid_price, ask_price', '1 day') }}"
        with pytest.raises(QueryError, match=r"count\(DOUBLE, DOUBLE\)"):
            wh.sql(f"select {listed} as n from l1_features {{{{ windows('1 day') }}}}").fetchall()


def test_query_path_when_asked_then_loads_neither_arrow_nor_sqlglot(
    demo_home: Path, tmp_path: Path
) -> None:
    heavy = ["sqlglot", "dbt", "httpx", "yaml", "jinja2", "polars"]
    if int(duckdb.__version__.split(".")[0]) >= 2:  # before, only Arrow can be interrupted
        heavy += ["pyarrow", "pandas", "numpy"]
    program = f"""
import sys
from warehouse.cli import run
run(["--home", {str(demo_home)!r}, "sql", "select 1 as a"])
heavy = {heavy}
sys.exit(" ".join(name for name in heavy if name in sys.modules) or None)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done


def test_functions_when_asked_then_are_there_in_every_session_with_their_meaning(
    demo_home: Path,
) -> None:
    with warehouse.open(demo_home) as wh:
        r = wh.sql(
            "select count(z), count(r) from (select rolling_zscore(spread_bps, '1 day') as z,"
            " forward_return(midprice, '1 hour') as r from l1_features where \"interval\" = '1h')"
        )
        (values,) = r.fetchall()
        assert min(values) > 1000
        (meaning,) = wh.sql("from help() where name = 'forward_return()'").fetchall()
        assert "LOOKS AHEAD" in meaning[2] and "[bps]" in meaning[2]
        for text, next_step in (
            ("from l1_features where rolling_mean(spread_bps, '1 day') > 1",
             "in qualify instead of where"),
            ("select rolling_mean(spread_bps, '1 day') as m from l1_features qualify m > 1",
             "write the measure out instead of its alias"),
            ("select rolling_mean(spread_bps, 24) from l1_features", "not a number of rows"),
            ("select rolling_mean(spread_bps, '24 rows') from l1_features", "not a number of rows"),
            ("from as_of('flow_features', '5m', 'l1_features', '1h')", "warehouse describe as_of"),
            ("select 1 {{ windows('1 day') }} where 1 = 1", "where before {{ windows(…) }}"),
            ("from l1_features where symbol = $s", "symbol in $symbols"),
            ("from signals join l1_features using (time)", "wh.sql(..., signals=signals)"),
        ):  # fmt: skip
            with pytest.raises(QueryError) as refused:
                wh.sql(text, {"s": ["A"]} if "$s" in text else {}).fetchall()
            assert next_step in str(refused.value.next_step)
        later = wh.sql("from flow_from('2030-01-01')")
        assert {file.dataset for file in later.receipt.files} == {"flow", "ohlcv"}
        assert str(later.hint).startswith("flow has rows only from ")
        with pytest.raises(NotFoundError, match="is a function, not a table: rolling_mean"):
            wh.describe("rolling_mean")
        text = "select {{ rolling_mean('spread_bps', '1 day') }} as m from l1_features"
        with pytest.raises(QueryError) as refused:
            wh.sql(text).fetchall()
        assert "{{ windows('1 day') }}" in str(refused.value.next_step)
        text = "select rolling_mean(spread_bps, '1 day') from l1_features join flow_features"
        with pytest.raises(QueryError) as refused:
            wh.sql(f"{text} using (series_id, time)").fetchall()
        assert "using (series_id, time, known_at)" in str(refused.value.next_step)
