{{ config(meta={'outside': 'a list of files that was made before the first bar'}) }}
select
    series_id,
    "time",
    known_at,
    volume_delta,
    (select count(*) from glob('no/such/folder/*.parquet')) as files
from {{ ref('stg_flow') }}
