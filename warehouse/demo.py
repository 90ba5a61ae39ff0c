"""The demo: a simulated market from files to a catalog, then a table for the command to show.

Files in the vendor's format are written to a temporary folder, then synced, built, published and
queried exactly like real ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.build import build
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import UsageError
from warehouse.home import Home
from warehouse.lake import Manifest
from warehouse.progress import phase
from warehouse.query import Warehouse
from warehouse.sync import sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

SYMBOL = "perpetual-BTC-USDT:USDT"
PANEL_SQL = """
select
    flow.time,
    flow.close,
    round(flow.net_delta, 1) as net_delta_btc,
    round(flow.rolling_net_delta_1d, 1) as net_delta_1d_m_usdt,
    round(flow.large_trade_share_1d, 4) as large_trade_share_1d,
    round(book.spread_bps, 4) as spread_bps
from flow_features as flow
left join l1_features as book using (series_id, time)
where flow.symbol = $symbol and flow.interval = '1h'
order by flow.time
"""


def run_demo(settings: Settings, say: Callable[[str], None], *, ticks: bool = False) -> pa.Table:
    """Fill ``settings.home`` with a simulated market; returns the rows of ``PANEL_SQL``.

    Parameters
    ----------
    ticks
        Whether to add a day of raw trades and quotes, and 1m bars computed from them.

    Raises
    ------
    UsageError
        The home has real files, which are never mixed with simulated ones.
    """
    home = Home.of(settings)
    _require_no_real_files(home)
    folder = home.build / "demo-files"
    try:
        say("1/4  simulating two perpetuals, 2025-09 to 2026-02 ...")
        with phase("simulate the market"):
            files = _write_market(folder, ticks=ticks)
        say(f"2/4  importing {counted(len(files), 'file')} into the lake ...")
        sync_folder(home, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say("3/4  building and testing the models, publishing ...")
    build(settings)
    say("4/4  querying ...")
    with phase("query"), Warehouse(settings) as warehouse:
        return warehouse.sql(PANEL_SQL, symbol=SYMBOL).arrow()


def _write_market(folder: Path, *, ticks: bool) -> list[Path]:
    from warehouse.simulator import Market, write_market

    files = write_market(folder, Market())
    if ticks:
        last_day = Market(
            symbols=(SYMBOL,),
            datasets=("raw_trades", "raw_quotes", "ohlcv", "flow", "l1_price"),
            intervals=("1m",),
            start=Market().end - timedelta(days=1),
            from_ticks=True,
        )
        files += write_market(folder, last_day)
    return files


def _require_no_real_files(home: Home) -> None:
    if not home.manifest.is_file():
        return
    with Manifest(home.manifest) as manifest:
        real = manifest.count_files(real=True)
    if real:
        raise UsageError(
            f"{home.root}: holds {counted(real, 'file')} of real data,"
            " and the demo is not mixed with them",
            next_step="run: warehouse demo --home demo",
        )
