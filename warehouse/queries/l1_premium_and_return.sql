/*
purpose: "Weighted mid against mid, and the mid's return over the next 15 minutes: a fixed sample."
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 5m, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
  rows: {type: integer, default: 4000, meaning: Maximum number of bars in the sample.}
*/
with both_there as (
    select
        book."time",
        book.weighted_mid_premium_bps,
        forward.next_15m_mid_return_bps
    from l1_features as book
    inner join forward_returns as forward
        on book.series_id = forward.series_id and book."time" = forward."time"
    where
        book.exchange = $exchange
        and book.symbol = $symbol
        and book."interval" = $interval
        and book.clock = $clock
        and ($start is null or book."time" >= $start)
        and ($end is null or book."time" < $end)
        and book.weighted_mid_premium_bps is not null
        and forward.next_15m_mid_return_bps is not null
),

sampled as (
    select *
    from both_there
    order by md5(epoch_us("time")::varchar), "time"
    limit $rows
)

select * from sampled
order by "time"
