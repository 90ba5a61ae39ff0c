with funding as (
    select
        series_id,
        exchange,
        symbol,
        "time",
        known_at,
        funding_rate,
        funding_rate_update_frequency
    from {{ ref('stg_funding') }}
),

schedules as (
    select
        exchange,
        symbol,
        period_hours
    from {{ ref('funding_schedules') }}
),

declared as (
    select
        exchange,
        symbol,
        period_hours,
        since,
        "until"
    from {{ source('meta', 'funding_declared') }}
),

series as (
    select distinct
        series_id,
        exchange,
        symbol
    from funding
),

-- at most one schedule of the venue and one of the symbol, because the seed has each once
seeded as (
    select
        series.series_id,
        coalesce(of_symbol.period_hours, of_venue.period_hours) as period_hours
    from series
    left join schedules as of_venue
        on series.exchange = of_venue.exchange and of_venue.symbol is null
    left join schedules as of_symbol
        on series.exchange = of_symbol.exchange and series.symbol = of_symbol.symbol
),

-- NULL if one of the two bars is missing or has no rate
compared as (
    select
        funding.series_id,
        funding."time",
        funding.known_at,
        funding.funding_rate_update_frequency,
        epoch_us({{ bar_end('funding') }}) - epoch_us(funding."time") as bar_us,
        case
            when
                lag({{ bar_end('funding') }}) over (
                    partition by funding.series_id order by funding."time"
                ) = funding."time"
                then
                    funding.funding_rate <> lag(funding.funding_rate) over (
                        partition by funding.series_id order by funding."time"
                    )
        end as is_change
    from funding
),

-- for how long the rate has certainly been constant before each bar; whether a change began that
held as (
    select
        *,
        epoch_us("time")
        - epoch_us(max("time") filter (where is_change is not false) over earlier) as held_us,
        max("time") filter (where is_change) over earlier
        = max("time") filter (where is_change is not false) over earlier as is_held_since_change
    from compared
    window earlier as (
        partition by series_id order by "time"
        rows between unbounded preceding and 1 preceding
    )
),

marked as (
    select
        *,
        (is_change and epoch_us("time") % 3600000000 <> 0)
        or funding_rate_update_frequency * bar_us > 1.5e6 as is_moving,
        case
            when is_change and is_held_since_change and held_us <= 86400000000 then held_us
        end as gap_us
    from held
),

-- the shorter of the last two distances between changes
recent as (
    select
        series_id,
        "time",
        lag("time", 2) over (partition by series_id order by "time") as third_last_change_at,
        case
            when
                "time" - lag("time") over (partition by series_id order by "time")
                <= interval '1 day'
                then least(gap_us, lag(gap_us) over (partition by series_id order by "time"))
            else gap_us
        end as recent_gap_us
    from marked
    where is_change
),

moved as (
    select
        *,
        max("time") filter (where is_moving) over (
            partition by series_id order by "time"
            rows between unbounded preceding and current row
        ) as moved_at
    from marked
),

-- bars without a change of the rate in the week before cannot have a pattern
steady as (
    select *
    from moved
    where is_moving is not true
),

-- what the last week shows, up to and with the bar; at most one change per bar
evidence as (
    select
        steady.series_id,
        steady."time",
        steady.bar_us,
        steady.is_change,
        steady.held_us,
        steady."time" - interval '7 days' as week_began,
        steady.moved_at,
        max(steady."time") filter (where steady.is_change) over so_far as changed_at,
        max(recent.third_last_change_at) over so_far as third_last_change_at,
        min(steady.gap_us) over last_week as least_gap_us,
        {{ last_known('recent.recent_gap_us', 'steady."time"') }} over last_week as recent_gap_us,
        max(steady."time") filter (
            where steady.is_change and epoch_us(steady."time") % 28800000000 <> 0
        ) over so_far as changed_off_8h_at,
        max(steady."time") filter (
            where steady.is_change and epoch_us(steady."time") % 14400000000 <> 0
        ) over so_far as changed_off_4h_at,
        max(steady."time") filter (
            where steady.is_change and epoch_us(steady."time") % 7200000000 <> 0
        ) over so_far as changed_off_2h_at
    from steady
    left join recent
        on steady.series_id = recent.series_id and steady."time" = recent."time"
    window
        last_week as (
            partition by steady.series_id order by steady."time"
            range between interval '7 days' preceding and current row
        ),
        so_far as (
            partition by steady.series_id order by steady."time"
            rows between unbounded preceding and current row
        )
),

longest as (
    select
        *,
        case
            when changed_off_2h_at >= week_began then 1
            when changed_off_4h_at >= week_began then 2
            when changed_off_8h_at >= week_began then 4
            when changed_at >= week_began then 8
        end as fitting_hours
    from evidence
    where moved_at is null or moved_at < week_began
),

-- a period is certain if changes are as close as it allows, recently too
inferred as (
    select
        series_id,
        "time",
        case
            when
                least_gap_us = fitting_hours * 3600000000
                and recent_gap_us = fitting_hours * 3600000000
                and (fitting_hours < 8 or third_last_change_at >= week_began)
                then fitting_hours
        end as period_hours,
        coalesce(is_change and held_us >= fitting_hours * 3600000000, false) as is_payment_seen
    from longest
    where bar_us < fitting_hours * 3600000000
),

-- a payment belongs to the span that it ends; spans of a symbol do not overlap
final as (
    select
        funding.series_id,
        funding."time",
        inferred.period_hours as pattern_period_hours,
        coalesce(declared.period_hours, seeded.period_hours, inferred.period_hours)
            as period_hours,
        coalesce(declared_next.period_hours, seeded.period_hours, inferred.period_hours)
            as next_period_hours,
        case
            when declared.period_hours is not null then 'home'
            when seeded.period_hours is not null then 'seed'
            when inferred.period_hours is not null then 'pattern'
        end as schedule_source,
        coalesce(inferred.is_payment_seen and declared.period_hours is null, false)
            as is_payment_seen
    from funding
    inner join seeded
        on funding.series_id = seeded.series_id
    left join inferred
        on funding.series_id = inferred.series_id and funding."time" = inferred."time"
    left join declared
        on
            funding.exchange = declared.exchange
            and funding.symbol = declared.symbol
            and funding."time" > declared.since
            and funding."time" <= declared."until"
    left join declared as declared_next
        on
            funding.exchange = declared_next.exchange
            and funding.symbol = declared_next.symbol
            and {{ bar_end('funding') }} > declared_next.since
            and {{ bar_end('funding') }} <= declared_next."until"
)

select * from final
