"""Columns that a vendor file lacks are named by the queries that read them, not silently NULL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import warehouse
from tests.asking import ETH, publish_without_dbt, write_month
from tests.support import BTC, bar_table, file_key, grid, write_file
from warehouse.analysis import AbsentColumn, IncompleteError
from warehouse.cli import run
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder

OF_BTC = f"flow: volume_delta reads NULL in binance-futures {BTC} 1h true, 2025-10: not in 1 file"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flow of BTC in October lacks ``volume_delta``, of which ``net_delta`` is computed."""
    root = tmp_path_factory.mktemp("absent") / "home"
    files = root.with_name("files")
    for dataset, symbol, month in (
        ("flow", BTC, 9), ("ohlcv", BTC, 9), ("ohlcv", BTC, 10), ("flow", ETH, 10)
    ):  # fmt: skip
        write_month(files, dataset, symbol, month)
    less = bar_table("flow", grid(date(2025, 10, 1), 31 * 24)).drop_columns("volume_delta")
    write_file(files, file_key("flow", "2025-10"), less)
    sync_folder(Home(root), files)
    publish_without_dbt(root)
    return root


@pytest.fixture(scope="module")
def wh(home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(home) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("from vendor.flow", True),
        ("select volume_delta from vendor.flow", True),
        ("select mean_delta from mart", True),
        ("select count(*) from mart where net_delta > 0", True),
        ("from mine", False),
        ("select * from staging.stg_flow where time < '2025-10-01 00:00:01'", True),
        ("select net_delta from mart where time < '2025-10-01'", False),
        ("select net_delta from mart where time >= '2025-11-01'", False),
        (f"select net_delta from mart where symbol = '{ETH}'", False),
        ("select close, time from mart", False),
        ("select count(*) from mart", False),
        ("select * from (select close, time from mart) where close > 0", False),
        ("select * from (select m.* from mart as m)", True),
        ("with mart as (from mart) from mart", True),
        ("select volume_delta from meta.drift, (select 1 as volume_delta)", False),
    ],
)
def test_a_query_names_the_absent_column_that_it_reads(
    wh: warehouse.Warehouse, text: str, is_named: bool
) -> None:
    found = [str(one) for one in wh.sql(text).warnings if isinstance(one, AbsentColumn)]
    assert found == [f"{OF_BTC} of the vendor"] * is_named


def test_absent_columns_are_shown_everywhere_and_stop_a_strict_query(
    wh: warehouse.Warehouse, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"select net_delta from mart where symbol = '{BTC}' and time >= '2025-10-01'"
    result = wh.sql(text)
    assert OF_BTC in repr(result) and OF_BTC in result._repr_html_()
    with pytest.raises(IncompleteError, match=f"lack columns that the query reads:\n  {OF_BTC}"):
        wh.sql(text, strict=True)
    assert run(["--home", str(home), "sql", text]) == 0
    assert f"warning: {OF_BTC}" in capsys.readouterr().err
