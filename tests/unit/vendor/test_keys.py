"""Names of the vendor's files: valid and invalid ones, and conversion to a path and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.errors import UsageError
from warehouse.sync.layout import scan_folder
from warehouse.times import date_us, us_datetime
from warehouse.vendor.keys import (
    CLOCKS,
    INTERVALS,
    FileKey,
    Period,
    SeriesKey,
    Symbol,
    decode,
    encode,
    interval_us,
    require_vendor_interval,
)

assets = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)
days = st.dates(date(2000, 1, 1), date(2099, 12, 31))
symbols = (
    st.text(
        st.characters(codec="utf-8", exclude_characters="/\\%\x7f", exclude_categories=("C",)),
        max_size=60,
    )
    .map("s".__add__)
    .filter(lambda text: len(quote(text, safe="")) <= 200)
)


@st.composite
def keys(draw: st.DrawFn) -> FileKey:
    raw = draw(st.booleans())
    day = draw(days)
    period = draw(st.sampled_from([day.isoformat(), f"{day:%Y-%m}"]))
    symbol = draw(symbols)
    if raw:
        return FileKey("raw_trades", SeriesKey("okx", symbol), Period(period))
    place = SeriesKey(
        "okx", symbol, draw(st.sampled_from(INTERVALS)), draw(st.sampled_from(CLOCKS))
    )
    return FileKey("l1_price", place, Period(period))


@given(keys())
def test_path_when_read_by_the_folder_source_then_gives_the_key_back(key: FileKey) -> None:
    import tempfile

    problem = Symbol.problem(key.series.symbol)
    expected = (None, problem) if problem else (key, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, key.path)
        path.parent.mkdir(parents=True)
        path.touch()
        assert [(found.key, found.problem) for found in scan_folder(Path(folder))] == [expected]


@given(keys())
def test_path_when_made_then_stays_below_the_lake_in_one_segment_per_part(key: FileKey) -> None:
    assert not key.path.is_absolute()
    assert len(key.path.parts) == (5 if key.is_raw else 6)
    assert not {"..", "."} & set(key.path.parts)
    assert key.path.suffix == ".parquet"


@given(symbols)
def test_encode_when_decoded_then_gives_the_symbol_back(symbol: str) -> None:
    segment = encode(symbol)
    assert decode(segment) == symbol
    assert segment.isascii() and not set(segment) & set("/:\\ '\"")


def test_decode_when_segment_was_never_encoded_then_returns_it_unchanged() -> None:
    assert decode("perpetual-BTC-USDT:USDT") == "perpetual-BTC-USDT:USDT"


def test_path_when_metric_then_names_every_part() -> None:
    key = FileKey(
        "flow", SeriesKey("binance-futures", "perpetual-BTC-USDT:USDT", "1h", "true"),
        Period("2025-09"),
    )  # fmt: skip
    assert key.path == PurePosixPath(
        "flow/exchange=binance-futures/symbol=perpetual-BTC-USDT%3AUSDT"
        "/interval=1h/timestamp=true/2025-09.parquet"
    )


def test_path_when_raw_then_is_under_raw_without_interval_and_clock() -> None:
    key = FileKey("raw_trades", SeriesKey("okx", "spot-BTC-USDT"), Period("2026-08-11"))
    assert key.path == PurePosixPath(
        "raw/trades/exchange=okx/symbol=spot-BTC-USDT/2026-08-11.parquet"
    )


# -- symbols -------------------------------------------------------------------------------------


@given(
    st.sampled_from(["spot", "perpetual", "future"]), assets, assets, st.none() | assets,
    st.none() | days,
)  # fmt: skip
def test_parse_when_symbol_is_put_together_then_gives_its_parts(
    kind: str, base: str, quote: str, margin: str | None, expiry: date | None
) -> None:
    text = f"{kind}-{base}-{quote}"
    text += f":{margin}" if margin else ""
    text += f"-{expiry:%Y%m%d}" if expiry else ""
    assert Symbol.parse(text) == Symbol(kind, base, quote, margin, expiry)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spot-BTC-USD", Symbol("spot", "BTC", "USD", None, None)),
        ("perpetual-XYZ:KSTR-USDC:USDC", Symbol("perpetual", "XYZ:KSTR", "USDC", "USDC", None)),
        ("perpetual-1000PEPE-USDT:USDT", Symbol("perpetual", "1000PEPE", "USDT", "USDT", None)),
        ("future-BTC-USD:BTC-20260327", Symbol("future", "BTC", "USD", "BTC", date(2026, 3, 27))),
        ("perpetual-XYZ:KSTR-USDC", Symbol("perpetual", "XYZ:KSTR", "USDC", None, None)),
        ("spot-20260327-USD", Symbol("spot", "20260327", "USD", None, None)),
        ("odd", Symbol("odd", "", None, None, None)),
    ],
)
def test_parse_when_symbol_is_of_a_kind_seen_at_the_vendor_then_splits_it(
    text: str, expected: Symbol
) -> None:
    assert Symbol.parse(text) == expected


def test_parse_when_eight_digits_are_no_day_then_they_are_no_expiry() -> None:
    assert Symbol.parse("future-BTC-USDT-20261399").expiry is None


@given(st.text(max_size=40))
def test_parse_when_text_is_anything_then_never_raises(text: str) -> None:
    Symbol.parse(text)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        ("", "spot-BTC-USD", "1h", "true"),
        ("okx", "", "1h", "true"),
        ("../okx", "spot-BTC-USD", "1h", "true"),
        ("okx", "../../etc/passwd", "1h", "true"),
        ("okx", "a/b", "1h", "true"),
        ("okx", "a\\b", "1h", "true"),
        ("okx", "a\x00b", "1h", "true"),
        ("okx", "a%2Fb", "1h", "true"),
        ("okx", "..", "1h", "true"),
        ("OKX", "spot-BTC-USD", "1h", "true"),
        ("okx", "spot-BTC-USD", "7m", "true"),
        ("okx", "spot-BTC-USD", "1h", "local"),
        ("okx", "spot-BTC-USD", "1h", None),
        ("okx", "spot-BTC-USD", None, "true"),
        ("okx", "s" * 200, "1h", "true"),
        ("okx", "s" + "ä" * 60, "1h", "true"),
        ("okx", "s\ud800", "1h", "true"),
    ],
)
def test_series_when_a_part_cannot_be_a_name_then_is_refused(
    parts: tuple[str, str, str | None, str | None],
) -> None:
    with pytest.raises(UsageError):
        SeriesKey(*parts)


def test_file_key_when_raw_data_has_an_interval_then_is_refused() -> None:
    with pytest.raises(UsageError, match="not allowed for raw"):
        FileKey("raw_trades", SeriesKey("okx", "spot-BTC-USD", "1h", "true"), Period("2025-09"))


def test_file_key_when_metric_has_no_interval_then_is_refused() -> None:
    with pytest.raises(UsageError):
        FileKey("flow", SeriesKey("okx", "spot-BTC-USD"), Period("2025-09"))


@pytest.mark.parametrize("dataset", ["", "..", "a/b", "Flow", "flow;drop"])
def test_file_key_when_dataset_cannot_be_a_name_then_is_refused(dataset: str) -> None:
    with pytest.raises(UsageError):
        FileKey(dataset, SeriesKey("okx", "spot-BTC-USD", "1h", "true"), Period("2025-09"))


@pytest.mark.parametrize("text", ["", "2025", "2025-13", "2025-02-29", "2025-9", "2025-09-1", "x"])
def test_period_when_text_is_no_month_or_day_then_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Period(text)


@pytest.mark.parametrize("text", ["", "h", "1", "0h", "1H", "1 h", "1w", "60m", "7m", "2d"])
def test_interval_when_no_length_of_a_bar_then_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="divides a UTC day, in its largest unit: 15s, 45m"):
        interval_us(text)


def test_interval_when_the_vendor_serves_none_such_then_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="1m, 5m"):
        require_vendor_interval("45m")


# -- time ----------------------------------------------------------------------------------------


@given(days)
def test_period_when_month_then_ends_where_the_next_begins(day: date) -> None:
    month = Period(f"{day:%Y-%m}")
    assert month.start <= day < month.end
    assert month.end.day == 1
    assert (month.end - timedelta(days=1)).month == day.month
    assert Period(f"{month.end:%Y-%m}").start == month.end


@given(days)
def test_period_when_day_then_lasts_one_day_in_its_month(day: date) -> None:
    period = Period(day.isoformat())
    assert (period.start, period.end) == (day, day + timedelta(days=1))
    assert period.is_day and period.month == f"{day:%Y-%m}"
    assert period.end_us - period.start_us == 86_400_000_000


@given(days)
def test_date_us_when_day_then_is_its_utc_midnight_in_any_local_zone(day: date) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert date_us(day) == round(midnight.timestamp()) * 1_000_000
    assert us_datetime(date_us(day)) == midnight.replace(tzinfo=None)


def test_interval_when_served_then_divides_a_day() -> None:
    assert [interval_us(interval) // 1_000_000 for interval in INTERVALS] == [
        1, 15, 30, 60, 300, 900, 1800, 3600, 14400, 86400,
    ]  # fmt: skip
    assert all(86_400_000_000 % interval_us(interval) == 0 for interval in INTERVALS)
