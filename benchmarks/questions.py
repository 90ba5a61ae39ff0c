"""Twelve typical queries of the marts, and four of the vendor's own data.

They are meant for the market of :mod:`benchmarks.queries`: bars of 1h and 4h until the end of
February 2026. Names are unqualified where a native table can stand in for a mart.
"""

from __future__ import annotations

BITCOIN = "symbol = 'perpetual-BTC-USDT:USDT'"
HOURS = "\"interval\" = '1h'"

QUESTIONS = {
    "one day of one symbol": f"""
        select * from flow_features
        where {BITCOIN} and {HOURS} and "time" >= '2026-01-15' and "time" < '2026-01-16'
        order by "time"
    """,
    "one symbol, two years": f"""
        select "time", close, rolling_net_delta_1d, large_trade_share_1d, abs_delta_zscore_1d
        from flow_features where {BITCOIN} and {HOURS} order by "time"
    """,
    "last value per symbol": f"""
        select symbol, max("time") as "time", arg_max(close, "time") as close,
            arg_max(rolling_net_delta_1d, "time") as rolling_net_delta_1d
        from flow_features where {HOURS} and "time" >= '2026-02-01' group by symbol order by symbol
    """,
    "cross-section at an hour": f"""
        select symbol, close, abs_delta_zscore_1d, large_trade_share_1d,
            rank() over (order by abs_delta_zscore_1d desc) as place
        from flow_features where {HOURS} and "time" = '2026-01-15 12:00' order by place
    """,
    "seasonality by weekday and hour": f"""
        select isodow("time") as weekday, hour("time") as hour,
            avg(taker_buy_sell_ratio) as ratio, median(net_delta_notional_m) as net_delta
        from flow_features where {HOURS} group by all order by all
    """,
    "top movers of a day": f"""
        select symbol, last(close order by "time") / first(close order by "time") - 1 as change
        from flow_features
        where {HOURS} and "time" >= '2026-02-27' and "time" < '2026-02-28'
        group by symbol order by abs(change) desc limit 10
    """,
    "feature against forward return": f"""
        select symbol, corr(abs_delta_zscore_1d, next_1h_return_bps) as correlation,
            count(*) as bars
        from flow_features join forward_returns using (series_id, symbol, "interval", "time")
        where {HOURS} group by symbol order by correlation desc
    """,
    "quintiles of a feature": f"""
        select quintile, avg(next_1h_return_bps) as mean_bps, count(*) as bars
        from (
            select ntile(5) over (order by flow.large_trade_share_1d) as quintile,
                returns.next_1h_return_bps
            from flow_features as flow
            join forward_returns as returns using (series_id, "time")
            where flow.{BITCOIN} and flow.{HOURS} and flow.large_trade_share_1d is not null
        )
        group by quintile order by quintile
    """,
    "as-of join, 1h with 4h": f"""
        select flow."time", flow.net_delta, slow.spread_bps
        from (from flow_features where {BITCOIN} and {HOURS}) as flow
        asof left join (from l1_features where {BITCOIN} and "interval" = '4h') as slow
            on slow.known_at <= flow.known_at
        order by flow."time"
    """,
    "flow beside the book, a quarter": f"""
        select flow."time", flow.close, flow.net_delta, flow.large_trade_share_1d,
            book.spread_bps, book.realized_vol_1d_bps
        from flow_features as flow join l1_features as book using (series_id, "time")
        where flow.{BITCOIN} and flow.{HOURS}
            and flow."time" >= '2025-10-01' and flow."time" < '2026-01-01'
        order by flow."time"
    """,
    "sums per symbol and month": f"""
        select symbol, date_trunc('month', "time") as month, sum(net_delta_notional_m) as net_delta,
            avg(large_trade_share) as large_trade_share, max(close) as highest
        from flow_features where {HOURS} group by all order by all
    """,
    "unusual hours in the whole sample": f"""
        select "time", symbol, abs_delta_zscore_1d from flow_features
        where {HOURS} and abs_delta_zscore_1d > 4 order by abs_delta_zscore_1d desc limit 100
    """,
}

OF_VENDOR = {
    "vendor: one day of one symbol": f"""
        select * from vendor.flow
        where {BITCOIN} and {HOURS} and "time" >= '2026-01-15' and "time" < '2026-01-16'
        order by "time"
    """,
    "vendor: one symbol, two years": f"""
        select "time", taker_buy_volume, taker_sell_volume, flow_toxicity_score
        from vendor.flow where {BITCOIN} and {HOURS} order by "time"
    """,
    "vendor: cross-section at an hour": f"""
        select symbol, close, volume from vendor.ohlcv
        where {HOURS} and "time" = '2026-01-15 12:00' order by symbol
    """,
    "vendor: sums per symbol": f"""
        select symbol, sum(volume_delta_notional) as net_delta from vendor.flow
        where {HOURS} group by symbol order by symbol
    """,
}

PLANNED = {
    "flow_features, all": "select * from flow_features",
    "flow_features, one symbol": f"select * from flow_features where {BITCOIN} and {HOURS}",
    "flow_features with labels": """
        select * from flow_features join forward_returns using (series_id, "time")
    """,
    "vendor.flow, all": "select * from vendor.flow",
    "vendor.flow, one symbol": f"select * from vendor.flow where {BITCOIN} and {HOURS}",
    "vendor.flow with vendor.ohlcv": f"""
        select * from vendor.flow as flow join vendor.ohlcv as price using (series_id, "time")
        where flow.{BITCOIN} and flow.{HOURS}
    """,
}
