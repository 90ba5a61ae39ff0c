with marked as (
    select
        *,
        hour("time") as hour_utc
    from {{ ref('stg_ohlcv') }}
)

select
    series_id,
    "time",
    known_at,
    hour_utc,
    lag("close", 3) over s as close_before,
    avg(volume) over (s rows 11 preceding) as volume_1h,
    stddev_samp(volume) over (s rows 11 preceding) as volume_sd_1h,
    sum(volume) over (partition by series_id, date_trunc('day', "time") order by "time") as so_far,
    quantile_cont(volume, 0.9) over (s rows unbounded preceding) as volume_p90_so_far,
    (volume - avg(volume) over (s rows unbounded preceding))
    / nullif(stddev_samp(volume) over (s rows unbounded preceding), 0) as volume_z_so_far,
    max("high") over (s rows unbounded preceding) as highest_so_far,
    last_value("close" ignore nulls) over (s rows unbounded preceding) as close_filled
from marked
window s as (partition by series_id order by "time")
