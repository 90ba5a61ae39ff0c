-- Tardis, trades: csv.gz of one symbol, both times in microseconds; side unknown becomes NULL.
-- A file is a day by receive time, so its first trades may belong to the day before.
-- grain: trade
-- receive_clock: measured
-- sequence: id
select
    make_timestamp("timestamp"::bigint) as exchange_timestamp,
    make_timestamp(local_timestamp::bigint) as local_timestamp,
    id,
    nullif(side, 'unknown') as side,
    price::double as price,
    amount::double as amount
from read_csv($files, header = true, all_varchar = true, delim = ',')
qualify if(symbol = first_value(symbol) over (), true, error('it holds several symbols'))
