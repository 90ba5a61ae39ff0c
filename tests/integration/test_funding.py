"""Funding schedules from files and home to payments, by the command line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa

from tests.support import bar_table, file_key, grid, run_warehouse, write_file

SHOWN, TOLD, RUNNING = (f"perpetual-{base}-USDT:USDT" for base in ("ALT", "OLD", "RUN"))
PAID = (
    "select symbol, period_hours, schedule_source, count(*) as payments, sum(settled_rate) as paid,"
    " arg_max(cum_funding_unit_long_pct, time) as carry, min(annualized_pct) as least"
    " from funding_settlements group by all order by symbol, payments"
)


def test_a_schedule_comes_from_the_rates_or_the_home_and_is_never_assumed(tmp_path: Path) -> None:
    folder, home = tmp_path / "files", tmp_path / "home"
    every_4h = [1e-4 * (1 + hour // 4) for hour in range(72)]
    moving = [1e-6 * (hour * 37 % 101) for hour in range(72)]
    for symbol, rates in ((SHOWN, every_4h), (TOLD, every_4h), (RUNNING, moving)):
        table = bar_table("funding", grid(date(2025, 9, 1), 72), funding_rate=pa.array(rates))
        table = table.select(["time", "funding_rate"])
        write_file(folder, file_key("funding", "2025-09", symbol=symbol), table)
    declared = f'[[funding]]\nexchange = "binance-futures"\nsymbol = "{TOLD}"\nhours = '
    home.mkdir()
    (home / "warehouse.toml").write_text(f"{declared}8\n{declared}2\nfrom = 2025-09-02\n")
    done = run_warehouse("update", "--from", str(folder), "--home", str(home), cwd=tmp_path)
    assert done.exit_code == 1, done.stdout + done.stderr
    assert "1 series of funding have no sure schedule" in done.stderr + done.stdout

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
    (home / "warehouse.toml").write_text(f"{declared}4\n")
    run_warehouse("build", "--home", str(home), cwd=tmp_path)
    told = [row for row in paid() if row["symbol"] == TOLD]
    assert [(row["period_hours"], row["payments"]) for row in told] == [(4, 18)]
