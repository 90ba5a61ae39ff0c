{{ config(meta={'lookback': '1 hour', 'horizon': '0 days'}) }}
select
    series_id,
    "time",
    known_at,
    sum(volume) over (
        partition by series_id order by "time"
        range between interval '1 hour' - interval '1 microsecond' preceding and current row
    ) as volume_1h,
    sum(volume) over (
        partition by series_id order by "time"
        range between interval '3 hours' - interval '1 microsecond' preceding and current row
    ) as volume_3h
from {{ ref('stg_ohlcv') }}
