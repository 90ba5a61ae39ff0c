-- Binance public data, trades: zip or csv, spot and futures, with and without a header line.
-- Times are milliseconds; in spot files from 2025 on they are microseconds.
-- grain: trade
-- receive_clock: none
-- sequence: id
select
    make_timestamp(column4::bigint * if(length(column4) < 16, 1000, 1)) as exchange_timestamp,
    column0 as id,
    case lower(column5) when 'true' then 'sell' when 'false' then 'buy' else column5 end as side,
    column1::double as price,
    column2::double as amount
from read_csv($files, header = false, all_varchar = true, delim = ',')
where column0 != 'id'
