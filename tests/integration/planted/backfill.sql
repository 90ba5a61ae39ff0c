select
    series_id,
    "time",
    known_at,
    last_value(open_interest ignore nulls) over (
        partition by series_id order by "time"
        rows between unbounded preceding and current row
    ) as open_interest_forward_filled,
    first_value(open_interest ignore nulls) over (
        partition by series_id order by "time"
        rows between current row and unbounded following
    ) as open_interest_backfilled
from {{ ref('stg_open_interest') }}
