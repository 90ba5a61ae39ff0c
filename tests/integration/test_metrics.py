"""Planted faults in the vendor's bars are found by comparison with ticks, and no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.market import Market, write_market
from tests.support import without_comments
from warehouse.audit import MetricsReport, ValueOutcome, audit_metrics, keep_audit
from warehouse.build.catalog import prepare_catalog
from warehouse.config import Settings
from warehouse.home import Home
from warehouse.project import tick_macros
from warehouse.sync import sync_folder
from warehouse.times import us_datetime

SYMBOL = "perpetual-BTC-USDT:USDT"
DAY_US = 1_748_736_000_000_000
PLACE = f"exchange=venue/symbol={SYMBOL.replace(':', '%3A')}"


def ticks() -> pa.Table:
    """Trades of ten minutes in the middle of a day."""
    random = np.random.default_rng(5)
    count = 3_000
    us = DAY_US + 43_200_000_000 + np.sort(random.integers(0, 600_000_000, count))
    return pa.table(
        {
            "exchange_timestamp": pa.array(us, pa.timestamp("us", tz="UTC")),
            "local_timestamp": pa.array(us + 1_000, pa.timestamp("us", tz="UTC")),
            "id": [str(number) for number in range(count)],
            "side": random.choice(["buy", "sell"], count),
            "price": np.round(100_000 + np.cumsum(random.integers(-3, 4, count)) * 0.1, 1),
            "amount": random.integers(1, 2_000, count) / 1_000,
        }
    )


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    """The bars of these ticks, as the vendor has them."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("rows", ticks())
        connection.execute(
            "create table raw as select 1 as series_id, 'venue' as exchange,"
            f" '{SYMBOL}' as symbol, timezone('UTC', exchange_timestamp) as time,"
            " timezone('UTC', local_timestamp) as known_at, * from rows"
        )
        connection.execute(tick_macros())
        made = {}
        for dataset in ("ohlcv", "flow", "vtwap", "trade_size"):
            made[dataset] = connection.sql(
                "select * exclude (series_id, exchange, symbol, interval, clock, known_at,"
                " n_events, is_partial) replace (timezone('UTC', time) as time)"
                f" from ticks_{dataset}('1m', clock := 'exchange', trades := 'raw') order by time"
            ).to_arrow_table()
    return made


def audited(folder: Path, bars: dict[str, pa.Table]) -> tuple[Home, MetricsReport]:
    settings = Settings(home=folder / "home")
    home = Home.of(settings)
    files = {f"raw/trades/{PLACE}/2025-06-01.parquet": ticks()}
    for dataset, table in bars.items():
        files[f"{dataset}/{PLACE}/interval=1m/timestamp=exchange/2025-06.parquet"] = table
    for name, table in files.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    sync_folder(home, folder / "files")
    with without_comments():
        prepare_catalog(settings, generation=1).replace(home.catalog)
    return home, audit_metrics(home)


def with_value(table: pa.Table, column: str, row: int, change: Callable[[Any], Any]) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = change(values[row])
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, pa.array(values, table.schema.field(column).type))


def problems(report: MetricsReport) -> set[tuple[str, str, str, str]]:
    return {
        (audit.series.dataset, column.column, str(bad.outcome), f"{bad.time:%H:%M}")
        for audit in report.audits
        for column in audit.columns
        for bad in column.worst
        if bad.outcome.is_problem
    }


def test_honest_bars_when_audited_then_all_are_equal(
    tmp_path: Path, honest: dict[str, pa.Table]
) -> None:
    _, report = audited(tmp_path, honest)
    assert report.passed
    assert [audit.skipped for audit in report.audits] == [None] * 4
    assert {outcome for a in report.audits for c in a.columns for outcome in c.outcomes} == {
        ValueOutcome.EQUAL
    }
    assert {column.best for audit in report.audits for column in audit.columns} == {""}


