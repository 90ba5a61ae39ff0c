"""warehouse.toml and options as series and days."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from warehouse.errors import NotFoundError, UsageError, VendorError
from warehouse.sync.subscription import Subscription, load_subscriptions, resolve

GOOD = """
[[sync]]
datasets = ["flow", "l2_*"]
exchanges = ["binance-futures"]
symbols = ["perpetual-ETH-*", "perpetual-BTC-USDT:USDT"]
intervals = ["1h"]
clocks = ["true", "exchange"]
start = 2025-01-01
end = 2025-01-31

[[sync]]
datasets = ["raw_trades"]
exchanges = ["okx-perps"]
symbols = "perpetual-BTC-USDT:USDT"
start = 2025-06-01

[[snapshot]]
name = "another person's table"
"""
SYMBOLS = ["perpetual-BTC-USDT:USDT", "perpetual-ETH-USDC:USDC", "perpetual-ETH-USDT:USDT"]


def written(folder: Path, text: str) -> Path:
    path = folder / "warehouse.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_subscription_becomes_series_and_days(tmp_path: Path) -> None:
    asked = []

    def symbols_of(exchange: str) -> list[str]:
        asked.append(exchange)
        return SYMBOLS

    wanted = resolve(
        load_subscriptions(written(tmp_path, GOOD)), today=date(2025, 6, 3), symbols_of=symbols_of
    )
    assert asked == ["binance-futures"]  # only for patterns, once
    assert len(wanted) == 3 * 3 * 2 + 1
    first, last = wanted[0], wanted[-1]
    assert (first.dataset, first.series.symbol) == ("flow", "perpetual-ETH-USDC:USDC")
    assert (first.start, first.end) == (date(2025, 1, 1), date(2025, 2, 1))
    assert (last.dataset, last.series.interval) == ("raw_trades", None)
    assert last.end == date(2025, 6, 4)


def test_a_series_named_twice_is_wanted_once_over_both_spans() -> None:
    one = Subscription(
        ("flow",), ("x",), ("BTC",), ("1h",), ("true",), date(2025, 1, 1), date(2025, 2, 1)
    )
    two = Subscription(
        ("flow",), ("x",), ("BTC",), ("1h",), ("true",), date(2025, 3, 1), date(2025, 4, 1)
    )
    (wanted,) = resolve([one, two], today=date(2025, 6, 3), symbols_of=list)
    assert (wanted.start, wanted.end) == (date(2025, 1, 1), date(2025, 4, 1))


def test_no_file_names_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there are no subscriptions") as caught:
        load_subscriptions(tmp_path / "warehouse.toml")
    assert "[[sync]]" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("[[sync]]\ndatasets", "[[sync]]\ndatasets =", "not TOML"),
        ("start = 2025-01-01", "", "no start"),
        ("start = 2025-01-01", "start = '2025-01-01'", "start: not a day"),
        ("start = 2025-01-01", "start = 2025-01-01T00:00:00", "start: not a day"),
        ('clocks = ["true", "exchange"]', "clocks = [true]", "clocks: not a list of strings"),
        ('clocks = ["true", "exchange"]', 'clocks = ["truth"]', "clock 'truth'"),
        ('intervals = ["1h"]', 'intervals = ["7m"]', "interval '7m'"),
        ("intervals =", "interval =", "unknown key 'interval'"),
        ('exchanges = ["binance-futures"]\n', "", "no exchanges"),
        ("[[sync]]", "[[sink]]", "no .*sync"),
    ],
)
def test_a_wrong_file_is_recognised(tmp_path: Path, before: str, after: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        load_subscriptions(written(tmp_path, GOOD.replace(before, after)))


def test_what_fits_nothing_or_lacks_a_grid_is_refused() -> None:
    place = {"exchanges": ("x",), "symbols": ("BTC",), "start": date(2025, 1, 1)}
    day = date(2025, 6, 3)
    with pytest.raises(UsageError, match="no dataset matches 'l9_"):
        resolve([Subscription(("l9_*",), **place)], today=day, symbols_of=list)
    with pytest.raises(UsageError, match="flow: no interval"):
        resolve([Subscription(("flow",), **place)], today=day, symbols_of=list)
    with pytest.raises(UsageError, match="no symbol of x matches"):
        pattern = place | {"symbols": ("Z*",)}
        resolve([Subscription(("raw_trades",), **pattern)], today=day, symbols_of=lambda _: SYMBOLS)


def test_a_pattern_without_a_match_is_reported_and_the_others_continue() -> None:
    one = Subscription(("raw_trades",), ("x",), (SYMBOLS[0], "Z*"), start=date(2025, 1, 1))
    unfit: list[VendorError] = []
    found = resolve([one], today=date(2025, 6, 3), symbols_of=lambda _: SYMBOLS, unfit=unfit)
    assert [wanted.series.symbol for wanted in found] == [SYMBOLS[0]]
    assert [error.what for error in unfit] == ["no symbol of x matches 'Z*'"]
    alone = Subscription(("raw_trades",), ("x",), ("Z*",), start=date(2025, 1, 1))
    with pytest.raises(UsageError, match="no symbol of x matches"):
        resolve([alone], today=date(2025, 6, 3), symbols_of=lambda _: SYMBOLS, unfit=unfit)
