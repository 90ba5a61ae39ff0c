with first_bars as (
    select
        series_id,
        min("time") as first_time
    from {{ ref('stg_ohlcv') }}
    group by series_id
),

calibrated as (
    select
        bar.series_id,
        avg(bar.volume) as volume_of_week
    from {{ ref('stg_ohlcv') }} as bar
    inner join first_bars
        on bar.series_id = first_bars.series_id
        and bar."time" < first_bars.first_time + interval '7 days'
    group by bar.series_id
)

select
    bar.series_id,
    bar."time",
    bar.known_at,
    bar.volume / calibrated.volume_of_week as volume_calibrated
from {{ ref('stg_ohlcv') }} as bar
inner join calibrated on bar.series_id = calibrated.series_id
