"""What a file may contain, why it is refused, and the facts of one that passed."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import bar_table, file_key, grid, times
from warehouse.errors import FileRefusedError
from warehouse.lake.manifest.records import FileFacts
from warehouse.lake.validate.vendor_file import check_file
from warehouse.vendor.contracts import load_contracts
from warehouse.vendor.keys import FileKey

SEPTEMBER = date(2025, 9, 1)
HOUR_US = 3_600_000_000
KEY = file_key("flow", "2025-09")
STARTS = grid(SEPTEMBER, 48)


def check(folder: Path, table: pa.Table, key: FileKey = KEY, **options: Any) -> FileFacts:
    path = folder / "file"
    pq.write_table(table, path, **options)
    return check_file(path, key, load_contracts().get(key.dataset))


def refusal(folder: Path, table: pa.Table, key: FileKey = KEY, **options: Any) -> str:
    with pytest.raises(FileRefusedError) as caught:
        check(folder, table, key, **options)
    return caught.value.what


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


# -- bytes ---------------------------------------------------------------------------------------


def test_check_when_file_is_empty_then_is_refused_as_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(FileRefusedError, match="cannot be read as parquet"):
        check_file(path, KEY, None)


@pytest.mark.parametrize("text", [b"<html>try again</html>", b"PAR1", b"PAR1PAR1", b"\x00" * 4096])
def test_check_when_bytes_are_no_parquet_then_is_refused_in_one_line(
    tmp_path: Path, text: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(text)
    with pytest.raises(FileRefusedError, match="cannot be read as parquet") as caught:
        check_file(path, KEY, None)
    assert "\n" not in caught.value.what


def test_check_when_file_is_cut_anywhere_then_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pq.write_table(bar_table("flow", STARTS), path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(FileRefusedError):
            check_file(path, KEY, None)


@pytest.mark.parametrize("flipped", [8, 200, 1000, -1, -5, -9, -200])
def test_check_when_a_byte_is_wrong_then_is_refused_or_only_a_harmless_one(
    tmp_path: Path, flipped: int
) -> None:
    """With page checksums no flipped bit of the data goes unseen; footers may hold slack."""
    table = bar_table("flow", STARTS, volume_delta=pa.array(np.random.default_rng(1).random(48)))
    path = tmp_path / "file"
    pq.write_table(table, path, write_page_checksum=True)
    damaged = bytearray(path.read_bytes())
    damaged[flipped] ^= 0x40
    path.write_bytes(damaged)
    try:
        check_file(path, KEY, load_contracts()["flow"])
    except FileRefusedError:
        return
    assert pq.read_table(path).equals(table)


def test_check_when_the_file_is_of_another_dataset_then_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pq.write_table(bar_table("l1_price", STARTS), path)
    with pytest.raises(FileRefusedError, match="has none of the columns of flow"):
        check_file(path, KEY, load_contracts()["flow"])
    assert check_file(path, KEY, None).rows == len(STARTS)


def test_check_when_footer_claims_more_rows_than_there_are_then_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pq.write_table(bar_table("flow", grid(SEPTEMBER, 700)), path)
    data = path.read_bytes()
    forged = data.replace(_varint(700), _varint(701))
    assert forged != data
    path.write_bytes(forged)
    with pytest.raises(FileRefusedError):
        check_file(path, KEY, None)


def _varint(number: int) -> bytes:
    """A footer's number: zigzag, seven bits a byte, after the marker of a 64-bit field."""
    zigzag, parts = number << 1, [0x16]
    while zigzag > 0x7F:
        parts.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*parts, zigzag])


def forged_footer(folder: Path, table: pa.Table, true: bytes, false: bytes) -> Path:
    """The table in a file whose footer holds other bytes."""
    path = folder / "file"
    pq.write_table(table, path)
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    assert true in data[footer:] and len(true) == len(false)
    path.write_bytes(data[:footer] + data[footer:].replace(true, false))
    return path


def test_check_when_statistics_of_dates_exclude_rows_then_is_refused(tmp_path: Path) -> None:
    days = pa.array(np.arange(20_332, 20_362, dtype=np.int32), pa.date32())
    table = with_column(bar_table("ohlcv", STARTS[:30]), "time", days)
    true, false = (day.to_bytes(4, "little") for day in (20_361, 20_350))
    path = forged_footer(tmp_path, table, true, false)
    key = file_key("ohlcv", "2025-09", interval="1d")
    with pytest.raises(FileRefusedError, match="the footer's statistics of 'time'"):
        check_file(path, key, load_contracts()["ohlcv"])


