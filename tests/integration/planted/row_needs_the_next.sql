select
    series_id,
    "time",
    known_at,
    midprice
from {{ ref('stg_l1_price') }}
qualify lead(midprice) over (partition by series_id order by "time") is not null
