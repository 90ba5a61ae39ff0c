"""Bars of events from trades: where they close, their values, when they are known."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from warehouse.errors import NotFoundError, UsageError
from warehouse.project import tick_macros
from warehouse.query.tick_bars import WantedBars, ask_bars

EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
DAY = 86_400_000_000
MIDNIGHT = 20_000 * DAY
RNG = random.Random(5)
# Time, arrival, id, side, price, amount: around a midnight, half of them tied in time.
TRADES = [
    (
        MIDNIGHT + (n - 150) // 2 * 700_000,
        MIDNIGHT + (n - 150) // 2 * 700_000 + RNG.choice((900, 40_000)),
        str(n + 950),
        RNG.choice(("buy", "sell")),
        100 + RNG.randrange(50) / 10,
        RNG.choice((0.1, 0.3, 2.5)),
    )
    for n in range(300)
]


class Answer:
    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def arrow(self) -> pa.Table:
        return self.table


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(tick_macros())
        connection.execute(
            "create table trades (us bigint, seen bigint, id varchar, side varchar, price double,"
            " amount double)"
        )
        connection.executemany(
            "insert into trades values (?, ?, ?, ?, ?, ?)", RNG.sample(TRADES, 300)
        )
        connection.execute(
            "create schema vendor; create view vendor.raw_trades as"
            " select 1 as series_id, 'binance' as exchange, 'spot-BTC-USDT' as symbol,"
            " make_timestamp(us) as time, make_timestamp(seen) as known_at,"
            " make_timestamptz(us) as exchange_timestamp,"
            " make_timestamptz(seen) as local_timestamp, id, side, price, amount from trades"
            " union all select 2, 'binance', 'spot-ETH-USDT', make_timestamp(us),"
            " make_timestamp(seen), make_timestamptz(us), make_timestamptz(seen), id, side,"
            " price * 2, amount from trades where id = '1000'"
        )
        connection.execute(
            "create schema meta; create view meta.coverage as select distinct exchange, symbol,"
            " 'raw_trades' as dataset from vendor.raw_trades"
        )
        yield connection


def bars(
    connection: duckdb.DuckDBPyConnection, dataset: str, every: str, **asked: Any
) -> list[dict[str, Any]]:
    def ask(text: str, params: Mapping[str, Any]) -> Any:
        frames = {name: value for name, value in params.items() if isinstance(value, pa.Table)}
        for name, frame in frames.items():
            connection.register(name, frame)
        values = {name: value for name, value in params.items() if name not in frames}
        return Answer(connection.sql(text, params=values).to_arrow_table())

    wanted = {"clock": "exchange", "symbol": "spot-BTC-USDT", **asked}
    found: Any = ask_bars(ask, WantedBars(dataset, every, **wanted))
    return found.arrow().to_pylist()


def closed_by_hand(size: float, unit: str) -> Iterator[list[tuple[Any, ...]]]:
    """One trade after the other: a bar ends with the trade that reaches the size, or the day."""
    total, bar = Fraction(0), []
    for trade in sorted(TRADES, key=lambda t: (t[0], int(t[2]))):
        if bar and bar[0][0] // DAY != trade[0] // DAY:
            yield bar
            total, bar = Fraction(0), []
        bar.append(trade)
        price, amount = (Fraction(str(value)) for value in trade[4:])
        total += {"trades": 1, "base": amount, "quote": price * amount}[unit]
        if total >= Fraction(size):
            yield bar
            total, bar = Fraction(0), []
    if bar:
        yield bar


@pytest.mark.parametrize("every", ["7 trades", "3 base", "1e3 quote"])
def test_bars_of_events_when_a_trade_reaches_the_size_then_end_with_it(
    connection: duckdb.DuckDBPyConnection, every: str
) -> None:
    size, unit = every.split()
    wanted = list(closed_by_hand(float(size), unit))
    found = bars(connection, "ohlcv", every)
    assert [row["n_events"] for row in found] == [len(bar) for bar in wanted]
    for row, bar in zip(found, wanted, strict=True):
        prices = [trade[4] for trade in bar]
        assert (row["open"], row["high"], row["low"], row["close"]) == (
            *(prices[0], max(prices), min(prices), prices[-1]),
        )
        assert row["interval"] == every and row["clock"] == "exchange"
        assert row["time"] == EPOCH + timedelta(microseconds=bar[0][0])
        known_us = max(trade[1] for trade in bar)
        if row["is_partial"]:  # its day ended
            known_us = max(known_us, (bar[0][0] // DAY + 1) * DAY)
        assert row["known_at"] == EPOCH + timedelta(microseconds=known_us)
    assert sum(row["is_partial"] for row in found) <= 2
    day = bars(connection, "ohlcv", every, start=EPOCH + timedelta(microseconds=MIDNIGHT))
    assert day == [row for row in found if row["time"] >= day[0]["time"]]


def test_bars_of_events_when_arguments_are_wrong_then_name_the_valid_ones(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    with pytest.raises(
        UsageError, match=r"single series, but several have trades: .*spot-ETH-USDT"
    ):
        bars(connection, "ohlcv", "7 trades", symbol=None)
    with pytest.raises(UsageError, match="vtwap in bars of 7 trades: its columns need the time"):
        bars(connection, "vtwap", "7 trades")
    with pytest.raises(
        UsageError, match=r"flaw: its bars cannot be computed from ticks.*did you mean flow"
    ):
        bars(connection, "flaw", "1m")
    for chosen, reason in (
        ({"symbol": "spot-BTC-USDX"}, "no symbol 'spot-BTC-USDX'; did you mean spot-BTC-USDT"),
        ({"exchange": "binanc"}, "no exchange 'binanc'; did you mean binance?"),
        ({"end": EPOCH}, "the selection has no trades with a taker side"),
    ):
        with pytest.raises(NotFoundError) as caught:
            bars(connection, "ohlcv", "7 trades", **chosen)
        assert reason in caught.value.what
        assert str(caught.value.next_step).endswith(
            "warehouse sql \"from meta.coverage where dataset = 'raw_trades'\""
        )


@pytest.mark.parametrize("every", ["7 trades", "45m"])
def test_bars_when_the_quote_is_no_dollar_then_sizes_are_classed_in_dollars(
    connection: duckdb.DuckDBPyConnection, every: str
) -> None:
    notionals = sorted(Fraction(str(price)) * Fraction(str(amount)) for *_, price, amount in TRADES)
    rate = float(100 / notionals[len(notionals) // 2])
    for given, dollars in ((None, 1.0), (rate, rate)):
        small = sum(notional * Fraction(dollars) < 100 for notional in notionals)
        for dataset, columns in {
            "trade_size": ["small_order_count"],
            "flow": ["taker_buy_small_order_count", "taker_sell_small_order_count"],
        }.items():
            found = bars(connection, dataset, every, notional_usd_rate=given)
            assert sum(row[name] or 0 for row in found for name in columns) == small
    with pytest.raises(UsageError, match="notional_usd_rate: ohlcv has no size classes"):
        bars(connection, "ohlcv", every, notional_usd_rate=rate)


@pytest.mark.parametrize("every", [45, "50 bas", "-5 trades", "nan quote", "1.5h", ""])
def test_every_when_it_is_no_length_of_a_bar_then_names_what_to_write(every: Any) -> None:
    with pytest.raises(UsageError, match="'50 base'"):
        ask_bars(lambda *_: None, WantedBars("ohlcv", every))  # type: ignore[arg-type,return-value]
