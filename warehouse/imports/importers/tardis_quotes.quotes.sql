-- Tardis, quotes or book_ticker, which have the same columns: csv.gz of one symbol, both times in
-- microseconds; an empty side becomes NULL.
-- receive_clock: measured
-- sequence: file
select
    make_timestamp("timestamp"::bigint) as exchange_timestamp,
    make_timestamp(local_timestamp::bigint) as local_timestamp,
    bid_price::double as bid_price,
    bid_amount::double as bid_amount,
    ask_price::double as ask_price,
    ask_amount::double as ask_amount
from read_csv($files, header = true, all_varchar = true, delim = ',')
qualify if(symbol = first_value(symbol) over (), true, error('it holds several symbols'))