def test_check_when_statistics_claim_nulls_among_the_times_then_is_refused(tmp_path: Path) -> None:
    table = bar_table("flow", STARTS).select(["time", "volume_delta"])
    high, low = (int(STARTS[place]).to_bytes(8, "little") for place in (-1, 0))
    # the statistics in Thrift: 8 bytes of max, 8 of min, then the count of NULL, a zigzag number
    true = b"\x18\x08" + high + b"\x18\x08" + low + b"\x16\x00"
    false = true[:-1] + b"\x60"
    path = forged_footer(tmp_path, table, true, false)
    with pytest.raises(FileRefusedError, match="count NULL in 'time' where there is none"):
        check_file(path, KEY, load_contracts()["flow"])


def test_check_looks_at_the_statistics_of_the_times_beside_nested_columns(tmp_path: Path) -> None:
    moments = pa.array([0] * 48, pa.timestamp("us"))
    pair = pa.StructArray.from_arrays([moments, moments], names=["a", "b"])
    table = bar_table("flow", STARTS).add_column(0, "pair", pair)
    assert check(tmp_path, table).rows == 48
    true, false = (int(STARTS[place]).to_bytes(8, "little") for place in (-1, -2))
    with pytest.raises(FileRefusedError, match="the footer's statistics of 'time'"):
        check_file(forged_footer(tmp_path, table, true, false), KEY, load_contracts()["flow"])


def test_check_when_the_times_have_a_bloom_filter_then_is_refused(tmp_path: Path) -> None:
    """DuckDB believes it, and would find no row at a time that a wrong one lacks."""
    table = bar_table("flow", STARTS)
    assert check(tmp_path, table, bloom_filter_options={"volume_delta": True}).rows == 48
    assert "Bloom filter" in refusal(tmp_path, table, bloom_filter_options={"time": True})


def test_check_when_a_row_group_claims_terabytes_then_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    pq.write_table(bar_table("flow", STARTS), path)
    size = pq.read_metadata(path).row_group(0).total_byte_size
    data = path.read_bytes()
    forged = data.replace(_varint(size), _varint(1 << 45))
    assert forged != data
    grown = len(forged) - len(data)
    footer = int.from_bytes(data[-8:-4], "little") + grown
    path.write_bytes(forged[:-8] + footer.to_bytes(4, "little") + b"PAR1")
    with pytest.raises(FileRefusedError, match="claims 35,184,372,088,832 bytes"):
        check_file(path, KEY, None)


# -- facts ---------------------------------------------------------------------------------------


def test_check_when_file_is_whole_then_shows_what_it_holds(tmp_path: Path) -> None:
    table = bar_table("flow", STARTS)
    facts = check(tmp_path, table)
    assert facts.rows == 48
    assert (facts.first_us, facts.last_us) == (STARTS[0], STARTS[-1])
    assert facts.runs == ((STARTS[0], STARTS[-1] + HOUR_US),)
    assert [name for name, _ in facts.columns] == table.column_names
    assert dict(facts.columns)["time"] == "TIMESTAMP"
    assert (facts.missing, facts.unexpected, facts.nulls) == ((), (), 0)
    assert facts.is_sorted
    assert not facts.simulated


def test_check_when_file_has_no_rows_then_passes_as_empty(tmp_path: Path) -> None:
    facts = check(tmp_path, bar_table("flow", []))
    assert (facts.rows, facts.first_us, facts.last_us, facts.runs) == (0, None, None, ())
    assert facts.is_sorted


def test_check_when_bars_are_missing_then_gives_the_unbroken_runs(tmp_path: Path) -> None:
    facts = check(tmp_path, bar_table("flow", STARTS[[0, 1, 2, 5, 9, 10]]))
    at = STARTS[0] // 1
    assert facts.runs == tuple(
        (at + a * HOUR_US, at + b * HOUR_US) for a, b in ((0, 3), (5, 6), (9, 11))
    )


def test_check_when_rows_are_unsorted_then_passes_and_reports_it(tmp_path: Path) -> None:
    facts = check(tmp_path, bar_table("flow", STARTS[::-1]))
    assert not facts.is_sorted
    assert facts.runs == ((STARTS[0], STARTS[-1] + HOUR_US),)


