"""Queries of the published catalog: parameters of every kind, errors, results read twice."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import warehouse
from tests.support import BTC, copy_home, utc
from warehouse.cli import run
from warehouse.errors import (
    DamagedError,
    NotFoundError,
    QueryError,
    UsageError,
    WarehouseError,
)

TOKYO = dt.timezone(dt.timedelta(hours=9))
FIVE = utc("2025-09-01 05:00")


@pytest.fixture(scope="module")
def wh(demo_home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(demo_home) as opened:
        yield opened


# -- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (dt.date(2025, 9, 1), (dt.date(2025, 9, 1), "DATE")),
        (FIVE, (FIVE, "TIMESTAMP")),
        (dt.datetime(2025, 9, 1, 14, tzinfo=TOKYO), (FIVE, "TIMESTAMP")),
        (dt.datetime(2025, 9, 1, 5, tzinfo=dt.UTC), (FIVE, "TIMESTAMP")),
        (pd.Timestamp("2025-09-01 05:00"), (FIVE, "TIMESTAMP")),
        (pd.Timestamp("2025-09-01 05:00:00.000000001"), (FIVE, "TIMESTAMP")),
        (pd.Timestamp("2025-09-01 01:00", tz="America/New_York"), (FIVE, "TIMESTAMP")),
        (np.datetime64("2025-09-01T05"), (FIVE, "TIMESTAMP")),
        (np.datetime64("2025-09-01T05", "ns"), (FIVE, "TIMESTAMP")),
        (pd.NaT, (None, '"NULL"')),
        (np.datetime64("NaT", "us"), (None, '"NULL"')),
        (pd.NA, (None, '"NULL"')),
        (None, (None, '"NULL"')),
        (True, (True, "BOOLEAN")),
        (np.bool_(False), (False, "BOOLEAN")),
        (3, (3, "INTEGER")),
        (np.int64(3), (3, "INTEGER")),
        (np.uint8(3), (3, "INTEGER")),
        (2**40, (2**40, "BIGINT")),
        (np.float32(0.5), (0.5, "DOUBLE")),
        (0.1, (0.1, "DOUBLE")),
        (Decimal("1.5"), (Decimal("1.5"), "DECIMAL(2,1)")),
        ("text", ("text", "VARCHAR")),
        (np.str_("text"), ("text", "VARCHAR")),
        ([1, 2], ([1, 2], "INTEGER[]")),
        ((np.int64(1), np.int64(2)), ([1, 2], "INTEGER[]")),
        ({"a"}, (["a"], "VARCHAR[]")),
        (np.array([1.5, 2.5]), ([1.5, 2.5], "DOUBLE[]")),
        (pd.Series(["a", "b"]), (["a", "b"], "VARCHAR[]")),
        (pl.Series(["a", "b"]), (["a", "b"], "VARCHAR[]")),
        (pa.chunked_array([["a"], ["b"]]), (["a", "b"], "VARCHAR[]")),
        (np.array(["2025-09-01T05"], "datetime64[ns]"), ([FIVE], "TIMESTAMP[]")),
        (pd.DatetimeIndex(["2025-09-01 14:00"], tz="Asia/Tokyo"), ([FIVE], "TIMESTAMP[]")),
        ([dt.datetime(2025, 9, 1, 14, tzinfo=TOKYO)], ([FIVE], "TIMESTAMP[]")),
    ],
)  # fmt: skip
def test_parameter_when_of_any_kind_then_means_itself_in_utc(
    wh: warehouse.Warehouse, value: object, bound: tuple[object, str]
) -> None:
    assert wh.sql("select $x, typeof($x)", x=value).fetchall() == [bound]


def test_parameter_when_it_is_a_range_then_is_half_open_in_utc(wh: warehouse.Warehouse) -> None:
    times = wh.sql(
        "select time from flow_features where symbol = $symbol and interval = '1h'"
        " and time >= $start and time < $end order by time",
        symbol=BTC, start=dt.date(2025, 9, 3), end=dt.datetime(2025, 9, 3, 12, tzinfo=TOKYO),
    ).fetchall()  # fmt: skip
    assert times == [(utc(f"2025-09-03 0{h}:00"),) for h in range(3)]


@pytest.mark.parametrize("text", ["select 1 where 2 = any($x)", "select 1 where 2 in $x"])
def test_parameter_when_a_list_then_can_be_searched(wh: warehouse.Warehouse, text: str) -> None:
    assert wh.sql(text, x=[1, 2]).fetchall() == [(1,)]
    assert wh.sql(text, x=[1, 3]).fetchall() == []


def test_parameter_when_it_holds_sql_then_stays_a_value(wh: warehouse.Warehouse) -> None:
    evil = "x'; drop view flow_features; --"
    assert wh.sql("select $x", x=evil).fetchall() == [(evil,)]


def test_parameters_when_given_as_mapping_then_may_have_any_name(wh: warehouse.Warehouse) -> None:
    assert wh.sql("select $self, $text", {"self": 1, "text": 2}).fetchall() == [(1, 2)]


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("select $a, $b", {"a": 1}, ["missing b", "accepts $a, $b"]),
        ("select $a", {"a": 1, "c": 2}, ["unknown c", "accepts $a"]),
        ("select $a", {"A": 1, "c": 2}, ["missing a", "unknown A", "unknown c"]),
        ("select 1", {"a": 1}, ["unknown a", "accepts none"]),
        ("select ?", {}, ["bound by name"]),
        ("select '$a'", {"a": 1}, ["unknown a"]),
    ],
)
def test_parameters_when_names_do_not_fit_then_are_refused_by_name(
    wh: warehouse.Warehouse, text: str, values: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(QueryError) as caught:
        wh.sql(text, values)
    assert all(word in caught.value.what for word in words)


def test_parameter_when_no_value_of_sql_then_is_refused(wh: warehouse.Warehouse) -> None:
    with pytest.raises(QueryError, match="object"):
        wh.sql("select $x", x=object())


# -- what is no query ----------------------------------------------------------------------------


def test_sql_when_a_local_frame_has_a_tables_name_then_is_not_taken(
    wh: warehouse.Warehouse,
) -> None:
    frame = pd.DataFrame({"a": [1]})
    assert len(frame) == 1
    with pytest.raises(QueryError, match="frame"):
        wh.sql("from frame")


def test_sql_when_a_column_is_wrong_then_fails_at_once_with_candidates(
    wh: warehouse.Warehouse,
) -> None:
    with pytest.raises(QueryError) as caught:
        wh.sql("select symbo from flow_features")
    assert "symbo" in caught.value.what and "symbol" in caught.value.what
    assert "LINE" not in caught.value.what


def test_sql_when_it_fails_on_a_row_then_raises_when_read(wh: warehouse.Warehouse) -> None:
    result = wh.sql("select symbol::integer from flow_features")
    for read in (
        result.df,
        result.pl,
        result.arrow,
        result.fetchall,
        lambda: list(result.batches()),
    ):
        with pytest.raises(QueryError, match=r"INT32|INTEGER"):
            read()


# -- answers -------------------------------------------------------------------------------------

ALL = "select series_id, time, close from flow_features order by close desc, series_id, time"


def test_result_when_read_in_every_form_then_has_the_same_rows_in_order(
    wh: warehouse.Warehouse,
) -> None:
    result = wh.sql(ALL)
    rows = result.fetchall()
    assert len(rows) == len(result) > 100_000
    assert rows == sorted(rows, key=lambda row: (-row[2], row[0], row[1]))
    assert [(name, str(kind)) for name, kind in result.columns.items()] == [
        ("series_id", "INTEGER"), ("time", "TIMESTAMP"), ("close", "DOUBLE"),
    ]  # fmt: skip
    table = result.arrow()
    assert table.column_names == ["series_id", "time", "close"]
    assert pa.Table.from_batches(list(result.batches(10_000))).equals(table)
    assert result.pl().equals(pl.from_arrow(table))
    frame = result.df()
    assert frame["time"].dt.tz is None
    assert [tuple(row) for row in frame.head(3).itertuples(index=False)] == rows[:3]
    assert frame["close"].tolist() == [row[2] for row in rows]


def test_result_when_read_twice_then_runs_once_with_the_same_rows(wh: warehouse.Warehouse) -> None:
    result = wh.sql("select uuid() as u from range(3)")
    assert result.fetchall() == result.fetchall()
    assert result.df()["u"].astype(str).tolist() == [str(u) for (u,) in result.fetchall()]


def test_batches_when_streamed_then_come_in_the_size_asked_for(wh: warehouse.Warehouse) -> None:
    sizes = [len(batch) for batch in wh.sql("from range(5000)").batches(1000)]
    assert sum(sizes) == 5000
    assert max(sizes) <= 2048


def test_batches_when_left_half_read_then_others_still_answer(wh: warehouse.Warehouse) -> None:
    stream = wh.sql(ALL).batches(1000)
    first = next(stream)
    assert wh.sql("select 1").fetchall() == [(1,)]
    assert first.num_rows > 0
    second = next(stream)
    assert second.num_rows > 0


def test_result_when_it_has_no_rows_then_keeps_its_columns(wh: warehouse.Warehouse) -> None:
    result = wh.sql("select * from flow_features where false")
    assert (len(result), result.fetchall(), list(result.batches())) == (0, [], [])
    assert list(result.df().columns) == list(result.columns) == result.pl().columns
    assert str(result.df()["time"].dtype).startswith("datetime64")


def test_result_when_shown_then_is_a_table(wh: warehouse.Warehouse) -> None:
    assert repr(wh.sql("select 1 as one, 'x' as letter")).splitlines()[0].split() == [
        "one", "letter",
    ]  # fmt: skip
    assert "rows" in repr(wh.sql("from range(100)")).splitlines()[-1]


def test_result_when_read_by_threads_at_once_then_each_gets_all(wh: warehouse.Warehouse) -> None:
    shared = wh.sql("select count(*) from flow_features")

    def ask(number: int) -> tuple[Any, Any]:
        own = wh.sql("select $n + count(*) from l1_features", n=number).fetchall()
        return own[0][0] - number, shared.fetchall()[0][0]

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(12)))) == 1


def test_question_when_asked_again_then_has_the_type_and_value_of_its_own_parameter(
    wh: warehouse.Warehouse,
) -> None:
    values = (1, 1.0, True, "1", None, 2**40, 0.0, -0.0, FIVE, FIVE.date(), [1], ["1"])
    plain = duckdb.connect()
    for value in values * 2:
        result, told = (
            wh.sql("select $x as x", x=value),
            plain.sql("select $x", params={"x": value}),
        )
        assert (str(result.columns["x"]), repr(result.fetchall())) == (
            str(told.types[0]),
            repr(told.fetchall()),
        )


def test_question_when_asked_again_then_runs_again(wh: warehouse.Warehouse) -> None:
    text = "select random() as number, now() as moment"
    asked = [wh.sql(text).fetchall()[0] for _ in range(5)]
    assert len(set(asked)) == 5
    assert [moment for _, moment in asked] == sorted(moment for _, moment in asked)


def test_question_when_asked_again_with_a_wrong_value_then_is_refused(
    wh: warehouse.Warehouse,
) -> None:
    text = "select count(*) from flow_features where time < $end"
    assert wh.sql(text, end="2025-09-02").fetchall() == wh.sql(text, end="2025-09-02").fetchall()
    with pytest.raises(QueryError, match="no day"):
        wh.sql(text, end="no day").fetchall()


def test_question_when_threads_ask_the_same_then_each_gets_all(wh: warehouse.Warehouse) -> None:
    text = "select * from flow_features where symbol = $symbol order by time"
    tables = {symbol: wh.sql(text, symbol=symbol).arrow() for symbol in (BTC, "none")}

    def ask(number: int) -> bool:
        symbol = (BTC, "none")[number % 3 == 0]
        return bool(wh.sql(text, symbol=symbol).arrow().equals(tables[symbol]))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(60)))


def test_session_when_opened_then_is_utc_and_locked(wh: warehouse.Warehouse) -> None:
    """A setting of one connection is not its cursors': it must be set globally."""
    assert wh.sql("select current_setting('TimeZone')").fetchall() == [("UTC",)]
    assert wh.sql("select (timestamptz '2025-09-01 00:00:00+00')::varchar").fetchall() == [
        ("2025-09-01 00:00:00+00",)
    ]
    assert wh.sql("select current_setting('lock_configuration')").fetchall() == [(True,)]


