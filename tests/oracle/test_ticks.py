"""Metrics from ticks: each column and each reading equals the oracle, to 1e-9 and NULL for NULL."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter

import duckdb
import pytest

from tests.oracle import ticks as oracle
from tests.oracle.ticks import Bar, Columns, Quote, Trade, Update, known
from warehouse.build.ticks.days import TickDays
from warehouse.project import tick_macros
from warehouse.vendor import load_contracts

MIDNIGHT = 1_767_312_000_000_000  # 2026-01-02
SYMBOLS = ("perpetual-BTC-USDT:USDT", "spot-ETH-USDT")
EPOCH, MICROSECOND = datetime.fromisoformat("1970-01-01"), timedelta(microseconds=1)
WIDTHS = {"15s": 15_000_000, "45m": 2_700_000_000}
SECOND = 1_000_000
START, STOP = map(datetime.fromisoformat, ("2026-01-02 00:00:30", "2026-01-02 00:06"))
KEYS = 7  # series_id, exchange, symbol, interval, clock, time, known_at


def moments(rng: random.Random, count: int) -> list[tuple[int, int]]:
    """Exchange and local times around a midnight: bursts, ties, bar edges, a quiet stretch."""
    found = []
    us = MIDNIGHT - 40 * SECOND
    for n in range(count):
        step = rng.choice((0, 0, 1, 999, 40_000, 900_000, 4 * SECOND))
        us += step + (3 * 3600 * SECOND if n == count // 2 else 0)
        if n % 17 == 0:
            us = -(-us // (15 * SECOND)) * 15 * SECOND  # on the edge of a bar
        elif n % 17 == 5:
            us = (us // (15 * SECOND) + 1) * 15 * SECOND - 1  # just before it
        found.append((us, us + rng.choice((500, 3000, 3000, 80_000))))
    return found


def make_trades(seed: int, price: float) -> list[Trade]:
    rng = random.Random(seed)
    found = []
    for n, (us, local) in enumerate(moments(rng, 240)):
        price = round(price + rng.choice((-0.3, -0.1, 0, 0, 0, 0.1, 0.2)), 1)
        amount = rng.choice((0.001, 0.001, 0.005, 0.011, 0.02, 0.5))
        side = rng.choice(("buy", "buy", "sell", "sell", "sell", None))
        name = f"t{n % 7}{n}" if n % 90 == 5 else str(n + 960)  # ids of 3 and 4 digits, and text
        found.append(Trade(us, local, name, side, price, amount))
    return found


def make_quotes(seed: int, price: float) -> list[Quote]:
    rng = random.Random(seed)
    found = []
    for us, local in moments(rng, 200):
        price = round(price + rng.choice((-0.1, 0, 0, 0, 0.1)), 1)
        bid, ask = (rng.choice((0.0, 0.5, 1.25, 1.25, 3.0)) for _ in range(2))
        missing = rng.random()
        found.append(
            Quote(
                us,
                local,
                0.0 if missing < 0.03 else price,
                bid,
                0.0 if missing > 0.97 else price + 0.1,
                ask,
            )
        )
    return found


def make_updates(seed: int, value: float, step: float) -> list[Update]:
    rng = random.Random(seed)
    found = []
    for us, local in moments(rng, 120):
        value = round(value + rng.choice((-step, 0, 0, step)), 6)
        found.append(Update(us, local, value))
    return found


SOURCES: dict[str, dict[str, list]] = {
    symbol: {
        "trades": make_trades(n, 61_000.0),
        "quotes": make_quotes(n + 10, 61_000.0),
        "mark_price": make_updates(n + 20, 61_000.0, 0.5),
        "index_price": make_updates(n + 30, 61_010.0, 0.5),
        "funding_rate": make_updates(n + 40, 0.0001, 0.00001),
        "open_interest": make_updates(n + 50, 80_000.0, 12.5),
    }
    for n, symbol in enumerate(SYMBOLS)
}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """All ticks under the names of the catalog, trades in another order than theirs."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'America/New_York'")
        connection.execute("create schema vendor")
        connection.execute(tick_macros())
        for source in SOURCES[SYMBOLS[0]]:
            rows = []
            for number, symbol in enumerate(SYMBOLS, 1):
                ticks = SOURCES[symbol][source]
                if source == "trades":
                    ticks = random.Random(1).sample(ticks, len(ticks))
                rows += [(number, "binance", symbol, *_values(tick)) for tick in ticks]
            first = SOURCES[SYMBOLS[0]][source][0]
            value = source if isinstance(first, Update) else "value"
            names = [value if n == "value" else n for n in first.__slots__[2:]]
            types = ["varchar" if n in ("id", "side") else "double" for n in names]
            listed = ", ".join(f"{n} {kind}" for n, kind in zip(names, types, strict=True))
            connection.execute(
                f"create table vendor.raw_{source} (series_id integer, exchange varchar,"
                f" symbol varchar, exchange_timestamp timestamptz, local_timestamp timestamptz,"
                f" {listed})"
            )
            marks = ", ".join("?" for _ in names)
            connection.executemany(
                f"insert into vendor.raw_{source} values"
                f" (?, ?, ?, make_timestamptz(?::bigint), make_timestamptz(?::bigint), {marks})",
                rows,
            )
        yield connection


