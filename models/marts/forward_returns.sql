{%- set horizons = {
    '15m': '15 minutes', '1h': '1 hour', '4h': '4 hours', '6h': '6 hours', '1d': '1 day'
} -%}
{%- set risk_horizons = ['1h', '6h', '1d'] -%}

with ohlcv as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        "close",
        {{ previous_bar('"close"') }} as previous_close
    from {{ ref('stg_ohlcv') }}
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
        midprice
    from {{ ref('stg_l1_price') }}
),

-- one row per bar of either: (series_id, time) is unique in both
priced as (
    select
        ohlcv."close",
        l1_price.midprice,
        coalesce(ohlcv.series_id, l1_price.series_id) as series_id,
        coalesce(ohlcv.exchange, l1_price.exchange) as exchange,
        coalesce(ohlcv.symbol, l1_price.symbol) as symbol,
        coalesce(ohlcv."interval", l1_price."interval") as "interval",
        coalesce(ohlcv.clock, l1_price.clock) as clock,
        coalesce(ohlcv."time", l1_price."time") as "time",
        coalesce(ohlcv.known_at, l1_price.known_at) as known_at,
        {{ change_bps('ohlcv."close"', 'ohlcv.previous_close') }} as return_bps
    from ohlcv
    full outer join l1_price
        on ohlcv.series_id = l1_price.series_id and ohlcv."time" = l1_price."time"
),

-- past values, which become future values of the rows one horizon earlier
looked_back as (
    select
        *,
        {{ rolling_std('return_bps', '1 hour', min_coverage=0.25) }} as volatility_1h_bps,
        {{ rolling_std('return_bps', '6 hours', min_coverage=0.25) }} as volatility_6h_bps,
        {{ rolling_std('return_bps', '1 day', min_coverage=0.25) }} as volatility_1d_bps,
        {{ rolling_min('"close"', '1 hour', min_bars=1) }} as lowest_close_1h,
        {{ rolling_min('"close"', '6 hours', min_bars=1) }} as lowest_close_6h,
        {{ rolling_min('"close"', '1 day', min_bars=1) }} as lowest_close_1d
    from {{ counted('priced', '1 hour', '6 hours', '1 day') }}
    {{ windows('1 hour', '6 hours', '1 day', counted=true) }}
),

-- at most one row of each joined relation per bar
looked_ahead as (
    select
        looked_back.series_id,
        looked_back.exchange,
        looked_back.symbol,
        looked_back."interval",
        looked_back.clock,
        looked_back."time",
        looked_back.known_at,
        {{ change_bps('next_bar."close"', 'looked_back."close"') }} as next_bar_return_bps,
        {%- for name in horizons %}
        {{ change_bps('in_' ~ name ~ '."close"', 'looked_back."close"') }}
            as next_{{ name }}_return_bps,
        {%- endfor %}
        {{ change_bps('next_bar.midprice', 'looked_back.midprice') }} as next_bar_mid_return_bps,
        {%- for name in horizons if name != '6h' %}
        {{ change_bps('in_' ~ name ~ '.midprice', 'looked_back.midprice') }}
            as next_{{ name }}_mid_return_bps,
        {%- endfor %}
        {%- for name in risk_horizons %}
        {{ change_bps('in_' ~ name ~ '.lowest_close_' ~ name, 'looked_back."close"') }}
            as next_{{ name }}_low_bps,
        {%- endfor %}
        in_1h.volatility_1h_bps as next_1h_volatility_bps,
        in_6h.volatility_6h_bps as next_6h_volatility_bps,
        in_1d.volatility_1d_bps as next_1d_volatility_bps
    from looked_back
    {{ join_at('looked_back', 'next_bar', 'next bar') }}
    {%- for name in horizons %}
    {{ join_at('looked_back', 'in_' ~ name, horizons[name]) }}
    {%- endfor %}
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
        next_bar_return_bps,
        {%- for name in horizons %}
        next_{{ name }}_return_bps,
        {%- endfor %}
        next_bar_mid_return_bps,
        {%- for name in horizons if name != '6h' %}
        next_{{ name }}_mid_return_bps,
        {%- endfor %}
        next_1h_volatility_bps,
        next_6h_volatility_bps,
        next_1d_volatility_bps,
        case when next_1h_low_bps > 0 then 0 else next_1h_low_bps end as next_1h_max_drawdown_bps,
        case when next_6h_low_bps > 0 then 0 else next_6h_low_bps end as next_6h_max_drawdown_bps,
        case when next_1d_low_bps > 0 then 0 else next_1d_low_bps end as next_1d_max_drawdown_bps
    from looked_ahead
)

select * from final
