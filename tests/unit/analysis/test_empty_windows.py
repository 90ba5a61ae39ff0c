"""Lengths of windows that are not a whole number of bars are named, not silently NULL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import warehouse
from tests.support import run_warehouse
from warehouse.analysis import EmptyWindow, IncompleteError
from warehouse.errors import QueryError

HOURLY = "from flow_features where interval = '1h'"


@pytest.fixture(scope="module")
def wh(demo_home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(demo_home) as opened:
        yield opened


def windows(wh: warehouse.Warehouse, text: str) -> list[str]:
    return [str(found) for found in wh.sql(text).warnings if isinstance(found, EmptyWindow)]


@pytest.mark.parametrize(
    "text",
    [
        f"select rolling_zscore(close, '90 minutes') as z {HOURLY}",
        f"select main.forward_return(close, '90 minutes') as f {HOURLY}",
        f"select {{{{ rolling_mean('close', '90 minutes') }}}} as m {HOURLY}"
        " {{ windows('90 minutes') }}",
    ],
)
def test_a_window_that_fits_no_bar_is_null_and_reports_it(
    wh: warehouse.Warehouse, text: str
) -> None:
    assert {row[0] for row in wh.sql(text).fetchall()} == {None}
    assert windows(wh, text) == [
        "measures over 90 minutes are NULL: it is not a whole number of 1h bars"
    ]
    with pytest.raises(IncompleteError, match="90 minutes"):
        wh.sql(text, strict=True)


@pytest.mark.parametrize(
    "text",
    [
        f"select rolling_zscore(close, '2 hours') as z {HOURLY}",
        f"select rolling_count(close, '90 minutes') as n {HOURLY}",
        "select rolling_mean(close, '90 minutes') as m from flow_features",  # fits the 5m bars
    ],
)
def test_a_window_that_fits_some_bars_is_not_named(wh: warehouse.Warehouse, text: str) -> None:
    assert windows(wh, text) == []


@pytest.mark.parametrize(
    "measure", ["rolling_mean(close, '1 month')", "{{ rolling_mean('close', '1 month') }}"]
)
def test_a_wrong_length_has_one_message(wh: warehouse.Warehouse, measure: str) -> None:
    with pytest.raises(QueryError, match="length '1 month': write a whole number and second"):
        wh.sql(f"select {measure} as m {HOURLY}").fetchall()


def test_the_command_line_warns_of_it(demo_home: Path, tmp_path: Path) -> None:
    text = "select rolling_mean(close, '7 min') as m from flow_features"
    done = run_warehouse("sql", text, "--home", demo_home, cwd=tmp_path)
    assert done.exit_code == 0
    assert "measures over 7 min are NULL: it is not a whole number of" in done.stderr
