select
    bar.series_id,
    bar."time",
    bar.known_at,
    flow.volume_delta as delta_of_other_zone
from {{ ref('stg_ohlcv') }} as bar
left join {{ ref('stg_flow') }} as flow
    on bar.series_id = flow.series_id
    and flow."time" = timezone('America/New_York', timezone('UTC', bar."time")) + interval '8 hours'
