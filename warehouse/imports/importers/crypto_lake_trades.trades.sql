-- Crypto Lake, trades: parquet of one symbol; a row is all trades of a taker order at one price.
-- grain: order
-- receive_clock: measured
-- sequence: id
select
    origin_time::timestamp as exchange_timestamp,
    received_time::timestamp as local_timestamp,
    trade_id::varchar as id,
    lower(side) as side,
    price::double as price,
    quantity::double as amount
from read_parquet($files)
