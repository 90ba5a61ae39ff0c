-- Binance public data, bookTicker of futures: zip or csv, with and without a header line.
-- The time is the sixth column, transaction_time, in milliseconds.
-- receive_clock: none
-- sequence: file
select
    make_timestamp(column5::bigint * if(length(column5) < 16, 1000, 1)) as exchange_timestamp,
    column1::double as bid_price,
    column2::double as bid_amount,
    column3::double as ask_price,
    column4::double as ask_amount
from read_csv($files, header = false, all_varchar = true, delim = ',')
where column0 != 'update_id'
