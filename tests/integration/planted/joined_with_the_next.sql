select
    bar.series_id,
    bar."time",
    bar.known_at,
    later."close" / bar."close" - 1 as one_hour_return
from {{ ref('stg_ohlcv') }} as bar
left join {{ ref('stg_ohlcv') }} as later
    on bar.series_id = later.series_id
    and later."time" = bar."time" + interval '1 hour'
