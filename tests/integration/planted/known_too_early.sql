select
    series_id,
    "time",
    "time" as known_at,
    basis_bps
from {{ ref('stg_basis') }}
