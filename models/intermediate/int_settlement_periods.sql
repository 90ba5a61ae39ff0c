with funding as (
    select
        series_id,
        exchange,
        symbol
    from {{ ref('stg_funding') }}
),

schedules as (
    select
        exchange,
        symbol,
        period_hours
    from {{ ref('funding_schedules') }}
),

series as (
    select distinct
        series_id,
        exchange,
        symbol
    from funding
),

-- at most one schedule of the venue and one of the symbol: the seed has each once
final as (
    select
        series.series_id,
        coalesce(of_symbol.period_hours, of_venue.period_hours) as period_hours
    from series
    left join schedules as of_venue
        on series.exchange = of_venue.exchange and of_venue.symbol is null
    left join schedules as of_symbol
        on series.exchange = of_symbol.exchange and series.symbol = of_symbol.symbol
)

select * from final