# -- finding tables and queries ------------------------------------------------------------------


def test_tables_when_listed_then_marts_come_first_with_meanings(wh: warehouse.Warehouse) -> None:
    rows = wh.tables().fetchall()
    names = [f"{schema}.{name}" for schema, name, _ in rows]
    assert {"main.flow_features", "vendor.flow", "meta.coverage"} <= set(names)
    assert rows[0][0] == "main"
    assert all(meaning for _, _, meaning in rows)


def test_describe_when_mart_then_gives_meaning_and_unit(wh: warehouse.Warehouse) -> None:
    rows = {
        name: (kind, meaning) for name, kind, meaning in wh.describe("flow_features").fetchall()
    }
    assert rows["net_delta"][0] == "DOUBLE"
    assert rows["net_delta"][1].endswith("[base]")
    assert list(rows)[:7] == [
        "series_id", "exchange", "symbol", "interval", "clock", "time", "known_at",
    ]  # fmt: skip


def test_help_is_one_sentence_each_and_describe_has_the_whole_comment(
    wh: warehouse.Warehouse, demo_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meanings = {name: text for schema, name, text in wh.tables().fetchall() if schema == "main"}
    assert meanings["flow_features"].startswith("One row per bar of flow:")
    assert meanings["flow_features"].count(". ") == 0
    assert list(meanings).index("bps()") > list(meanings).index("seasonality")
    assert run(["--home", str(demo_home), "describe", "flow_features"]) == 0
    heading = capsys.readouterr().err
    assert heading.startswith(meanings["flow_features"]) and heading.count(". ") > 1


def test_an_undefined_name_in_a_template_is_pointed_to_parameters(wh: warehouse.Warehouse) -> None:
    with pytest.raises(QueryError, match="'symbol' is undefined") as caught:
        wh.sql("from flow_features where symbol = {{ symbol }}")
    assert "$symbol" in (caught.value.next_step or "")
    with pytest.raises(QueryError, match="'rolling_zscor' is undefined") as caught:
        wh.sql("select {{ rolling_zscor('close', '1 day') }} from flow_features")
    assert (caught.value.next_step or "").startswith("write rolling_zscore")
    with pytest.raises(QueryError, match="'run_query' is undefined") as caught:
        wh.sql("select {{ run_query('select 1') }}")
    assert "$" not in (caught.value.next_step or "$")


def test_a_missing_time_is_about_measures_only_if_there_are_windows(
    wh: warehouse.Warehouse,
) -> None:
    plain, measure = "from meta.gaps where time > now()", "select {{ rolling_mean('1', '1 day') }}"
    windowed = f"{measure} from (select 1 as one) {{{{ windows('1 day') }}}}"
    for text, is_measure in ((plain, False), (windowed, True)):
        with pytest.raises(QueryError) as caught:
            wh.sql(text).fetchall()
        assert (caught.value.next_step or "").startswith("measures read") is is_measure


def test_describe_when_schema_is_named_then_takes_that_one(wh: warehouse.Warehouse) -> None:
    names = [row[0] for row in wh.describe("vendor.flow").fetchall()]
    assert "flow_toxicity_score" in names
    assert wh.describe("flow").fetchall() == wh.describe("vendor.flow").fetchall()
    assert wh.describe("Warehouse.Vendor.Flow").fetchall() == wh.describe("flow").fetchall()


def test_describe_when_there_is_no_such_table_then_names_the_nearest(
    wh: warehouse.Warehouse,
) -> None:
    with pytest.raises(NotFoundError, match="did you mean flow_features"):
        wh.describe("flow_feature")
    with pytest.raises(NotFoundError):
        wh.describe("x'; drop table y; --")


def test_coverage_when_asked_then_narrows_by_dataset_and_symbol(wh: warehouse.Warehouse) -> None:
    everything, flow = wh.coverage().df(), wh.coverage("flow", BTC).df()
    assert len(everything) == 72
    assert len(flow) == 12
    assert set(flow["dataset"]) == {"flow"}
    assert (flow["rows"] == flow["expected_rows"]).all()


# -- generations ---------------------------------------------------------------------------------


def test_open_when_there_is_no_catalog_then_names_the_command(tmp_path: Path) -> None:
    command = f"warehouse --home {shlex.quote(str(tmp_path / 'nowhere'))} build"
    with pytest.raises(NotFoundError, match=re.escape(command)):
        warehouse.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("text", "message", "next_step"),
    [
        ("select error('Corrupt database file: no')", "Corrupt database file", None),
        ("select '{home}/objects/x.parquet'::int", "Could not convert string", None),
        ("select len(list(md5(i::varchar))) from range(9000000) t(i)", "Memory", "memory="),
    ],
)
def test_error_when_not_of_a_file_then_is_not_called_damage(
    wh: warehouse.Warehouse, demo_home: Path, text: str, message: str, next_step: str | None
) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        wh.sql(text.format(home=demo_home), memory="60MB").fetchall()
    assert (next_step or "") in (caught.value.next_step or "")
    assert "PRAGMA" not in str(caught.value)
    assert wh.sql("select 1").fetchall() == [(1,)]


