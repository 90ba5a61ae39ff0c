with lives as (
    select
        series_id,
        "interval",
        max("time") as last_time
    from {{ ref('stg_ohlcv') }}
    group by series_id, "interval"
)

select
    bar.series_id,
    bar."time",
    bar.known_at,
    bar."close"
from {{ ref('stg_ohlcv') }} as bar
inner join lives on bar.series_id = lives.series_id
where lives.last_time > (select max(last_time) from lives) - interval '6 hours'
