/*
purpose: "One row: bars, span and averages at the top of the book."
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 5m, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
*/
select
    count(*) as bars,
    min("time") as first_time,
    max("time") as last_time,
    favg(spread_bps) as mean_spread_bps,
    favg(bid_amount) as mean_bid_amount,
    favg(ask_amount) as mean_ask_amount
from l1_features
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
