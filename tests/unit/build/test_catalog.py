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
from warehouse.build.months.jobs import Lists, set_lists
from warehouse.build.vendor_views import lists_of_series, view_columns, view_sql
from warehouse.config import Settings
from warehouse.errors import NotFoundError
from warehouse.home import Home
from warehouse.lake.manifest import Manifest
from warehouse.lake.ownership import assign_ownership
from warehouse.sync.from_folder import sync_folder
from warehouse.vendor.contracts import KEY_COLUMNS, load_contracts
from warehouse.vendor.keys import FileKey

SEPTEMBER = date(2025, 9, 1)
FLOW = file_key("flow", "2025-09")
Files = dict[FileKey, pa.Table]
Catalog = Callable[[Files], duckdb.DuckDBPyConnection]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """As ``described``, but without comments, which take most of the time."""
    with without_comments():
        yield from opening_catalogs(tmp_path)


@pytest.fixture
def described(tmp_path: Path) -> Iterator[Catalog]:
    """Takes files in, prepares a catalog and opens it read-only."""
    yield from opening_catalogs(tmp_path)


def opening_catalogs(tmp_path: Path) -> Iterator[Catalog]:
    made: list[duckdb.DuckDBPyConnection] = []

    def make(files: Files) -> duckdb.DuckDBPyConnection:
        made.append(make_catalog(tmp_path / f"{len(made)}", files))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


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


@pytest.mark.parametrize("filled", [False, True])
def test_view_when_made_with_or_without_files_then_has_the_contracts_columns(
    described: Catalog, filled: bool
) -> None:
    files = {
        file_key(name, "2025-09"): bar_table(name, grid(SEPTEMBER, 3))
        for name in load_contracts()
        if filled or name == "ohlcv"
    }
    connection = described(files)
    for name, contract in load_contracts().items():
        declared = [*KEY_COLUMNS, *(c for c in contract.columns if c.name != "time")]
        assert columns_of(connection, f"vendor.{name}") == {
            column.name: (duckdb_type(column.type), column.comment) for column in declared
        }
        described = connection.sql(f"describe vendor.{name}").fetchall()
        assert {row[0]: row[1] for row in described} == {
            column.name: duckdb_type(column.type) for column in declared
        }
        rows = connection.sql(f"select count(*) from vendor.{name}").fetchall()
        assert rows == [(3 if filled or name == "ohlcv" else 0,)]


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


def test_known_at_when_interval_differs_then_is_the_end_of_the_bar(catalog: Catalog) -> None:
    seconds = {"1s": 1, "1m": 60, "1h": 3_600, "4h": 14_400, "1d": 86_400}
    files = {
        file_key("flow", "2025-09", interval): bar_table("flow", grid(SEPTEMBER, 2, interval))
        for interval in seconds
    }
    rows = catalog(files).sql('select distinct "interval", epoch(known_at - time) from vendor.flow')
    assert dict(rows.fetchall()) == seconds


def test_view_when_raw_then_is_known_when_it_arrived(catalog: Catalog) -> None:
    key = file_key("raw_trades", "2025-09")
    connection = catalog({key: bar_table("raw_trades", grid(SEPTEMBER, 1))})
    rows = connection.sql(
        'select "interval", clock, time, known_at, epoch_us(exchange_timestamp)'
        " from vendor.raw_trades"
    ).fetchall()
    at = utc("2025-09-01")
    assert rows == [(None, None, at, at.replace(microsecond=100_000), grid(SEPTEMBER, 1)[0])]


def test_raw_clocks_when_file_has_no_zone_then_are_utc_all_the_same(catalog: Catalog) -> None:
    starts = grid(SEPTEMBER, 1)
    key = file_key("raw_trades", "2025-09")
    naive = bar_table(
        "raw_trades", starts, exchange_timestamp=times(starts), local_timestamp=times(starts)
    )
    connection = catalog({key: naive})
    rows = connection.sql(
        "select epoch_us(exchange_timestamp), epoch_us(local_timestamp), epoch_us(time),"
        " epoch_us(known_at) from vendor.raw_trades"
    ).fetchall()
    assert rows == [(starts[0],) * 4]


