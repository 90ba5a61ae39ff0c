select
    series_id,
    "time",
    known_at,
    last_value("close") over (
        partition by series_id, date_trunc('day', "time") order by "time"
        rows between unbounded preceding and unbounded following
    ) as close_of_day
from {{ ref('stg_ohlcv') }}