def test_check_when_the_file_is_simulated_then_is_marked(tmp_path: Path) -> None:
    table = bar_table("flow", STARTS).replace_schema_metadata({"warehouse.simulated": "true"})
    assert check(tmp_path, table).simulated


def test_check_when_values_are_odd_then_passes_and_counts_nulls_only(tmp_path: Path) -> None:
    odd = pa.array([None, math.nan, math.inf, -math.inf, -1e300, 0.0] + [1.0] * 42)
    facts = check(tmp_path, bar_table("flow", STARTS, volume_delta=odd))
    assert facts.nulls == 1


def test_check_when_there_are_many_batches_then_reads_them_all(tmp_path: Path) -> None:
    starts = grid(SEPTEMBER, 300_000, "1s")
    facts = check(
        tmp_path, pa.table({"time": times(starts), "close": starts * 1.0}),
        file_key("ohlcv", "2025-09", "1s"),
        row_group_size=70_000,
    )  # fmt: skip
    assert facts.rows == 300_000
    assert len(facts.runs) == 1


def test_check_when_columns_are_the_contracts_own_then_nothing_has_drifted(tmp_path: Path) -> None:
    found = {}
    for dataset in load_contracts():
        facts = check(tmp_path, bar_table(dataset, STARTS), file_key(dataset, "2025-09"))
        found[dataset] = (facts.rows, facts.missing, facts.unexpected)
    assert found == dict.fromkeys(load_contracts(), (48, (), ()))


# -- drift ---------------------------------------------------------------------------------------


def test_check_when_columns_are_missing_then_they_are_named(tmp_path: Path) -> None:
    facts = check(tmp_path, bar_table("ohlcv", STARTS).drop_columns(["volume", "high"]),
                  file_key("ohlcv", "2025-09"))  # fmt: skip
    assert facts.missing == ("high", "volume")


@pytest.mark.parametrize("name", ["exchange", "symbol", "interval", "timestamp", "vwap", "Ünï co"])
def test_check_when_a_column_is_new_then_is_kept_and_named(tmp_path: Path, name: str) -> None:
    facts = check(tmp_path, with_column(bar_table("flow", STARTS), name, pa.array(["x"] * 48)))
    assert facts.unexpected == (name,)
    assert facts.columns[-1] == (name, "VARCHAR")


def test_check_when_there_is_no_contract_then_passes_without_drift(tmp_path: Path) -> None:
    facts = check(tmp_path, bar_table("flow", STARTS), file_key("brand_new", "2025-09"))
    assert (facts.missing, facts.unexpected) == ((), ())


def test_check_when_retired_columns_are_absent_then_nothing_has_drifted(tmp_path: Path) -> None:
    retired = [c.name for c in load_contracts()["funding"].columns if not c.expected]
    table = bar_table("funding", STARTS)
    assert retired and not set(retired) & set(table.column_names)
    assert check(tmp_path, table, file_key("funding", "2025-09")).missing == ()


# -- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.float16(), "FLOAT"),
        (pa.float32(), "FLOAT"),
        (pa.float64(), "DOUBLE"),
        (pa.int8(), "TINYINT"),
        (pa.int32(), "INTEGER"),
        (pa.int64(), "BIGINT"),
        (pa.uint64(), "UBIGINT"),
        (pa.null(), "INTEGER"),
    ],
)
def test_check_when_a_real_column_is_narrower_then_passes_with_its_type(
    tmp_path: Path, kind: pa.DataType, name: str
) -> None:
    values = pa.nulls(48) if kind == pa.null() else pa.array([1] * 48).cast(kind)
    facts = check(tmp_path, with_column(bar_table("flow", STARTS), "volume_delta", values))
    assert dict(facts.columns)["volume_delta"] == name


@pytest.mark.parametrize("kind", [pa.string(), pa.bool_(), pa.date32()])
def test_check_when_a_real_column_holds_no_number_then_is_refused_by_name(
    tmp_path: Path, kind: pa.DataType
) -> None:
    table = with_column(bar_table("flow", STARTS), "volume_delta", pa.nulls(48, kind))
    assert "'volume_delta'" in refusal(tmp_path, table)


