select
    series_id,
    "time",
    known_at,
    max(ask_price - bid_price) over (
        partition by series_id order by "time" rows between current row and 3 following
    ) as spread_ahead
from {{ ref('stg_l1_price') }}
