"""The scope of a query and its gaps: literal and bound predicates, through CTEs and joins."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import pytest

import warehouse
from tests.asking import ETH, publish_without_dbt, write_month
from tests.support import BTC, bar_table, copy_home, file_key, grid, utc, write_file
from warehouse.analysis.empty_results import explain_empty
from warehouse.analysis.gaps import Gap, IncompleteError
from warehouse.analysis.scope import QueryScope
from warehouse.cli import run
from warehouse.errors import NotFoundError
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.sql import Relation
from warehouse.sync.from_folder import sync_folder
from warehouse.vendor.keys import Period

GAP = (utc("2025-09-02 00:00"), utc("2025-09-02 06:00"))


@pytest.fixture(scope="module")
def wh(small_home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(small_home) as opened:
        yield opened


def reached(wh: warehouse.Warehouse, text: str, **params: Any) -> list[tuple[Any, ...]]:
    found = wh.sql(text, params).trace().scope
    return sorted((str(r.relation), r.keys, r.start, r.end) for r in found)


BTC_ONLY = {"symbol": (BTC,)}
SEP_3 = utc("2025-09-03 00:00")


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("from mart", {}, [("mart", {}, None, None)]),
        (f"from mart where symbol = '{BTC}'", {}, [("mart", BTC_ONLY, None, None)]),
        (f"from mart where '{BTC}' = symbol", {}, [("mart", BTC_ONLY, None, None)]),
        ("from mart where symbol = $s", {"s": BTC}, [("mart", BTC_ONLY, None, None)]),
        ("from mart where symbol in $s", {"s": [BTC]}, [("mart", BTC_ONLY, None, None)]),
        ("from mart where symbol = any($s)", {"s": [BTC]}, [("mart", BTC_ONLY, None, None)]),
        ("from mart where symbol in ($s, 'x') and symbol = $s", {"s": BTC},
         [("mart", BTC_ONLY, None, None)]),
        ("from mart where clock = $c", {"c": True}, [("mart", {"clock": ("true",)}, None, None)]),
        ("from mart where series_id = $n", {"n": "1"}, [("mart", {"series_id": (1,)}, None, None)]),
        ("from mart where series_id = $n", {"n": math.inf}, [("mart", {}, None, None)]),
        ("from mart where time <= '9999-12-31 23:59:59.999999'", {}, [("mart", {}, None, None)]),
        ("from mart where symbol = $s or close > 1", {"s": BTC}, [("mart", {}, None, None)]),
        ("from mart where symbol <> $s", {"s": BTC}, [("mart", {}, None, None)]),
        ("from mart where symbol like 'perp%'", {}, [("mart", {}, None, None)]),
        ("from mart where not symbol = $s", {"s": BTC}, [("mart", {}, None, None)]),
        ("from mart where $s is null or symbol = $s", {"s": BTC},
         [("mart", BTC_ONLY, None, None)]),
        ("from mart where $s is null or symbol = $s", {"s": None}, [("mart", {}, None, None)]),
        ("from mart where time >= $a", {"a": date(2025, 9, 3)}, [("mart", {}, SEP_3, None)]),
        ("from mart where time > $a", {"a": date(2025, 9, 3)},
         [("mart", {}, datetime(2025, 9, 3, 0, 0, 0, 1), None)]),  # noqa: DTZ001
        ("from mart where time < '2025-09-03'", {}, [("mart", {}, None, SEP_3)]),
        ("from mart where $a > time", {"a": date(2025, 9, 3)}, [("mart", {}, None, SEP_3)]),
        ("from mart where time < date '2025-09-01' + interval 2 day", {},
         [("mart", {}, None, SEP_3)]),
        ("from mart where time < $a::date + $n::integer", {"a": date(2025, 9, 1), "n": 2},
         [("mart", {}, None, SEP_3)]),
        ("from mart where time < timestamptz '2025-09-03 02:00:00+02'", {},
         [("mart", {}, None, SEP_3)]),
        ("from mart where time between '2025-09-03' and '2025-09-03'", {},
         [("mart", {}, SEP_3, datetime(2025, 9, 3, 0, 0, 0, 1))]),  # noqa: DTZ001
        ("from mart where time < known_at", {}, [("mart", {}, None, None)]),
        ("with x as (from mart) from x where time < '2025-09-03'", {},
         [("mart", {}, None, SEP_3)]),
        ("with x as (select close, time from mart) from x where time < '2025-09-03'", {},
         [("mart", {}, None, SEP_3)]),
        ("with x as (select close, known_at as time from mart) from x where time < '2025-09-03'",
         {}, [("mart", {}, None, None)]),
        ("with x as (from mart limit 3) from x where time < '2025-09-03'", {},
         [("mart", {}, None, None)]),
        ("select * from (select * exclude (close) from mart) where time < '2025-09-03'", {},
         [("mart", {}, None, SEP_3)]),
        ("with mart as (from vendor.flow) from mart", {}, [("vendor.flow", {}, None, None)]),
        ("from vendor.flow union all by name from vendor.ohlcv", {},
         [("vendor.flow", {}, None, None), ("vendor.ohlcv", {}, None, None)]),
        ("select a.close from mart a join vendor.flow b using (series_id, time)"
         " where a.symbol = $s and b.time < '2025-09-03'", {"s": BTC},
         [("mart", BTC_ONLY, None, SEP_3), ("vendor.flow", BTC_ONLY, None, SEP_3)]),
        ("select a.close from mart a join vendor.flow b on a.series_id = b.series_id"
         " where a.symbol = $s and a.time < '2025-09-03'", {"s": BTC},
         [("mart", BTC_ONLY, None, SEP_3), ("vendor.flow", BTC_ONLY, None, None)]),
        ("select a.close from mart a, vendor.flow b where a.symbol = $s", {"s": BTC},
         [("mart", BTC_ONLY, None, None), ("vendor.flow", {}, None, None)]),
        ("select (select max(close) from vendor.ohlcv) from mart where symbol = $s", {"s": BTC},
         [("mart", BTC_ONLY, None, None), ("vendor.ohlcv", {}, None, None)]),
        ("from rows_of('vendor.flow')", {}, [("vendor.flow", {}, None, None)]),
        ("describe mart", {}, [("mart", {}, None, None)]),
        ("pivot mart on symbol using avg(close)", {}, [("mart", {}, None, None)]),
        ("select 1", {}, []),
    ],
)  # fmt: skip
def test_reach_when_predicates_are_certain_then_restrict_and_else_do_not(
    wh: warehouse.Warehouse, text: str, params: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    assert reached(wh, text, **params) == expected


def test_reach_when_a_mart_is_read_then_names_the_datasets_behind_it(
    wh: warehouse.Warehouse,
) -> None:
    for name, datasets in [
        ("mart", ("flow", "ohlcv")),
        ('"user".mine', ("flow", "ohlcv")),
        ("staging.stg_flow", ("flow",)),
        ("warehouse.vendor.ohlcv", ("ohlcv",)),
        ("stored", ("flow", "ohlcv")),  # neither its view nor meta.models says: any may be
        ("meta.gaps", ()),
    ]:
        (found,) = wh.sql(f"from {name}").trace().scope
        assert found.datasets == datasets


def test_scope_when_the_catalog_has_no_sql_of_its_models_then_names_the_command(
    small_home: Path, tmp_path: Path
) -> None:
    home = copy_home(small_home, tmp_path / "home")
    shutil.copy(small_home / "warehouse.duckdb", home / "own.duckdb")
    (home / "own.duckdb").replace(home / "warehouse.duckdb")
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute("drop table meta.models")
    with warehouse.open(home) as opened:
        answer = opened.sql("from stored")
        assert len(answer)
        with pytest.raises(NotFoundError, match="built by an earlier version") as caught:
            _ = answer.warnings
    assert caught.value.next_step == "run: warehouse build"


@pytest.mark.parametrize(
    ("where", "there"),
    [
        ("symbol = $s", True),
        ("symbol = $s and time < '2025-09-02'", False),
        ("symbol = $s and time < '2025-09-02 00:00:01'", True),
        ("symbol = $s and time >= '2025-09-02 05:00'", True),
        ("symbol = $s and time >= '2025-09-02 06:00'", False),
        ("symbol = $s and interval = '1h' and clock = 'true'", True),
        ("symbol <> $s", True),
    ],
)
def test_warnings_when_bars_are_missing_then_name_those_in_the_span(
    wh: warehouse.Warehouse, where: str, there: bool
) -> None:
    gaps = wh.sql(f"from mart where {where}", s=BTC).warnings
    gaps = [gap for gap in gaps if gap.bars is not None]
    assert [(gap.dataset, gap.symbol, gap.start, gap.end, gap.bars) for gap in gaps] == (
        [("flow", BTC, *GAP, 6)] if there else []
    )
    if there:
        assert "6 bars" in str(gaps[0]) and "2025-09-02 06:00" in str(gaps[0])


def test_warnings_when_another_series_is_asked_then_are_none(wh: warehouse.Warehouse) -> None:
    assert wh.sql("from mart where symbol = $s", s=ETH).warnings == ()
    assert wh.sql("from mart where series_id in (select 99)").warnings != ()


def test_warnings_when_a_key_has_another_type_then_are_those_of_its_value(
    wh: warehouse.Warehouse,
) -> None:
    where = "from mart where symbol = $s and clock = $clock and series_id = $n"
    (number, text) = (wh.sql(where, s=BTC, clock=c, n=n) for c, n in (("true", 1), (True, "1")))
    assert number.warnings == text.warnings != ()


def test_warnings_when_a_file_was_refused_then_names_it_and_why(wh: warehouse.Warehouse) -> None:
    (gap,) = wh.sql("from vendor.ohlcv where symbol = $s", s=BTC).warnings
    assert (gap.dataset, gap.start, gap.end) == (
        "ohlcv", utc("2025-11-01"), utc("2025-12-01"),
    )  # fmt: skip
    assert "refused" in gap.reason
    assert (
        wh.sql("from vendor.ohlcv where symbol = $s and time < '2025-11-01'", s=BTC).warnings == ()
    )
    by_number = wh.sql("select series_id from meta.series where symbol = $s", s=BTC).fetchall()
    assert wh.sql("from vendor.ohlcv where series_id = $n", n=by_number[0][0]).warnings == (gap,)


def test_warnings_when_the_lake_ends_before_the_span_then_list_the_gap(
    wh: warehouse.Warehouse,
) -> None:
    result = wh.sql(
        "from vendor.flow where symbol = $s and time >= '2025-08-01' and time < '2025-11-03'", s=ETH
    )
    assert [(gap.start, gap.end) for gap in result.warnings] == [
        (utc("2025-08-01"), utc("2025-09-01")),
        (utc("2025-11-01"), utc("2025-11-03")),
    ]
    (nothing,) = wh.sql("from vendor.flow where symbol = 'BTC'").warnings
    assert nothing.symbol == "BTC"
    assert nothing.reason.startswith(
        "no such series (flow has no series with symbol 'BTC'; available: "
    )


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [
        ("time >= '2030-01-01'", utc("2030-01-01"), None),
        ("time < '2020-01-01'", None, utc("2020-01-01")),
        ("time >= '2025-09-01'", None, None),
        ("time < '2025-10-01'", None, None),
    ],
)
def test_warnings_when_an_open_span_has_no_bar_then_list_the_gap(
    wh: warehouse.Warehouse, span: str, start: datetime | None, end: datetime | None
) -> None:
    beyond = [
        (gap.start, gap.end)
        for gap in wh.sql(f"from vendor.flow where symbol = '{ETH}' and {span}").warnings
        if gap.reason in ("never synced", "after its last file")
    ]
    assert beyond == ([(start, end)] if start or end else [])


def test_strict_when_there_are_gaps_then_raises_before_running(wh: warehouse.Warehouse) -> None:
    with pytest.raises(IncompleteError) as caught:
        wh.sql("from mart where symbol = $s", s=BTC, strict=True)
    assert len(caught.value.fields["gaps"]) == 2  # type: ignore[arg-type]
    assert len(wh.sql("from mart where symbol = $s", s=ETH, strict=True)) == 61 * 24


def test_display_when_there_are_gaps_then_hints_at_them(wh: warehouse.Warehouse) -> None:
    shown = wh.sql("from mart where symbol = $s order by time", s=BTC)._repr_html_()
    assert "the first 20 shown" in shown and "1,458 rows" in shown
    assert "incomplete" in shown and "6 bars" in shown
    whole = wh.sql("select symbol, '<b>' as html from mart where symbol = $s limit 2", s=ETH)
    assert "incomplete" not in whole._repr_html_()
    assert "2 rows" in whole._repr_html_() and "&lt;b&gt;" in whole._repr_html_()


# -- why an answer is empty ----------------------------------------------------------------------

BOTH = f"{BTC}, {ETH}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("from mart where clock = 'exchange'", "flow has no series with clock 'exchange';"
         " available: true"),
        ("select count(*) as n, avg(close) as close from mart where clock = $c",
         "flow has no series with clock 'x'; available: true"),
        (f"from mart where interval = '5m' and symbol = '{BTC}'",
         "flow has no series with interval '5m'; available: 1h"),
        ("from mart where symbol in ('perpetual-ETH-USDT', 'a')", "flow has no series with"
         f" symbol 'a' or 'perpetual-ETH-USDT'; available: {BOTH}"),
        ("from vendor.ohlcv where exchange = 'binance' and symbol = 'BTC'",
         "ohlcv has no series with symbol 'BTC' and exchange 'binance';"
         f" available: symbol {BOTH}; exchange binance-futures"),
        ("from vendor.flow where series_id = 99", "flow has no series with series_id 99;"
         " available: 1, 2"),
        ("from vendor.flow where time < '2025-01-01'", "flow has rows only from 2025-09-01 00:00"
         " to 2025-10-31 23:00"),
        ("from vendor.l1_price where symbol = 'a'", "this home has no data of l1_price;"
         " see: warehouse status"),
        ("from vendor.flow where taker_buy_volume < 0", "vendor.flow has rows from"
         " 2025-09-01 00:00 to 2025-10-31 23:00, but no row matches the query"),
        ("from mart where close < 0", "no row matches the query; mart is computed from: flow, ohlcv"
         " from 2025-09-01 00:00 to 2025-10-31 23:00"),
        ("select count(*) as n from mart where close < 0", None),
        ("select 0 as n", None),
        ("from meta.files where dataset = 'a'", None),
        ("from mart limit 1", None),
        ("explain from mart where clock = 'exchange'", None),
    ],
)  # fmt: skip
def test_hint_when_an_answer_is_empty_then_names_what_is_not_here(
    wh: warehouse.Warehouse, text: str, hint: str | None
) -> None:
    result = wh.sql(text, {"c": "x"} if "$c" in text else {})
    assert result.hint == hint
    assert (hint or "") in repr(result)
    if hint is not None and "'" not in hint:
        assert hint in result._repr_html_()


def test_hint_when_one_source_of_a_table_is_not_here_then_names_those_that_are(
    wh: warehouse.Warehouse,
) -> None:
    """As for seasonality, which has rows of every source in the home."""
    scope = QueryScope(Relation("main", "seasonality"), ("basis", "flow"))
    hint = explain_empty(wh.connection(), [scope])
    assert hint == (
        "no row matches the query; seasonality is computed from: flow from 2025-09-01 00:00"
        " to 2025-10-31 23:00; no data of basis"
    )


def test_hint_when_one_of_two_series_is_asked_for_wrongly_then_is_about_that_one(
    wh: warehouse.Warehouse,
) -> None:
    result = wh.sql(
        "select a.time from mart as a, mart as b where a.series_id = b.series_id"
        f" and a.symbol = '{BTC}' and b.symbol = 'perpetual-ETH-USD'"
    )
    assert result.hint == (
        f"flow has no series with symbol 'perpetual-ETH-USD'; available: {ETH}, {BTC}"
    )


def test_head_when_read_before_then_is_not_asked_again(wh: warehouse.Warehouse) -> None:
    result = wh.sql("select random() as x from range(5)")
    whole = result.head(10)
    assert (len(whole), len(result)) == (5, 5)
    assert result.head(2) == whole[:2]


# -- moments as text -----------------------------------------------------------------------------

NEW_YORK = "2025-09-02T07:00:00-05:00"
"""Noon of that day in UTC."""


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("time >= $d", NEW_YORK),
        ("time >= $d", "2025-09-02 17:30:00+0530"),
        ("time >= $d", "2025-09-02T12:00:00.000000000Z"),
        ("time >= $d::timestamp", NEW_YORK),
        ("time >= $d::timestamptz", NEW_YORK),
        ("time between $d and '2030-01-01'", NEW_YORK),
        ("time >= list_max($d)", [NEW_YORK]),
        ("time >= coalesce($d, time)", NEW_YORK),
        ("time >= timestamptz '2025-09-02T07:00:00-05:00'", None),
        ("time >= '2025-09-02T12:00:00Z'", None),
        ("time >= datetrunc('hour', $d)", NEW_YORK),
    ],
)
def test_sql_when_a_text_moment_has_an_offset_then_it_counts(
    wh: warehouse.Warehouse, where: str, value: object
) -> None:
    params = {} if value is None else {"d": value}
    text = f"select min(time) from mart where symbol = '{ETH}' and {where}"
    assert wh.sql(text, params).fetchall() == [(utc("2025-09-02 12:00"),)]


def test_sql_when_a_text_column_is_compared_then_text_stays_text(wh: warehouse.Warehouse) -> None:
    assert wh.sql("select count(*) from mart where symbol = $d", d=NEW_YORK).fetchall() == [(0,)]


@pytest.mark.parametrize(
    "where",
    [
        f"time >= '{NEW_YORK}'",
        f"'{NEW_YORK}' <= time",
        f"time between '{NEW_YORK}' and '2030-01-01'",
        f"time in ('{NEW_YORK}')",
        f"time >= timestamp '{NEW_YORK}'",
        f"time >= cast('{NEW_YORK}' as datetime)",
        f"time >= '{NEW_YORK}'::date",
        "time >= try_cast('2025-09-02 07:00-05' as timestamp)",
    ],
)
def test_sql_when_the_engine_would_drop_an_offset_then_is_refused(
    wh: warehouse.Warehouse, where: str
) -> None:
    with pytest.raises(warehouse.WarehouseError, match="offset") as caught:
        wh.sql(f"select min(time) from mart where {where}")
    assert "timestamptz" in str(caught.value.next_step)


# -- why bars are missing ------------------------------------------------------------------------


def line(start: str, end: str, *home: str) -> str:
    return (
        f"{shlex.join(['warehouse', *home])} sync flow --exchange binance-futures --symbol {BTC}"
        f" --interval 1h --clock true --start {start} --end {end}"
    )


def test_warnings_when_bars_are_missing_then_each_has_its_reason_and_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """September with a gap; October never synced; November; one day of December, next but one."""
    home, files = tmp_path / "home", tmp_path / "files"
    for month in (9, 11):
        write_month(files, "flow", BTC, month)
    for day in ("2025-12-01", "2025-12-03"):
        starts = grid(date.fromisoformat(day), 24)
        write_file(files, file_key("flow", day, symbol=BTC), bar_table("flow", starts))
    sync_folder(Home(home), files)
    publish_without_dbt(home)
    ours = ("--home", str(home))
    text = "from vendor.flow where time >= '2025-08-15' and time < '2025-12-06'"
    with warehouse.open(home) as opened:
        found = opened.sql(text).warnings
        assert [(f"{h.start:%m-%d}", f"{h.end:%m-%d}", h.bars, h.reason, h.next_step)
                for h in found] == [
            ("08-15", "09-01", None, "never synced", line("2025-08-15", "2025-08-31", *ours)),
            ("09-02", "09-02", 6, "missing in the vendor's files", None),
            ("10-01", "11-01", 744, "never synced", line("2025-10-01", "2025-10-31", *ours)),
            ("12-02", "12-03", 24, "never synced", line("2025-12-02", "2025-12-02", *ours)),
            ("12-04", "12-06", None, "after its last file",
             line("2025-12-04", "2025-12-05", *ours)),
        ]  # fmt: skip
        shown = repr(opened.sql(text))
        assert "incomplete: 5 gaps in 1 series: 3 never synced, 1 " in shown
        assert shown.count("incomplete") == 1 and shown.count("\n  next: ") == 1
        october = "from vendor.flow where time >= '2025-10-01' and time < '2025-11-02'"
        for text in (repr(opened.sql(october)), unescape(opened.sql(october)._repr_html_())):
            assert line("2025-10-01", "2025-10-31", *ours) in text
        assert run([*ours, "sql", f"select count(*) {october}", "--format", "csv"]) == 0
        printed = capsys.readouterr()
        assert printed.out.split()[1] == "24"
        assert f"  next: {line('2025-10-01', '2025-10-31', *ours)}\n" in printed.err
        monkeypatch.setenv("WAREHOUSE_HOME", str(home))
        (gap,) = opened.sql(october).warnings
        assert gap.next_step == line("2025-10-01", "2025-10-31")

        with Manifest(home / "manifest.sqlite") as manifest:
            series = file_key("flow", "2025-10", symbol=BTC).series
            span = Period("2025-10")
            manifest.record_settled("flow", series, [(span.start_us, span.end_us)])
        (gap,) = opened.sql(october).warnings
        assert (gap.reason, gap.next_step) == ("the vendor has no file", None)
        write_month(files, "flow", BTC, 10)
        sync_folder(Home(home), files)
        (gap,) = opened.sql(october).warnings
        assert (gap.reason, gap.next_step) == ("synced, but not in this build", "warehouse build")


def test_warnings_when_files_begin_without_the_series_or_skip_raw_months_then_list_the_gaps(
    tmp_path: Path,
) -> None:
    home, files = tmp_path / "home", tmp_path / "files"
    starts = grid(date(2025, 9, 10), 24)
    write_file(files, file_key("flow", "2025-09", symbol=BTC), bar_table("flow", starts))
    for month in ("2025-09", "2025-11"):
        ticks = bar_table("raw_trades", grid(date.fromisoformat(f"{month}-01"), 9))
        write_file(files, file_key("raw_trades", month), ticks)
    sync_folder(Home(home), files)
    publish_without_dbt(home)
    with warehouse.open(home) as opened:
        for start in ("2025-07-01", "2025-09-05"):
            (gap,) = opened.sql(
                "from vendor.flow where time >= $a and time < '2025-09-11'", a=start
            ).warnings
            assert (gap.start, gap.end, gap.reason, gap.next_step) == (
                utc(start), utc("2025-09-10"), "before the series starts", None,
            )  # fmt: skip
        (early,) = opened.sql("from vendor.flow where time < '2025-01-01'").warnings
        assert (early.end, early.reason) == (utc("2025-01-01"), "before the series starts")
        assert opened.sql("from vendor.flow where time >= '2025-09-10'").warnings == ()
        (after,) = opened.sql(
            "from vendor.flow where time >= '2025-09-10' and time < '2025-10-01'"
        ).warnings
        assert (after.start, after.reason) == (utc("2025-09-11"), "missing in the vendor's files")
        (gap,) = opened.sql("from vendor.raw_trades").warnings
        assert (gap.start, gap.end, gap.bars, gap.reason) == (
            utc("2025-10-01"), utc("2025-11-01"), None, "never synced",
        )  # fmt: skip


def test_warnings_when_a_refused_month_is_asked_for_then_it_is_one_gap(
    wh: warehouse.Warehouse,
) -> None:
    (gap,) = wh.sql(
        f"from vendor.ohlcv where symbol = '{BTC}' and time >= '2025-10-01' and time < '2025-11-09'"
    ).warnings
    assert gap.reason.startswith("refused (")


def test_warnings_when_the_span_ends_in_the_future_then_only_the_past_is_missing(
    wh: warehouse.Warehouse,
) -> None:
    (gap,) = wh.sql(
        f"from vendor.flow where symbol = '{ETH}' and time >= '2025-10-01' and time < '2999-01-01'"
    ).warnings
    assert gap.start == utc("2025-11-01") and gap.end is not None and gap.next_step is not None
    assert gap.end.year < 2999 and f"--end {gap.end - timedelta(days=1):%Y-%m-%d}" in (
        gap.next_step
    )
    (never,) = wh.sql(f"from vendor.flow where symbol = '{ETH}' and time >= '2998-01-01'").warnings
    assert never.next_step is None


def test_a_gap_of_one_moment_is_shown_as_a_moment() -> None:
    moment = datetime.fromisoformat("2025-09-01 03:00")
    series = "flow", "binance-futures", BTC, "1h", "true"
    gap = Gap(*series, moment, moment + timedelta(microseconds=1), None, "after its last file")
    assert str(gap).endswith("after its last file at 2025-09-01 03:00")
