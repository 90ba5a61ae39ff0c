"""Which vendor file each parquet file of a folder is, in every layout that occurs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import BTC, VENUE, file_key
from warehouse.errors import NotFoundError
from warehouse.folder import FoundFile, Said, scan_folder
from warehouse.keys import FileKey, Period, SeriesKey

PERCENT = "perpetual-BTC-USDT%3AUSDT"
RAW = SeriesKey(VENUE, BTC)


def found(folder: Path, path: str, said: Said | None = None) -> FoundFile:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    (only,) = scan_folder(folder, said)
    return only


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (
            f"flow/exchange={VENUE}/symbol={PERCENT}/interval=1h/timestamp=true/2025-09.parquet",
            file_key("flow", "2025-09"),
        ),
        (
            f"flow/exchange={VENUE}/symbol={BTC}/interval=5m/timestamp=exchange/2026-08-11.parquet",
            file_key("flow", "2026-08-11", "5m", clock="exchange"),
        ),
        (
            f"raw/trades/exchange={VENUE}/symbol={PERCENT}/2025-06.parquet",
            FileKey("raw_trades", RAW, Period("2025-06")),
        ),
        (
            f"raw/trades/exchange={VENUE}/symbol={PERCENT}/year=2025/month=06/data.parquet",
            FileKey("raw_trades", RAW, Period("2025-06")),
        ),
        (
            f"quotes/exchange={VENUE}/symbol={BTC}/year=2025/month=06/day=01/data.parquet",
            FileKey("raw_quotes", RAW, Period("2025-06-01")),
        ),
        (
            f"trades/exchange={VENUE}/symbol={BTC}/year=2025/month=6/day=1/data.parquet",
            FileKey("raw_trades", RAW, Period("2025-06-01")),
        ),
        (
            f"raw_trades/exchange={VENUE}/symbol={BTC}/year=2025/month=06/data.parquet",
            FileKey("raw_trades", RAW, Period("2025-06")),
        ),
    ],
)
def test_scan_when_layout_is_known_then_gives_the_key(
    tmp_path: Path, path: str, key: FileKey
) -> None:
    file = found(tmp_path, path)
    assert (file.key, file.problem) == (key, None)


def test_scan_when_folder_itself_is_part_of_the_layout_then_still_knows(tmp_path: Path) -> None:
    inner = tmp_path / "ohlcv" / f"exchange={VENUE}" / f"symbol={PERCENT}"
    file = found(inner, "interval=1d/timestamp=true/2025-09.parquet")
    assert file.key == file_key("ohlcv", "2025-09", "1d")


def test_scan_when_flat_and_all_is_said_then_gives_the_key(tmp_path: Path) -> None:
    said = Said("flow", VENUE, BTC, "1h", "true")
    assert found(tmp_path, "2025-09.parquet", said).key == file_key("flow", "2025-09")


def test_scan_when_flat_raw_then_needs_no_interval(tmp_path: Path) -> None:
    file = found(tmp_path, "2025-09-11.parquet", Said("raw_trades", VENUE, BTC))
    assert file.key == FileKey("raw_trades", RAW, Period("2025-09-11"))


@pytest.mark.parametrize(
    "said",
    [None, Said(), Said("flow"), Said("flow", VENUE), Said("flow", VENUE, BTC),
     Said("flow", VENUE, BTC, "1h"), Said("flow", VENUE, BTC, "7m", "true")],
)  # fmt: skip
def test_scan_when_flat_and_something_is_missing_then_says_the_problem(
    tmp_path: Path, said: Said | None
) -> None:
    file = found(tmp_path, "2025-09.parquet", said)
    assert file.key is None
    assert file.problem


@pytest.mark.parametrize(
    "name", ["flow.parquet", "2025.parquet", "2025-13.parquet", "data.parquet"]
)
def test_scan_when_name_is_no_period_then_says_the_problem(tmp_path: Path, name: str) -> None:
    file = found(tmp_path, name, Said("flow", VENUE, BTC, "1h", "true"))
    assert file.key is None
    assert file.problem and "period" in file.problem


@pytest.mark.parametrize(
    "path",
    [
        "flow/exchange=../symbol=x/interval=1h/timestamp=true/2025-09.parquet",
        "flow/exchange=okx/symbol=..%2F..%2Fetc/interval=1h/timestamp=true/2025-09.parquet",
        "flow/exchange=okx/symbol=a%00b/interval=1h/timestamp=true/2025-09.parquet",
        "flow/exchange=okx/symbol=x/interval=7m/timestamp=true/2025-09.parquet",
        "flow/exchange=okx/symbol=x/interval=1h/timestamp=moon/2025-09.parquet",
        "flow/exchange=okx/symbol=x/interval=1h/2025-09.parquet",
    ],
)
def test_scan_when_a_part_cannot_be_then_says_the_problem(tmp_path: Path, path: str) -> None:
    file = found(tmp_path, path)
    assert file.key is None
    assert file.problem


def test_scan_when_files_are_hidden_or_no_parquet_then_leaves_them(tmp_path: Path) -> None:
    for name in (".2025-09.parquet", ".part/2025-09.parquet", "2025-09.csv", "x.parquet.part"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "folder.parquet").mkdir()
    assert scan_folder(tmp_path) == []


def test_scan_when_there_are_many_then_comes_in_the_order_of_paths(tmp_path: Path) -> None:
    for period in ("2025-10", "2025-09", "2025-11"):
        (tmp_path / f"{period}.parquet").touch()
    said = Said("flow", VENUE, BTC, "1h", "true")
    periods = [file.key.period.text for file in scan_folder(tmp_path, said) if file.key]
    assert periods == ["2025-09", "2025-10", "2025-11"]


def test_scan_when_there_is_no_folder_then_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        scan_folder(tmp_path / "nowhere")
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(NotFoundError):
        scan_folder(path)
