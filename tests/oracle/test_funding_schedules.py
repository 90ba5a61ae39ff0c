"""Funding schedules that only the rates show, against a plain reading of the rates bar by bar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import gcd

import pandas as pd
import pyarrow as pa
import pytest

from tests.oracle.project import Models, keyed
from warehouse.vendor.keys import interval_us

START = datetime(2025, 9, 1)  # noqa: DTZ001
WEEK, DAY = timedelta(days=7), timedelta(days=1)
Bars = dict[datetime, float | None]


def paid(interval: str, days: int, *periods: tuple[int, int]) -> Bars:
    """Rates that change at each payment: every so many hours from the given day on."""
    bar, rates, rate = _bar(interval), {}, 1e-4
    for n in range(days * DAY // bar):
        time = START + n * bar
        hours = [hours for day, hours in periods if START + day * DAY < time or day == 0][-1]
        rate += 1e-4 * (n > 0 and (time - START) % timedelta(hours=hours) == timedelta(0))
        rates[time] = rate
    return rates


def schedule(rates: Bars, bar: timedelta) -> list[tuple[datetime, int | None]]:
    """Payments and their hours as the rates up to each bar show them, read one by one."""
    changes: list[datetime] = []
    gaps: dict[datetime, timedelta] = {}
    moving: list[datetime] = []
    still_since: datetime | None = None
    payments: list[tuple[datetime, int | None]] = []
    for time, rate in sorted(rates.items()):
        before = rates.get(time - bar)
        held = time - still_since if still_since else None
        if before is None or rate is None:
            still_since, changed = time, False
        elif changed := before != rate:
            if changes and still_since == changes[-1] and held is not None and held <= DAY:
                gaps[time] = held
            changes.append(time)
            still_since = time
            if time.minute:
                moving.append(time)
        seen = [at for at in changes if at >= time - WEEK]
        hours = _fitting(seen)
        if not seen or [at for at in moving if at >= time - WEEK] or bar >= timedelta(hours=hours):
            continue
        lately = [at for at in seen if _last(at, changes, gaps)]
        sure = (
            min((gaps[at] for at in seen if at in gaps), default=None) == timedelta(hours=hours)
            and _last(lately[-1], changes, gaps) == timedelta(hours=hours)
            and (hours < 8 or len(seen) >= 3)
        )
        if sure and time.minute == 0 and time.hour % hours == 0:
            payments.append((time, hours))
        elif not sure and changed and held is not None and held >= timedelta(hours=hours):
            payments.append((time, None))
    return payments


def _fitting(changes: Sequence[datetime]) -> int:
    return gcd(8, *(at.hour for at in changes))


def _last(
    at: datetime, changes: Sequence[datetime], gaps: dict[datetime, timedelta]
) -> timedelta | None:
    """The shorter of the last two distances at a change."""
    near = [c for c in changes if at - DAY <= c <= at][-2:]
    return min((gaps[c] for c in near if c in gaps), default=None)


def without(rates: Bars, *hours: int) -> Bars:
    return {at: r for at, r in rates.items() if (at - START) // timedelta(hours=1) not in hours}


def unknown(rates: Bars, *hours: int) -> Bars:
    gone = {START + timedelta(hours=hour) for hour in hours}
    return {at: None if at in gone else rate for at, rate in rates.items()}


def unchanged(rates: Bars, first: int, last: int) -> Bars:
    """One rate from hour to hour, as where a venue's clamp holds it."""
    span = (START + timedelta(hours=first), START + timedelta(hours=last))
    return {at: 5e-5 if span[0] <= at < span[1] else rate for at, rate in rates.items()}


