"""Part (g): bars from raw ticks, beside Polars' ``group_by_dynamic`` on the same files."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.measure import alternate, costs, python, run
from benchmarks.table import Goal, Line, Part

EVERY = "1m"
DAY = 86_400_000_000
FIRST = 20_454 * DAY  # 2026-01-01
MEMORY = "1GB"
DATASETS = (
    *("ohlcv", "vtwap", "flow", "trade_size", "range", "returns", "impact", "updownticks"),
    *("run_structure", "slippage", "l1_price", "l1_imbalance", "l1_liquidity", "funding"),
    *("open_interest", "basis", "derivative_price"),
)
VALUES = ("mark_price", "index_price", "funding_rate", "open_interest")


def measure(data: Path, *, is_full: bool) -> Part:
    """OHLCV and flow of all days, and every dataset of one day; the files are written once."""
    days, trades = (10, 5_000_000) if is_full else (2, 500_000)
    folder = data / f"ticks-{days}-{trades}"
    if not folder.is_dir():
        run(python("benchmarks.ticks", "write", str(folder), str(days), str(trades)))
    works = {
        f"OHLCV and flow, {days} days": ("ohlcv,flow", days),
        "OHLCV and flow, 1 day": ("ohlcv,flow", 1),
        f"all {len(DATASETS)} datasets, 1 day": (",".join(DATASETS), 1),
    }
    ways = {
        (work, "ticks_<dataset>"): python(
            "benchmarks.ticks", "macros", str(folder), *map(str, what)
        )
        for work, what in works.items()
    }
    for work in list(works)[:2]:
        ways[work, "Polars"] = python(
            "benchmarks.ticks", "polars", str(folder), str(works[work][1])
        )
    part = Part("ticks", f"{days} days of {trades:,} trades in bars of {EVERY} (seconds, peak MB)")
    commands = {" by ".join(names): partial(run, command) for names, command in ways.items()}
    found = alternate(commands, 3 if is_full else 2, settle=False)
    for names, runs in zip(ways, found.values(), strict=True):
        part.lines.append(Line(*names, costs(runs)))
    whole, day, every = works

    def ours(work: str, figure: str = "wall_s") -> float:
        return part.median(work, "ticks_<dataset>", figure)

    part.goals += [
        Goal("OHLCV and flow / Polars", ours(whole) / part.median(whole, "Polars", "wall_s"), 1.2),
        Goal("all datasets of a day / OHLCV and flow of it", ours(every) / ours(day), 3),
        Goal("peak memory / 1 GB", ours(whole, "peak_mb") / 1024, 1),
    ]
    return part


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
            "trades": (trades, f"({day}::bigint * {trades} + i)::varchar as id, {side}, price,"
                       f" {amount} as amount"),
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
    unfinished.rename(folder)


def macros(folder: Path, datasets: str, days: int) -> None:
    """Our macros, under a limit of memory."""
    import duckdb

    from warehouse.project import tick_macros

    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 2}) as connection:
        connection.execute(f"set temp_directory = '{folder}/spill'")
        connection.execute("create schema vendor")
        connection.execute(tick_macros())
        for source in ("trades", "quotes", *VALUES):
            files = [str(folder / f"{source}-{day:02}.parquet") for day in range(days)]
            connection.execute(
                f"create view vendor.raw_{source} as select 1 as series_id, 'binance' as exchange,"
                f" 'spot-BTC-USDT' as symbol, * from read_parquet({files})"
            )
        for dataset in datasets.split(","):
            started = time.perf_counter()
            rows = connection.execute(f"from ticks_{dataset}('{EVERY}', clock := 'exchange')")
            assert len(rows.fetchall()) == days * DAY // 60_000_000
            sys.stderr.write(f"  {dataset} {time.perf_counter() - started:.2f} s\n")


def polars(folder: Path, days: int) -> None:
    """The same columns by ``group_by_dynamic`` over sorted files, without order among ties."""
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
    elif act == "macros":
        macros(Path(place), others[0], int(others[1]))
    else:
        polars(Path(place), int(others[0]))
