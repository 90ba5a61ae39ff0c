"""Kept bars from ticks as the source of marts, the user's models and audits."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

import warehouse
from tests.support import VENUE, Run, bar_table, file_key, grid, run_warehouse, write_file
from warehouse.times import date_us

TICKS = """
[[ticks]]
datasets = ["ohlcv", "flow"]
every = ["45m", "1h"]
clocks = ["true"]
marts = "add"
"""
HONEST = """
select series_id, "interval", "time", known_at,
    {{ rolling_sum('net_delta', '90 minutes') }} as delta_90m
from {{ ref('flow_features') }} where "interval" = '45m' {{ windows('90 minutes') }}
"""
KEPT = """
[[ticks]]
datasets = ["ohlcv"]
every = ["45m"]
clocks = ["exchange"]
"""
LATE = """
select series_id, "interval", "time", known_at, close - lag(close) over by_time as change
from ticks.ohlcv where clock = 'exchange' window by_time as (partition by series_id order by "time")
"""
PAIRED = """
select series_id, "interval", "time", known_at, slow.net_delta as hourly
from as_of('flow_features', '45m', 'flow_features', '1h', interval '1 day')
"""
PEEKING = """
select series_id, "interval", "time", known_at,
    lead(net_delta) over (partition by series_id order by "time") as next_delta
