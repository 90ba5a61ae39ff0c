"""Windows over which measures are NULL in every row are named, not silently NULL."""

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


LATE = f"{HOURLY} and time >= '2026-02-28 10:00'"
A_DAY = f"{HOURLY} and time >= '2026-02-27' and time < '2026-02-28'"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (f"select rolling_mean(close, '1 day') as m {LATE}", "28 10:00 until 2026-03-01 00:00"),
        (f"select {{{{ rolling_rank('close', '1 day') }}}} as m {LATE} {{{{ windows('1 day') }}}}",
         "28 10:00 until 2026-03-01 00:00"),
        (f"with late as (select * {LATE}) select past_return(close, '1 day') as m from late",
         "28 10:00 until 2026-03-01 00:00"),
        (f"select forward_return(close, '1 day') as m {A_DAY}", "27 00:00 until 2026-02-28 00:00"),
    ],
)  # fmt: skip
def test_a_window_longer_than_the_bars_its_select_reads_is_null_and_reports_it(
    wh: warehouse.Warehouse, text: str, span: str
) -> None:
    assert {row[0] for row in wh.sql(text).fetchall()} == {None}
    assert windows(wh, text) == [
        f"measures over 1 day are NULL: their SELECT reads bars from 2026-02-{span} only;"
        " a condition on time belongs in a SELECT around it"
    ]
    with pytest.raises(IncompleteError, match="1 day"):
        wh.sql(text, strict=True)


@pytest.mark.parametrize(
    "text",
    [
        f"select rolling_mean(close, '1 day') as m {A_DAY}",
        f"select rolling_count(close, '1 day') as m {LATE}",
        f"select {{{{ rolling_mean('close', '1 day', min_bars=2) }}}} as m {LATE}"
        " {{ windows('1 day') }}",
        "select m from (select *, rolling_mean(close, '1 day') as m from flow_features)"
        " where interval = '1h' and time >= '2026-02-28 10:00'",
    ],
)
def test_a_window_with_enough_bars_for_a_value_is_not_named(
    wh: warehouse.Warehouse, text: str
) -> None:
    assert any(row[0] is not None for row in wh.sql(text).fetchall())
    assert windows(wh, text) == []


def test_as_of_an_interval_that_is_not_here_names_those_that_are(wh: warehouse.Warehouse) -> None:
    bars = "select time, slow.spread_bps from as_of('flow_features', {}, 'l1_features', {}, {}) {}"
    text = bars.format("$fast", "'1h'", "interval '2 hours'", "limit 1")
    assert (
        wh.sql(text, fast="4h").hint == "flow has no series with interval '4h'; available: 5m, 1h"
    )
    for slow in ("'4h', interval '2 hours'", "max_age := interval '1 day', slow_interval := '4h'"):
        fast, *rest = slow.split(", ")
        result = wh.sql(bars.format("'5m'", fast, ", ".join(rest), "limit 1"))
        why = "l1_price has no series with interval '4h'; available: 5m, 1h"
        assert [str(gap) for gap in result.warnings] == [f"l1_price 4h: no such series ({why})"]
    assert wh.sql(bars.format("'5m'", "'1h'", "interval '2 hours'", "limit 1")).warnings == ()


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
