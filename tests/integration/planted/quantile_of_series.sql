select
    bar.series_id,
    bar."time",
    bar.known_at,
    bar.volume > whole.volume_p90 as is_large
from {{ ref('stg_ohlcv') }} as bar
inner join (
    select
        series_id,
        quantile_cont(volume, 0.9) as volume_p90
    from {{ ref('stg_ohlcv') }}
    group by series_id
) as whole
    on bar.series_id = whole.series_id
