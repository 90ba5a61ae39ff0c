select
    bar.series_id,
    bar."time",
    bar.known_at,
    flow.volume_delta as next_delta
from {{ ref('stg_ohlcv') }} as bar
asof left join {{ ref('stg_flow') }} as flow
    on bar.series_id = flow.series_id
    and bar.known_at <= flow."time"
