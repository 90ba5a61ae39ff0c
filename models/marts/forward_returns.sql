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

-- one row per bar that either has: (series_id, time) is unique in both
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

-- what the last hours held: seen from a horizon earlier, what the next ones will hold
looked_back as (
    select
        *,
        {%- for name in risk_horizons %}
        {{ rolling_std('return_bps', horizons[name], min_coverage=0.25) }} as volatility_{{ name }}_bps,
        {{ rolling_min('"close"', horizons[name], min_bars=1) }} as lowest_close_{{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from priced
    {{ windows(horizons['1h'], horizons['6h'], horizons['1d']) }}
),

final as (
    select
        looked_back.series_id,
        looked_back.exchange,
        looked_back.symbol,
        looked_back."interval",
        looked_back.clock,
        looked_back."time",
        looked_back.known_at,
        {%- for price, label in [('"close"', ''), ('midprice', 'mid_')] %}
        {{ change_bps('next_bar.' ~ price, 'looked_back.' ~ price) }} as next_bar_{{ label }}return_bps,
        {%- for name in horizons if not (name == '6h' and price == 'midprice') %}
        {{ change_bps('in_' ~ name ~ '.' ~ price, 'looked_back.' ~ price) }} as next_{{ name }}_{{ label }}return_bps,
        {%- endfor %}
        {%- endfor %}
        {%- for name in risk_horizons %}
        in_{{ name }}.volatility_{{ name }}_bps as next_{{ name }}_volatility_bps,
        case
            when in_{{ name }}.lowest_close_{{ name }} >= nullif(looked_back."close", 0) then 0
            else {{ change_bps('in_' ~ name ~ '.lowest_close_' ~ name, 'looked_back."close"') }}
        end as next_{{ name }}_max_drawdown_bps
        {{- ',' if not loop.last }}
        {%- endfor %}
    from looked_back
    {{ join_at('looked_back', 'next_bar', 'next bar') }}
    {%- for name in horizons %}
    {{ join_at('looked_back', 'in_' ~ name, horizons[name]) }}
    {%- endfor %}
)

select * from final
