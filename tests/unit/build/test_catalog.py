"""The views and facts of a catalog, made from files and read in a zone that is not UTC."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import (
    BTC,
    VENUE,
    bar_table,
    file_key,
    grid,
    times,
    utc,
    without_comments,
    write_file,
)
from warehouse.build.catalog import prepare_catalog
from warehouse.build.months.compute_months import Lists, set_lists
from warehouse.build.vendor_views import lists_of_series, view_columns, view_sql
from warehouse.config import Settings
from warehouse.errors import NotFoundError
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.lake.ownership import assign_ownership
from warehouse.sync.from_folder import sync_folder
from warehouse.vendor.contracts import KEY_COLUMNS, load_contracts
from warehouse.vendor.keys import FileKey

SEPTEMBER = date(2025, 9, 1)
FLOW = file_key("flow", "2025-09")
Files = dict[FileKey, pa.Table]
MakeFiles = Callable[[], Files]

_makers: list[MakeFiles] = []


def in_lake(make: MakeFiles) -> MakeFiles:
    """Files of one test in ``lake``: a series, or where it adds columns a dataset, of its own."""
    _makers.append(make)
    return make


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """One catalog, for reading, of all files that the tests below put into the lake.

    Each dataset that they leave out has a file with the columns of its contract.
    """
    files: Files = {}
    for make in _makers:
        own = make()
        assert not own.keys() & files.keys()
        files |= own
    for name in load_contracts().keys() - {key.dataset for key in files}:
        files[file_key(name, "2025-09")] = bar_table(name, grid(SEPTEMBER, 3))
    with make_catalog(tmp_path_factory.mktemp("lake"), files) as connection:
        yield connection


FUTURE = "future-BTC-USD:BTC-20260327"
QUOTED = "spot-O'Reilly\"-USD"


@pytest.fixture(scope="module")
def plain_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a build file: two bars of three series of flow and one of ohlcv; for reading."""
    folder = tmp_path_factory.mktemp("plain")
    keys = [FLOW, *(file_key("flow", "2025-09", symbol=symbol) for symbol in (FUTURE, QUOTED))]
    keys.append(file_key("ohlcv", "2025-09"))
    make_catalog(folder, {key: bar_table(key.dataset, grid(SEPTEMBER, 2)) for key in keys}).close()
    return folder / "home" / ".build"


