with l1_price as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        bid_price,
        ask_price,
        bid_amount,
        ask_amount,
        midprice,
        weighted_midprice,
        quote_update_frequency,
        {{ previous_bar('midprice') }} as previous_midprice
    from {{ ref('stg_l1_price') }}
),

measured as (
    select
        *,
        ask_price - bid_price as spread,
        {{ bps('ask_price - bid_price', 'midprice') }} as spread_bps,
        {{ bps('weighted_midprice - midprice', 'midprice') }} as weighted_mid_premium_bps,
        {{ ratio('bid_amount - ask_amount', 'bid_amount + ask_amount') }} as depth_imbalance,
        {{ change_bps('midprice', 'previous_midprice') }} as mid_return_bps
    from l1_price
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
        bid_price,
        ask_price,
        bid_amount,
        ask_amount,
        midprice,
        weighted_midprice,
        spread,
        spread_bps,
        weighted_mid_premium_bps,
        depth_imbalance,
        {{ rolling_mean('spread_bps', '1 day') }} as rolling_spread_bps_1d,
        {{ rolling_mean('quote_update_frequency', '1 day') }} as rolling_quote_updates_1d,
        mid_return_bps,
        {{ rolling_std('mid_return_bps', '1 day') }}
        * sqrt({{ bars_in('1 day') }}) as realized_vol_1d_bps,
        {{ rolling_count('spread_bps', '1 day') }} as bars_1d
    from measured
    {{ windows('1 day') }}
)

select * from final
