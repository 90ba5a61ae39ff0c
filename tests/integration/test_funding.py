"""Funding schedules from files and home to payments, by the command line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.support import bar_table, file_key, grid, run_warehouse, write_file

SHOWN, TOLD, RUNNING, WRONG, LONGER, ANNOUNCED, SEEDED = (
    f"perpetual-{base}-USDT:USDT" for base in ("ALT", "OLD", "RUN", "WRONG", "LONGER", "RAW", "BTC")
)
PAID = (
    "select symbol, period_hours, schedule_source, count(*) as payments, sum(settled_rate) as paid,"
    " arg_max(cum_funding_unit_long_pct, time) as carry, min(annualized_pct) as least"
    " from funding_settlements group by all order by symbol, payments"
)


def test_a_schedule_comes_from_the_rates_or_the_home_and_is_never_assumed(tmp_path: Path) -> None:
    folder, home = tmp_path / "files", tmp_path / "home"
    every_4h = [1e-4 * (1 + hour // 4) for hour in range(72)]
    moving = [1e-6 * (hour * 37 % 101) for hour in range(72)]
    every_8h_after_4_days = [1e-4 * (h // 4 if h < 96 else 12 + h // 8) for h in range(312)]
    for symbol, rates in (
        (SHOWN, every_4h),
        (TOLD, every_4h),
        (RUNNING, moving),
        (WRONG, every_4h),
        (LONGER, every_8h_after_4_days),
        (ANNOUNCED, moving),
        (SEEDED, [1e-4 * (1 + hour // 4) for hour in range(312)]),
    ):
        times = grid(date(2025, 9, 1), len(rates))
        table = bar_table("funding", times, funding_rate=pa.array(rates))
        table = table.select(["time", "funding_rate"])
        write_file(folder, file_key("funding", "2025-09", symbol=symbol), table)
    write_file(folder, file_key("raw_funding_rate", "2025-09", symbol=ANNOUNCED), _every_4h(72))
    declared = f'[[funding]]\nexchange = "binance-futures"\nsymbol = "{TOLD}"\nhours = '
    home.mkdir()
    spans = f"{declared}8\n{declared}2\nfrom = 2025-09-02\n"
    spans += f"{declared}8\n".replace(TOLD, WRONG) + f"{declared}8\n".replace(TOLD, "TYPO")
    (home / "warehouse.toml").write_text(spans)
    done = run_warehouse(
        "update", "--from", str(folder), "--home", str(home), cwd=tmp_path, audits=False
    )
    assert done.exit_code == 1, done.stdout + done.stderr
    assert "7 doubtful funding schedules" in done.stderr
    assert f"{WRONG}: declared as 8 h, but the rates changed as every 4 h" in done.stderr
    assert f"{SEEDED}: the seed has 8 h, but the rates changed as every 4 h" in done.stderr
    assert (
        f"{ANNOUNCED}: the venue announced payments every 4 h from 2025-09-01 04:00 to"
        in done.stderr
    )
    assert "but none are used: declare it" in done.stderr
    assert "TYPO: declared, but there is no funding of it here" in done.stderr
    starts = ("#", "[[funding]]", "exchange =", "symbol =", "hours =", "from =")
    lines = [line.strip() for line in done.stderr.splitlines()]
    pasted = "\n".join(line for line in lines if line.startswith(starts))

    def paid() -> list[dict[str, object]]:
        answer = run_warehouse("sql", PAID, "--json", "--home", str(home), cwd=tmp_path)
        found: list[dict[str, object]] = json.loads(answer.stdout)
        return found

    shown = [row for row in paid() if row["symbol"] == SHOWN]
    assert [(row["period_hours"], row["payments"]) for row in shown] == [(None, 1), (4, 16)]
    assert round(sum(float(str(row["paid"])) for row in shown), 9) == 0.0153
    assert round(float(str(shown[-1]["carry"])), 9) == -1.53
    assert round(float(str(shown[-1]["least"])), 9) == 43.8
    told = [row for row in paid() if row["symbol"] == TOLD]
    assert [(row["period_hours"], row["schedule_source"]) for row in told] == [
        (8, "home"),
        (2, "home"),
    ]
    status = json.loads(run_warehouse("status", "--json", "--home", str(home), cwd=tmp_path).stdout)
    sources = {(s["symbol"], s["source"]) for s in status["catalog"]["funding_schedules"]}
    assert {(TOLD, "home"), (SHOWN, "pattern"), (RUNNING, "unknown")} <= sources
    wrong = run_warehouse("build", "--home", _with(home, pasted), cwd=tmp_path)
    assert wrong.exit_code == 2 and "hours = 0" in wrong.stderr
    spans = f"{declared}4\n" + f"{declared}4\n".replace(TOLD, WRONG)
    spans += f"{declared}4\n".replace(TOLD, SEEDED)
    spans += pasted.replace("hours = 0", "hours = 4")
    right = run_warehouse("build", "--home", _with(home, spans), cwd=tmp_path, audits=False)
    assert right.exit_code == 0, right.stderr
    found = {(row["symbol"], row["period_hours"]): row["payments"] for row in paid()}
    assert found == {
        (TOLD, 4): 18,
        (WRONG, 4): 18,
        (RUNNING, 4): 18,
        (SHOWN, None): 1,
        (SHOWN, 4): 16,
        (LONGER, 4): 24,
        (LONGER, 8): 27,
        (ANNOUNCED, 4): 16,
        (SEEDED, 4): 78,
    }


def _every_4h(hours: int) -> pa.Table:
    """Raw updates of every hour that announce the next payment, the first one at 04:00."""
    hour = np.timedelta64(1, "h")
    moments = np.datetime64("2025-09-01T00:30", "us") + np.arange(hours) * hour
    payments = np.datetime64("2025-09-01T04:00", "us") + np.arange(hours) // 4 * 4 * hour
    instant = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "exchange_timestamp": pa.array(moments).cast(instant),
            "local_timestamp": pa.array(moments + np.timedelta64(80, "ms")).cast(instant),
            "funding_rate": pa.array(np.full(hours, 1e-4)),
            "next_funding_time": pa.array(payments).cast(instant),
        }
    )


def _with(home: Path, text: str) -> str:
    (home / "warehouse.toml").write_text(text)
    return str(home)