def _values(tick: object) -> list:
    return [getattr(tick, name) for name in tick.__slots__]


def clocked(clock: str) -> Callable[[object], int]:
    return attrgetter("local_us" if clock == "true" else "exchange_us")


def ordered(symbol: str, source: str, us: Callable) -> list:
    """Ticks by time, then id as a number, then id as text; others in their order."""
    ticks = SOURCES[symbol][source]
    if source != "trades":
        return sorted(ticks, key=us)
    return sorted(
        ticks, key=lambda t: (us(t), not t.id.isdigit(), int(t.id) if t.id.isdigit() else 0, t.id)
    )


def expected(dataset: str, symbol: str, width: int, clock: str) -> dict[int, Columns]:
    us = clocked(clock)
    of = partial(ordered, symbol, us=us)
    trades = known(of("trades"))
    base, columns = {
        "ohlcv": (of("trades"), oracle.ohlcv),
        "vtwap": (trades, oracle.vtwap),
        "flow": (trades, oracle.flow),
        "trade_size": (of("trades"), oracle.trade_size),
        "range": (of("trades"), oracle.price_range),
        "returns": (trades, oracle.returns),
        "impact": (trades, oracle.impact),
        "updownticks": (trades, oracle.updownticks),
        "run_structure": (trades, oracle.run_structure),
        "slippage": (trades, partial(oracle.slippage, quotes=of("quotes"))),
        "l1_price": (of("quotes"), oracle.l1_price),
        "l1_imbalance": (of("quotes"), oracle.l1_imbalance),
        "l1_liquidity": (of("quotes"), oracle.l1_liquidity),
        "funding": (of("funding_rate"), oracle.funding),
        "open_interest": (
            of("open_interest"), partial(oracle.open_interest, marks=of("mark_price"))
        ),
        "basis": (
            of("mark_price"), partial(oracle.basis, indices=of("index_price"), trades=trades)
        ),
        "derivative_price": (
            of("mark_price"),
            partial(oracle.derivative_price, indices=of("index_price"), trades=trades),
        ),
    }[dataset]  # fmt: skip
    bars: dict[int, Bar] = oracle.in_bars(base, width, us)
    rows = {start: columns(bar) for start, bar in bars.items()}
    if dataset == "ohlcv":
        rows = {start: row for start, row in rows.items() if row["open"] is not None}
    if dataset == "flow":
        rows = oracle.with_toxicity(rows)
    return {start: row for start, row in rows.items() if row}


DATASETS = sorted(name for name in load_contracts() if not name.startswith(("raw_", "l2_")))


