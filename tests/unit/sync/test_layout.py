"""Which vendor file each parquet file of a folder is, in every layout that occurs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import BTC, VENUE, file_key
from warehouse.errors import NotFoundError, UsageError
from warehouse.sync.layout import FolderFault, FoundFile, Naming, scan_folder
from warehouse.vendor.keys import FileKey, Period, SeriesKey

PERCENT = "perpetual-BTC-USDT%3AUSDT"
RAW = SeriesKey(VENUE, BTC)


def found(folder: Path, path: str, naming: Naming | None = None) -> FoundFile:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()
    (only,) = scan_folder(folder, naming)
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


def test_scan_when_folder_itself_is_part_of_the_layout_then_is_recognised(tmp_path: Path) -> None:
    inner = tmp_path / "ohlcv" / f"exchange={VENUE}" / f"symbol={PERCENT}"
    file = found(inner, "interval=1d/timestamp=true/2025-09.parquet")
    assert file.key == file_key("ohlcv", "2025-09", "1d")


def test_scan_when_flat_and_all_is_said_then_gives_the_key(tmp_path: Path) -> None:
    naming = Naming("flow", VENUE, BTC, "1h", "true")
    assert found(tmp_path, "2025-09.parquet", naming).key == file_key("flow", "2025-09")


def test_scan_when_flat_raw_then_needs_no_interval(tmp_path: Path) -> None:
    file = found(tmp_path, "2025-09-11.parquet", Naming("raw_trades", VENUE, BTC))
    assert file.key == FileKey("raw_trades", RAW, Period("2025-09-11"))


@pytest.mark.parametrize(
    "naming",
    [None, Naming(), Naming("flow"), Naming("flow", VENUE), Naming("flow", VENUE, BTC),
     Naming("flow", VENUE, BTC, "1h"), Naming("flow", VENUE, BTC, "7m", "true")],
)  # fmt: skip
def test_scan_when_flat_and_something_is_missing_then_names_the_problem(
    tmp_path: Path, naming: Naming | None
) -> None:
    file = found(tmp_path, "2025-09.parquet", naming)
    assert file.key is None
    assert file.problem


@pytest.mark.parametrize(
    "name", ["flow.parquet", "2025.parquet", "2025-13.parquet", "data.parquet"]
)
def test_scan_when_name_is_not_a_period_then_names_the_problem(tmp_path: Path, name: str) -> None:
    file = found(tmp_path, name, Naming("flow", VENUE, BTC, "1h", "true"))
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
def test_scan_when_a_part_is_invalid_then_names_the_problem(tmp_path: Path, path: str) -> None:
    file = found(tmp_path, path)
    assert file.key is None
    assert file.problem


def test_scan_when_files_are_hidden_or_no_data_then_leaves_them(tmp_path: Path) -> None:
    for name in (".2025-09.parquet", ".part/2025-09.parquet", "README.md", "_SUCCESS"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert scan_folder(tmp_path) == []


@pytest.mark.parametrize("name", ["2025-09.csv", "2025-09.parquet.gz", "x.parquet.part", "a.arrow"])
def test_scan_when_data_is_no_parquet_then_names_it(tmp_path: Path, name: str) -> None:
    file = found(tmp_path, name)
    assert (file.key, file.fault, file.problem) == (
        None,
        FolderFault.NO_PARQUET,
        "is not a parquet file",
    )


@pytest.mark.parametrize("ending", [".PARQUET", ".parq", ".pq", ".Pq"])
def test_scan_when_the_ending_is_another_one_then_gives_the_key(
    tmp_path: Path, ending: str
) -> None:
    naming = Naming("flow", VENUE, BTC, "1h", "true")
    assert found(tmp_path, f"2025-09{ending}", naming).key == file_key("flow", "2025-09")


def test_scan_when_a_link_leads_nowhere_then_names_it(tmp_path: Path) -> None:
    (tmp_path / "2025-09.parquet").symlink_to(tmp_path / "gone.parquet")
    (file,) = scan_folder(tmp_path, Naming("flow", VENUE, BTC, "1h", "true"))
    assert file.key is None and file.problem and "broken link" in file.problem


def test_scan_when_a_name_is_that_of_no_file_then_names_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "2025-08.parquet")  # opening it would wait for ever
    (tmp_path / "2025-09.parquet").mkdir()
    (tmp_path / "2025-10.parquet~").touch()
    (tmp_path / "2025-11.parquet").mkdir()
    (tmp_path / "2025-11.parquet" / "2025-11.parquet").touch()
    pipe, folder, backup, file = scan_folder(tmp_path, Naming("flow", VENUE, BTC, "1h", "true"))
    assert (pipe.problem or "").startswith("is a pipe") and pipe.fault is FolderFault.UNUSABLE
    assert (folder.problem or "").startswith("is a folder") and folder.fault is FolderFault.UNUSABLE
    assert backup.path.name == "2025-10.parquet~" and backup.fault is FolderFault.NO_PARQUET
    assert file.key == file_key("flow", "2025-11")


def test_scan_when_a_folder_is_a_link_then_names_it_if_it_leads_elsewhere(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    (folder / "inner").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "latest").symlink_to(folder / "inner")
    (folder / "flow").symlink_to(elsewhere)
    (only,) = scan_folder(folder)
    assert only.path.name == "flow" and "not followed" in (only.problem or "")


# -- patterns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "naming"),
    [
        ("{symbol}_{dataset}_{interval}_{period}", f"{BTC}_l1_price_1h_2025-09", Naming()),
        ("{symbol}_{dataset}_{interval}_{period}", f"{PERCENT}_l1_price_1h_2025-09", Naming()),
        ("{dataset}_{interval}_{period}.parquet", "l1_price_1h_2025-09", Naming(symbol=BTC)),
        ("{dataset}/{symbol}/{period}", f"l1_price/{BTC}/2025-09", Naming(interval="1h")),
        ("export {} - {dataset}.{period}", "export 17 (2) - l1_price.2025-09",
         Naming(symbol=BTC, interval="1h")),
        ("{period}", "2025-09", Naming(symbol=BTC, dataset="l1_price", interval="1h")),
    ],
)  # fmt: skip
def test_scan_when_a_pattern_explains_the_name_then_gives_the_key(
    tmp_path: Path, pattern: str, path: str, naming: Naming
) -> None:
    naming = replace(naming, exchange=VENUE, clock="true", pattern=pattern)
    file = found(tmp_path, f"{path}.parquet", naming)
    assert (file.problem, file.key) == (None, file_key("l1_price", "2025-09"))


@pytest.mark.parametrize(
    ("pattern", "path", "problem"),
    [
        ("{symbol}_{period}", "2025-09", "does not fit --pattern"),
        ("{symbol}-{exchange}-{period}", f"{BTC}-okx-2025-09", "in two ways"),
        ("{symbol}_{period}", "BTCUSDT_2025-09", "not an Atlas symbol"),
    ],
)
def test_scan_when_a_pattern_does_not_explain_the_name_then_gives_the_reason(
    tmp_path: Path, pattern: str, path: str, problem: str
) -> None:
    naming = Naming("flow", None if "exchange" in pattern else VENUE, None, "1h", "true", pattern)
    file = found(tmp_path, f"{path}.parquet", naming)
    assert file.key is None and file.problem and problem in file.problem


@pytest.mark.parametrize(
    "pattern",
    ["", "data", "{perod}", "{symbol}", "{period}{period}", "{{period}}", "{dataset}{period}"],
)
def test_scan_when_a_pattern_is_none_then_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="--pattern"):
        scan_folder(tmp_path, Naming("flow", VENUE, BTC, "1h", "true", pattern))


def test_scan_when_there_are_many_then_comes_in_the_order_of_paths(tmp_path: Path) -> None:
    for period in ("2025-10", "2025-09", "2025-11"):
        (tmp_path / f"{period}.parquet").touch()
    naming = Naming("flow", VENUE, BTC, "1h", "true")
    periods = [file.key.period.text for file in scan_folder(tmp_path, naming) if file.key]
    assert periods == ["2025-09", "2025-10", "2025-11"]


def test_scan_when_there_is_no_folder_then_reports_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        scan_folder(tmp_path / "nowhere")
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(NotFoundError):
        scan_folder(path)