def test_check_when_counts_are_whole_floats_then_passes(tmp_path: Path) -> None:
    table = with_column(bar_table("flow", STARTS), "taker_buy_count", pa.array([3.0] * 48))
    assert dict(check(tmp_path, table).columns)["taker_buy_count"] == "DOUBLE"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3.5, "has values that are not whole numbers"),
        (1e30, "holds numbers too large for BIGINT"),
        (math.inf, "is a count, but has infinity"),
    ],
)
def test_check_when_counts_are_no_whole_numbers_then_is_refused(
    tmp_path: Path, value: float, reason: str
) -> None:
    counts = pa.array([3.0] * 47 + [value])
    table = with_column(bar_table("flow", STARTS), "taker_buy_count", counts)
    assert f"'taker_buy_count' {reason}" in refusal(tmp_path, table)


@pytest.mark.parametrize(("value", "passes"), [("3", True), ("3.5", False)])
def test_check_when_counts_are_decimals_then_passes_while_they_are_whole(
    tmp_path: Path, value: str, passes: bool
) -> None:
    counts = pa.array([Decimal(value)] * 48, pa.decimal128(20, 1))
    table = with_column(bar_table("flow", STARTS), "taker_buy_count", counts)
    if passes:
        assert check(tmp_path, table).rows == 48
    else:
        assert "'taker_buy_count' has decimals" in refusal(tmp_path, table)


def test_check_when_counts_overflow_a_bigint_then_is_refused(tmp_path: Path) -> None:
    counts = pa.array([2**63] * 48, pa.uint64())
    table = with_column(bar_table("flow", STARTS), "taker_buy_count", counts)
    assert "taker_buy_count" in refusal(tmp_path, table)


@pytest.mark.parametrize(
    ("value", "passes"), [(2**53, True), (-(2**53), True), (2**53 + 1, False), (-(2**63), False)]
)
def test_check_when_prices_are_integers_then_passes_while_a_double_holds_them(
    tmp_path: Path, value: int, passes: bool
) -> None:
    prices = pa.array([1] * 47 + [value], pa.int64())
    table = with_column(bar_table("ohlcv", STARTS), "close", prices)
    if passes:
        assert check(tmp_path, table, file_key("ohlcv", "2025-09")).rows == 48
    else:
        assert "would round" in refusal(tmp_path, table, file_key("ohlcv", "2025-09"))


def nested(depth: int) -> pa.Array:
    values = pa.array([1.5] * 48)
    for _ in range(depth):
        values = pa.StructArray.from_arrays([values], names=["a"])
    return values


ODD = [
    (pa.array([[1, 2], None] * 24), "BIGINT[]"),
    (pa.array([{"a": 1, "b c": [{"d": "x"}]}] * 48), 'STRUCT(a BIGINT, "b c" STRUCT(d VARCHAR)[])'),
    (pa.array([[("k", 1.5)]] * 48, pa.map_(pa.string(), pa.float64())), "MAP(VARCHAR, DOUBLE)"),
    (pa.array([Decimal("1.25")] * 48, pa.decimal128(18, 4)), "DECIMAL(18,4)"),
    (pa.array([Decimal("1.25")] * 48, pa.decimal256(60, 4)), "NONE decimal256(60, 4)"),
    (pa.array([b"x"] * 48), "BLOB"),
    (pa.array([1] * 48, pa.duration("us")), "OTHER duration[us]"),
    (pa.array([1] * 48, pa.time64("ns")), "OTHER time64[ns]"),
    (pa.array([[1]] * 48, pa.list_(pa.timestamp("ns"))), "OTHER list<element: timestamp[ns]>"),
    (pa.array([b"x" * 16] * 48, pa.binary(16)), "BLOB"),
]


@pytest.mark.parametrize(("values", "kind"), ODD)
def test_check_when_a_new_column_is_nested_or_odd_then_is_kept_and_named(
    tmp_path: Path, values: pa.Array, kind: str
) -> None:
    facts = check(tmp_path, with_column(bar_table("flow", STARTS), "extra", values))
    assert facts.unexpected == ("extra",)
    assert facts.columns[-1] == ("extra", kind)


def test_check_when_decimals_are_longer_than_duckdbs_then_none_is_shown(tmp_path: Path) -> None:
    """DuckDB 1.5 reads 1.25 as 351,843,720,888,320 there."""
    long = pa.array([Decimal("1.25")] * 48, pa.decimal256(60, 4))
    facts = check(tmp_path, with_column(bar_table("flow", STARTS), "extra", long))
    assert [kind for kind, _ in facts.notes if kind != "value out of range"] == ["column not shown"]
    table = with_column(bar_table("flow", STARTS), "volume_delta", long)
    assert "'volume_delta' is decimal256(60, 4), but DuckDB's" in refusal(tmp_path, table)


