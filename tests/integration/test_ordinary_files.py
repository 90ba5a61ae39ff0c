"""Files as users have them, imported together and built once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import warehouse
from tests.support import Run, bar_table, file_key, grid, run_warehouse, write_file
from warehouse.vendor.contracts import (
    LARGEST_VALUE,
    SMALLEST_VALUE,
    dbt_project_dir,
    load_contracts,
    project_vars,
)
from warehouse.vendor.keys import FileKey

SEPTEMBER = date(2025, 9, 1)
BARS = 720
HOUR = timedelta(hours=1)
RESTATED = pa.array([1.01 if bar == 100 else 1.0 for bar in range(BARS)])
SPAN = datetime.fromisoformat("2025-09-01"), datetime.fromisoformat("2025-10-01")
COUNT_UP = pa.array(np.arange(100, 100 + BARS, dtype=float))
ODD = [5e-324, -5e-324, 1e300, -1e300, 1.7e308, 1e-300, 1e154, 0.0, -0.0, math.inf, math.nan, None]


def key(coin: str, dataset: str = "ohlcv", period: str = "2025-09", **parts: str) -> FileKey:
    return file_key(dataset, period, symbol=f"perpetual-{coin}-USDT:USDT", **parts)


def month(dataset: str = "ohlcv", **columns: pa.Array) -> pa.Table:
    if dataset == "ohlcv":
        columns = {"close": COUNT_UP, **columns}
    return bar_table(dataset, grid(SEPTEMBER, BARS), **columns)


# Columns beyond the contract whose names the engine or the audit uses too.
TAKEN = ("rowid", "slot", "real_0", "whole_0", "hole_0", "bars_before", "noise")


def renamed(table: pa.Table, **names: str) -> pa.Table:
    return table.rename_columns([names.get(name, name) for name in table.schema.names])


def with_row(table: pa.Table, moment: datetime | None, **values: float) -> pa.Table:
    """The table and its first row once more at another time."""
    row = table.slice(0, 1).to_pylist()[0] | {"time": moment} | values
    return pa.concat_tables([table, pa.Table.from_pylist([row], table.schema)])


def trades(days: float, start: date, **columns: pa.Array) -> pa.Table:
    hours = grid(start, int(days * 24))
    return bar_table("raw_trades", hours, **columns)


def odd_table(dataset: str) -> pa.Table:
    """Every real and every count of a dataset, from some bar on, of values that overflow."""
    table = month(dataset)
    for place, field in enumerate(table.schema):
        values = table.column(place).to_pylist()
        if pa.types.is_floating(field.type):
            for bar in range(400, BARS):
                if (bar * 7 + place * 3) % 11 == 0:
                    values[bar] = ODD[(bar + place) % len(ODD)]
        elif pa.types.is_integer(field.type):
            values[500:520] = [2**62] * 20
        table = table.set_column(place, field, pa.array(values, field.type))
    return table


def odd_candles() -> dict[str, pa.Array]:
    """Prices and volumes of which bars 1 to 4 contradict each other."""
    one = [1.0] * BARS
    odd = {"open": {1: 3.0}, "high": {2: 0.5, 5: math.nan}, "low": {3: 1.5}, "volume": {4: -1.0}}
    return {
        name: pa.array([values.get(bar, one[bar]) for bar in range(BARS)])
        for name, values in ({"close": {6: None}} | odd).items()
    }


def write_files(folder: Path) -> None:
    whole = month()
    moments = grid(SEPTEMBER, BARS).astype("datetime64[us]").astype(datetime)
    ids = pa.array([f"id-{n}" for n in range(48)])
    two_days = trades(2, date(2025, 6, 1))
    nanoseconds = pa.array(grid(date(2025, 6, 1), 48) * 1_000 + 500).cast(pa.timestamp("ns", "UTC"))
    tables: dict[FileKey, pa.Table] = {
        # columns beyond the contract
        key("EXTRA"): whole.append_column("n_trades", pa.array(range(BARS))),
        key("OTHERCASE"): whole.append_column("N_Trades", pa.array(range(BARS))),
        key("PATHCOL"): whole.append_column("symbol", pa.array(["else"] * BARS)),
        key("INDEX"): whole.append_column("__index_level_0__", pa.array(range(BARS))),
        key("QUOTE"): whole.append_column('a "quoted" name\'s', pa.array(range(BARS))),
        # names in other case, types of other kinds
        key("CASE"): renamed(whole, close="Close", time="Time", volume="VOLUME"),
        key("DECIMAL"): month(close=COUNT_UP.cast(pa.decimal128(12, 2))),
        key("ZONE"): month(time=pa.array(moments, pa.timestamp("us", "America/New_York"))),
        key("NANCOUNT", "flow"): month(
            "flow",
            taker_buy_count=pa.array([1.0, math.nan] * 360),
            **dict.fromkeys(TAKEN, COUNT_UP),
        ),
        key("VIEW", "raw_trades", "2025-06"): two_days.set_column(
            two_days.schema.get_field_index("id"), "id", ids.cast(pa.string_view())
        ),
        key("BYTES", "raw_trades", "2025-06"): two_days.set_column(
            two_days.schema.get_field_index("id"), "id", ids.cast(pa.binary())
        ),
        key("NUMBER", "raw_trades", "2025-06"): two_days.set_column(
            two_days.schema.get_field_index("id"), "id", pa.array(range(48))
        ),
        key("DIGITS", "raw_trades", "2025-06"): two_days.set_column(
            two_days.schema.get_field_index("id"),
            "id",
            pa.array([Decimal(10**19)] * 48, pa.decimal128(20, 0)),
        ),
        key("UUID", "raw_trades", "2025-06"): two_days.set_column(
            two_days.schema.get_field_index("id"),
            "id",
            pa.array([UUID(int=n).bytes for n in range(48)], pa.uuid()),
        ),
        key("FIXED", "raw_trades", "2025-06"): two_days.set_column(
            two_days.schema.get_field_index("id"),
            "id",
            pa.array([f"{n:04}".encode() for n in range(48)], pa.binary(4)),
        ),
        # NaN, of which a footer's statistics say nothing
        key("NAN", "flow"): month("flow", taker_buy_sell_ratio=pa.array([1.0, math.nan] * 360)),
        # bad rows
        key("TWICE"): with_row(whole, moments[0]),
        key("DIFFER"): with_row(whole, moments[0], close=-1.0),
        key("NEXT"): with_row(whole, moments[-1] + HOUR),
        key("EPOCH"): with_row(whole, datetime.fromtimestamp(0, UTC).replace(tzinfo=None)),
        key("OFFGRID"): with_row(whole, moments[3] + timedelta(seconds=14)),
        key("NOTIME"): with_row(whole, None),
        # odd, but shown
        key("NANO", "raw_trades", "2025-06"): trades(
            2, date(2025, 6, 1), exchange_timestamp=nanoseconds, local_timestamp=nanoseconds
        ),
        key("BEFORE", "raw_trades", "2025-06"): trades(
            2,
            date(2025, 6, 1),
            local_timestamp=pa.array(grid(date(2025, 5, 31), 48)).cast(pa.timestamp("us", "UTC")),
        ),
        key("ZERO"): month(open=pa.array([0.0] * BARS)),
        key("FUTURE", period="2099-01"): bar_table("ohlcv", grid(date(2099, 1, 1), 24)),
        # a raw day over its month
        key("DAY", "raw_trades", "2025-06"): trades(3, date(2025, 6, 8)),
        key("DAY", "raw_trades", "2025-06-10"): trades(0.5, date(2025, 6, 10)),
        key("DAY", "raw_trades", "2025-06-11"): trades(1, date(2025, 6, 11)),
        # a day of bars over its month, which was restated in one bar, or only by rounding
        key("OVER"): month(close=pc.multiply(COUNT_UP, RESTATED)),
        key("OVER", period="2025-09-05"): whole.slice(96, 24),
        key("ROUNDED"): month(close=pc.multiply(COUNT_UP, pa.scalar(1 + 1e-15))),
        key("ROUNDED", period="2025-09-05"): whole.slice(96, 24),
        key("CANDLES"): month(**odd_candles()),
        # refused
        key("LOCAL"): bar_table("ohlcv", grid(SEPTEMBER, BARS + 5)[5:]),
        # two hours late since its clocks went forward, one hour late before
        key("SUMMER"): bar_table(
            "ohlcv", [*grid(SEPTEMBER, 200)[1:], *grid(SEPTEMBER, BARS + 2)[201:]]
        ),
        key("ENDS"): bar_table("ohlcv", grid(SEPTEMBER, BARS + 1)[1:]),
        key("ALONE"): whole.select(["time"]),
        key("TEXT"): month(volume=pa.array(["1"] * BARS)),
        key("NAMELESS"): renamed(whole, time="__index_level_0__"),
    }
    tables |= {
        key("ODD", name): odd_table(name)
        for name, contract in load_contracts().items()
        if not contract.is_raw
    }
    for file, table in tables.items():
        write_file(folder, file, table)
    with pq.ParquetWriter(folder / "wrong.parquet", whole.schema) as writer:
        writer.write_table(whole)
    lie_about_times(folder / "wrong.parquet", write_file(folder, key("FOOTER"), whole))


def lie_about_times(source: Path, target: Path) -> None:
    """Write the file with a footer that ends its times a day too early."""
    last = pq.read_metadata(source).row_group(0).column(0).statistics.max_raw
    data = source.read_bytes()
    true, false = (moment.to_bytes(8, "little") for moment in (last, last - 86_400_000_000))
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    assert data[footer:].count(true) >= 1
    target.write_bytes(data[:footer] + data[footer:].replace(true, false))
    source.unlink()


class Built:
    """The home, the output of its sync without and with --salvage, and that of the build."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        write_files(folder / "files")
        models = self.home / "models"
        models.mkdir(parents=True)
        (models / "flow_leak.sql").write_text(
            'select series_id, "time", known_at, lead(net_delta) over (partition by series_id'
            " order by \"time\") as next_delta from {{ ref('flow_features') }}"
        )
        there = ("--home", self.home, "--from", folder / "files")
        self.refused = run_warehouse("sync", *there, cwd=folder)
        self.salvaged = run_warehouse("update", *there, "--salvage", cwd=folder, audits=False)
        self.again: Run = run_warehouse("sync", *there, cwd=folder)
        self.status = run_warehouse("status", "--home", self.home, cwd=folder)
        self.warehouse = warehouse.open(self.home)

    def rows(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return self.warehouse.sql(text, parameters).fetchall()

    def row(self, text: str, **parameters: Any) -> tuple[Any, ...]:
        (row,) = self.rows(text, **parameters)
        return row


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    built = Built(tmp_path_factory.mktemp("ordinary"))
    assert "published generation 1" in built.salvaged.stderr, built.salvaged.stderr
    yield built
    built.warehouse.close()


def test_a_column_beyond_the_contract_is_shown_and_stops_nothing(built: Built) -> None:
    total = built.row(
        "select sum(n_trades), count(file_symbol), sum(__index_level_0__), "
        'sum("a ""quoted"" name\'s") from vendor.ohlcv'
    )
    assert total == (BARS * (BARS - 1), BARS, *[BARS * (BARS - 1) // 2] * 2)
    assert built.rows("describe staging.stg_ohlcv") == built.rows(
        "describe select * exclude (n_trades, file_symbol, __index_level_0__, "
        '"a ""quoted"" name\'s") from vendor.ohlcv'
    )
    plain, extra = (
        built.rows(
            "select * exclude (series_id, symbol) from forward_returns"
            " where symbol = $symbol order by time",
            symbol=f"perpetual-{coin}-USDT:USDT",
        )
        for coin in ("ZONE", "EXTRA")
    )
    assert len(plain) == BARS and plain == extra


def test_a_column_may_have_a_name_that_the_audit_uses(built: Built) -> None:
    sums = ", ".join(f"sum({name})" for name in TAKEN)
    assert set(built.row(f"select {sums} from vendor.flow")) == {sum(COUNT_UP.to_pylist())}


@pytest.mark.parametrize("coin", ["CASE", "DECIMAL", "ZONE", "INDEX", "PATHCOL"])
def test_other_names_and_types_hold_the_same_values(built: Built, coin: str) -> None:
    assert built.row(
        "select count(*), min(close), max(close), count(volume), min(time), max(known_at)"
        " from vendor.ohlcv where symbol = $symbol",
        symbol=f"perpetual-{coin}-USDT:USDT",
    ) == (BARS, 100, 819, BARS, *SPAN)


def test_text_of_any_kind_is_text(built: Built) -> None:
    assert built.rows(
        "select split_part(symbol, '-', 2), min(id), max(id), count(distinct id), min(typeof(id))"
        " from vendor.raw_trades"
        " where symbol similar to '.*-(VIEW|BYTES|NUMBER|DIGITS|UUID|FIXED)-.*'"
        " group by symbol order by 1"
    ) == [
        ("BYTES", "id-0", "id-9", 48, "VARCHAR"),
        ("DIGITS", f"{10**19}", f"{10**19}", 1, "VARCHAR"),
        ("FIXED", "0000", "0047", 48, "VARCHAR"),
        ("NUMBER", "0", "9", 48, "VARCHAR"),
        ("UUID", str(UUID(int=0)), str(UUID(int=47)), 48, "VARCHAR"),
        ("VIEW", "id-0", "id-9", 48, "VARCHAR"),
    ]


def test_predicates_see_nan(built: Built) -> None:
    ratio = "taker_buy_sell_ratio"
    where = "from vendor.flow where symbol = 'perpetual-NAN-USDT:USDT'"
    assert built.row(f"select count(*) {where} and isnan({ratio})") == (360,)
    assert built.row(f"select count(*) {where} and {ratio} > 1") == (360,)
    assert built.row(f"select avg(case when isnan({ratio}) then 0 else {ratio} end) {where}") == (
        0.5,
    )
    assert built.row(
        "select count(*), count(taker_buy_sell_ratio) from staging.stg_flow"
        " where symbol = 'perpetual-NAN-USDT:USDT'"
    ) == (BARS, 360)


def test_nan_in_a_count_reads_null(built: Built) -> None:
    assert built.row(
        "select count(*), count(taker_buy_count), sum(taker_buy_count) from vendor.flow"
        " where symbol = 'perpetual-NANCOUNT-USDT:USDT'"
    ) == (BARS, 360, 360)


@pytest.mark.parametrize(
    ("coin", "why", "bars"),
    [
        ("TWICE", "more than one row", BARS),
        ("DIFFER", "more than one row", BARS - 1),
        ("NEXT", "outside 2025-09", BARS),
        ("EPOCH", "outside 2025-09: row 720 (1970-01-01 00:00:00)", BARS),
        ("OFFGRID", "not a multiple of 1h: row 720 (2025-09-01 03:00:14)", BARS),
        ("NOTIME", "NULL in time: row 720 (no time)", BARS),
    ],
)
def test_a_bad_row_costs_itself_only_where_that_is_asked_for(
    built: Built, coin: str, why: str, bars: int
) -> None:
    symbol = f"perpetual-{coin}-USDT:USDT"
    assert f"refused: ohlcv binance-futures {symbol}" in built.refused.stderr
    assert why in built.refused.stderr and "--salvage" in built.refused.stderr
    assert f"warning: ohlcv binance-futures {symbol}" in built.salvaged.stderr
    shown = built.row("select count(*) from vendor.ohlcv where symbol = $symbol", symbol=symbol)
    assert shown == (bars,)
    left_out = built.rows(
        "select row_number, original from meta.salvaged where symbol = $symbol", symbol=symbol
    )
    assert len(left_out) == (1 if bars == BARS else 2)
    for _, original in left_out:
        assert (built.home / "quarantine" / f"{original}.refused").is_file()
    assert symbol not in built.again.stderr.replace("refused: ohlcv binance-futures", ""), (
        "what was salvaged stays, and is not read again"
    )


def test_salvage_ends_with_exit_code_1_and_status_lists_it(built: Built) -> None:
    assert built.salvaged.exit_code == 1
    assert "perpetual-TWICE-USDT:USDT 1h true 2025-09: 1 row left out" in built.status.stdout


def test_a_raw_day_hides_only_what_it_holds_itself(built: Built) -> None:
    where = "where symbol = 'perpetual-DAY-USDT:USDT'"
    assert built.row(f"select count(*), count(distinct time) from vendor.raw_trades {where}") == (
        96,
        96,
    )
    assert built.row(f"select sum(rows) from meta.coverage {where}") == (96,)
    assert built.row(f"select sum(rows_hidden) from meta.files {where}") == (12,)
    assert "12 rows" in built.row(f"select text from meta.notes {where}")[0]


def test_bars_of_a_month_that_differ_from_the_day_shown_are_a_warning(built: Built) -> None:
    name = "binance-futures perpetual-OVER-USDT:USDT 1h true 2025-09"
    text = (
        "1 bar of this monthly file differs from that of a daily file, which is shown instead, in"
        " close (by up to 1 %)"
    )
    assert built.rows(
        "select split_part(text, '. ', 1) from meta.notes where kind = 'hidden bars differ'"
        " and dataset = 'ohlcv'"
    ) == [(text,)]
    warning = (
        f"warning: dataset ohlcv: {name}: {text}. To show the monthly file, remove the daily ones;"
        f" this lists them: warehouse --home {built.home} forget ohlcv --exchange binance-futures"
        " --symbol perpetual-OVER-USDT:USDT --interval 1h --clock true --period '2025-09-*'\n"
    )
    assert warning in built.salvaged.stderr
    assert f"ohlcv: {name}: {text}" in built.status.stdout


@pytest.mark.parametrize(
    ("coin", "way", "cause"),
    [
        ("LOCAL", "by 5:00:00", "time zone?"),
        ("SUMMER", "by 2:00:00", "start and inside it"),
        ("ENDS", "by 1:00:00", "or the ends of the bars?"),
    ],
)
def test_shifted_bars_are_not_salvaged(built: Built, coin: str, way: str, cause: str) -> None:
    refusals = built.salvaged.stderr.split("refused: ")
    (reason,) = [
        text for text in refusals if text.startswith(f"ohlcv binance-futures perpetual-{coin}-")
    ]
    assert way in reason and "missing at its start" in reason and cause in reason
    assert built.row(
        "select count(*) from vendor.ohlcv where symbol = $symbol",
        symbol=f"perpetual-{coin}-USDT:USDT",
    ) == (0,)


def test_candles_that_contradict_themselves_are_noted(built: Built) -> None:
    assert built.rows(
        "select text from meta.notes where kind = 'value out of range'"
        " and symbol = 'perpetual-CANDLES-USDT:USDT' order by text"
    ) == [
        ("1 row with close above high",),
        ("1 row with close below low",),
        ("1 row with open below low",),
        ("1 row with volume below 0",),
        ("2 rows with low above high",),
        ("2 rows with open above high",),
    ]


@pytest.mark.parametrize(
    ("coin", "kind", "text"),
    [
        ("NANO", "nanoseconds", "times are truncated to microseconds"),
        ("BEFORE", "known before its time", "48 rows"),
        ("ZERO", "price not positive", "open: 720 rows"),
        ("FUTURE", "future times", "24 bars later than the time of fetching"),
        ("ODD", "number too large", "beyond 1e+100"),
        ("ODD", "number too small", "within 1e-100 of 0"),
    ],
)
def test_an_oddity_is_a_warning_and_a_row_of_meta_notes(
    built: Built, coin: str, kind: str, text: str
) -> None:
    notes = built.rows(
        "select distinct text from meta.notes where kind = $kind and symbol = $symbol",
        kind=kind,
        symbol=f"perpetual-{coin}-USDT:USDT",
    )
    assert any(text in note for (note,) in notes)
    assert f"warning: {kind}: in " in built.refused.stderr
    assert kind in built.status.stdout


@pytest.mark.parametrize(
    ("coin", "reason"),
    [
        ("ALONE", "none of the columns of ohlcv"),
        ("TEXT", "column 'volume' is string, not a number"),
        ("NAMELESS", "pandas' unnamed index holds times"),
        ("FOOTER", "the footer's statistics of 'time'"),
    ],
)
def test_what_cannot_be_right_is_refused_for_its_true_reason(
    built: Built, coin: str, reason: str
) -> None:
    reasons = built.row(
        "select reason from meta.quarantine where symbol = $symbol",
        symbol=f"perpetual-{coin}-USDT:USDT",
    )
    assert reason in reasons[0]


def test_a_leak_is_found_in_series_that_are_few_among_many_others(built: Built) -> None:
    assert "audit flow_leak: user.flow_leak.next_delta: leak" in built.salvaged.stderr


def test_marts_hold_finite_numbers_or_null_whatever_the_vendor_sends(built: Built) -> None:
    columns = built.rows(
        "select table_schema || '.' || table_name, list(column_name)"
        " from information_schema.columns"
        " where table_schema in ('main', 'staging') and data_type in ('DOUBLE', 'FLOAT')"
        " and table_name not like '%_copy' group by 1 order by 1"
    )
    assert len(columns) > 20
    for relation, names in columns:
        bad = 'not isfinite("{0}")'
        if relation.startswith("staging."):
            bad += f' or "{{0}}" != 0 and abs("{{0}}") < {SMALLEST_VALUE}'
        counts = ", ".join(f"count(*) filter ({bad.format(name)})" for name in names)
        found = dict(zip(names, built.row(f"select {counts} from {relation}"), strict=True))
        assert not {name: count for name, count in found.items() if count}, relation
    assert built.row("select count(*) from flow_features where symbol like '%-ODD-%'") == (BARS,)


def test_the_bounds_of_values_are_the_projects() -> None:
    found = project_vars(dbt_project_dir())
    assert (found["smallest_value"], found["largest_value"]) == (SMALLEST_VALUE, LARGEST_VALUE)
