with l1_price as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        {{ bps('ask_price - bid_price', 'midprice') }} as spread_bps
    from {{ ref('stg_l1_price') }}
),

ohlcv as (
    select
        series_id,
        "time",
        known_at,
        "close",
        volume_notional,
        {{ previous_bar('"close"') }} as previous_close
    from {{ ref('stg_ohlcv') }}
),

returned as (
    select
        *,
        {{ change_bps('"close"', 'previous_close') }} as return_bps
    from ohlcv
),

with_volatility as (
    select
        *,
        {{ rolling_std('return_bps', '1 hour') }}
        * sqrt({{ bars_in('1 hour') }}) as realized_vol_1h_bps
    from returned
    {{ windows('1 hour') }}
),

traded as (
    select
        *,
        {{ rolling_mean('realized_vol_1h_bps', '1 day') }} as rolling_realized_vol_1d_bps
    from with_volatility
    {{ windows('1 day') }}
),

flow as (
    select
        series_id,
        "time",
        taker_buy_count + taker_sell_count as trade_count,
        abs(flow_toxicity_score) as abs_toxicity
    from {{ ref('stg_flow') }}
),

impact as (
    select
        series_id,
        "time",
        impact_per_notional * 1e4 as impact_coef_bps_per_quote
    from {{ ref('stg_impact') }}
),

slippage as (
    select
        series_id,
        "time",
        slippage_bps_mean
    from {{ ref('stg_slippage') }}
),

l2_liquidity as (
    select
        series_id,
        "time",
        bid_agg_5 + ask_agg_5 as depth_5,
        bid_agg_10 + ask_agg_10 as depth_10,
        bid_agg_20 + ask_agg_20 as depth_20,
        bid_agg_25 + ask_agg_25 as depth_25
    from {{ ref('stg_l2_liquidity') }}
),

order_notionals as (
    select
        max(notional_quote) filter (where order_size = '10k') as notional_10k,
        max(notional_quote) filter (where order_size = '50k') as notional_50k,
        max(notional_quote) filter (where order_size = '100k') as notional_100k
    from {{ ref('order_notionals') }}
),

-- at most one row of each dataset per bar of l1_price: (series_id, time) is unique in all
measured as (
    select
        l1_price.*,
        0.5 * l1_price.spread_bps as half_spread_bps,
        traded."close",
        traded.realized_vol_1h_bps,
        traded.rolling_realized_vol_1d_bps,
        impact.impact_coef_bps_per_quote,
        slippage.slippage_bps_mean,
        flow.abs_toxicity,
        {{ ratio('traded.volume_notional', 'flow.trade_count') }} as avg_trade_notional,
        l2_liquidity.depth_5,
        l2_liquidity.depth_10,
        l2_liquidity.depth_20,
        l2_liquidity.depth_25,
        l2_liquidity.depth_20 * traded."close" as dollar_depth_20
    from l1_price
    left join traded
        on l1_price.series_id = traded.series_id and l1_price."time" = traded."time"
    left join flow
        on l1_price.series_id = flow.series_id and l1_price."time" = flow."time"
    left join impact
        on l1_price.series_id = impact.series_id and l1_price."time" = impact."time"
    left join slippage
        on l1_price.series_id = slippage.series_id and l1_price."time" = slippage."time"
    left join l2_liquidity
        on l1_price.series_id = l2_liquidity.series_id and l1_price."time" = l2_liquidity."time"
),

windowed as (
    select
        *,
        {{ rolling_mean('spread_bps', '1 day') }} as rolling_spread_bps_1d,
        {{ rolling_count('spread_bps', '1 day') }} as bars_1d,
        {{ rolling_percentile('spread_bps', '7 days', min_coverage=0.25) }} as spread_rank_7d,
        {{ rolling_percentile('depth_20', '7 days', min_coverage=0.25) }} as depth_rank_7d,
        {{ rolling_percentile('impact_coef_bps_per_quote', '7 days', min_coverage=0.25) }}
            as impact_rank_7d,
        {{ rolling_percentile('abs_toxicity', '7 days', min_coverage=0.25) }} as toxicity_rank_7d,
        {{ rolling_count('spread_bps', '7 days') }} as bars_7d
    from {{ counted('measured', '1 day', '7 days') }}
    {{ windows('1 day', '7 days', counted=true) }}
),

-- one row of order_notionals
final as (
    select
        windowed.series_id,
        windowed.exchange,
        windowed.symbol,
        windowed."interval",
        windowed.clock,
        windowed."time",
        windowed.known_at,
        windowed."close",
        windowed.spread_bps,
        windowed.half_spread_bps,
        windowed.impact_coef_bps_per_quote,
        {%- for size in ['10k', '50k', '100k'] %}
        windowed.half_spread_bps
        + windowed.impact_coef_bps_per_quote * order_notionals.notional_{{ size }}
            as expected_cost_{{ size }}_bps,
        {%- endfor %}
        windowed.slippage_bps_mean,
        abs(
            windowed.half_spread_bps
            + windowed.impact_coef_bps_per_quote * order_notionals.notional_50k
            - windowed.slippage_bps_mean
        ) as cost_error_50k_bps,
        case
            when windowed.slippage_bps_mean <= windowed.half_spread_bps then 0
            else
                (windowed.slippage_bps_mean - windowed.half_spread_bps)
                / order_notionals.notional_50k
        end as implied_coef_bps_per_quote,
        windowed.avg_trade_notional,
        windowed.realized_vol_1h_bps,
        windowed.rolling_spread_bps_1d,
        windowed.rolling_realized_vol_1d_bps,
        windowed.depth_5,
        windowed.depth_10,
        windowed.depth_20,
        windowed.depth_25,
        windowed.dollar_depth_20,
        windowed.abs_toxicity,
        windowed.spread_rank_7d,
        windowed.depth_rank_7d,
        windowed.impact_rank_7d,
        windowed.toxicity_rank_7d,
        {{ mean_of([
            '1 - windowed.spread_rank_7d',
            'windowed.depth_rank_7d',
            '1 - windowed.impact_rank_7d',
            '1 - windowed.toxicity_rank_7d',
        ]) }} as liquidity_score,
        windowed.bars_1d,
        windowed.bars_7d
    from windowed
    cross join order_notionals
)

select * from final
