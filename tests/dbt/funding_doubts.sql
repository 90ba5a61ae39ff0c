{#- Missing or doubtful schedules, each with what a user can do about it. -#}
{{ config(severity='warn') }}

with unsure as (
    select
        exchange,
        symbol,
        0 as period_hours,
        null::timestamp as since,
        'no sure schedule over more than two days: payments there are NULL or have no row' as doubt
    from {{ ref('funding_labels') }}
    where known_at - "time" < interval '8 hours'
    group by exchange, symbol, "interval", clock
    having
        sum(epoch(known_at - "time")) filter (where next_bar_funding_bps is null) > 2 * 86400
        or count(next_bar_funding_bps) = 0
),

settlements as (
    select
        series_id,
        exchange,
        symbol,
        "time",
        period_hours,
        period_hours as declared_hours,
        schedule_source,
        pattern_period_hours,
        settled_rate <> lead(settled_rate) over (
            partition by series_id order by "time"
        ) as is_change,
        min(coalesce(period_hours, 0)) over last_days
        = max(coalesce(period_hours, 0)) over last_days as is_settled
    from {{ ref('funding_settlements') }}
    window last_days as (
        partition by series_id order by "time"
        range between interval '8 days' preceding and current row
    )
),

-- the pattern needs up to 8 days after a switch
contradicted as (
    select
        exchange,
        symbol,
        null::integer as period_hours,
        null::timestamp as since,
        case when schedule_source = 'home' then 'declared as ' else 'the seed has ' end
        || declared_hours || ' h, but the rates changed as every '
        || pattern_period_hours || ' h between ' || strftime(min("time"), '%Y-%m-%d %H:%M')
        || ' and ' || strftime(max("time"), '%Y-%m-%d %H:%M')
        || ' UTC: '
        || case
            when schedule_source = 'home' then 'correct its hours or from'
            else 'declare it in warehouse.toml, which takes precedence over the seed'
        end as doubt
    from settlements
    where
        schedule_source in ('home', 'seed')
        and pattern_period_hours <> declared_hours
        and is_settled
    group by
        exchange, symbol, series_id, schedule_source, declared_hours, pattern_period_hours
    having sum(declared_hours) > 48
),

by_pattern as (
    select
        *,
        lag(period_hours) over (partition by series_id order by "time") as period_hours_before
    from settlements
    where schedule_source = 'pattern'
),

switches as (
    select *
    from by_pattern
    where period_hours > period_hours_before
),

-- a switch to a longer period begins after the last change that only the shorter one explains
lengthened as (
    select
        switches.exchange,
        switches.symbol,
        switches.period_hours,
        max(earlier."time") as since,
        'the pattern of the rates went from ' || switches.period_hours_before || ' h to '
        || switches.period_hours || ' h before ' || strftime(switches."time", '%Y-%m-%d %H:%M')
        || ' UTC: marks of ' || switches.period_hours_before
        || ' h after the switch may be counted as payments until it is declared' as doubt
    from switches
    inner join settlements as earlier
        on switches.series_id = earlier.series_id and switches."time" > earlier."time"
    where
        earlier.is_change
        and epoch_us(earlier."time") % (switches.period_hours * 3600000000) <> 0
    group by
        switches.exchange, switches.symbol, switches.series_id, switches."time",
        switches.period_hours, switches.period_hours_before
),

-- payment times that the venue announced, if the lake has raw files with them
announced as (
    select
        exchange,
        symbol,
        next_funding_time::timestamp as "time",
        lag(next_funding_time::timestamp) over (
            partition by exchange, symbol order by next_funding_time
        ) as since
    from {{ source('vendor', 'raw_funding_rate') }}
    where next_funding_time is not null
    group by exchange, symbol, next_funding_time
),

announced_periods as (
    select
        *,
        (epoch("time" - since) / 3600)::integer as period_hours
    from announced
    where epoch("time" - since) in (3600, 7200, 10800, 14400, 21600, 28800, 43200, 86400)
),

-- a distance that occurred three times is not a gap between files; at most one bar of a series at
-- each
announced_otherwise as (
    select
        announced_periods.exchange,
        announced_periods.symbol,
        announced_periods.period_hours,
        min(announced_periods.since) as since,
        'the venue announced payments every ' || announced_periods.period_hours || ' h from '
        || strftime(min(announced_periods.since), '%Y-%m-%d %H:%M') || ' to '
        || strftime(max(announced_periods."time"), '%Y-%m-%d %H:%M')
        || ' UTC (next_funding_time of vendor.raw_funding_rate), but '
        || coalesce('every ' || min(settlements.period_hours) || ' h is used', 'none are used')
        || ': declare it' as doubt
    from announced_periods
    inner join {{ ref('funding_labels') }} as bars
        on
            announced_periods.exchange = bars.exchange
            and announced_periods.symbol = bars.symbol
            and announced_periods."time" = bars."time"
    left join settlements
        on bars.series_id = settlements.series_id and bars."time" = settlements."time"
    where
        bars.known_at - bars."time" <= announced_periods.period_hours * interval '1 hour'
        and settlements.period_hours is distinct from announced_periods.period_hours
    group by
        announced_periods.exchange,
        announced_periods.symbol,
        announced_periods.period_hours,
        bars.series_id
    having count(*) >= 3
),

without_data as (
    select distinct
        exchange,
        symbol,
        null::integer as period_hours,
        null::timestamp as since,
        'declared, but there is no funding of it here: check the spelling' as doubt
    from {{ source('meta', 'funding_declared') }} as declared
    where not exists (
        select 1
        from {{ ref('funding_labels') }} as held
        where declared.exchange = held.exchange and declared.symbol = held.symbol
    )
),

doubts as (
    select unsure.*
    from unsure
    left join announced_otherwise
        on
            unsure.exchange = announced_otherwise.exchange
            and unsure.symbol = announced_otherwise.symbol
    where announced_otherwise.symbol is null
    union distinct
    select * from without_data
    union distinct
    select * from contradicted
    union distinct
    select * from lengthened
    union distinct
    select * from announced_otherwise
),

-- a symbol with several intervals or clocks has each once
final as (
    select
        exchange,
        symbol,
        period_hours,
        since,
        min(doubt) as doubt
    from doubts
    group by exchange, symbol, period_hours, since
)

select
    exchange,
    symbol,
    doubt,
    concat_ws(
        e'\n',
        concat_ws(' ', '#', exchange, nullif(symbol, '')) || ': ' || doubt,
        case
            when period_hours is not null
                then
                    '[[funding]]'
                    || e'\nexchange = ' || to_json(exchange)
                    || e'\nsymbol = ' || to_json(symbol)
                    || e'\nhours = ' || period_hours
        end,
        case when period_hours = 0 then '# hours are 1, 2, 3, 4, 6, 8, 12 or 24' end,
        'from = ' || strftime(since, '%Y-%m-%dT%H:%M:%SZ')
    ) as toml_lines
from final
order by exchange, symbol, since
