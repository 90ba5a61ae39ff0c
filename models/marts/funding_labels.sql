{%- set max_age = var('funding_rate_max_age') -%}

with funding as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        funding_rate
    from {{ ref('stg_funding') }}
),

rates as (
    select
        series_id,
        known_at,
        funding_rate
    from funding
    where funding_rate is not null
),

periods as (
    select
        series_id,
        "time",
        next_period_hours * 3600000000 as period_us
    from {{ ref('int_settlement_periods') }}
),

ohlcv as (
    select
        series_id,
        "time",
        known_at,
        "close"
    from {{ ref('stg_ohlcv') }}
),

-- at most one ohlcv bar, next bar, rate and period per bar of funding
joined as (
    select
        funding.series_id,
        funding.exchange,
        funding.symbol,
        funding."interval",
        funding.clock,
        funding."time",
        funding.known_at,
        {{ change_bps('next_bar."close"', 'ohlcv."close"') }} as next_bar_return_bps,
        {{ asof_value('funding_rate', 'funding', 'rates', max_age, at='known_at') }}
            as funding_rate,
        epoch_us({{ bar_end('funding') }}) % periods.period_us = 0 as is_before_settlement,
        periods.period_us % (epoch_us({{ bar_end('funding') }}) - epoch_us(funding."time")) = 0
            as has_settlements
    from funding
    left join periods
        on funding.series_id = periods.series_id and funding."time" = periods."time"
    left join ohlcv
        on funding.series_id = ohlcv.series_id and funding."time" = ohlcv."time"
    left join ohlcv as next_bar
        on
            funding.series_id = next_bar.series_id
            and {{ bar_end('funding') }} = next_bar."time"
    {{ asof_join('funding', 'rates', 'rates', at='known_at') }}
),

legs as (
    select
        *,
        case
            when has_settlements
                then case when is_before_settlement then funding_rate * 1e4 else 0 end
        end as next_bar_funding_bps
    from joined
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
        next_bar_funding_bps,
        next_bar_return_bps - next_bar_funding_bps as next_bar_return_after_funding_bps
    from legs
)

select * from final