def test_open_when_the_catalog_is_damaged_then_reports_it(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_bytes(b"torn" * 1000)
    with pytest.raises(DamagedError, match="cannot be read as a catalog"):
        warehouse.open(tmp_path)


def test_open_when_generation_is_named_then_opens_that_one(demo_home: Path) -> None:
    with warehouse.open(demo_home, generation=1) as wh:
        assert wh.generation == 1
        assert str(demo_home) in repr(wh)
    with pytest.raises(NotFoundError, match="no generation 99"):
        warehouse.open(demo_home, generation=99)


def test_open_when_environment_names_the_home_then_needs_no_argument(
    demo_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_HOME", str(demo_home))
    with warehouse.open() as wh:
        assert wh.generation == 1


def test_refresh_when_another_generation_was_published_then_goes_over_to_it(
    demo_home: Path, tmp_path: Path
) -> None:
    from warehouse.build.catalog import prepare_catalog
    from warehouse.config import Settings
    from warehouse.generations.publish import publish_build
    from warehouse.home import Home

    home = copy_home(demo_home, tmp_path / "home")
    with warehouse.open(home) as wh:
        before = wh.sql("select count(*) from flow_features")
        import duckdb

        path = prepare_catalog(Settings(home), generation=2)
        with duckdb.connect(path) as connection:
            connection.execute(
                "insert into meta.results values ('m', 'model', 'warehouse', 'success', 0, '')"
            )
            connection.execute("checkpoint")
        publish_build(Home(home))
        assert wh.generation == 1
        assert before.fetchall() == [(112_944,)]
        wh.refresh()
        assert wh.generation == 2
        assert before.fetchall() == [(112_944,)]
        with pytest.raises(QueryError, match="flow_features"):
            wh.sql("from flow_features")


def test_sql_when_warehouse_was_closed_then_reports_it(demo_home: Path) -> None:
    wh = warehouse.open(demo_home)
    wh.close()
    wh.close()
    with pytest.raises(UsageError, match="closed"):
        wh.sql("select 1")


def test_face_when_imported_then_every_error_is_of_the_one_root() -> None:
    assert issubclass(QueryError, warehouse.WarehouseError)
    assert warehouse.WarehouseError is WarehouseError
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        warehouse.nothing  # noqa: B018


def test_face_when_looked_at_then_shows_what_the_docs_do(wh: warehouse.Warehouse) -> None:
    def public(value: object) -> set[str]:
        return {name for name in dir(value) if not name.startswith("_")}

    assert public(wh) == {
        "bars", "close", "connection", "coverage", "describe", "generation", "preview", "queries",
        "query", "refresh", "settings", "sql", "tables",
    }  # fmt: skip
    assert public(wh.sql("select 1")) == {
        "arrow", "batches", "cancel", "columns", "df", "fetchall", "head", "hint", "keys", "pl",
        "receipt", "to_pandas", "trace", "warnings",
    }  # fmt: skip


# -- many at once --------------------------------------------------------------------------------


def test_warehouse_when_many_threads_trace_results_then_all_get_the_same(
    demo_home: Path,
) -> None:
    text = "select time, net_delta from flow_features where symbol = $symbol order by time"

    with warehouse.open(demo_home) as shared:

        def told(_: int) -> tuple[object, ...]:
            result = shared.sql(text, symbol=BTC)
            unit = result.columns["net_delta"].unit
            behind = [one.datasets for one in result.trace().scope]
            return unit, behind, len(result.receipt.files), len(result.warnings)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(told, range(24)))
        with warehouse.open(demo_home) as alone:
            shared = alone
            assert answers == [told(0)] * len(answers)


def test_query_when_asked_in_a_forked_process_then_is_answered(demo_home: Path) -> None:
    code = (
        "import os, sys, warehouse\n"
        "def ask():\n"
        "    with warehouse.open(sys.argv[1]) as wh:\n"
        "        return wh.sql('select count(*) from flow_features').fetchall()[0][0]\n"
        "count = ask()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(0 if ask() == count else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, demo_home], capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr


def test_pivot_when_it_was_asked_then_leaves_no_types_to_the_next(wh: warehouse.Warehouse) -> None:
    pivot = "pivot (select interval, close from flow_features) on interval using max(close)"
    for _ in range(3):
        assert len(wh.sql(pivot)) == 1
    text = "select count(*) from duckdb_types() where type_name like '\\_\\_pivot%' escape '\\'"
    assert [wh.sql(text).fetchall() for _ in range(9)] == [[(0,)]] * 9


# -- answers that other tools take ---------------------------------------------------------------


@pytest.mark.parametrize("where", ["true", "false"])
def test_answer_when_a_tool_reads_arrow_then_takes_all_rows_with_their_columns(
    wh: warehouse.Warehouse, where: str
) -> None:
    text = f"select time, symbol, close from flow_features where \"interval\" = '1h' and {where}"
    r = wh.sql(text)
    assert pl.DataFrame(r).equals(r.pl())
    assert pa.table(r).equals(r.arrow())
    with duckdb.connect() as connection:
        assert connection.sql("from r").to_arrow_table().equals(r.arrow())


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 has other types of text and time")
def test_answer_when_it_is_iterated_or_indexed_then_goes_by_column(
    wh: warehouse.Warehouse,
) -> None:
    r = wh.sql("select time, symbol, close from flow_features where \"interval\" = '1h' limit 9")
    assert [tuple(row.values()) for row in r] == r.fetchall()
    assert r["close"].to_pylist() == [row[2] for row in r.fetchall()]
    pd.testing.assert_frame_equal(pd.DataFrame(r), r.df())
    rows = list(r)
    assert (r[0], r[-1], r[2:4], r[::-4]) == (rows[0], rows[-1], rows[2:4], rows[::-4])
    assert r[["close", "time"]].equals(r.arrow().select(["close", "time"]))
    assert np.asarray(r[["close"]]).shape == (9, 1)
    assert "close" in r
    assert "clsoe" not in r
    assert pl.DataFrame(dict(r)).equals(r.pl())
    pd.testing.assert_frame_equal(r.to_pandas(), r.df())
    for wrong in ("clsoe", ["close", "clsoe"]):
        with pytest.raises(KeyError, match=r"'clsoe'.*close"):
            r[wrong]
    with pytest.raises(IndexError):
        r[9]


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 has other types of text and time")
def test_answer_when_it_has_no_rows_then_tools_keep_its_columns(wh: warehouse.Warehouse) -> None:
    r = wh.sql("select time, symbol, close from flow_features where false")
    names = ["time", "symbol", "close"]
    frames = (pd.DataFrame.from_arrow(r), pd.api.interchange.from_dataframe(r), r.to_pandas())
    assert [list(frame) for frame in frames] == [names] * 3
    assert frames[0].dtypes.equals(r.df().dtypes)
    assert (list(pd.DataFrame(dict(r))), list(dict(r)), r[:3]) == (names, names, [])
    assert not r


def test_warehouse_when_it_is_pickled_then_opens_the_same_generation(
    wh: warehouse.Warehouse,
) -> None:
    text = "select count(*) from flow_features"
    for other in (pickle.loads(pickle.dumps(wh)), copy.deepcopy(wh)):
        with other:
            assert other is not wh
            assert (other.generation, other.settings) == (wh.generation, wh.settings)
            assert other.sql(text).fetchall() == wh.sql(text).fetchall()
    for act in (pickle.dumps, copy.deepcopy):
        with pytest.raises(UsageError, match="cannot be pickled") as caught:
            act(wh.sql(text))
        assert "r.df()" in str(caught.value.next_step)


def test_connection_when_a_tool_takes_a_cursor_of_it_then_uses_the_catalog(
    wh: warehouse.Warehouse,
) -> None:
    text = "select symbol, count(*) as bars from flow_features group by all order by all"
    expected = wh.sql(text).fetchall()
    raw = wh.connection()
    with pytest.warns(UserWarning, match="SQLAlchemy"):
        frame = pd.read_sql(text, raw)
    assert list(frame.itertuples(index=False, name=None)) == expected
    assert pl.read_database(text, raw.cursor()).rows() == expected
    for cursor in (raw.cursor().cursor(), raw.duplicate()):
        assert cursor.execute(text).fetchall() == expected
        with pytest.raises(duckdb.Error, match="read-only"):
            cursor.execute("create table main.mine as select 1")
        with pytest.raises(duckdb.Error):
            cursor.execute("from read_text('/etc/passwd')")
