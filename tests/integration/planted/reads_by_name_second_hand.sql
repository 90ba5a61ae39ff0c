select
    series_id,
    "time",
    known_at,
    2 * files as twice_files
from {{ ref('reads_stored_files') }}
