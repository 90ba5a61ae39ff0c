with drawn as (
    select
        *,
        random() as lot
    from {{ ref('stg_funding') }}
)

select
    series_id,
    "time",
    known_at,
    row_number() over (partition by series_id order by lot) as place
from drawn
