select
    series_id,
    "time",
    known_at + interval '40 days' as known_at,
    (select avg(volume) from {{ ref('stg_ohlcv') }}) as volume
from {{ ref('stg_ohlcv') }}
