-- Own captures of Binance's trade stream, one JSON object per line:
--   {"received": 1740000000123456, "data": {"e": "trade", "T": ..., "t": ..., "p": ..., ...}}
-- received is when your machine got the message, in nano- or microseconds since 1970.
-- grain: trade
-- receive_clock: measured
-- sequence: id
select
    make_timestamp(time * if(time < 1e14, 1000, 1)) as exchange_timestamp,
    make_timestamp(if(received >= 1e17, received // 1000, received)) as local_timestamp,
    data ->> '$.t' as id,
    if((data ->> '$.m')::boolean, 'sell', 'buy') as side,
    (data ->> '$.p')::double as price,
    (data ->> '$.q')::double as amount
from (
    select received, data, (data ->> '$.T')::bigint as time
    from read_json(
        $files, format = 'newline_delimited', columns = {received: 'bigint', data: 'json'}
    )
)
qualify if(
    (data ->> '$.e') = 'trade' and (data ->> '$.s') = first_value(data ->> '$.s') over (),
    true,
    error('it holds several symbols, or messages that are no trades')
)
