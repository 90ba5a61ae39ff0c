{{ config(meta={'whole_sample': true}) }}
select
    series_id,
    hour("time") as hour_utc,
    avg(volume) as volume
from {{ ref('stg_ohlcv') }}
group by series_id, hour_utc