def test_check_when_a_new_column_is_nested_without_end_then_is_refused_by_name(
    tmp_path: Path,
) -> None:
    table = bar_table("flow", STARTS)
    assert check(tmp_path, with_column(table, "extra", nested(16))).unexpected == ("extra",)
    assert "'extra' is nested more than 16 deep" in refusal(
        tmp_path, with_column(table, "extra", nested(17))
    )


@pytest.mark.parametrize(
    "values", [values for values, _ in ODD if not pa.types.is_decimal(values.type)]
)
def test_check_when_a_column_of_the_contract_is_nested_or_odd_then_is_refused_by_name(
    tmp_path: Path, values: pa.Array
) -> None:
    table = with_column(bar_table("flow", STARTS), "volume_delta", values)
    assert "'volume_delta'" in refusal(tmp_path, table)


def test_check_when_text_is_dictionary_encoded_then_is_text(tmp_path: Path) -> None:
    side = pa.array(["buy"] * 48).dictionary_encode()
    table = with_column(bar_table("raw_trades", STARTS), "side", side)
    facts = check(tmp_path, table, file_key("raw_trades", "2025-09"))
    assert dict(facts.columns)["side"] == "VARCHAR"


@pytest.mark.parametrize("names", [("volume_delta", "volume_delta"), ("a", "A"), ("time", "TIME")])
def test_check_when_two_columns_share_a_name_then_is_refused(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    table = bar_table("flow", STARTS).select(["time"])
    for name in names:
        if name != "time":
            table = table.append_column(name, pa.array([1.0] * 48))
    assert "same name" in refusal(tmp_path, table)


# -- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("tz", [None, "UTC"])
def test_check_when_times_have_another_unit_then_means_the_same_moments(
    tmp_path: Path, unit: str, tz: str | None
) -> None:
    facts = check(tmp_path, bar_table("flow", STARTS, time=times(STARTS, unit, tz)))
    assert facts.runs == ((STARTS[0], STARTS[-1] + HOUR_US),)


def test_check_when_times_name_another_zone_then_they_are_the_same_instants(tmp_path: Path) -> None:
    facts = check(tmp_path, bar_table("flow", STARTS, time=times(STARTS, tz="America/New_York")))
    assert facts.runs == ((STARTS[0], STARTS[-1] + HOUR_US),)


def test_check_when_days_are_dates_then_they_are_midnights(tmp_path: Path) -> None:
    days = grid(SEPTEMBER, 30, "1d")
    table = bar_table("flow", days, time=times(days).cast(pa.date32()))
    facts = check(tmp_path, table, file_key("flow", "2025-09", "1d"))
    assert facts.runs == ((days[0], days[-1] + 24 * HOUR_US),)


def test_check_when_there_is_no_time_then_is_refused(tmp_path: Path) -> None:
    assert "no column 'time'" in refusal(tmp_path, bar_table("flow", STARTS).drop_columns("time"))


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_check_when_time_is_no_timestamp_then_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    table = with_column(bar_table("flow", STARTS), "time", pa.nulls(48, kind))
    assert "not a timestamp" in refusal(tmp_path, table)


def test_check_when_time_holds_null_then_is_refused(tmp_path: Path) -> None:
    stamps = times(STARTS).to_pylist()
    table = bar_table("flow", STARTS, time=pa.array([None, *stamps[1:]], pa.timestamp("us")))
    assert refusal(tmp_path, table) == "1 of 48 rows: NULL in time: row 0 (no time)"


def test_check_when_times_are_finer_than_a_microsecond_then_is_refused(tmp_path: Path) -> None:
    stamps = pa.array(STARTS * 1000 + 1, pa.int64()).cast(pa.timestamp("ns"))
    assert "finer" in refusal(tmp_path, bar_table("flow", STARTS, time=stamps))


def test_check_when_rows_are_outside_the_month_then_counts_them(tmp_path: Path) -> None:
    table = bar_table("flow", np.concatenate([grid(date(2025, 8, 31), 24), STARTS]))
    assert "24 of 72 rows: time outside 2025-09: row 0 (2025-08-31 00:00:00)" in refusal(
        tmp_path, table
    )


def test_check_when_the_first_bar_of_the_next_month_is_in_then_is_refused(tmp_path: Path) -> None:
    table = bar_table("flow", grid(date(2025, 9, 30), 25))
    assert "1 of 25 rows: time outside 2025-09: row 24 (2025-10-01 00:00:00)" in refusal(
        tmp_path, table
    )


def test_check_when_month_is_full_then_both_edges_are_inside(tmp_path: Path) -> None:
    assert check(tmp_path, bar_table("flow", grid(SEPTEMBER, 720))).rows == 720


def test_check_when_daily_file_reaches_the_next_day_then_is_refused(tmp_path: Path) -> None:
    key = file_key("flow", "2025-09-01")
    assert check(tmp_path, bar_table("flow", STARTS[:24]), key).rows == 24
    assert "outside 2025-09-01" in refusal(tmp_path, bar_table("flow", STARTS[:25]), key)


def test_check_when_bars_are_off_the_grid_then_names_the_first(tmp_path: Path) -> None:
    starts = STARTS.copy()
    starts[7] += 1_000_000
    assert refusal(tmp_path, bar_table("flow", starts)) == (
        "1 of 48 rows: time not a multiple of 1h: row 7 (2025-09-01 07:00:01)"
    )


def test_check_when_interval_is_coarser_than_the_bars_then_is_refused(tmp_path: Path) -> None:
    table = bar_table("flow", STARTS)
    assert "not a multiple of 4h" in refusal(tmp_path, table, file_key("flow", "2025-09", "4h"))


def test_check_when_a_bar_occurs_twice_even_unsorted_then_is_refused(tmp_path: Path) -> None:
    table = bar_table("flow", np.concatenate([STARTS, STARTS[3:5]]))
    assert "bar with more than one row: row 3 (2025-09-01 03:00:00)" in refusal(tmp_path, table)


# -- raw data ------------------------------------------------------------------------------------


def test_check_when_raw_events_share_a_moment_then_passes(tmp_path: Path) -> None:
    moments = np.repeat(STARTS[:3] + 17, 4)
    facts = check(tmp_path, bar_table("raw_trades", moments), file_key("raw_trades", "2025-09"))
    assert facts.rows == 12
    assert facts.runs == ()
    assert facts.first_us == STARTS[0] + 17


@pytest.mark.parametrize("name", ["exchange_timestamp", "local_timestamp"])
def test_check_when_a_raw_clock_is_missing_or_null_then_is_refused(
    tmp_path: Path, name: str
) -> None:
    key, table = file_key("raw_trades", "2025-09"), bar_table("raw_trades", STARTS)
    assert f"no column '{name}'" in refusal(tmp_path, table.drop_columns(name), key)
    nulls = pa.nulls(48, pa.timestamp("us", tz="UTC"))
    assert "NULL in exchange_timestamp or local_timestamp" in refusal(
        tmp_path, with_column(table, name, nulls), key
    )


def test_check_when_raw_events_are_outside_the_period_then_is_refused(tmp_path: Path) -> None:
    table = bar_table("raw_trades", grid(date(2025, 8, 31), 30))
    assert "outside 2025-09" in refusal(tmp_path, table, file_key("raw_trades", "2025-09"))


@pytest.mark.parametrize("value", [1_756_684_800, 1_756_684_800.0, "2025-09-01T00:00:00Z", True])
def test_check_when_times_are_no_timestamps_then_shows_how_to_convert_them(
    tmp_path: Path, value: Any
) -> None:
    table = bar_table("flow", grid(date(2025, 9, 1), 2))
    refused = refusal(tmp_path, with_column(table, "time", pa.array([value] * 2)))
    assert (
        "not a timestamp: write timestamp[us, UTC], in pandas with pd.to_datetime(df['time']"
        in refused
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"PAR1" + b"x" * 100, "it is truncated"),
        (b"PK\x03\x04" + b"x" * 100, "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"time,close\n", "magic bytes"),
    ],
)
def test_check_when_a_file_is_of_another_kind_then_names_it(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "2025-09.parquet"
    path.write_bytes(content)
    with pytest.raises(FileRefusedError, match="cannot be read as parquet: .*" + reason):
        check_file(path, KEY, load_contracts()["flow"])


def test_check_when_a_bid_is_above_the_ask_then_notes_the_rows(tmp_path: Path) -> None:
    bids = pa.array([2.0, 2.0, 1.0, math.nan] * 12)
    table = bar_table("l1_price", STARTS, bid_price=bids, ask_price=pa.array([1.5] * 48))
    facts = check(tmp_path, table, file_key("l1_price", "2025-09"))
    assert ("value out of range", "24 rows with bid_price above ask_price") in facts.notes
