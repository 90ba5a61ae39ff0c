{%- set max_age = var('book_max_age') -%}

with quotes as (
    select
        series_id,
        "time",
        known_at,
        {{ change_bps('midprice', previous_bar('midprice')) }} as mid_return_bps
    from {{ ref('stg_l1_price') }}
),

volatility as (
    select
        *,
        {{ rolling_std('mid_return_bps', '1 day') }}
        * sqrt({{ bars_in('1 day') }}) as realized_vol_1d_bps
    from quotes
    {{ windows('1 day') }}
),

-- the only windows that need bars of 31 days
regime as (
    select
        series_id,
        "time",
        mid_return_bps,
        realized_vol_1d_bps,
        {{ rolling_percentile('realized_vol_1d_bps', '30 days', min_coverage=0.25) }}
            as realized_vol_rank_30d,
        {{ rolling_count('realized_vol_1d_bps', '30 days') }} as bars_30d
    from {{ counted('volatility', '30 days') }}
    {{ windows('30 days', counted=true) }}
),

l1_price as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        bid_amount + ask_amount as top_amount,
        {{ bps('ask_price - bid_price', 'midprice') }} as spread_bps,
        {{ bps('ask_price_twap - bid_price_twap', 'midprice') }} as mean_spread_bps,
        {{ ratio('bid_amount - ask_amount', 'bid_amount + ask_amount') }} as lean_top,
        quote_update_frequency * epoch({{ bar_end() }} - "time") as quote_updates
    from {{ ref('stg_l1_price') }}
    where {{ within_reach('8 days') }}
),

flow as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        volume_delta_notional / 1e6 as net_delta_notional_m,
        {{ ratio(
            'taker_buy_medium_order_volume',
            'taker_buy_small_order_volume + taker_buy_medium_order_volume'
            ~ ' + taker_buy_large_order_volume'
        ) }} as buy_medium_notional_share,
        {{ ratio(
            'taker_sell_medium_order_volume',
            'taker_sell_small_order_volume + taker_sell_medium_order_volume'
            ~ ' + taker_sell_large_order_volume'
        ) }} as sell_medium_notional_share
    from {{ ref('stg_flow') }}
    where {{ within_reach('8 days') }}
),

impact as (
    select
        series_id,
        "time",
        kyle_like_lambda,
        amihud_like
    from {{ ref('stg_impact') }}
),

derivatives as (
    select
        series_id,
        "time",
        crowding_z
    from {{ ref('derivative_features') }}
),

-- the vendor serves it under the clock exchange only
books as (
    select
        exchange,
        symbol,
        "interval",
        known_at,
        bid_agg_5 + ask_agg_5 as depth_5,
        bid_agg_25 + ask_agg_25 as depth_25,
        {{ ratio('bid_agg_5 - ask_agg_5', 'bid_agg_5 + ask_agg_5') }} as lean_5,
        {{ ratio('bid_agg_25 - ask_agg_25', 'bid_agg_25 + ask_agg_25') }} as lean_25
    from {{ ref('stg_l2_liquidity') }}
    where clock = 'exchange'
),

-- one row per bar of either: (series_id, time) is unique in both
paired as (
    select
        l1_price.top_amount,
        l1_price.spread_bps,
        l1_price.mean_spread_bps,
        l1_price.lean_top,
        l1_price.quote_updates,
        flow.net_delta_notional_m,
        flow.buy_medium_notional_share,
        flow.sell_medium_notional_share,
        coalesce(l1_price.series_id, flow.series_id) as series_id,
        coalesce(l1_price.exchange, flow.exchange) as exchange,
        coalesce(l1_price.symbol, flow.symbol) as symbol,
        coalesce(l1_price."interval", flow."interval") as "interval",
        coalesce(l1_price.clock, flow.clock) as clock,
        coalesce(l1_price."time", flow."time") as "time",
        coalesce(l1_price.known_at, flow.known_at) as known_at
    from l1_price
    full outer join flow
        on l1_price.series_id = flow.series_id and l1_price."time" = flow."time"
),

