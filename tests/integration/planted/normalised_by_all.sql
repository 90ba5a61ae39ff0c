with market as (
    select
        avg(volume) as mean_volume,
        stddev_samp(volume) as sd_volume
    from {{ ref('stg_ohlcv') }}
)

select
    bar.series_id,
    bar."time",
    bar.known_at,
    (bar.volume - market.mean_volume) / market.sd_volume as volume_z
from {{ ref('stg_ohlcv') }} as bar
cross join market
