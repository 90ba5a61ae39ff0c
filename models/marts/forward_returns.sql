{%- set horizons = ['15 minutes', '1 hour', '4 hours', '1 day'] -%}
{%- set names = {'15 minutes': '15m', '1 hour': '1h', '4 hours': '4h', '1 day': '1d'} -%}

with ohlcv as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        "close"
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
        coalesce(ohlcv.known_at, l1_price.known_at) as known_at
    from ohlcv
    full outer join l1_price
        on ohlcv.series_id = l1_price.series_id and ohlcv."time" = l1_price."time"
),

final as (
    select
        priced.series_id,
        priced.exchange,
        priced.symbol,
        priced."interval",
        priced.clock,
        priced."time",
        priced.known_at,
        {%- for price, label in [('close', ''), ('midprice', 'mid_')] %}
        {{ change_bps('next_bar."' ~ price ~ '"', 'priced."' ~ price ~ '"') }}
            as next_bar_{{ label }}return_bps,
        {%- for horizon in horizons %}
        {%- set name = names[horizon] %}
        {{ change_bps('in_' ~ name ~ '."' ~ price ~ '"', 'priced."' ~ price ~ '"') }}
            as next_{{ name }}_{{ label }}return_bps
        {{- ',' if not (loop.last and price == 'midprice') }}
        {%- endfor %}
        {%- endfor %}
    from priced
    {{ join_at('priced', 'next_bar', 'next bar') }}
    {%- for horizon in horizons %}
    {{ join_at('priced', 'in_' ~ names[horizon], horizon) }}
    {%- endfor %}
)

select * from final
