-- Crypto Lake, trades: parquet of one symbol; a row is all trades of a taker order at one price.
-- Either the bucket's own files, whose times are integers of nanoseconds in timestamp and
-- receipt_timestamp, or what lakeapi saves, with times as origin_time and received_time.
-- grain: order
-- receive_clock: measured
-- sequence: id
select
    coalesce(
        try_cast(origin::varchar as timestamp_ns)::timestamp,
        make_timestamp(try_cast(origin::varchar as bigint) // 1000)
    ) as exchange_timestamp,
    coalesce(
        try_cast(received::varchar as timestamp_ns)::timestamp,
        make_timestamp(try_cast(received::varchar as bigint) // 1000)
    ) as local_timestamp,
    id::varchar as id,
    lower(side) as side,
    price::double as price,
    amount::double as amount
from (
    select
        columns('^(origin_time|timestamp)$') as origin,
        columns('^(received_time|receipt_timestamp)$') as received,
        columns('^(trade_id|id)$') as id,
        columns('^(quantity|amount)$') as amount,
        side,
        price
    from read_parquet($files)
)
