select
    bar.series_id,
    bar."time",
    bar.known_at,
    days.spread_of_day
from {{ ref('stg_l1_price') }} as bar
inner join (
    select
        series_id,
        date_trunc('day', "time") as day,
        avg(ask_price - bid_price) as spread_of_day
    from {{ ref('stg_l1_price') }}
    group by series_id, day
) as days
    on bar.series_id = days.series_id and date_trunc('day', bar."time") = days.day
