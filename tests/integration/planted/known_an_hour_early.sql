select
    series_id,
    "time",
    known_at - interval '1 hour' as known_at,
    volume_delta
from {{ ref('stg_flow') }}
