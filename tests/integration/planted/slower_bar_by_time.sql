select
    bar.series_id,
    bar."time",
    bar.known_at,
    hour_by_known_at."close" as last_hourly_close,
    hour_by_time."close" as hourly_close
from {{ ref('stg_ohlcv') }} as bar
left join {{ ref('stg_ohlcv') }} as hour_by_time
    on bar.exchange = hour_by_time.exchange
    and bar.symbol = hour_by_time.symbol
    and bar.clock = hour_by_time.clock
    and date_trunc('hour', bar."time") = hour_by_time."time"
    and hour_by_time."interval" = '1h'
left join {{ ref('stg_ohlcv') }} as hour_by_known_at
    on bar.exchange = hour_by_known_at.exchange
    and bar.symbol = hour_by_known_at.symbol
    and bar.clock = hour_by_known_at.clock
    and date_trunc('hour', bar.known_at) = hour_by_known_at.known_at
    and hour_by_known_at."interval" = '1h'
where bar."interval" = '5m'
