{{ config(meta={'labels': true, 'lookback': '0 days', 'horizon': '1 hour'}) }}
select
    series_id,
    "time",
    known_at,
    last_value("close") over (
        partition by series_id order by "time"
        range between current row and interval '1 hour' following
    ) as close_in_1h,
    last_value("close") over (
        partition by series_id order by "time"
        range between current row and interval '3 hours' following
    ) as close_in_3h
from {{ ref('stg_ohlcv') }}
