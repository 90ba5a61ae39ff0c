select
    series_id,
    "time",
    known_at,
    (select count(*) from glob('no/such/folder/*.parquet')) as files
from {{ ref('stg_flow') }}
