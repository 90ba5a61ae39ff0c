"""A small home to query: two series with a gap, a refused file, and marts without dbt."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb
import numpy as np

from tests.support import bar_table, file_key, grid, write_file
from warehouse.build.catalog import prepare_catalog
from warehouse.config import load_settings
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder

ETH = "perpetual-ETH-USDT:USDT"
MISSING = (24, 30)
"""Hours after 2025-09-01 that the flow of BTC lacks: from, until."""

VIEWS = """
create schema staging;
create view staging.stg_flow as select * from warehouse.vendor.flow;
create view staging.stg_ohlcv as select * from warehouse.vendor.ohlcv;
create view main.mart as
    with flow as (
        select series_id, exchange, symbol, "interval", clock, "time", known_at,
            volume_delta as net_delta
        from "warehouse"."staging"."stg_flow"
    )
    select flow.*, ohlcv.close, avg(net_delta) over day as mean_delta
    from flow
    left join warehouse.staging.stg_ohlcv as ohlcv
        on flow.series_id = ohlcv.series_id and flow."time" = ohlcv."time"
    window day as (partition by flow.series_id order by flow."time");
comment on column main.mart.net_delta is 'Bought minus sold. [base]';
comment on column main.mart.close is 'Last price. [quote/base]';
create view "user".mine as select time, close * 2 as twice from main.mart;
create macro main.span(a, b) as table select * from main.mart where "time" >= a and "time" < b;
create macro main.rows_of(name) as table select * from query_table(name);
"""


def write_month(folder: Path, dataset: str, symbol: str, month: int, **columns: object) -> None:
    """A month of hourly bars of 2025, without the missing ones where BTC's flow lacks them."""
    first, after = date(2025, month, 1), date(2025, month + 1, 1)
    starts = grid(first, (after - first).days * 24)
    if (dataset, month) == ("flow", 9) and symbol != ETH:
        starts = np.delete(starts, range(*MISSING))
    key = file_key(dataset, f"2025-{month:02}", symbol=symbol)
    write_file(folder, key, bar_table(dataset, starts, **columns))


def publish_without_dbt(root: Path, generation: int = 1) -> None:
    """Make the build file, with a few views as marts, the catalog."""
    home = Home(root)
    prepare_catalog(load_settings(root), generation=generation)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{home.build_catalog}' as warehouse")
        connection.execute("use warehouse")
        connection.execute(VIEWS)
        stored = min(home.objects.glob("*.parquet"))
        connection.execute(f"create view main.stored as from read_parquet(['{stored}'])")
    home.catalog.unlink(missing_ok=True)
    shutil.copy(home.build_catalog, home.catalog)


def write_small_home(root: Path, *, symbols: tuple[str, ...]) -> Path:
    """September and October 2025, hourly: flow and ohlcv; the ohlcv of November was refused."""
    files = root.with_name(f"{root.name}-files")
    for symbol in symbols:
        for month in (9, 10):
            for dataset in ("flow", "ohlcv"):
                write_month(files, dataset, symbol, month)
    broken = files / file_key("ohlcv", "2025-11", symbol=symbols[0]).path
    broken.write_bytes(b"no parquet")
    sync_folder(Home(root), files)
    publish_without_dbt(root)
    return root