@pytest.mark.parametrize("dataset", DATASETS)
def test_metric_when_folded_from_ticks_then_every_reading_equals_the_oracle(
    connection: duckdb.DuckDBPyConnection, dataset: str
) -> None:
    for every, clock in (("15s", "true"), ("45m", "exchange")):
        found = connection.execute(
            f"from ticks_{dataset}_readings('{every}', clock := '{clock}') order by series_id, time"
        )
        names = [column[0] for column in found.description]
        rows = found.fetchall()
        wanted = {
            (symbol, start): row
            for symbol in SYMBOLS
            for start, row in expected(dataset, symbol, WIDTHS[every], clock).items()
        }
        starts = [(row[2], (row[5] - EPOCH) // MICROSECOND) for row in rows]
        assert starts == sorted(wanted)
        for at, name in enumerate(names[KEYS:-2], KEYS):
            compare(name, [row[at] for row in rows], [wanted[key].get(name) for key in starts])


def compare(name: str, found: list, wanted: list) -> None:
    scale = max((abs(float(w)) for w in wanted if w is not None), default=0)
    for n, (f, w) in enumerate(zip(found, wanted, strict=True)):
        assert (f is None) == (w is None), (name, n, f, w and float(w))
        if w is not None:
            assert abs(f - float(w)) <= 1e-9 * abs(float(w)) + 1e-13 * scale, (name, n, f, float(w))


@pytest.mark.parametrize("dataset", DATASETS)
def test_bars_of_a_day_in_order_then_are_those_of_the_whole(
    connection: duckdb.DuckDBPyConnection, dataset: str
) -> None:
    """Kept bars are computed a day at a time, from ticks that were put in order before."""
    days = TickDays(connection)
    for trades, every, clock in (("", "15s", "true"), ("order by", "45m", "exchange")):
        if trades:  # as they lie then, so that none is sorted
            connection.execute(
                "create or replace table vendor.raw_trades as from vendor.raw_trades order by"
                " series_id, exchange_timestamp, try_cast(id as bigint) nulls last, id"
            )
        for symbol in SYMBOLS:
            whole = connection.execute(
                f"select * exclude series_id from ticks_{dataset}('{every}', clock := '{clock}',"
                f" symbol := '{symbol}') order by time"
            ).fetchall()
            part = []
            for start in (MIDNIGHT - oracle.DAY, MIDNIGHT):
                known = ("trades",) if trades and start == MIDNIGHT else ()
                query = days.query(dataset, every, clock, "binance", symbol, start, in_order=known)
                part += connection.execute(
                    f"select * exclude series_id from ({query}) order by time"
                ).fetchall()
            assert [row[: KEYS - 1] for row in part] == [row[: KEYS - 1] for row in whole]
            assert [row[-2:] for row in part] == [row[-2:] for row in whole]
            for at in range(KEYS - 1, len(part[0]) - 2):
                compare(f"{dataset} {at}", [row[at] for row in part], [row[at] for row in whole])
    days.forget()


def test_bars_when_part_of_the_time_is_asked_then_are_those_of_the_whole(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Also where a bar takes something from before its start, and with parameters."""
    for dataset in ("flow", "vtwap", "slippage"):
        columns = "* exclude (is_partial)"
        whole = connection.execute(
            f"select {columns} from ticks_{dataset}('15s') where symbol = $symbol"
            " and time >= $start and time < $stop order by time",
            {"symbol": SYMBOLS[1], "start": START, "stop": STOP},
        ).fetchall()
        part = connection.execute(
            f"select {columns} from ticks_{dataset}('15s', symbol := $symbol,"
            " start_time := $start, end_time := $stop) order by time",
            {"symbol": SYMBOLS[1], "start": START, "stop": STOP},
        ).fetchall()
        assert [row[:KEYS] for row in part] == [row[:KEYS] for row in whole] and len(part) > 3
        for at in range(KEYS, len(part[0])):
            compare(f"{dataset} {at}", [row[at] for row in part], [row[at] for row in whole])


def test_bars_when_a_tick_is_late_or_none_is_near_then_show_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """A bar is known when its last tick is; the first and last bars of the ticks are partial."""
    rows = connection.execute(
        "select time, known_at, is_partial from ticks_ohlcv('15s', clock := 'exchange',"
        " symbol := $1) order by time",
        [SYMBOLS[0]],
    ).fetchall()
    trades = known(SOURCES[SYMBOLS[0]]["trades"])
    for time, known_at, _ in rows:
        start = (time - EPOCH) // MICROSECOND
        arrived = [t.local_us for t in trades if start <= t.exchange_us < start + 15 * SECOND]
        assert known_at == EPOCH + max([start + 15 * SECOND, *arrived]) * MICROSECOND
    assert any(known_at > time + timedelta(seconds=15) for time, known_at, _ in rows)
    assert [row[2] for row in rows] == [True, *[False] * (len(rows) - 2), True]
    ((first, last),) = connection.execute(
        "select bool_or(is_partial), count(*) from ticks_ohlcv('15s', symbol := $1,"
        " start_time := '2026-01-02', end_time := '2026-01-02 00:10')"
        " where time < '2026-01-02 00:02'",
        [SYMBOLS[0]],
    ).fetchall()
    assert not first and last > 1  # the day before has ticks


def test_bars_when_ticks_have_no_number_or_a_price_of_0_then_have_numbers_or_null(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """NaN and infinity are no values, and nothing is divided by 0."""
    odd = "case n % 23 when 5 then 'nan' when 11 then 'inf' when 17 then 0 else {} end::double"
    for source, columns in {
        "trades": ("price", "amount"),
        "quotes": ("bid_price", "ask_amount"),
        "mark_price": ("mark_price",),
        "index_price": ("index_price",),
        "funding_rate": ("funding_rate",),
        "open_interest": ("open_interest",),
    }.items():
        replaced = ", ".join(f"{odd.format(name)} as {name}" for name in columns)
        connection.execute(
            f"create or replace view odd_{source} as select * exclude n replace ({replaced})"
            f" from (select *, row_number() over () as n from vendor.raw_{source})"
        )
    odd_ones = {"trades": "odd_trades", "quotes": "odd_quotes"} | {
        f"{name}s": f"odd_{name}"
        for name in ("mark_price", "index_price", "funding_rate", "open_interest")
    }
    for dataset in DATASETS:
        ((names,),) = connection.execute(
            f"select parameters from duckdb_functions() where function_name = 'ticks_{dataset}'"
        ).fetchall()
        given = [f"{name} := '{odd_ones[name]}'" for name in names if name in odd_ones]
        rows = connection.execute(
            f"from ticks_{dataset}_readings('15s', clock := 'exchange', {', '.join(given)})"
        ).fetchall()
        values = [value for row in rows for value in row[KEYS:] if isinstance(value, float)]
        assert values and all(map(math.isfinite, values)), dataset


def test_run_structure_of_sells_alone_then_has_zeros_for_buys() -> None:
    with duckdb.connect() as connection:
        connection.execute(tick_macros())
        connection.execute(
            "create table sells as select 1 as series_id, 'x' as exchange, 'y' as symbol,"
            " make_timestamptz(i) as exchange_timestamp, make_timestamptz(i) as local_timestamp,"
            " i::varchar as id, 'sell' as side, 100.0 as price, 1.0 as amount from range(3) t(i)"
        )
        found = connection.execute("from ticks_run_structure('1s', trades := 'sells')").fetchone()
        assert found is not None and found[KEYS:-2] == (0, 3, 0, 3, -1, 0, None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("ticks_flow('7m')", "every: 7m does not divide a UTC day; nearest that do: 6m and 8m$"),
        (
            "ticks_flow('15')",
            "every: 15 is not the length of a bar; write one as 15s, 45m, 4h or 1d",
        ),
        ("ticks_flow('2d')", "every: 2d does not divide a UTC day; nearest that do: 1d$"),
        ("ticks_flow('0m')", "every: 0m is not the length of a bar"),
        ("ticks_flow('1m', clock := 'local')", "clock: local is none of"),
        ("ticks_flow('1m', symbol := 'BTC')", "no raw_trades of symbol BTC in vendor.raw_trades"),
        ("ticks_flow('1m', start_time := '2026-01-01 00:00Z')", "start_time: .* without an offset"),
        ("ticks_flow('1m', end_time := 'noon')", "end_time: noon is not a moment; write"),
        ("ticks_flow('1m', trades := 'unheard')", "rows without a time of receipt; use clock"),
    ],
)
def test_ticks_when_asked_wrongly_then_names_what_is_wrong(
    connection: duckdb.DuckDBPyConnection, call: str, message: str
) -> None:
    connection.execute(
        "create or replace view unheard as"
        " select * replace (null::timestamptz as local_timestamp) from vendor.raw_trades"
    )
    with pytest.raises(duckdb.Error, match=message):
        connection.execute(f"from {call}").fetchall()


def test_size_classes_when_the_quote_is_no_dollar_then_take_its_rate(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    rate = 0.0067
    for dataset, side in (("trade_size", None), ("flow", "buy")):
        prefix = f"taker_{side}_" if side else ""
        for size, low, high in (("small", 0, 100), ("medium", 100, 1000), ("large", 1000, 1e9)):
            ((count,),) = connection.execute(
                f"select sum({prefix}{size}_order_count) from ticks_{dataset}('1d',"
                " clock := 'exchange', symbol := $1, notional_usd_rate := $2)",
                [SYMBOLS[0], rate],
            ).fetchall()
            trades = [t for t in SOURCES[SYMBOLS[0]]["trades"] if side in (None, t.side)]
            assert count == sum(low <= t.price * t.amount * rate < high for t in trades)
    with pytest.raises(duckdb.Error, match="notional_usd_rate: write the dollars"):
        connection.execute("from ticks_flow('1d', notional_usd_rate := 0)").fetchall()


def test_comments_of_functions_then_are_lines_without_runs_of_spaces(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    comments = connection.execute(
        "select comment from duckdb_functions() where function_name like 'ticks%'"
        " and function_type = 'table_macro' and not internal"
    ).fetchall()
    assert len(comments) > 30
    assert not [text for (text,) in comments if "  " in text or "\n" in text]
