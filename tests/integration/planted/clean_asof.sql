select
    bar.series_id,
    bar."time",
    bar.known_at,
    flow.volume_delta,
    hourly."close" as hourly_close
from {{ ref('stg_ohlcv') }} as bar
asof left join {{ ref('stg_flow') }} as flow
    on bar.series_id = flow.series_id
    and bar.known_at >= flow.known_at
asof left join (select * from {{ ref('stg_ohlcv') }} where "interval" = '1h') as hourly
    on bar.exchange = hourly.exchange
    and bar.symbol = hourly.symbol
    and bar.clock = hourly.clock
    and bar.known_at >= hourly.known_at
