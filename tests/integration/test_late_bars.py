"""Marts over kept bars of the exchange clock, some of whose ticks arrive long after their bar.

Two symbols have the same ticks: one gets them at once, the other late. Their marts must differ in
``known_at`` only, by the documented rule.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

import warehouse
from tests.support import BTC, Run, bar_table, file_key, grid, run_warehouse, times, write_file
from warehouse.times import DAY_US, date_us

PROMPT = "perpetual-ETH-USDT:USDT"
FIRST, DAYS, HOUR = date(2025, 9, 1), 3, 3_600_000_000
TICKS = """
[[ticks]]
datasets = ["ohlcv", "flow", "trade_size", "impact", "slippage", "l1_price", "funding", "basis",
    "open_interest"]
every = ["1h"]
clocks = ["exchange"]
marts = "add"
"""
HONEST = """
select series_id, symbol, "time", known_at, {{ rolling_sum('net_delta', '3 hours') }} as delta_3h
from {{ ref('flow_features') }} {{ windows('3 hours') }}
"""
PEEKING = """
select series_id, "time", "time" + interval '1 hour' as known_at, net_delta
from {{ ref('flow_features') }}
"""
MARTS = (
    "bars", "derivative_features", "execution_costs", "flow_features", "forward_returns",
    "funding_labels", "l1_features", "market_state", "order_sizes",
)  # fmt: skip


def write_ticks(folder: Path) -> np.ndarray:
    """Write the ticks of both symbols; the times of those of the late one, and of their receipt."""
    random = np.random.default_rng(5)
    start, end = date_us(FIRST), date_us(FIRST) + DAYS * DAY_US
    found = []
    for dataset, count in (
        ("raw_trades", 1500), ("raw_quotes", 2500), ("raw_funding_rate", 300),
        ("raw_mark_price", 600), ("raw_index_price", 600), ("raw_open_interest", 300),
    ):  # fmt: skip
        us = np.sort(random.integers(start, end, count))
        us = us[(us // HOUR % 61) != (7 if dataset == "raw_trades" else 11)]  # hours without any
        delays = random.integers(1_000, 200_000, len(us))
        delays[random.random(len(us)) < 0.02] = 20 * 60_000_000
        if dataset == "raw_index_price":  # a bar needs only those before its last mark price
            delays[:] = 10
        if dataset in ("raw_trades", "raw_quotes"):
            delays[np.searchsorted(us, start + DAY_US) - 1] = 5 * HOUR  # bars of the next day wait
            delays[-1] = HOUR
        price = np.round(100 + np.cumsum(random.normal(0, 0.1, len(us))), 2)
        columns = {
            "raw_trades": {"id": pa.array([str(n) for n in range(len(us))]),
                "side": pa.array(np.where(random.random(len(us)) < 0.5, "buy", "sell")),
                "price": price, "amount": random.integers(1, 900, len(us)) / 100},
            "raw_quotes": {"bid_price": price, "ask_price": price + 0.1,
                "bid_amount": random.integers(1, 900, len(us)) / 100,
                "ask_amount": random.integers(1, 900, len(us)) / 100},
            "raw_funding_rate": {"funding_rate": np.round(random.normal(0, 1e-4, len(us)), 6)},
        }.get(dataset, {dataset.removeprefix("raw_"): price})  # fmt: skip
        for symbol, seen in ((BTC, us + delays), (PROMPT, us + 10)):
            table = bar_table(dataset, us, local_timestamp=times(seen, tz="UTC"), **{
                name: pa.array(values) for name, values in columns.items()
            })  # fmt: skip
            for day in range(DAYS):
                inside = (us >= start + day * DAY_US) & (us < start + (day + 1) * DAY_US)
                key = file_key(dataset, (FIRST + timedelta(days=day)).isoformat(), symbol=symbol)
                write_file(folder, key, table.filter(pa.array(inside)))
        if dataset != "raw_index_price":
            found.append(np.stack([us, us + delays]))
    for symbol in (BTC, PROMPT):
        books = bar_table("l2_liquidity", grid(FIRST, DAYS * 24))
        write_file(
            folder, file_key("l2_liquidity", "2025-09", symbol=symbol, clock="exchange"), books
        )
    return np.concatenate(found, axis=1)


def known_by_rule(ticks: np.ndarray) -> dict[int, int]:
    """When each hour with or without ticks is known: one after the other, by hand."""
    last: dict[int, int] = {}
    for us, seen in ticks.T.tolist():
        last[us // HOUR] = max(last.get(us // HOUR, 0), seen)
    known, before = {}, 0
    for bar in range(min(last), max(last) + 30):
        before = known[bar * HOUR] = max((bar + 1) * HOUR, last.get(bar, 0), before + 1)
    return known


def assert_alike(late: pd.DataFrame, prompt: pd.DataFrame, mart: str) -> None:
    """The same values but for the order in which sums add up, which a rank may turn into a step."""
    for name in late:
        if not pd.api.types.is_float_dtype(late[name]):
            assert late[name].astype(object).equals(prompt[name].astype(object)), (mart, name)
            continue
        step = 0.05 if "rank" in name or "liquidity_score" in name else 0
        largest = np.nan_to_num(late[name].abs().max())
        assert np.allclose(
            late[name], prompt[name], rtol=1e-6, atol=step + 1e-9 * largest, equal_nan=True
        ), (mart, name)


def test_marts_when_ticks_arrive_late_then_differ_in_known_at_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def run(*words: object) -> Run:
        return run_warehouse("--home", home, *words, cwd=tmp_path, audits=False)

    (home / "models").mkdir(parents=True)
    (home / "models" / "honest.sql").write_text(HONEST)
    (home / "models" / "peeking.sql").write_text(PEEKING)
    ticks = write_ticks(tmp_path / "files")
    (home / "warehouse.toml").write_text(TICKS)
    assert run("sync", "--from", tmp_path / "files").exit_code == 0
    built = run("build")
    assert built.exit_code == 1, built.stderr  # because one model peeks
    assert "stored 54 days, " in built.stderr
    assert "stored ticks." not in built.stderr
    known = known_by_rule(ticks)
    with warehouse.open(home) as wh:

        def rows(sql: str) -> list[tuple[object, ...]]:
            return wh.sql(sql).fetchall()

        for relation in ("vendor.flow", "vendor.l2_liquidity", "ticks.l1_price", *MARTS):
            found = dict(rows(
                f"select epoch_us(time), epoch_us(known_at) from {relation}"
                f" where symbol = '{BTC}' and interval = '1h'"
            ))  # fmt: skip
            assert found == {time: known[time] for time in found}, relation
            assert sum(at > time + HOUR for time, at in found.items()) > 20, relation
        for mart in (*MARTS, "seasonality", "user.honest"):
            known_at = "" if mart == "seasonality" else ", known_at"
            late, prompt = (
                wh.sql(
                    f"select * exclude (series_id, symbol{known_at})"
                    f" from {mart} where symbol = '{symbol}' order by all"
                ).df()
                for symbol in (BTC, PROMPT)
            )
            assert len(late) > 50, mart
            assert_alike(late, prompt, mart)
        assert rows(
            "select count(rolling_net_delta_1d) > 10, count(mean_4h) > 40 from (select *,"
            f" rolling_mean(net_delta, '4 hours') as mean_4h from flow_features"
            f" where symbol = '{BTC}')"
        ) == [(True, True)]
        slow = rows(
            "select count(*), count(*) filter (where slow.time = time) from as_of('flow_features',"
            f" '1h', 'l1_features', '1h', interval '1 day') where symbol = '{BTC}'"
        )
        assert slow[0][1] > 60  # of both, where neither lacks the bar
        outcomes = dict(
            rows("select name, message from meta.results where resource_type = 'audit'")
        )
        assert str(outcomes["honest"]).startswith("clean, ")
        assert "leak: uses " in str(outcomes["peeking"])

    def kept(**past: str) -> object:
        with warehouse.open(home, **past) as wh:
            return wh.sql(
                "select count(*), bit_xor(hash(bars)), (select bit_xor(hash(marts))"
                " from flow_features as marts) from ticks.flow as bars"
            ).fetchall()

    # Kept bars of generations, of forgotten and returning ticks, and of snapshots.
    (home / "models" / "peeking.sql").unlink()
    whole = kept()
    assert run("snapshot", "whole").exit_code == 0
    assert run("forget", "raw_trades", "--period", "2025-09-03", "--yes").exit_code == 0
    assert run("build").exit_code == 0
    fewer = kept()
    assert fewer != whole == kept(snapshot="whole")
    assert run("rollback").exit_code == 0 and kept() == whole
    assert run("sync", "--from", tmp_path / "files").exit_code == 0
    assert run("build").exit_code == 0 and kept() == whole
    with warehouse.open(home) as wh:
        stored = "from meta.stored where starts_with(model, 'ticks.') and not reused"
        assert wh.sql(stored).fetchall() == []
    assert run("prune", "--keep", "0", "--yes").exit_code == 0
    assert run("verify").exit_code == 0
    assert kept() == whole == kept(snapshot="whole")
