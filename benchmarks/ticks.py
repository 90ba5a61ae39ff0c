"""Bars from raw ticks, beside Polars' ``group_by_dynamic`` on the same files.

``kept``: as ``warehouse update`` keeps bars, a day at a time; the lake knows since the import that
the ticks are in order. ``kept, order checked``: the lake does not know it. ``asked``:
``ticks_<dataset>``, each dataset from the files. ``Polars``: takes the trades of a moment in file
order. ``Polars, ties by id``: also checks that they are in the order of their ids, because
otherwise a file may give other bars than the ways above.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Run, alternate, costs, median, python, run
from benchmarks.table import Goal, Line, Part
from warehouse.times import us_datetime

if TYPE_CHECKING:
    import duckdb

EVERY = "1m"
DAY = 86_400_000_000
FIRST = 20_454 * DAY  # 2026-01-01
MEMORY = "750MB"  # of DuckDB; the process has 100 to 200 MB on top
PAIR = ("ohlcv", "flow")
DATASETS = (
    *("ohlcv", "vtwap", "flow", "trade_size", "range", "returns", "impact", "updownticks"),
    *("run_structure", "slippage", "l1_price", "l1_imbalance", "l1_liquidity", "funding"),
    *("open_interest", "basis", "derivative_price"),
)
IN_ORDER = "in_order.json"
SOURCES = {
    "trades": "trades",
    "quotes": "quotes",
    "mark_price": "mark_prices",
    "index_price": "index_prices",
    "funding_rate": "funding_rates",
    "open_interest": "open_interests",
}
VALUES = ("mark_price", "index_price", "funding_rate", "open_interest")


def measure(data: Path, *, is_full: bool) -> Part:
    """OHLCV and flow of all days, and every dataset of one day; the files are written once."""
    days, trades = (10, 5_000_000) if is_full else (2, 500_000)
    folder = data / f"ticks-{days}-{trades}-in-order"
    if not folder.is_dir():
        run(python("benchmarks.ticks", "write", str(folder), str(days), str(trades)))
    pair, last, every = ",".join(PAIR), days - 1, ",".join(DATASETS)
    whole = f"OHLCV and flow, {days} days"
    one, all_datasets = "OHLCV and flow, 1 day", f"all {len(DATASETS)} datasets, 1 day"
    works: dict[tuple[str, str], tuple[object, ...]] = {
        (whole, "kept"): ("kept", folder, pair, 0, days),
        (whole, "Polars"): ("polars", folder, days, "as in file"),
        (whole, "Polars, ties by id"): ("polars", folder, days, "by id"),
        (one, "kept"): ("kept", folder, pair, last, days),
        (one, "kept, order checked"): ("kept", folder, pair, last, days, "order checked"),
        (one, "asked"): ("asked", folder, pair, 1),
        (one, "Polars"): ("polars", folder, 1, "as in file"),
        (one, "Polars, ties by id"): ("polars", folder, 1, "by id"),
        (all_datasets, "kept"): ("kept", folder, every, last, days),
    }
    ways = {
        " by ".join(names): partial(run, python("benchmarks.ticks", *map(str, work)))
        for names, work in works.items()
    }
    found = dict(zip(works, alternate(ways, 3, settle=False).values(), strict=True))
    part = Part("ticks", f"{days} days of {trades:,} trades in bars of {EVERY} (seconds, peak MB)")
    part.lines += [Line(*names, costs(runs)) for names, runs in found.items()]
    for figure, name in (("wall_s", "time"), ("processor_s", "processor time")):

        def ratio(work: tuple[str, str], to: tuple[str, str], figure: str = figure) -> float:
            return part.median(*work, figure) / part.median(*to, figure)

        part.goals += [
            *(
                Goal(f"{whole}: kept / {way}, {name}", ratio((whole, "kept"), (whole, way)), 1.2)
                for way in ("Polars", "Polars, ties by id")
            ),
            Goal(
                f"{all_datasets} / OHLCV and flow of it, {name}",
                ratio((all_datasets, "kept"), (one, "kept")),
                3,
            ),
        ]
    peak = max(part.median(*names, "peak_mb") for names in works if names[1] == "kept")
    share = _computing(found[whole, "kept"]) / days
    part.goals += [
        Goal("peak memory / 1 GB", peak / 1024, 1),
        Goal("one more day / a day's share", _computing(found[one, "kept"]) / share, 1),
    ]
    return part


def _computing(runs: list[Run]) -> float:
    """Processor time of the bars alone, without the start of a process."""
    return median([each.said["bars_s"] for each in runs])


def write(folder: Path, days: int, trades: int) -> None:
    """One file per source and UTC day, sorted by the venue's clock, as the vendor serves them."""
    import duckdb

    unfinished = folder.with_suffix(".unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    for day in range(days):
        start = FIRST + day * DAY
        # Three trades share a moment; the price is a walk of one tick.
        rows = f"""
            select *, 61000 + 0.1::double * sum(step) over (order by i) as price from (
                select i, hash(i, {day}) as h, (h % 3)::int - 1 as step,
                    {start} + (i // 3) * {DAY // (trades // 3 + 1)} as us
                from range({{count}}) as t(i)
            )"""
        times = "make_timestamptz(us) as exchange_timestamp,"
        times += " make_timestamptz(us + 500 + (h % 9000)::bigint) as local_timestamp"
        side = "case (h // 8) % 2 when 0 then 'buy' else 'sell' end as side"
        amount = "round(0.001 + ((h // 16) % 1000)::double ** 2 / 4e5, 3)"
        sources = {
            "trades": (trades, f"({5_000_000_000 + day * trades} + i)::varchar as id, {side},"
                       f" price, {amount} as amount"),
            "quotes": (trades // 3, f"price - 0.1 as bid_price, {amount} as bid_amount,"
                       f" price as ask_price, {amount} + 0.1 as ask_amount"),
            **{value: (DAY // 1_000_000, f"price as {value}") for value in VALUES},
        }  # fmt: skip
        for source, (count, columns) in sources.items():
            selected = f"select {times}, {columns} from ({rows.format(count=count)})"
            if count != trades:
                selected = selected.replace(
                    f"(i // 3) * {DAY // (trades // 3 + 1)}", f"i * {DAY // (count + 1)}"
                )
            duckdb.sql(selected).write_parquet(
                str(unfinished / f"{source}-{day:02}.parquet"), row_group_size=1_000_000
            )
    (unfinished / IN_ORDER).write_text(json.dumps(in_order(unfinished, days)))
    unfinished.rename(folder)


def in_order(folder: Path, days: int) -> list[str]:
    """The sources that the lake's check finds in order, in every file."""
    from warehouse.lake.validate.vendor_file import check_file
    from warehouse.vendor import FileKey, Period, SeriesKey, load_contracts

    found = []
    for source, parameter in SOURCES.items():
        dataset = f"raw_{source}"
        checked = [
            check_file(
                folder / f"{source}-{day:02}.parquet",
                FileKey(
                    dataset,
                    SeriesKey("binance", "spot-BTC-USDT"),
                    Period(f"{us_datetime(FIRST + day * DAY):%Y-%m-%d}"),
                ),
                load_contracts()[dataset],
            )
            for day in range(days)
        ]
        if all("exchange" in (clock for clock, *_ in facts.in_order) for facts in checked):
            found.append(parameter)
    return found


def connected(folder: Path, days: int) -> duckdb.DuckDBPyConnection:
    """A connection under a limit of memory that has the files as the catalog has them."""
    import duckdb

    connection = duckdb.connect(config={"memory_limit": MEMORY, "threads": 2})
    connection.execute(f"set temp_directory = '{folder}/spill'")
    connection.execute("create schema vendor")
    for source in SOURCES:
        files = [str(folder / f"{source}-{day:02}.parquet") for day in range(days)]
        connection.execute(
            f"create view vendor.raw_{source} as select 1 as series_id, 'binance' as exchange,"
            f" 'spot-BTC-USDT' as symbol, * from read_parquet({files})"
        )
    return connection


def kept(folder: Path, datasets: str, first: int, days: int, *, is_known: bool) -> None:
    """Bars of the days from ``first`` on, beside the files of all days."""
    from warehouse.build.ticks.days import TickDays

    connection = connected(folder, days)
    ticks = TickDays(connection)
    known = json.loads((folder / IN_ORDER).read_text()) if is_known else []
    before = _processor_s()
    for day in range(first, days):
        for dataset in datasets.split(","):
            asked = ("exchange", "binance", "spot-BTC-USDT", FIRST + day * DAY)
            query = ticks.query(dataset, EVERY, *asked, in_order=known)
            _count(connection, dataset, query, 1)
    print(json.dumps({"bars_s": _processor_s() - before}))


def asked(folder: Path, datasets: str, days: int) -> None:
    """The table macros of the catalog."""
    from warehouse.project import tick_macros

    connection = connected(folder, days)
    connection.execute(tick_macros())
    for dataset in datasets.split(","):
        _count(connection, dataset, f"from ticks_{dataset}('{EVERY}', clock := 'exchange')", days)


def _count(connection: duckdb.DuckDBPyConnection, dataset: str, query: str, days: int) -> None:
    started = time.perf_counter()
    assert len(connection.execute(query).fetchall()) == days * DAY // 60_000_000
    sys.stderr.write(f"  {dataset} {time.perf_counter() - started:.2f} s\n")


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def polars(folder: Path, days: int, *, by_id: bool) -> None:
    """The same columns by ``group_by_dynamic`` over sorted files.

    By id, where the trades of a moment are to be in the order of their ids: it is checked, which
    costs Polars less than a sort.
    """
    import polars as pl

    files = [folder / f"trades-{day:02}.parquet" for day in range(days)]
    price, amount = pl.col("price"), pl.col("amount")
    notional = pl.col("notional")
    found = [
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
        amount.sum().alias("volume"),
        notional.sum().alias("volume_notional"),
        (price / price.shift(1) - 1).pow(2).sum().sqrt().alias("volatility"),
    ]
    classes = {
        "small": notional < 100,
        "medium": (notional >= 100) & (notional < 1000),
        "large": notional >= 1000,
    }
    for side in ("buy", "sell"):
        of_side = pl.col("side") == side
        found += [amount.filter(of_side).sum().alias(side), of_side.sum().alias(f"{side}s")]
        for name, within in classes.items():
            picked = notional.filter(of_side & within)
            found += [picked.sum().alias(f"{side}_{name}"), picked.len().alias(f"{side}_{name}s")]
    if by_id:
        time, id_ = pl.col("exchange_timestamp"), pl.col("id").cast(pl.Int64)
        is_next = (time > time.shift()) | ((time == time.shift()) & (id_ >= id_.shift()))
        for file in files:  # a day at a time needs the memory of a day
            assert pl.scan_parquet(file).select(is_next.all()).collect().item()
    bars = (
        pl.scan_parquet(files)
        .with_columns((price * amount).alias("notional"))
        .set_sorted("exchange_timestamp")
        .group_by_dynamic("exchange_timestamp", every=EVERY)
        .agg(found)
        .collect()
    )
    assert len(bars) == days * DAY // 60_000_000


if __name__ == "__main__":
    act, place, *others = sys.argv[1:]
    if act == "write":
        write(Path(place), *map(int, others))
    elif act == "kept":
        kept(Path(place), others[0], *map(int, others[1:3]), is_known=not others[3:])
    elif act == "asked":
        asked(Path(place), others[0], int(others[1]))
    else:
        polars(Path(place), int(others[0]), by_id=others[1] == "by id")