def running(interval: str, days: int) -> Bars:
    bar = _bar(interval)
    return {START + n * bar: 1e-6 * (n * 37 % 101) for n in range(days * DAY // bar)}


def _bar(interval: str) -> timedelta:
    return timedelta(microseconds=interval_us(interval))


CASES = {
    "1h": ("5m", paid("5m", 3, (0, 1))),
    "2h": ("1h", paid("1h", 4, (0, 2))),
    "4h": ("1h", paid("1h", 5, (0, 4))),
    "4h by the minute": ("1m", paid("1m", 2, (0, 4))),
    "8h": ("1h", paid("1h", 5, (0, 8))),
    "8h from bars of 4h": ("4h", paid("4h", 9, (0, 8))),
    "4h hidden in bars of 4h": ("4h", paid("4h", 9, (0, 4))),
    "bars of a day": ("1d", paid("1d", 20, (0, 4))),
    "8h, then 4h": ("1h", paid("1h", 20, (0, 8), (8, 4))),
    "4h, then 8h": ("1h", paid("1h", 24, (0, 4), (8, 8))),
    "4h, 1h, 4h": ("5m", paid("5m", 22, (0, 4), (4, 1), (5, 4))),
    "a gap over a payment": ("1h", without(paid("1h", 5, (0, 4)), 27, 28, 29, 52)),
    "no rate at a payment": ("1h", unknown(paid("1h", 5, (0, 4)), 28, 51)),
    "unchanged for long": ("1h", unchanged(paid("1h", 25, (0, 4)), 48, 300)),
    "unchanged twice": ("1h", unchanged(paid("1h", 6, (0, 4)), 48, 56)),
    "a running prediction": ("1h", running("1h", 10)),
    "a running prediction, 5m": ("5m", running("5m", 3)),
}
HOURS = {  # the last period that each case shows
    "1h": 1,
    "2h": 2,
    "4h": 4,
    "4h by the minute": 4,
    "8h": 8,
    "8h from bars of 4h": 8,
    "8h, then 4h": 4,
    "4h, then 8h": 8,
    "4h, 1h, 4h": 4,
    "a gap over a payment": 4,
    "no rate at a payment": 4,
    "unchanged for long": 4,
    "unchanged twice": 4,
}


@pytest.mark.parametrize("case", CASES)
def test_payments_as_the_rates_show_them(models: Models, case: str) -> None:
    interval, rates = CASES[case]
    found = payments(models, interval, rates)
    assert [at[:2] for at in found] == schedule(rates, _bar(interval))
    assert (found[-1][1] if found else None) == HOURS.get(case)
    total = 0.0
    for time, hours, rate, annual, carry in found:
        before = rates.get(time - _bar(interval))
        if before is None:  # the last known rate counts for an hour
            before = rates.get(time - 2 * _bar(interval))
        if before is not None:
            assert rate == before
            total -= 100 * rate
            assert carry == pytest.approx(total)
            assert hours is None or annual == pytest.approx(rate * 24 / hours * 365 * 100)


@pytest.mark.parametrize("case", ["8h, then 4h", "4h, then 8h", "a gap over a payment"])
def test_what_is_paid_by_then_does_not_depend_on_later_bars(models: Models, case: str) -> None:
    interval, rates = CASES[case]
    whole = payments(models, interval, rates)
    for hour in (5, 9, 27, 53, 100, 190, 197, 205, 230):
        end = START + timedelta(hours=hour)
        cut = {at: rate for at, rate in rates.items() if at < end}
        assert payments(models, interval, cut) == [row for row in whole if row[0] < end]


def test_next_payment_is_unknown_until_the_period_is_sure(models: Models) -> None:
    fill(models, "1h", paid("1h", 3, (0, 4)))
    legs = models.rows("funding_labels")["next_bar_funding_bps"]
    assert legs[:8].isna().all() and legs[8:].notna().all()
    assert [n for n, leg in enumerate(legs) if leg > 0] == list(range(11, 72, 4))


def test_updates_within_bars_are_a_running_prediction(models: Models) -> None:
    rates = paid("1h", 5, (0, 4))
    fill(models, "1h", rates, frequency=1.2)
    assert models.rows("funding_settlements").empty
    assert models.rows("funding_labels")["next_bar_funding_bps"].isna().all()


def fill(models: Models, interval: str, rates: Bars, *, frequency: float | None = None) -> None:
    table = pa.table(
        {
            "time": pa.array(list(rates), pa.timestamp("us")),
            "funding_rate": pa.array(list(rates.values()), pa.float64()),
            "funding_rate_update_frequency": pa.array([frequency] * len(rates), pa.float64()),
        }
    )
    symbol = "perpetual-ALT-USDT:USDT"
    models.fill({"funding": keyed(table, interval=interval, symbol=symbol)})


Payment = tuple[datetime, int | None, float, float, float]


def payments(models: Models, interval: str, rates: Bars) -> list[Payment]:
    fill(models, interval, rates)
    return [
        (
            row.time.to_pydatetime(),
            None if pd.isna(row.period_hours) else int(row.period_hours),
            -1.0 if pd.isna(row.settled_rate) else row.settled_rate,
            -1.0 if pd.isna(row.annualized_pct) else row.annualized_pct,
            -1.0 if pd.isna(row.cum_funding_unit_long_pct) else row.cum_funding_unit_long_pct,
        )
        for row in models.rows("funding_settlements").itertuples()
    ]
