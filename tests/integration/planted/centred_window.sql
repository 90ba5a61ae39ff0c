select
    series_id,
    exchange,
    symbol,
    "interval",
    clock,
    "time",
    known_at,
    volume_delta,
    avg(volume_delta) over (
        partition by series_id order by "time" rows between 6 preceding and 6 following
    ) as net_delta_mean
from {{ ref('stg_flow') }}
