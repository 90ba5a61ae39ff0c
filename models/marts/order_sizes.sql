{%- set sizes = ['small', 'medium', 'large'] -%}

with flow as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        {%- for size in sizes %}
        taker_buy_{{ size }}_order_volume as buy_{{ size }}_notional,
        taker_sell_{{ size }}_order_volume as sell_{{ size }}_notional,
        taker_buy_{{ size }}_order_count + taker_sell_{{ size }}_order_count as {{ size }}_count,
        {%- endfor %}
        taker_buy_count + taker_sell_count as trade_count
    from {{ ref('stg_flow') }}
),

trade_size as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        {%- for size in sizes %}
        {{ size }}_order_volume as {{ size }}_notional,
        {{ size }}_order_count as {{ size }}_count,
        {%- endfor %}
        n_trades as trade_count
    from {{ ref('stg_trade_size') }}
),

-- one row per bar of either: (series_id, time) is unique in both
sized as (
    select
        coalesce(flow.series_id, trade_size.series_id) as series_id,
        coalesce(flow.exchange, trade_size.exchange) as exchange,
        coalesce(flow.symbol, trade_size.symbol) as symbol,
        coalesce(flow."interval", trade_size."interval") as "interval",
        coalesce(flow.clock, trade_size.clock) as clock,
        coalesce(flow."time", trade_size."time") as "time",
        coalesce(flow.known_at, trade_size.known_at) as known_at,
        {%- for size in sizes %}
        flow.buy_{{ size }}_notional,
        flow.sell_{{ size }}_notional,
        coalesce(
            trade_size.{{ size }}_notional,
            flow.buy_{{ size }}_notional + flow.sell_{{ size }}_notional
        ) as {{ size }}_notional,
        coalesce(trade_size.{{ size }}_count, flow.{{ size }}_count) as {{ size }}_count,
        {%- endfor %}
        coalesce(trade_size.trade_count, flow.trade_count) as trade_count
    from flow
    full outer join trade_size
        on flow.series_id = trade_size.series_id and flow."time" = trade_size."time"
),

summed as (
    select
        *,
        small_notional + medium_notional + large_notional as notional,
        buy_small_notional + buy_medium_notional + buy_large_notional as buy_notional,
        sell_small_notional + sell_medium_notional + sell_large_notional as sell_notional
    from sized
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
        {%- for size in sizes %}
        {{ size }}_notional,
        {%- endfor %}
        {%- for size in sizes %}
        {{ ratio(size ~ '_notional', 'notional') }} as {{ size }}_notional_share,
        {%- endfor %}
        {%- for size in sizes %}
        {{ ratio(size ~ '_count', 'trade_count') }} as {{ size }}_count_share,
        {%- endfor %}
        {{ ratio('buy_small_notional', 'buy_notional') }} as buy_small_notional_share,
        {{ ratio('buy_medium_notional', 'buy_notional') }} as buy_medium_notional_share,
        {{ ratio('buy_large_notional', 'buy_notional') }} as buy_large_notional_share,
        {{ ratio('sell_small_notional', 'sell_notional') }} as sell_small_notional_share,
        {{ ratio('sell_medium_notional', 'sell_notional') }} as sell_medium_notional_share,
        {{ ratio('sell_large_notional', 'sell_notional') }} as sell_large_notional_share
    from summed
)

select * from final
