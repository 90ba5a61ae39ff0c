select
    series_id,
    "time",
    known_at,
    volume_delta
from staging.stg_flow
