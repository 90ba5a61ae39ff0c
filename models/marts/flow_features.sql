with flow as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        taker_buy_volume,
        taker_sell_volume,
        taker_buy_sell_ratio,
        flow_toxicity_score,
        volume_delta as net_delta,
        volume_delta_notional / 1e6 as net_delta_notional_m,
        {{ ratio(
            'taker_buy_large_order_count + taker_sell_large_order_count',
            'taker_buy_count + taker_sell_count'
        ) }} as large_trade_share
    from {{ ref('stg_flow') }}
),

ohlcv as (
    select
        series_id,
        "time",
        "close"
    from {{ ref('stg_ohlcv') }}
),

-- at most one ohlcv bar per flow bar: (series_id, time) is unique in both
priced as (
    select
        flow.*,
        ohlcv."close"
    from flow
    left join ohlcv
        on flow.series_id = ohlcv.series_id and flow."time" = ohlcv."time"
),

final as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        "close",
        taker_buy_volume,
        taker_sell_volume,
        taker_buy_sell_ratio,
        net_delta,
        case
            when net_delta is not null
                then sum(net_delta) over (
                    partition by series_id order by "time"
                    rows between unbounded preceding and current row
                )
        end as cumulative_delta,
        net_delta_notional_m,
        {{ rolling_sum('net_delta_notional_m', '1 day') }} as rolling_net_delta_1d,
        {{ rolling_mean('taker_buy_sell_ratio', '1 day') }} as rolling_buy_sell_ratio_1d,
        flow_toxicity_score,
        coalesce(flow_toxicity_score, 0) as flow_toxicity_score_filled,
        large_trade_share,
        {{ rolling_mean('large_trade_share', '1 day') }} as large_trade_share_1d,
        {{ rolling_zscore('net_delta_notional_m', '1 day', of='abs(net_delta_notional_m)') }}
            as abs_delta_zscore_1d,
        {{ rolling_zscore('abs(net_delta_notional_m)', '1 day') }} as delta_size_zscore_1d,
        {{ rolling_count('net_delta_notional_m', '1 day') }} as bars_1d
    from priced
    {{ windows('1 day') }}
)

select * from final
