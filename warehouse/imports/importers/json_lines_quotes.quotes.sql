-- Own captures of Binance's bookTicker stream of futures, one JSON object per line:
--   {"received": 1740000000123456, "data": {"e": "bookTicker", "T": ..., "b": ..., "B": ..., ...}}
-- received is when your machine got the message, in nano- or microseconds since 1970.
-- receive_clock: measured
-- sequence: file
select
    make_timestamp(time * if(time < 1e14, 1000, 1)) as exchange_timestamp,
    make_timestamp(if(received >= 1e17, received // 1000, received)) as local_timestamp,
    (data ->> '$.b')::double as bid_price,
    (data ->> '$.B')::double as bid_amount,
    (data ->> '$.a')::double as ask_price,
    (data ->> '$.A')::double as ask_amount
from (
    select received, data, (data ->> '$.T')::bigint as time
    from read_json(
        $files, format = 'newline_delimited', columns = {received: 'bigint', data: 'json'}
    )
)
qualify if(
    (data ->> '$.e') = 'bookTicker' and (data ->> '$.s') = first_value(data ->> '$.s') over (),
    true,
    error('it holds several symbols, or messages that are no bookTicker')
)
