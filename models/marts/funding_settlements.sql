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

schedules as (
    select
        series_id,
        "time",
        period_hours,
        schedule_source,
        pattern_period_hours,
        is_payment_seen
    from {{ ref('int_settlement_periods') }}
),

-- at most one schedule per bar; a bar that is longer than the period hides settlements, and one
-- that straddles them has none
settlements as (
    select
        funding.series_id,
        funding.exchange,
        funding.symbol,
        funding."interval",
        funding.clock,
        funding."time",
        funding.known_at,
        schedules.period_hours,
        schedules.schedule_source,
        schedules.pattern_period_hours
    from funding
    inner join schedules
        on funding.series_id = schedules.series_id and funding."time" = schedules."time"
    where
        (
            epoch_us(funding."time") % (schedules.period_hours * 3600000000) = 0
            and schedules.period_hours * 3600 % epoch({{ bar_end('funding') }} - funding."time") = 0
        )
        or (schedules.period_hours is null and schedules.is_payment_seen)
),

-- at most one rate: the last that was known when the settlement's bar began
settled as (
    select
        settlements.*,
        {{ asof_value('funding_rate', 'settlements', 'rates', max_age, at='time') }}
            as settled_rate,
        {{ asof_value('known_at', 'settlements', 'rates', max_age, at='time') }}
            as rate_known_at
    from settlements
    {{ asof_join('settlements', 'rates', 'rates', at='time') }}
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
        period_hours,
        schedule_source,
        pattern_period_hours,
        settled_rate,
        settled_rate * 1e4 as settled_rate_bps,
        epoch("time" - rate_known_at) as rate_age_s,
        settled_rate * (365 * 24 / period_hours) * 100 as annualized_pct,
        case
            when settled_rate is not null
                then -100 * sum(settled_rate) over (
                    partition by series_id order by "time"
                    rows between unbounded preceding and current row
                )
        end as cum_funding_unit_long_pct,
        case
            when settled_rate * 1e4 > {{ var('funding_regime_bps') }} then 'longs pay'
            when settled_rate * 1e4 < -{{ var('funding_regime_bps') }} then 'shorts pay'
            when settled_rate is not null then 'neutral'
        end as funding_regime,
        coalesce(
            lag("time") over (partition by series_id order by "time")
            = "time" - period_hours * interval '1 hour',
            false
        ) as follows_settlement
    from settled
)

select * from final