@pytest.fixture
def plain(plain_build: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with opened(plain_build / "warehouse.duckdb") as connection:
        yield connection


def make_catalog(folder: Path, files: Files) -> duckdb.DuckDBPyConnection:
    for key, table in files.items():
        write_file(folder / "files", key, table)
    home = Home(folder / "home")
    report = sync_folder(home, folder / "files")
    assert not report.refused and not report.unrecognised
    connection = opened(prepare_catalog(Settings(home.root), generation=1))
    require_the_same_in_bulk(connection, home)
    return connection


def opened(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"attach '{path}' as warehouse (read_only)")
    connection.execute("use warehouse")
    assert connection.sql("select current_setting('TimeZone')").fetchall() == [
        (os.environ["TZ"],)
    ], "the point of these tests: no answer may depend on the reader's zone"
    return connection


def require_the_same_in_bulk(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Builds read all files of a dataset at once, sessions each series: both see the same rows."""
    with Manifest(home.manifest) as manifest:
        owned = assign_ownership(manifest.files())
    for dataset in {file.file.key.dataset for file in owned}:
        files = [file for file in owned if file.file.key.dataset == dataset]
        lists: Lists = {}
        columns = view_columns(dataset, {f.file.facts.columns for f in files})
        bulk = view_sql(columns, files, home, lists=lists)
        set_lists(connection, lists_of_series({f.file.series_id: f.file.key.series for f in files}))
        set_lists(connection, lists)
        ways = (f'from vendor."{dataset}"', f"from ({bulk})")
        one, other = (
            connection.sql(f"select count(*), bit_xor(hash(t)) from ({way}) as t").fetchall()
            for way in ways
        )
        assert one == other


def columns_of(connection: duckdb.DuckDBPyConnection, view: str) -> dict[str, tuple[str, str]]:
    schema, _, name = view.partition(".")
    rows = connection.execute(
        "select column_name, data_type, comment from duckdb_columns()"
        " where schema_name = ? and table_name = ? order by column_index",
        [schema, name],
    ).fetchall()
    return {name: (kind, comment) for name, kind, comment in rows}


# -- shape ---------------------------------------------------------------------------------------


def duckdb_type(kind: str) -> str:
    return "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMPTZ" else kind


def test_view_when_made_with_or_without_files_then_has_the_contracts_columns(
    lake: duckdb.DuckDBPyConnection, plain: duckdb.DuckDBPyConnection
) -> None:
    """Files may have more columns, of which some datasets of the lake have."""
    for name, contract in load_contracts().items():
        declared = [*KEY_COLUMNS, *(c for c in contract.columns if c.name != "time")]
        for connection in (lake, plain):
            columns = columns_of(connection, f"vendor.{name}")
            own = columns if connection is plain else {c.name: columns[c.name] for c in declared}
            assert own == {c.name: (duckdb_type(c.type), c.comment) for c in declared}
            assert list(columns)[: len(own)] == list(own)
            described = connection.sql(f"describe vendor.{name}").fetchall()
            assert {row[0]: row[1] for row in described} == {
                column: kind for column, (kind, _) in columns.items()
            }
        counted = f"select count(*) from vendor.{name}"
        assert lake.sql(counted).fetchall() > [(0,)]
        held = {"flow": 6, "ohlcv": 2}.get(name, 0)
        assert plain.sql(counted).fetchall() == [(held,)]


def test_view_when_read_then_has_the_keys_of_the_manifest(
    plain: duckdb.DuckDBPyConnection,
) -> None:
    rows = plain.sql(
        'select exchange, symbol, "interval", clock, time, known_at from vendor.flow order by all'
    ).fetchall()
    assert rows == [
        (VENUE, symbol, "1h", "true", utc(f"2025-09-01 0{h}:00"), utc(f"2025-09-01 0{h + 1}:00"))
        for symbol in sorted((FUTURE, BTC, QUOTED))
        for h in (0, 1)
    ]
    numbers = plain.sql("select distinct series_id, symbol from vendor.flow order by all")
    known = plain.sql("select distinct series_id, symbol from meta.series order by all")
    assert numbers.fetchall() == known.fetchall()


SECONDS = {"1s": 1, "1m": 60, "1h": 3_600, "4h": 14_400, "1d": 86_400}


@in_lake
def of_each_interval() -> Files:
    return {
        file_key("basis", "2025-09", interval): bar_table("basis", grid(SEPTEMBER, 2, interval))
        for interval in SECONDS
    }


def test_known_at_when_interval_differs_then_is_the_end_of_the_bar(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    rows = lake.sql('select distinct "interval", epoch(known_at - time) from vendor.basis')
    assert dict(rows.fetchall()) == SECONDS


@in_lake
def of_trades() -> Files:
    return {file_key("raw_trades", "2025-09"): bar_table("raw_trades", grid(SEPTEMBER, 1))}


def test_view_when_raw_then_is_known_when_it_arrived(lake: duckdb.DuckDBPyConnection) -> None:
    rows = lake.sql(
        'select "interval", clock, time, known_at, epoch_us(exchange_timestamp)'
        " from vendor.raw_trades"
    ).fetchall()
    at = utc("2025-09-01")
    assert rows == [(None, None, at, at.replace(microsecond=100_000), grid(SEPTEMBER, 1)[0])]


@in_lake
def without_a_zone() -> Files:
    clock = times(grid(SEPTEMBER, 1))
    naive = bar_table(
        "raw_quotes", grid(SEPTEMBER, 1), exchange_timestamp=clock, local_timestamp=clock
    )
    return {file_key("raw_quotes", "2025-09"): naive}


def test_raw_clocks_when_file_has_no_zone_then_are_utc_all_the_same(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    rows = lake.sql(
        "select epoch_us(exchange_timestamp), epoch_us(local_timestamp), epoch_us(time),"
        " epoch_us(known_at) from vendor.raw_quotes"
    ).fetchall()
    assert rows == [(grid(SEPTEMBER, 1)[0],) * 4]


@in_lake
def of_each_unit_and_zone() -> Files:
    """A file each month, written in its own way; one branch of the view each."""
    ways = [(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")]
    files = {}
    for month, (unit, tz) in enumerate(ways, start=1):
        starts = grid(date(2025, month, 1), 2)
        key = file_key("funding", f"2025-{month:02d}")
        files[key] = bar_table("funding", starts, time=times(starts, unit, tz))
    return files


def test_time_when_written_in_any_unit_or_zone_then_reads_the_same(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    rows = lake.sql("select time, known_at from vendor.funding order by time").fetchall()
    assert rows == [
        (utc(f"2025-0{month}-01 0{h}:00"), utc(f"2025-0{month}-01 0{h + 1}:00"))
        for month in range(1, 9)
        for h in (0, 1)
    ]
    assert columns_of(lake, "vendor.funding")["time"][0] == "TIMESTAMP"
    assert columns_of(lake, "vendor.funding")["known_at"][0] == "TIMESTAMP"


# -- values --------------------------------------------------------------------------------------


ODD_VALUES = [None, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7e308]


@in_lake
def of_odd_values() -> Files:
    tables = {
        "spot-ODD-USD": bar_table(
            "flow", grid(SEPTEMBER, 7), volume_delta=pa.array(ODD_VALUES, pa.float64())
        ),
        "spot-COUNT-USD": bar_table("flow", grid(SEPTEMBER, 1), taker_buy_count=pa.array([7.0])),
        "spot-TURNED-USD": bar_table("flow", grid(SEPTEMBER, 24)[::-1]),
    }
    return {file_key("flow", "2025-09", symbol=symbol): table for symbol, table in tables.items()}


def test_values_when_odd_or_unsorted_or_counts_as_floats_then_are_the_files(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    def found(select: str, symbol: str) -> list[Any]:
        return lake.execute(f"select {select} where symbol = ?", [symbol]).fetchall()

    values = found("volume_delta from (from vendor.flow order by time)", "spot-ODD-USD")
    assert [repr(value) for (value,) in values] == [repr(value) for value in ODD_VALUES]
    (count,) = found("taker_buy_count from vendor.flow", "spot-COUNT-USD")
    assert count == (7,)
    assert isinstance(count[0], int)
    turned = found("count(*), count(distinct time) from vendor.flow", "spot-TURNED-USD")
    assert turned == [(24, 24)]
    assert found("is_sorted from meta.files", "spot-TURNED-USD") == [(False,)]


@in_lake
def of_series_and_days_in_another_order() -> Files:
    """The future has the higher number although its name comes first, and begins in October."""
    turned = grid(date(2025, 9, 1), 24)[::-1]
    files = {file_key("vtwap", "2025-09"): bar_table("vtwap", turned)}
    for symbol in (FUTURE, FLOW.series.symbol):
        for period in ("2025-10", "2025-11-01", "2025-11-02"):
            key = file_key("vtwap", period, symbol=symbol)
            files[key] = bar_table("vtwap", grid(key.period.start, 3))
    return files


def test_gathered_months_when_files_come_in_any_order_then_are_sorted(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    ((home,),) = lake.sql("select home from meta.build").fetchall()
    months = [
        lake.sql(f"select series_id, time from '{path}'").fetchall()
        for path in Path(home, "marts").glob("vendor.*/*.parquet")
    ]
    assert [len(rows) for rows in months if len({series for series, _ in rows}) == 2]
    assert all(rows == sorted(rows) for rows in months)


@in_lake
def of_narrow_values() -> Files:
    values = [pa.array([0.1]), pa.array([0.1], pa.float32()), pa.array([3], pa.int64())]
    return {
        file_key("flow", f"2025-{month:02}", symbol="spot-NARROW-USD"): bar_table(
            "flow", grid(date(2025, month, 1), 1), volume_delta=value
        )
        for month, value in enumerate(values, 9)
    }


def test_values_when_one_file_is_narrower_then_are_each_files_own(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    rows = lake.sql(
        "select volume_delta from vendor.flow where symbol = 'spot-NARROW-USD' order by time"
    ).fetchall()
    assert rows == [(0.1,), (float(np.float32(0.1)),), (3.0,)]
    assert columns_of(lake, "vendor.flow")["volume_delta"][0] == "DOUBLE"


@in_lake
def of_lacking_columns() -> Files:
    whole, less = (bar_table("flow", grid(date(2025, month, 1), 1)) for month in (9, 10))
    return {
        file_key("flow", "2025-09", symbol="spot-LESS-USD"): whole,
        file_key("flow", "2025-10", symbol="spot-LESS-USD"): less.drop_columns("volume_delta"),
    }


def test_column_when_a_file_lacks_it_then_is_null_there_and_drift(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    of_it = "where symbol = 'spot-LESS-USD' order by all"
    rows = lake.sql(f"select time, volume_delta from vendor.flow {of_it}").fetchall()
    assert [value for _, value in rows] == [1.0, None]
    drift = lake.sql(f'select dataset, period, "column", kind from meta.drift {of_it}').fetchall()
    assert drift == [("flow", "2025-10", "volume_delta", "missing")]


# -- columns that nobody expected ----------------------------------------------------------------


STRAY = {
    "vwap": "vwap",
    "symbol": "file_symbol",
    "exchange": "file_exchange",
    "interval": "file_interval",
    "Clock": "file_Clock",
    "series_id": "file_series_id",
    "known_at": "file_known_at",
    "timestamp": "timestamp",
    "Ratio of \"ä\" 'ß'": "Ratio of \"ä\" 'ß'",
    "select": "select",
}


@in_lake
def of_stray_columns() -> Files:
    table = bar_table("impact", grid(SEPTEMBER, 1))
    for name in STRAY:
        table = table.append_column(name, pa.array([f"stray {name}"]))
    return {file_key("impact", "2025-09"): table}


def test_column_when_not_in_the_contract_then_is_kept_beside_the_keys(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    (row,) = lake.sql("from vendor.impact").to_arrow_table().to_pylist()
    assert (row["symbol"], row["exchange"], row["interval"]) == (BTC, VENUE, "1h")
    assert {shown: row[shown] for shown in STRAY.values()} == {
        shown: f"stray {name}" for name, shown in STRAY.items()
    }
    columns = columns_of(lake, "vendor.impact")
    assert {shown: columns[shown] for shown in STRAY.values()} == {
        shown: ("VARCHAR", f"Not in the contract; {name} in the files. [unknown]")
        for name, shown in STRAY.items()
    }
    drift = lake.sql(
        "select \"column\" from meta.drift where kind = 'unexpected' and dataset = 'impact'"
    ).fetchall()
    assert {name for (name,) in drift} == set(STRAY)


ODD = {
    "listed": pa.array([[1, 2]]),
    "within": pa.array([{"a": 1, "b c": [{"d": "x"}]}]),
    "mapped": pa.array([[("k", 1.5)]], pa.map_(pa.string(), pa.float64())),
    "exact": pa.array([Decimal("1.25")], pa.decimal128(18, 4)),
    "bytes": pa.array([b"x"]),
    "lasting": pa.array([7], pa.duration("us")),
    "mixed": pa.array([[1]]),
}


@in_lake
def of_odd_types() -> Files:
    with_odd, without = (bar_table("range", grid(date(2025, month, 1), 1)) for month in (9, 10))
    for name, values in ODD.items():
        with_odd = with_odd.append_column(name, values)
    without = without.append_column("mixed", pa.array([{"a": 1}]))
    return {file_key("range", "2025-09"): with_odd, file_key("range", "2025-10"): without}


def test_column_when_nested_or_decimal_then_is_shown_where_files_have_it(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    columns = columns_of(lake, "vendor.range")
    assert {name: columns[name][0] for name in ODD} == {
        "listed": "BIGINT[]",
        "within": 'STRUCT(a BIGINT, "b c" STRUCT(d VARCHAR)[])',
        "mapped": "MAP(VARCHAR, DOUBLE)",
        "exact": "DECIMAL(18,4)",
        "bytes": "BLOB",
        "lasting": "VARCHAR",
        "mixed": "VARCHAR",
    }
    shown = f"select {', '.join(ODD)} from vendor.range order by time"
    assert lake.sql(shown).fetchall() == [
        ([1, 2], {"a": 1, "b c": [{"d": "x"}]}, {"k": 1.5}, Decimal("1.2500"), b"x", "7", "[1]"),
        (None, None, None, None, None, None, "{'a': 1}"),
    ]


@in_lake
def of_another_case() -> Files:
    table = bar_table("ohlcv", grid(SEPTEMBER, 1)).drop_columns("volume")
    return {file_key("ohlcv", "2025-09"): table.append_column("Volume", pa.array([5.0]))}


def test_column_when_it_differs_from_the_contract_in_case_only_then_it_is_the_same(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    assert lake.sql("select volume from vendor.ohlcv").fetchall() == [(5,)]
    shown = columns_of(lake, "vendor.ohlcv")
    assert shown["volume"][1] == load_contracts()["ohlcv"].column("volume").comment  # type: ignore[union-attr]


@in_lake
def of_stray_and_prefixed_stray() -> Files:
    table = bar_table("l1_price", grid(SEPTEMBER, 1))
    table = table.append_column("symbol", pa.array(["a"]))
    table = table.append_column("file_symbol", pa.array(["b"]))
    return {file_key("l1_price", "2025-09"): table}


def test_column_when_stray_and_prefixed_stray_meet_then_both_are_shown(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    rows = lake.sql("select file_symbol, file_file_symbol from vendor.l1_price").fetchall()
    assert rows == [("a", "b")]


@in_lake
def of_a_time_of_its_own() -> Files:
    table = bar_table("raw_mark_price", grid(SEPTEMBER, 1)).append_column("time", pa.array([17]))
    return {file_key("raw_mark_price", "2025-09"): table}


def test_column_when_raw_file_has_a_time_of_its_own_then_is_kept(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    assert lake.sql("select file_time from vendor.raw_mark_price").fetchall() == [(17,)]


@in_lake
def of_file_index() -> Files:
    return {
        file_key("l1_liquidity", "2025-09", symbol=symbol): bar_table(
            "l1_liquidity", grid(SEPTEMBER, 1)
        ).append_column("File_Index", pa.array([7]))
        for symbol in ("spot-A-USDT", "spot-B-USDT")
    }


def test_column_when_it_has_the_name_of_duckdbs_number_of_a_file_then_series_stay_apart(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    rows = lake.sql("select symbol, File_Index from vendor.l1_liquidity order by all").fetchall()
    assert rows == [("spot-A-USDT", 7), ("spot-B-USDT", 7)]


UNLIKE = [
    (pa.array([1], pa.time64("ns")), pa.array([2], pa.duration("us")),
     "00:00:00.000000001", "2"),
    (pa.array(["x"]), pa.array([b"\xff"]), "x", "\\xFF"),
    (pa.array([1], pa.decimal256(50, 2)), pa.array([[1]], pa.list_(pa.duration("us"))),
     None, "[1]"),
]  # fmt: skip
UNLIKE_IN = {"l2_imbalance": "spot-A-USDT", "l2_liquidity": "spot-B-USDT"}
"""In two files of one series, and in those of two."""


@in_lake
def of_types_that_do_not_meet() -> Files:
    files = {}
    for dataset, symbol in UNLIKE_IN.items():
        one, other = (bar_table(dataset, grid(date(2025, month, 1), 1)) for month in (9, 10))
        for number, (of_one, of_other, _, _) in enumerate(UNLIKE):
            one = one.append_column(f"odd{number}", of_one)
            other = other.append_column(f"ODD{number}", of_other)
        files[file_key(dataset, "2025-09", symbol="spot-A-USDT")] = one
        files[file_key(dataset, "2025-10", symbol=symbol)] = other
    return files


@pytest.mark.parametrize("dataset", UNLIKE_IN)
def test_column_when_new_and_of_types_that_do_not_meet_then_is_text(
    lake: duckdb.DuckDBPyConnection, dataset: str
) -> None:
    rows = lake.sql(f"select odd0, odd1, odd2 from vendor.{dataset} order by time").fetchall()
    assert rows == [tuple(case[2] for case in UNLIKE), tuple(case[3] for case in UNLIKE)]


TWO_TYPES = {
    "integers": (pa.int32(), pa.int64(), "BIGINT"),
    "mixed": (pa.int64(), pa.float32(), "DOUBLE"),
    "reals": (pa.float32(), pa.float64(), "DOUBLE"),
    "text": (pa.string(), pa.float64(), "VARCHAR"),
    "unsigned": (pa.uint64(), pa.int64(), "VARCHAR"),
}


@in_lake
def of_two_types() -> Files:
    files = {}
    for place, month in enumerate((9, 10)):
        table = bar_table("returns", grid(date(2025, month, 1), 1))
        for name, kinds in TWO_TYPES.items():
            table = table.append_column(name, pa.array([7]).cast(kinds[place]))
        files[file_key("returns", f"2025-{month:02d}")] = table
    return files


def test_column_when_new_and_of_two_types_then_takes_the_one_that_holds_both(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    columns = columns_of(lake, "vendor.returns")
    assert {name: columns[name][0] for name in TWO_TYPES} == {
        name: case[2] for name, case in TWO_TYPES.items()
    }
    rows = lake.sql(f"select {', '.join(TWO_TYPES)} from vendor.returns").fetchall()
    assert len(rows) == 2
    for row in rows:
        assert [float(value) for value in row] == [7.0] * len(TWO_TYPES)


@in_lake
def of_no_contract() -> Files:
    table = pa.table({"time": times(grid(SEPTEMBER, 1)), "x": [1.5]})
    return {file_key("brand_new", "2025-09"): table}


def test_dataset_when_it_has_no_contract_then_is_shown_as_it_came(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    assert lake.sql("select time, x from vendor.brand_new").fetchall() == [(utc("2025-09-01"), 1.5)]
    assert lake.sql(
        "select category, files from meta.datasets where dataset = 'brand_new'"
    ).fetchall() == [("uncontracted", 1)]


# -- daily and monthly files ---------------------------------------------------------------------


@settings(
    max_examples=min(6, settings.default.max_examples // 5),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a catalog each: no time to shrink
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    monthly=st.sets(st.integers(0, 95), max_size=60),
    daily=st.dictionaries(st.integers(0, 3), st.sets(st.integers(0, 23)), max_size=4),
)
def test_view_when_daily_files_overlap_a_monthly_then_shows_each_bar_once(
    tmp_path_factory: pytest.TempPathFactory, monthly: set[int], daily: dict[int, set[int]]
) -> None:
    """Each bar carries the number of its file; the daily one wins where both have it."""
    hours = {0: sorted(monthly)} | {
        day + 1: sorted(day * 24 + hour for hour in some) for day, some in daily.items()
    }
    starts = grid(SEPTEMBER, 96)
    files = {
        file_key("flow", f"2025-09-0{number}" if number else "2025-09"): bar_table(
            "flow", starts[own], volume_delta=pa.array([float(number)] * len(own))
        )
        for number, own in hours.items()
    }
    folder = tmp_path_factory.mktemp("overlap")
    with without_comments(), make_catalog(folder, files) as connection:
        found = connection.sql("select epoch_us(time), volume_delta from vendor.flow").fetchall()
        hidden = connection.sql("select coalesce(sum(rows_hidden), 0) from meta.files").fetchall()
        gaps = connection.sql("select coalesce(sum(bars), 0) from meta.gaps").fetchall()
    expected = dict.fromkeys(monthly, 0.0)
    expected |= {hour: float(day + 1) for day in daily for hour in hours[day + 1]}
    shown = {int((at - starts[0]) // 3_600_000_000): value for at, value in found}
    assert len(found) == len(shown)
    assert shown == expected
    assert hidden == [(sum(map(len, hours.values())) - len(shown),)]
    span = max(shown) - min(shown) + 1 if shown else 0
    assert gaps == [(span - len(shown),)]


# -- what is known -------------------------------------------------------------------------------


def test_meta_when_made_then_every_table_and_column_is_described(
    plain: duckdb.DuckDBPyConnection,
) -> None:
    bare = plain.sql(
        "select table_name, column_name from duckdb_columns()"
        " where schema_name in ('meta', 'vendor') and coalesce(comment, '') = ''"
    ).fetchall()
    assert bare == []
    bare = plain.sql("select * from help() where coalesce(meaning, '') = ''").fetchall()
    assert bare == []


def test_meta_when_series_differ_then_numbers_and_parts_are_theirs(
    plain: duckdb.DuckDBPyConnection,
) -> None:
    rows = plain.sql(
        "select symbol, type, base, quote, margin, expiry from meta.series order by symbol"
    )
    assert rows.fetchall() == [
        (FUTURE, "future", "BTC", "USD", "BTC", date(2026, 3, 27)),
        (BTC, "perpetual", "BTC", "USDT", "USDT", None),
        (QUOTED, "spot", "O'Reilly\"", "USD", None, None),
    ]


@in_lake
def of_missing_bars() -> Files:
    starts = np.delete(grid(SEPTEMBER, 48), [5, 6, 20])
    return {file_key("updownticks", "2025-09"): bar_table("updownticks", starts)}


def test_meta_when_bars_are_missing_then_coverage_and_gaps_show_them(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    assert lake.sql(
        "select month, rows, expected_rows, first_time, last_time, gaps from meta.coverage"
        " where dataset = 'updownticks'"
    ).fetchall() == [("2025-09", 45, 48, utc("2025-09-01"), utc("2025-09-02 23:00"), 2)]
    assert lake.sql(
        "select gap_from, gap_until, bars from meta.gaps where dataset = 'updownticks'"
        " order by gap_from"
    ).fetchall() == [
        (utc("2025-09-01 05:00"), utc("2025-09-01 07:00"), 2),
        (utc("2025-09-01 20:00"), utc("2025-09-01 21:00"), 1),
    ]


def test_utc_now_when_zone_is_not_utc_then_is_still_utc(plain: duckdb.DuckDBPyConnection) -> None:
    (distance,) = plain.sql("select abs(epoch(utc_now()) - epoch(now())) from range(1)").fetchall()
    assert distance[0] < 5


def test_prepare_when_nothing_was_synced_then_reports_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no files were synced"):
        prepare_catalog(Settings(tmp_path), generation=1)
    assert list(tmp_path.iterdir()) == []


def test_prepare_when_done_then_leaves_one_file_and_no_wal(plain_build: Path) -> None:
    assert [path.name for path in plain_build.glob("warehouse.duckdb*")] == ["warehouse.duckdb"]
