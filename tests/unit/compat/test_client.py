"""The vendor client's functions: results, refusals, and the command for missing data.

tests/integration/test_client.py compares its frames with the real client's.
"""

from __future__ import annotations

import inspect
import shlex
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import warehouse
from tests.support import BTC, VENUE, bar_table, file_key, grid, series, utc, write_file
from warehouse.errors import NotFoundError, UsageError
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.sync.from_folder import sync_folder

ASKED: dict[str, Any] = {
    "timestamp": "true",
    "interval": "1h",
    "exchange": VENUE,
    "symbol": BTC,
    "start_date": date(2025, 9, 1),
    "end_date": date(2025, 9, 30),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """September by the month, unsorted, 1 to 3 October by the day, overlapping a partial month."""
    root = tmp_path_factory.mktemp("face")
    september = bar_table("flow", grid(date(2025, 9, 1), 720))
    october = bar_table("flow", grid(date(2025, 10, 1), 30), taker_buy_volume=[2.0] * 30)
    write_file(
        root / "files", file_key("flow", "2025-09"), september.take(list(range(719, -1, -1)))
    )
    write_file(root / "files", file_key("flow", "2025-10"), october)
    for day in (2, 3):
        key = file_key("flow", f"2025-10-{day:02}")
        bars = bar_table("flow", grid(date(2025, 10, day), 24), taker_buy_volume=[3.0] * 24)
        write_file(root / "files", key, bars)
    write_file(
        root / "files",
        file_key("ohlcv", "2025-09"),
        bar_table("ohlcv", grid(date(2025, 9, 1), 720)),
    )
    ticks = bar_table("raw_trades", grid(date(2025, 9, 1), 48))
    write_file(root / "files", file_key("raw_trades", "2025-09"), ticks)
    sync_folder(Home(root / "home"), root / "files")
    return root / "home"


@pytest.mark.parametrize("output", ["polars", "pandas"])
def test_metrics_when_asked_then_are_sorted_trimmed_and_of_that_kind(
    home: Path, output: str
) -> None:
    asked = ASKED | {"start_date": date(2025, 9, 5), "end_date": date(2025, 9, 6)}
    frame = warehouse.get_metrics("key", metric="flow", output=output, home=home, **asked)
    assert type(frame) is {"polars": pl.DataFrame, "pandas": pd.DataFrame}[output]
    times = list(frame["time"])
    assert times == sorted(times)
    assert (len(times), times[0], times[-1]) == (
        48,
        utc("2025-09-05 00:00"),
        utc("2025-09-06 23:00"),
    )
    assert next(iter(frame.columns)) == "time"
    if output == "pandas":
        assert list(frame.index) == list(range(48))


@pytest.mark.parametrize("output", ["polars", "pandas"])
def test_metrics_when_files_overlap_then_each_bar_comes_once_from_the_daily_one(
    home: Path, output: str
) -> None:
    asked = ASKED | {"start_date": date(2025, 9, 30), "end_date": date(2025, 10, 3)}
    frame = warehouse.get_metrics(metric="flow", output=output, home=home, **asked)
    assert len(frame) == 4 * 24
    assert list(frame["taker_buy_volume"]) == [1.0] * 24 + [2.0] * 24 + [3.0] * 48
    assert len(set(frame["time"])) == 96


def test_raw_when_asked_then_times_are_aware_and_trimmed(home: Path) -> None:
    frame = warehouse.get_raw(
        dataset="trades", exchange=VENUE, symbol=BTC, home=home,
        start_date=date(2025, 9, 2), end_date=date(2025, 9, 2),
    )  # fmt: skip
    assert len(frame) == 24
    assert str(frame.schema["exchange_timestamp"]) == "Datetime(time_unit='us', time_zone='UTC')"


@pytest.mark.parametrize(
    ("change", "span"),
    [
        ({"start_date": date(2025, 8, 30)}, "2025-08-30 to 2025-08-31"),
        ({"end_date": date(2025, 11, 2)}, "2025-11-01 to 2025-11-02"),
        ({"symbol": "perpetual-SOL-USDT:USDT"}, "2025-09-01 to 2025-09-30"),
        ({"timestamp": "exchange"}, "2025-09-01 to 2025-09-30"),
        ({"interval": "5m"}, "2025-09-01 to 2025-09-30"),
    ],
)
def test_metrics_when_days_are_missing_then_the_error_has_the_sync_line(
    home: Path, change: dict[str, Any], span: str
) -> None:
    asked = ASKED | change
    with pytest.raises(NotFoundError) as caught:
        warehouse.get_metrics(metric="flow", home=home, **asked)
    first, last = span.split(" to ")
    assert span in caught.value.what
    assert caught.value.next_step == (
        f"run: warehouse --home {shlex.quote(str(home))} sync flow"
        f" --exchange {VENUE} --symbol {asked['symbol']}"
        f" --interval {asked['interval']} --clock {asked['timestamp']}"
        f" --start {first} --end {last}"
    )


def test_sync_line_when_typed_then_the_command_line_takes_it(home: Path) -> None:
    from warehouse.cli import cli

    with pytest.raises(NotFoundError) as caught:
        warehouse.get_ohlcv(home=home, **(ASKED | {"start_date": date(2025, 8, 1)}))
    _, *words = shlex.split(str(caught.value.next_step).removeprefix("run: "))
    context = cli.make_context("warehouse", words[:2])
    command = cli.get_command(context, "sync")
    assert command is not None
    assert command.make_context("sync", words[3:], parent=context).params["datasets"] == ("ohlcv",)


def test_metrics_when_the_vendor_has_nothing_then_are_empty(home: Path, tmp_path: Path) -> None:
    book = ASKED | {"timestamp": "true"}
    for output, kind in (("polars", pl.DataFrame), ("pandas", pd.DataFrame)):
        frame = warehouse.get_metrics(metric="l2_imbalance", output=output, home=home, **book)
        assert type(frame) is kind and frame.shape == (0, 0)
    with Manifest(home / "manifest.sqlite") as manifest, manifest.transaction():
        span = (grid(date(2025, 9, 1), 1)[0], grid(date(2025, 10, 1), 1)[0])
        manifest.record_settled("range", series(), [(int(span[0]), int(span[1]))])
    assert warehouse.get_metrics(metric="range", home=home, **ASKED).shape == (0, 0)


def test_metrics_when_columns_differ_by_file_then_missing_ones_read_null(tmp_path: Path) -> None:
    september = bar_table("ohlcv", grid(date(2025, 9, 1), 720))
    october = bar_table("ohlcv", grid(date(2025, 10, 1), 744)).drop_columns(["volume"])
    october = october.set_column(1, "open", pa.array([1.5] * 744, pa.float32()))
    write_file(tmp_path / "files", file_key("ohlcv", "2025-09"), september)
    write_file(tmp_path / "files", file_key("ohlcv", "2025-10"), october)
    sync_folder(Home(tmp_path / "home"), tmp_path / "files")
    asked = ASKED | {"end_date": date(2025, 10, 31)}
    for output in ("polars", "pandas"):
        frame = warehouse.get_ohlcv(output=output, home=tmp_path / "home", **asked)
        assert len(frame) == 1464
        assert list(frame.columns) == september.column_names
        missing = frame["volume"].is_null() if output == "polars" else frame["volume"].isna()
        assert missing.sum() == 744


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "flo"}, {"metric": "raw_trades"}, {"timestamp": "local"}, {"interval": "7m"},
        {"output": "arrow"}, {"end_date": date(2025, 8, 1)}, {"symbol": "../x"},
        {"start_date": "yesterday"},
    ],
)  # fmt: skip
def test_metrics_when_an_argument_cannot_be_then_is_refused(
    home: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        warehouse.get_metrics(**({"metric": "flow", "home": home} | ASKED | change))


def test_symbols_when_asked_then_are_those_of_the_exchange(home: Path) -> None:
    assert warehouse.get_symbols("key", VENUE, home=home) == [BTC]
    with pytest.raises(NotFoundError):
        warehouse.get_symbols("key", "okx-perps", home=home)


def test_face_when_dates_come_as_texts_or_datetimes_then_are_days(home: Path) -> None:
    asked = ASKED | {"start_date": "2025-09-05", "end_date": datetime(2025, 9, 5, 13)}  # noqa: DTZ001
    assert len(warehouse.get_metrics(metric="flow", home=home, **asked)) == 24


def test_client_when_dates_have_an_offset_then_are_their_utc_days(home: Path) -> None:
    late = "2025-09-05T22:00:00-05:00"  # 03:00 of the sixth in UTC
    for day in (late, datetime.fromisoformat(late)):
        asked = ASKED | {"start_date": day, "end_date": day}
        (found,) = (
            warehouse.get_metrics(metric="flow", home=home, **asked)["time"].dt.date().unique()
        )
        assert found == date(2025, 9, 6)


CLIENT = {
    "get_ohlcv": "api_key timestamp interval exchange symbol start_date end_date base_url"
    " show_progress max_concurrent output preview",
    "get_raw": "api_key dataset exchange symbol start_date end_date base_url show_progress"
    " max_concurrent output preview",
    "get_metrics": "api_key metric timestamp interval exchange symbol start_date end_date base_url"
    " show_progress max_concurrent output preview",
    "get_symbols": "api_key exchange base_url",
}
CLIENT |= dict.fromkeys(("get_vwap", "get_twap"), CLIENT["get_ohlcv"])
CLIENT["get_derivative_metrics"] = CLIENT["get_metrics"]


@pytest.mark.parametrize("name", CLIENT)
def test_face_when_compared_with_the_clients_then_takes_its_arguments(name: str) -> None:
    parameters = inspect.signature(getattr(warehouse, name)).parameters
    assert [p for p in parameters if p != "home"] == CLIENT[name].split()
    assert parameters["home"].kind is inspect.Parameter.KEYWORD_ONLY
