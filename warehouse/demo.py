"""The demo: a simulated market from files to a catalog, then a table, a text chart and a PNG chart.

Files in the vendor's format are written to a temporary folder, then synced, built, published and
queried exactly like real ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.build import build
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import UsageError, needing_extras
from warehouse.home import Home
from warehouse.lake import Manifest
from warehouse.progress import phase
from warehouse.query import Warehouse
from warehouse.sync import sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

# colours of Okabe and Ito, which colour-blind people can distinguish
BLACK, BLUE, ORANGE, PURPLE = "#000000", "#0072B2", "#D55E00", "#CC79A7"

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


@dataclass(frozen=True, slots=True)
class Demo:
    """The output of the demo: the panel of ``PANEL_SQL`` and its chart.

    Without matplotlib there is no chart, and ``no_picture`` has the reason.
    """

    home: Home
    panel: pa.Table
    picture: Path | None
    no_picture: str = ""


def run_demo(settings: Settings, say: Callable[[str], None], *, ticks: bool = False) -> Demo:
    """Fill ``settings.home`` with a simulated market and draw it.

    With ``ticks`` also a day of raw trades and quotes, and 1m bars computed from them.

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
    say("4/4  querying and drawing ...")
    with phase("query and draw"):
        with Warehouse(settings) as warehouse:
            panel = warehouse.sql(PANEL_SQL, symbol=SYMBOL).arrow()
        try:
            picture = draw(panel, home.root / "demo.png")
        except UsageError as error:
            return Demo(home, panel, None, str(error))
    return Demo(home, panel, picture)


def draw(panel: pa.Table, path: Path) -> Path:
    """Draw close, rolling net delta and large-trade share of a panel as one PNG file."""
    with needing_extras():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    price, delta, share = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2, 2]}
    )
    time = panel["time"].to_numpy()

    def values(name: str) -> object:
        return panel[name].to_numpy()

    price.plot(time, values("close"), color=BLACK, linewidth=0.9)
    price.set_ylabel("close (USDT)")
    price.set_title(f"{SYMBOL}, 1h bars, simulated data", loc="left", fontsize=11)
    net = values("net_delta_1d_m_usdt")
    delta.fill_between(time, net, 0, where=net > 0, color=BLUE, linewidth=0)  # type: ignore[operator]
    delta.fill_between(time, net, 0, where=net <= 0, color=ORANGE, linewidth=0)  # type: ignore[operator]
    delta.set_ylabel("net delta, 1 day\n(million USDT)")
    share.plot(time, values("large_trade_share_1d"), color=PURPLE, linewidth=0.9)
    share.set_ylabel("large-trade share\n(1 day mean)")
    for axes in (price, delta, share):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0)
    share.set_xlabel("time (UTC)")
    figure.savefig(path, dpi=110)
    return path


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
            " which must not be mixed with the demo's",
            next_step="run: warehouse demo --home demo",
        )
