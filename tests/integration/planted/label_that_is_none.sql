{{ config(meta={'labels': true}) }}
select
    series_id,
    "time",
    known_at,
    lead("close") over (partition by series_id order by "time") / "close" - 1 as next_return,
    "close" / lag("close") over (partition by series_id order by "time") - 1 as last_return
from {{ ref('stg_ohlcv') }}