-- at most one row of each joined relation per bar
joined as (
    select
        paired.*,
        regime.realized_vol_1d_bps,
        regime.realized_vol_rank_30d,
        regime.bars_30d,
        -{{ ratio('abs(regime.mid_return_bps)', 'paired.quote_updates') }} as stillness_bps,
        impact.kyle_like_lambda,
        impact.amihud_like,
        derivatives.crowding_z,
        {{ asof_value('depth_5', 'paired', 'books', max_age) }} as depth_5,
        {{ asof_value('depth_25', 'paired', 'books', max_age) }} as depth_25,
        {{ asof_value('lean_5', 'paired', 'books', max_age) }} as lean_5,
        {{ asof_value('lean_25', 'paired', 'books', max_age) }} as lean_25,
        {{ asof_value('known_at', 'paired', 'books', max_age) }} as book_known_at
    from paired
    left join regime
        on paired.series_id = regime.series_id and paired."time" = regime."time"
    left join impact
        on paired.series_id = impact.series_id and paired."time" = impact."time"
    left join derivatives
        on paired.series_id = derivatives.series_id and paired."time" = derivatives."time"
    {{ asof_join('paired', 'books', 'books', by=['exchange', 'symbol', '"interval"']) }}
),

sized as (
    select
        *,
        {{ ratio('top_amount', 'depth_5') }} as top_share_5,
        {{ ratio('top_amount', 'depth_25') }} as top_share_25
    from joined
),

-- joined again below, because the sorts of windows carry all columns of their rows
ranked as (
    select
        series_id,
        "time",
        {{ rolling_std('spread_bps', '1 day') }} as spread_deviation_bps,
        {{ rolling_mean('spread_bps', '1 day') }} as rolling_spread_bps_1d,
        {{ rolling_zscore('net_delta_notional_m', '1 day') }} as net_delta_zscore_1d,
        {{ rolling_percentile('spread_bps', '7 days', min_coverage=0.25) }} as spread_rank_7d,
        {{ rolling_percentile('top_share_25', '7 days', min_coverage=0.25) }}
            as top_share_rank_7d,
        {{ rolling_percentile('kyle_like_lambda', '7 days', min_coverage=0.25) }}
            as kyle_rank_7d,
        {{ rolling_percentile('amihud_like', '7 days', min_coverage=0.25) }} as amihud_rank_7d,
        {{ rolling_percentile('stillness_bps', '7 days', min_coverage=0.25) }}
            as quote_updates_rank_7d,
        {{ rolling_count('spread_bps', '7 days') }} as bars_7d
    from {{ counted('sized', '1 day', '7 days') }}
    {{ windows('1 day', '7 days', counted=true) }}
),

measured as (
    select
        sized.*,
        ranked.spread_deviation_bps,
        ranked.rolling_spread_bps_1d,
        ranked.net_delta_zscore_1d,
        ranked.spread_rank_7d,
        ranked.top_share_rank_7d,
        ranked.kyle_rank_7d,
        ranked.amihud_rank_7d,
        ranked.quote_updates_rank_7d,
        ranked.bars_7d
    from sized
    inner join ranked
        on sized.series_id = ranked.series_id and sized."time" = ranked."time"
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
        realized_vol_1d_bps,
        realized_vol_rank_30d,
        spread_bps,
        mean_spread_bps,
        spread_rank_7d,
        case
            when rolling_spread_bps_1d > 1e-9 * spread_deviation_bps
                then spread_deviation_bps / rolling_spread_bps_1d
        end as spread_instability_1d,
        top_share_5,
        top_share_25,
        top_share_rank_7d,
        lean_top,
        lean_5,
        lean_25,
        lean_top - lean_25 as lean_divergence,
        lean_top * lean_25 < 0 as leans_oppose,
        net_delta_zscore_1d,
        buy_medium_notional_share,
        sell_medium_notional_share,
        kyle_rank_7d,
        amihud_rank_7d,
        amihud_rank_7d - kyle_rank_7d as impact_divergence,
        {{ ratio('-1', 'stillness_bps') }} as quote_updates_per_bp,
        quote_updates_rank_7d,
        crowding_z,
        epoch(known_at - book_known_at) as book_age_s,
        bars_7d,
        bars_30d
    from measured
)

select * from final