def test_planted_faults_when_audited_then_are_found_and_no_others(
    tmp_path: Path, honest: dict[str, pa.Table]
) -> None:
    flow, ohlcv, vtwap = honest["flow"], honest["ohlcv"], honest["vtwap"]
    flow = with_value(flow, "taker_buy_count", 3, lambda count: count + 1)
    volume = pa.array(np.float32(flow["taker_sell_volume"].to_numpy()))
    flow = flow.set_column(flow.schema.get_field_index("taker_sell_volume"),
                           "taker_sell_volume", volume)  # fmt: skip
    ohlcv = with_value(ohlcv, "close", 4, lambda price: price + 0.1)
    ohlcv = with_value(ohlcv, "high", 6, lambda price: float("nan"))
    ohlcv = pa.concat_tables([ohlcv.slice(0, 7), ohlcv.slice(8)])
    home, report = audited(tmp_path, {"flow": flow, "ohlcv": ohlcv, "vtwap": vtwap})
    assert not report.passed
    assert problems(report) == {
        ("flow", "taker_buy_count", "differs", "12:03"),
        ("ohlcv", "close", "differs", "12:04"),
        ("ohlcv", "high", "one is missing", "12:06"),
    }
    by_dataset = {audit.series.dataset: audit for audit in report.audits}
    noon = us_datetime(DAY_US) + timedelta(hours=12)
    assert by_dataset["ohlcv"].lost == [noon + timedelta(minutes=7)]
    rounded = next(c for c in by_dataset["flow"].columns if c.column == "taker_sell_volume")
    assert set(rounded.outcomes) <= {ValueOutcome.EQUAL, ValueOutcome.FLOAT32}
    assert rounded.outcomes[ValueOutcome.FLOAT32] > 5
    assert any("12:04:00: " in line and "trades" in line for line in by_dataset["ohlcv"].ticks)
    keep_audit(home, report)
    with without_comments():
        prepare_catalog(Settings(home=home.root), generation=2)
    with duckdb.connect(str(home.build_catalog), read_only=True) as connection:
        rows = connection.execute(
            'select dataset, "column", verdict, bars, "time" from meta.audit'
            " where is_best and verdict in ('differs', 'one is missing') or \"column\" is null"
            " order by all"
        ).fetchall()
    assert rows == [
        ("flow", "taker_buy_count", "differs", 1, noon + timedelta(minutes=3)),
        ("ohlcv", "close", "differs", 1, noon + timedelta(minutes=4)),
        ("ohlcv", "high", "one is missing", 1, noon + timedelta(minutes=6)),
        ("ohlcv", None, "vendor lacks the bar", 1, None),
    ]


def test_medians_when_a_sketch_gave_them_then_are_judged_by_rank(
    tmp_path: Path, honest: dict[str, pa.Table]
) -> None:
    minutes = (ticks()["exchange_timestamp"].cast(pa.int64()).to_numpy() - DAY_US) // 60_000_000
    amounts = np.sort(ticks()["amount"].to_numpy()[minutes == minutes[0] + 1])
    assert len(amounts) > 256
    bars = honest["trade_size"]
    near, far = (np.quantile(amounts, 0.5 + off) for off in (0.004, 0.02))
    for median, outcome in ((near, ValueOutcome.RANK), (far, ValueOutcome.DIFFERS)):
        changed = with_value(bars, "trade_amount_median", 1, lambda _, median=median: median)
        _, report = audited(tmp_path / outcome.name, {"trade_size": changed})
        (column,) = (c for c in report.audits[0].columns if c.column == "trade_amount_median")
        assert column.outcomes == {ValueOutcome.EQUAL: 9, outcome: 1}
        assert set(column.by_reading) == {""}
        assert report.passed == (outcome is ValueOutcome.RANK)


def test_a_column_when_the_vendor_reads_it_differently_then_that_reading_is_named(
    tmp_path: Path, honest: dict[str, pa.Table]
) -> None:
    minutes = (ticks()["exchange_timestamp"].cast(pa.int64()).to_numpy() - DAY_US) // 60_000_000
    prices = ticks()["price"].to_numpy()
    means = [prices[minutes == minute].mean() for minute in np.unique(minutes)]
    vtwap = honest["vtwap"]
    vtwap = vtwap.set_column(vtwap.schema.get_field_index("twap"), "twap", pa.array(means))
    _, report = audited(tmp_path, {"vtwap": vtwap})
    assert report.passed
    (twap,) = (column for column in report.audits[0].columns if column.column == "twap")
    assert twap.best == "mean"
    assert twap.by_reading[""][ValueOutcome.DIFFERS] > 5


def test_bars_that_the_simulator_makes_from_its_ticks_when_audited_then_are_equal(
    tmp_path: Path,
) -> None:
    datasets = ("ohlcv", "slippage", "basis", "raw_trades", "raw_quotes", "raw_mark_price")
    market = Market(
        symbols=(SYMBOL,),
        datasets=(*datasets, "raw_index_price"),
        intervals=("15m",),
        clocks=("true", "exchange"),
        start=date(2025, 9, 1),
        end=date(2025, 9, 2),
        from_ticks=True,
    )
    write_market(tmp_path / "files", market)
    settings = Settings(home=tmp_path / "home")
    sync_folder(Home.of(settings), tmp_path / "files")
    with without_comments():
        prepare_catalog(settings, generation=1).replace(Home.of(settings).catalog)
    report = audit_metrics(Home.of(settings))
    assert report.passed
    assert [audit.compared for audit in report.audits] == [96] * 6
    outcomes = {outcome for a in report.audits for c in a.columns for outcome in c.outcomes}
    assert outcomes == {ValueOutcome.EQUAL, ValueOutcome.FLOAT32}
