select
    exchange,
    symbol,
    avg(funding_rate) as funding_rate
from {{ ref('stg_funding') }}
group by exchange, symbol