from {{ ref('flow_features') }} where "interval" = '45m'
"""


def write_trades(folder: Path, day: date, seed: int) -> None:
    random = np.random.default_rng(seed)
    bar = 2_700_000_000  # its last trade is received after its end
    ends = np.arange(bar, 86_400_000_001, bar) - 50_000
    us = date_us(day) + np.sort(np.append(random.integers(0, 86_000_000_000, 800), ends))
    table = bar_table(
        "raw_trades",
        us,
        id=pa.array([str(number) for number in range(len(us))]),
        side=pa.array(np.where(random.random(len(us)) < 0.5, "buy", "sell")),
        price=pa.array(np.round(100 + random.random(len(us)), 2)),
    )
    write_file(folder, file_key("raw_trades", day.isoformat()), table)


def test_kept_bars_when_the_marts_are_to_read_them_then_one_source_gives_each_series(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"

    def run(*words: object) -> Run:
        return run_warehouse("--home", home, *words, cwd=tmp_path, audits=False)

    (home / "models").mkdir(parents=True)
    (home / "models" / "honest.sql").write_text(HONEST)
    (home / "models" / "peeking.sql").write_text(PEEKING)
    (home / "models" / "late.sql").write_text(LATE)
    (home / "models" / "early.sql").write_text(
        LATE.replace("known_at", '"time" + interval 45 minutes as known_at')
    )
    (home / "models" / "asking.sql").write_text("select * from ticks_flow('45m')")
    (home / "models" / "paired.sql").write_text(PAIRED)
    for day in (10, 11):
        write_trades(tmp_path / "files", date(2025, 9, day), day)
    vendor = bar_table("ohlcv", grid(date(2025, 9, 1), 24))
    write_file(tmp_path / "files", file_key("ohlcv", "2025-09"), vendor)
    assert run("sync", "--from", tmp_path / "files").exit_code == 0
    (home / "warehouse.toml").write_text(TICKS + KEPT)
    refused = run("build")
    assert refused.exit_code == 2
    assert "perpetual-BTC-USDT:USDT 1h true: the vendor's files have these bars" in refused.stderr
    (home / "warehouse.toml").write_text(TICKS.replace("add", "replace") + KEPT)
    built = run("build")
    assert built.exit_code == 1, built.stderr  # because one model peeks
    with warehouse.open(home) as wh:

        def rows(sql: str) -> list[tuple[object, ...]]:
            return wh.sql(sql).fetchall()

        sources = "select distinct dataset, interval, source from meta.coverage order by all"
        assert rows(sources) == [
            ("flow", "1h", "ticks"), ("flow", "45m", "ticks"), ("ohlcv", "1h", "ticks"),
            ("ohlcv", "45m", "ticks"), ("raw_trades", None, "files"),
        ]  # fmt: skip
        for dataset in ("ohlcv", "flow"):
            columns = ", ".join(f'"{name}"' for name in wh.sql(f"from vendor.{dataset}").columns)
            counts = rows(
                f"select (select count(*) from vendor.{dataset}),"
                f" (select count(*) from (select {columns} from ticks.{dataset}"
                f" intersect select {columns} from vendor.{dataset}))"
            )
            late = 2  # bars of the last trade, which is received after midnight
            assert counts == [(2 * (32 + 24) + late,) * 2]
        assert (
            wh.sql("select time from ticks.ohlcv where exchange = 'binance-futures'").warnings == ()
        )
        assert rows("select rows, rows_hidden from meta.files where dataset = 'ohlcv'") == [
            (24, 24)
        ]
        assert rows("select count(delta_90m), min(known_at - time)::varchar from user.honest") == [
            (64, "00:45:00")
        ]
        assert rows(
            "select count(*) from as_of('flow_features', '45m', 'flow_features', '1h',"
            " interval '1 day') where slow.net_delta is not null"
        ) == [(64,)]
        assert rows("select count(*) > 0 from seasonality where interval = '45m'") == [(True,)]
        outcomes = dict(
            rows("select name, message from meta.results where resource_type = 'audit'")
        )
        assert str(outcomes["honest"]).startswith("clean, ")
        assert "leak: uses flow 45m " in str(outcomes["peeking"])
        assert str(outcomes["late"]).startswith("clean, ")
        assert "leak: uses ticks.ohlcv 45m " in str(outcomes["early"])
        assert "keep these bars by [[ticks]] in warehouse.toml and read ticks.flow" in str(
            outcomes["asking"]
        )
        symbol = "perpetual-BTC-USDT:USDT"
        for asked in (
            wh.bars("flow", every="45m", symbol=symbol),
            wh.sql("from ticks('flow', '45m', symbol := $symbol)", symbol=symbol),
            wh.sql("from asking"),
            wh.sql("from paired"),
        ):
            ticks = [(file.dataset, file.period) for file in asked.receipt.files]
            assert ticks == [("raw_trades", "2025-09-10"), ("raw_trades", "2025-09-11")]
        span = {"start": date(2025, 9, 10), "end": date(2025, 9, 12)}
        assert wh.bars("flow", every="45m", symbol=symbol, **span).warnings == ()
        beyond = wh.bars("flow", every="45m", symbol=symbol, start=date(2025, 9, 13))
        assert [gap.reason for gap in beyond.warnings] == ["after its last file"]
        assert beyond.hint == "raw_trades has rows only from 2025-09-10 00:00 to 2025-09-11 23:59"
    audited = run("audit", "metrics", "ohlcv")
    assert "1h true: not compared: its files are not shown: [[ticks]]" in audited.stdout
    assert run("prune", "--keep", "0", "--yes").exit_code == 0
    write_trades(tmp_path / "more", date(2025, 10, 5), 5)
    assert run("sync", "--from", tmp_path / "more").exit_code == 0
    for name in ("peeking", "late", "early", "asking"):
        (home / "models" / f"{name}.sql").unlink()
    again = run("build")
    assert again.exit_code == 0, again.stderr
    with warehouse.open(home) as wh:
        months = wh.sql(
            "select model, month, count(*), bool_and(reused) from meta.stored"
            " where model in ('ticks.flow', 'vendor.flow', 'flow_features')"
            " group by model, month order by all"
        ).fetchall()
    assert months == [
        ("flow_features", "2025-09", 1, True), ("flow_features", "2025-10", 1, False),
        ("ticks.flow", "2025-09", 6, True), ("ticks.flow", "2025-10", 4, False),
        ("vendor.flow", "2025-09", 1, True), ("vendor.flow", "2025-10", 1, False),
    ]  # fmt: skip


def test_kept_bars_when_some_ticks_have_no_receipt_then_the_others_are_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def run(*words: object) -> Run:
        return run_warehouse("--home", home, *words, cwd=tmp_path, audits=False)

    file = tmp_path / "BTCUSDT-trades-2025-09-10.csv"
    start = date_us(date(2025, 9, 10)) // 1000
    file.write_text(
        "\n".join(f"{n},100,1,100,{start + 60_000 * n},true" for n in range(1, 100)), "utf-8"
    )
    write_trades(tmp_path / "files", date(2025, 9, 10), 10)
    assert run("sync", "--from", tmp_path / "files").exit_code == 0
    imported = ("--symbol", "spot-BTC-USDT", "--exchange", "binance-files")
    assert run("import", "binance_trades", file, *imported).exit_code == 0
    clocks = KEPT.replace('"exchange"', '"true", "exchange"')
    (home / "warehouse.toml").write_text(clocks.replace('"ohlcv"', '"ohlcv", "flow"'))
    built = run("build")
    assert built.exit_code == 1, built.stderr
    warning = "no bars on the clock 'true' of binance-files spot-BTC-USDT (flow, ohlcv), because"
    assert built.stderr.count(warning) == 1 and warning in run("status").stdout
    listed = run("describe").stdout
    assert "ticks_ohlcv()" not in listed
    assert re.search(r"^ticks\(\) of one dataset, .*: basis .* ohlcv .* vtwap$", listed, re.M)
    kept = "select exchange, clock from ticks.ohlcv group by all order by all"
    (home / "warehouse.toml").write_text(clocks + f'exchanges = ["{VENUE}"]\n')
    with warehouse.open(home) as wh:
        assert wh.sql(kept).fetchall() == [
            ("binance-files", "exchange"), (VENUE, "exchange"), (VENUE, "true"),
        ]  # fmt: skip
    silenced = run("build")
    assert (silenced.exit_code, warning in run("status").stdout) == (0, False), silenced.stderr