def test_time_when_written_in_any_unit_or_zone_then_reads_the_same(catalog: Catalog) -> None:
    """A file each month, written in its own way; one branch of the view each."""
    ways = [(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")]
    files = {}
    for month, (unit, tz) in enumerate(ways, start=1):
        starts = grid(date(2025, month, 1), 2)
        key = file_key("flow", f"2025-{month:02d}")
        files[key] = bar_table("flow", starts, time=times(starts, unit, tz))
    connection = catalog(files)
    rows = connection.sql("select time, known_at from vendor.flow order by time").fetchall()
    assert rows == [
        (utc(f"2025-0{month}-01 0{h}:00"), utc(f"2025-0{month}-01 0{h + 1}:00"))
        for month in range(1, 9)
        for h in (0, 1)
    ]
    assert columns_of(connection, "vendor.flow")["time"][0] == "TIMESTAMP"
    assert columns_of(connection, "vendor.flow")["known_at"][0] == "TIMESTAMP"


# -- values --------------------------------------------------------------------------------------


def test_values_when_odd_or_unsorted_or_counts_as_floats_then_are_the_files(
    catalog: Catalog,
) -> None:
    odd = [None, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7e308]
    tables = {
        "spot-ODD-USD": bar_table(
            "flow", grid(SEPTEMBER, 7), volume_delta=pa.array(odd, pa.float64())
        ),
        "spot-COUNT-USD": bar_table("flow", grid(SEPTEMBER, 1), taker_buy_count=pa.array([7.0])),
        "spot-TURNED-USD": bar_table("flow", grid(SEPTEMBER, 24)[::-1]),
    }
    connection = catalog(
        {file_key("flow", "2025-09", symbol=symbol): table for symbol, table in tables.items()}
    )

    def found(select: str, symbol: str) -> list[Any]:
        return connection.execute(f"select {select} where symbol = ?", [symbol]).fetchall()

    values = found("volume_delta from (from vendor.flow order by time)", "spot-ODD-USD")
    assert [repr(value) for (value,) in values] == [repr(value) for value in odd]
    (count,) = found("taker_buy_count from vendor.flow", "spot-COUNT-USD")
    assert count == (7,)
    assert isinstance(count[0], int)
    turned = found("count(*), count(distinct time) from vendor.flow", "spot-TURNED-USD")
    assert turned == [(24, 24)]
    assert found("is_sorted from meta.files", "spot-TURNED-USD") == [(False,)]


def test_values_when_one_file_is_narrower_then_are_each_files_own(catalog: Catalog) -> None:
    wide, narrow = 0.1, float(np.float32(0.1))
    connection = catalog(
        {
            FLOW: bar_table("flow", grid(SEPTEMBER, 1), volume_delta=pa.array([wide])),
            file_key("flow", "2025-10"): bar_table(
                "flow", grid(date(2025, 10, 1), 1), volume_delta=pa.array([wide], pa.float32())
            ),
            file_key("flow", "2025-11"): bar_table(
                "flow", grid(date(2025, 11, 1), 1), volume_delta=pa.array([3], pa.int64())
            ),
        }
    )
    rows = connection.sql("select volume_delta from vendor.flow order by time").fetchall()
    assert rows == [(wide,), (narrow,), (3.0,)]
    assert columns_of(connection, "vendor.flow")["volume_delta"][0] == "DOUBLE"


def test_column_when_a_file_lacks_it_then_is_null_there_and_drift(catalog: Catalog) -> None:
    whole = bar_table("flow", grid(SEPTEMBER, 1))
    less = bar_table("flow", grid(date(2025, 10, 1), 1)).drop_columns("volume_delta")
    connection = catalog({FLOW: whole, file_key("flow", "2025-10"): less})
    rows = connection.sql("select volume_delta from vendor.flow order by time").fetchall()
    assert rows == [(1.0,), (None,)]
    drift = connection.sql('select dataset, period, "column", kind from meta.drift').fetchall()
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


def test_column_when_not_in_the_contract_then_is_kept_beside_the_keys(described: Catalog) -> None:
    table = bar_table("flow", grid(SEPTEMBER, 1))
    for name in STRAY:
        table = table.append_column(name, pa.array([f"stray {name}"]))
    connection = described({FLOW: table})
    (row,) = connection.sql("from vendor.flow").to_arrow_table().to_pylist()
    assert (row["symbol"], row["exchange"], row["interval"]) == (BTC, VENUE, "1h")
    assert {shown: row[shown] for shown in STRAY.values()} == {
        shown: f"stray {name}" for name, shown in STRAY.items()
    }
    columns = columns_of(connection, "vendor.flow")
    assert {shown: columns[shown] for shown in STRAY.values()} == {
        shown: ("VARCHAR", f"Not in the contract: {name}. [unknown]")
        for name, shown in STRAY.items()
    }
    drift = connection.sql("select \"column\" from meta.drift where kind = 'unexpected'").fetchall()
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


def test_column_when_nested_or_decimal_then_is_shown_where_files_have_it(catalog: Catalog) -> None:
    with_odd, without = (bar_table("flow", grid(date(2025, month, 1), 1)) for month in (9, 10))
    for name, values in ODD.items():
        with_odd = with_odd.append_column(name, values)
    without = without.append_column("mixed", pa.array([{"a": 1}]))
    connection = catalog({FLOW: with_odd, file_key("flow", "2025-10"): without})
    columns = columns_of(connection, "vendor.flow")
    assert {name: columns[name][0] for name in ODD} == {
        "listed": "BIGINT[]",
        "within": 'STRUCT(a BIGINT, "b c" STRUCT(d VARCHAR)[])',
        "mapped": "MAP(VARCHAR, DOUBLE)",
        "exact": "DECIMAL(18,4)",
        "bytes": "BLOB",
        "lasting": "VARCHAR",
        "mixed": "VARCHAR",
    }
    shown = f"select {', '.join(ODD)} from vendor.flow order by time"
    assert connection.sql(shown).fetchall() == [
        ([1, 2], {"a": 1, "b c": [{"d": "x"}]}, {"k": 1.5}, Decimal("1.2500"), b"x", "7", "[1]"),
        (None, None, None, None, None, None, "{'a': 1}"),
    ]


def test_column_when_it_differs_from_the_contract_in_case_only_then_it_is_the_same(
    described: Catalog,
) -> None:
    table = bar_table("ohlcv", grid(SEPTEMBER, 1)).drop_columns("volume")
    table = table.append_column("Volume", pa.array([5.0]))
    connection = described({file_key("ohlcv", "2025-09"): table})
    assert connection.sql("select volume from vendor.ohlcv").fetchall() == [(5,)]
    shown = columns_of(connection, "vendor.ohlcv")
    assert shown["volume"][1] == load_contracts()["ohlcv"].column("volume").comment  # type: ignore[union-attr]


def test_column_when_stray_and_prefixed_stray_meet_then_both_are_shown(catalog: Catalog) -> None:
    table = bar_table("flow", grid(SEPTEMBER, 1))
    table = table.append_column("symbol", pa.array(["a"]))
    table = table.append_column("file_symbol", pa.array(["b"]))
    connection = catalog({FLOW: table})
    rows = connection.sql("select file_symbol, file_file_symbol from vendor.flow").fetchall()
    assert rows == [("a", "b")]


def test_column_when_raw_file_has_a_time_of_its_own_then_is_kept(catalog: Catalog) -> None:
    key = file_key("raw_trades", "2025-09")
    table = bar_table("raw_trades", grid(SEPTEMBER, 1)).append_column("time", pa.array([17]))
    rows = catalog({key: table}).sql("select file_time from vendor.raw_trades").fetchall()
    assert rows == [(17,)]


def test_column_when_it_has_the_name_of_duckdbs_number_of_a_file_then_series_stay_apart(
    catalog: Catalog,
) -> None:
    stray = pa.array([7])
    files = {
        file_key("flow", "2025-09", symbol=symbol): bar_table(
            "flow", grid(SEPTEMBER, 1)
        ).append_column("File_Index", stray)
        for symbol in ("spot-A-USDT", "spot-B-USDT")
    }
    rows = catalog(files).sql("select symbol, File_Index from vendor.flow order by all").fetchall()
    assert rows == [("spot-A-USDT", 7), ("spot-B-USDT", 7)]


@pytest.mark.parametrize("symbol", ["spot-A-USDT", "spot-B-USDT"])
def test_column_when_new_and_of_types_that_do_not_meet_then_is_text(
    catalog: Catalog, symbol: str
) -> None:
    """In two files of one series, and in those of two."""
    cases = [
        (pa.array([1], pa.time64("ns")), pa.array([2], pa.duration("us")),
         "00:00:00.000000001", "2"),
        (pa.array(["x"]), pa.array([b"\xff"]), "x", "\\xFF"),
        (pa.array([1], pa.decimal256(50, 2)), pa.array([[1]], pa.list_(pa.duration("us"))),
         None, "[1]"),
    ]  # fmt: skip
    one, other = (bar_table("flow", grid(date(2025, month, 1), 1)) for month in (9, 10))
    for number, (of_one, of_other, _, _) in enumerate(cases):
        one = one.append_column(f"odd{number}", of_one)
        other = other.append_column(f"ODD{number}", of_other)
    files = {
        file_key("flow", "2025-09", symbol="spot-A-USDT"): one,
        file_key("flow", "2025-10", symbol=symbol): other,
    }
    rows = catalog(files).sql("select odd0, odd1, odd2 from vendor.flow order by time").fetchall()
    assert rows == [tuple(case[2] for case in cases), tuple(case[3] for case in cases)]


def test_column_when_new_and_of_two_types_then_takes_the_one_that_holds_both(
    catalog: Catalog,
) -> None:
    cases = {
        "integers": (pa.int32(), pa.int64(), "BIGINT"),
        "mixed": (pa.int64(), pa.float32(), "DOUBLE"),
        "reals": (pa.float32(), pa.float64(), "DOUBLE"),
        "text": (pa.string(), pa.float64(), "VARCHAR"),
        "unsigned": (pa.uint64(), pa.int64(), "VARCHAR"),
    }
    files = {}
    for place, month in enumerate((9, 10)):
        table = bar_table("flow", grid(date(2025, month, 1), 1))
        for name, kinds in cases.items():
            table = table.append_column(name, pa.array([7]).cast(kinds[place]))
        files[file_key("flow", f"2025-{month:02d}")] = table
    connection = catalog(files)
    columns = columns_of(connection, "vendor.flow")
    assert {name: columns[name][0] for name in cases} == {n: case[2] for n, case in cases.items()}
    for row in connection.sql(f"select {', '.join(cases)} from vendor.flow").fetchall():
        assert [float(value) for value in row] == [7.0] * len(cases)


def test_dataset_when_it_has_no_contract_then_is_shown_as_it_came(catalog: Catalog) -> None:
    key = file_key("brand_new", "2025-09")
    connection = catalog({key: pa.table({"time": times(grid(SEPTEMBER, 1)), "x": [1.5]})})
    assert connection.sql("select time, x from vendor.brand_new").fetchall() == [
        (utc("2025-09-01"), 1.5)
    ]
    assert connection.sql(
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
    with make_catalog(tmp_path_factory.mktemp("overlap"), files) as connection:
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


def test_meta_when_bars_are_missing_then_coverage_and_gaps_say_so(catalog: Catalog) -> None:
    connection = catalog({FLOW: bar_table("flow", np.delete(grid(SEPTEMBER, 48), [5, 6, 20]))})
    assert connection.sql(
        "select month, rows, expected_rows, first_time, last_time, gaps from meta.coverage"
    ).fetchall() == [("2025-09", 45, 48, utc("2025-09-01"), utc("2025-09-02 23:00"), 2)]
    assert connection.sql(
        "select gap_from, gap_until, bars from meta.gaps order by gap_from"
    ).fetchall() == [
        (utc("2025-09-01 05:00"), utc("2025-09-01 07:00"), 2),
        (utc("2025-09-01 20:00"), utc("2025-09-01 21:00"), 1),
    ]


def test_utc_now_when_zone_is_not_utc_then_is_still_utc(plain: duckdb.DuckDBPyConnection) -> None:
    (distance,) = plain.sql("select abs(epoch(utc_now()) - epoch(now())) from range(1)").fetchall()
    assert distance[0] < 5


def test_prepare_when_nothing_was_synced_then_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no files were synced"):
        prepare_catalog(Settings(tmp_path), generation=1)
    assert list(tmp_path.iterdir()) == []


def test_prepare_when_done_then_leaves_one_file_and_no_wal(plain_build: Path) -> None:
    assert [path.name for path in plain_build.glob("warehouse.duckdb*")] == ["warehouse.duckdb"]
