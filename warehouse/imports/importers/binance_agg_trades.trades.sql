-- Binance public data, aggTrades: zip or csv, spot and futures, with and without a header line.
-- Times are milliseconds; in spot files from 2025 on they are microseconds.
-- grain: order
-- receive_clock: none
-- sequence: id
select
    make_timestamp(column5::bigint * if(length(column5) < 16, 1000, 1)) as exchange_timestamp,
    column0 as id,
    case lower(column6) when 'true' then 'sell' when 'false' then 'buy' else column6 end as side,
    column1::double as price,
    column2::double as amount
from read_csv($files, header = false, all_varchar = true, delim = ',')
where column0 != 'agg_trade_id'
