select
    series_id,
    "time",
    known_at,
    last_close,
    2 * next_close as twice_next_close
from {{ ref('next_bar') }}
