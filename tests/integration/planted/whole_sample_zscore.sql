select
    series_id,
    "time",
    known_at,
    (volume - avg(volume) over s) / stddev_samp(volume) over s as volume_z,
    volume / max(volume) over s as volume_share_of_largest,
    percent_rank() over (partition by series_id order by volume) as volume_rank
from {{ ref('stg_ohlcv') }}
window s as (partition by series_id)
