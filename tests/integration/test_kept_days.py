"""Bars from ticks that a home keeps: the views ``ticks.*``, computed a day at a time."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.support import BTC, bar_table, file_key, without_comments, write_file
from warehouse.build.catalog import prepare_catalog
from warehouse.build.meta.inputs import fingerprint
from warehouse.build.months.stored import StoredMonth
from warehouse.config import Settings
from warehouse.errors import UsageError
from warehouse.home import Home
from warehouse.project import tick_macros
from warehouse.sync.from_folder import sync_folder
from warehouse.times import date_us

SEPTEMBER = date(2025, 9, 1)
TICKS = '[[ticks]]\ndatasets = ["ohlcv"]\nevery = ["45m"]\nclocks = ["exchange"]\n'


def add_day(home: Home, folder: Path, day: date) -> None:
    """Trades every seven minutes, received a second later, so that bars get late ticks."""
    starts = date_us(day) + np.arange(0, 24 * 60, 7) * 60_000_000 + 59_500_000
    table = bar_table(
        "raw_trades",
        starts,
        local_timestamp=pa.array(starts + 1_000_000, pa.timestamp("us", "UTC")),
        side=pa.array(["buy", "sell"] * (len(starts) // 2)),
        price=pa.array(np.arange(len(starts)) + 100.0),
    )
    write_file(folder, file_key("raw_trades", day.isoformat()), table)
    assert not sync_folder(home, folder).refused


def prepared(home: Home) -> tuple[Path, list[bool]]:
    """The build file, and for each kept day whether it existed already."""
    days: list[StoredMonth] = []
    with without_comments():
        path = prepare_catalog(
            Settings(home.root), generation=1, progress=lambda day, _: days.append(day)
        )
    return path, [day.reused for day in days if day.model == "ticks.ohlcv"]


def test_kept_bars_when_days_come_then_only_what_is_new_is_computed(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for number in range(2):
        add_day(home, tmp_path / f"{number}", SEPTEMBER + timedelta(days=number))
    before = fingerprint(Settings(home.root))
    home.subscription.write_text(TICKS)
    assert fingerprint(Settings(home.root)) != before
    assert prepared(home)[1] == [False] * 2
    add_day(home, tmp_path / "2", SEPTEMBER + timedelta(days=2))
    # The last day had a bar that was the last of its ticks.
    path, reused = prepared(home)
    assert reused == [True, False, False]
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as warehouse (read_only)")
        connection.execute(tick_macros())
        kept = "from warehouse.ticks.ohlcv order by time"
        asked = (
            "from ticks_ohlcv('45m', clock := 'exchange', trades := 'warehouse.vendor.raw_trades')"
        )
        found, wanted = (
            connection.execute(f"select * exclude (series_id) {text}").fetchall()
            for text in (kept, f"from ({asked}) order by time")
        )
        assert found == wanted and len(found) == 3 * 32
        known = connection.execute(
            "select count(*) filter (where known_at > time + interval 45 minutes),"
            " count(*) filter (where known_at < time + interval 45 minutes), max(series_id)"
            " from warehouse.ticks.ohlcv"
        ).fetchone()
        assert known is not None and known[0] > 0 and known[1:] == (0, -2)
        stored = connection.execute(
            "select count(*) from warehouse.meta.stored where model = 'ticks.ohlcv'"
        ).fetchall()
        assert stored == [(3,)]


def test_kept_bars_when_files_are_not_in_order_then_are_those_of_the_order(tmp_path: Path) -> None:
    """Trades of one moment by their ids; by receipt, a day has trades of two files."""
    home, minute = Home(tmp_path / "home"), 60_000_000
    for number, (ids, delays) in enumerate(
        [
            (["11", "10", "13", "12"], [1, 2, 1, 2]),
            (["20", "21", "22", "23"], [1, 1, 1, 20]),  # the last after the next's first
            (["30", "31", "32", "33"], [1, 1, 1, 1]),
            (["99", "100", "101", "102"], [1, 2, 1, 2]),
        ]
    ):
        day = date_us(SEPTEMBER + timedelta(days=number))
        starts = day + np.array([0, 0, 1439, 1439]) * minute
        table = bar_table(
            "raw_trades",
            starts,
            local_timestamp=pa.array(starts + np.array(delays) * minute, pa.timestamp("us", "UTC")),
            id=pa.array(ids),
            side=pa.array(["buy", "sell"] * 2),
            price=pa.array([100.0, 101.0, 102.0, 103.0]),
        )
        key = file_key("raw_trades", f"{SEPTEMBER + timedelta(days=number)}")
        write_file(tmp_path / "files", key, table)
    assert not sync_folder(home, tmp_path / "files").refused
    text = TICKS.replace("exchange", 'true", "exchange')
    home.subscription.write_text(text.replace("ohlcv", 'ohlcv", "updownticks'))
    path = prepared(home)[0]
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as warehouse (read_only)")
        connection.execute(tick_macros())
        for dataset in ("ohlcv", "updownticks"):
            for clock in ("true", "exchange"):
                trades = "trades := 'warehouse.vendor.raw_trades'"
                asked = f"ticks_{dataset}('45m', clock := '{clock}', {trades})"
                kept = f"warehouse.ticks.{dataset} where clock = '{clock}'"
                found, wanted = (
                    connection.execute(
                        f"select * exclude (series_id) from {rows} order by time"
                    ).fetchall()
                    for rows in (kept, asked)
                )
                assert found == wanted and len(found) > 4


def test_kept_bars_when_the_quote_is_no_dollar_then_sizes_are_classed_in_dollars(
    tmp_path: Path,
) -> None:
    home, rate = Home(tmp_path / "home"), "notional_usd_rate = 0.5\n"
    add_day(home, tmp_path / "0", SEPTEMBER)
    home.subscription.write_text(TICKS.replace("ohlcv", 'ohlcv", "trade_size'))
    sizes = "select count(*), sum(small_order_count) from warehouse.ticks.trade_size"
    found = []
    for text in ("", rate):
        home.subscription.write_text(home.subscription.read_text() + text)
        path, reused = prepared(home)
        with duckdb.connect() as connection:
            connection.execute(f"attach '{path}' as warehouse (read_only)")
            connection.execute(tick_macros())
            asked = (
                "ticks_trade_size('45m', clock := 'exchange', notional_usd_rate := "
                f"{0.5 if text else 1}, trades := 'warehouse.vendor.raw_trades')"
            )
            found += connection.execute(
                f"{sizes} union all {sizes.split(' from ')[0]} from {asked}"
            ).fetchall()
    assert found[0] == found[1] and found[2] == found[3]
    assert found[0][1] == 0 and found[2][1] > 0 and reused == [True]
    other = rate.replace("0.5", "2")
    home.subscription.write_text(
        home.subscription.read_text() + TICKS.replace("ohlcv", "trade_size") + other
    )
    with pytest.raises(UsageError, match=r"notional_usd_rate is 2.0 here and 0.5 in \[\[ticks"):
        prepared(home)


def test_kept_bars_when_declared_wrongly_then_names_the_place(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    add_day(home, tmp_path / "0", SEPTEMBER)
    for old, new, message in (
        (
            "ohlcv",
            "ohlc",
            r"\[\[ticks\]\] 1: bars of 'ohlc' cannot be computed from ticks.*did you mean ohlcv",
        ),
        ("exchange", "local", "no clock 'local'"),
        ('["45m"]', '"45m"', "every = '45m' is not a list of names"),
        ("[[ticks]]", "[[ticks]]\nnotional_usd_rate = 0.5", "changes no column of ohlcv"),
        ("[[ticks]]", "[[ticks]]\nnotional_usd_rate = 0", "= 0 is not a number above 0"),
    ):
        home.subscription.write_text(TICKS.replace(old, new))
        with pytest.raises(UsageError, match=message):
            prepared(home)
    home.subscription.write_text(TICKS + 'symbols = ["spot-ETH-USDT"]\n')
    with pytest.raises(
        UsageError, match="ohlcv of spot-ETH-USDT: the lake has no raw_trades for it"
    ):
        prepared(home)
    home.subscription.write_text(TICKS.replace("45m", "7m") + f'symbols = ["{BTC}"]\n')
    with pytest.raises(Exception, match="divides a UTC day"):
        prepared(home)
