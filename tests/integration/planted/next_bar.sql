select
    series_id,
    "time",
    known_at,
    lag("close") over (partition by series_id order by "time") as last_close,
    lead("close") over (partition by series_id order by "time") as next_close,
    last_value("close") over (
        partition by series_id order by "time"
        range between current row and interval '1 hour' following
    ) as close_in_an_hour
from {{ ref('stg_ohlcv') }}
