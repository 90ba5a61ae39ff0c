/*
purpose: Quantity bought over quantity sold by takers, bar by bar and over a day.
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 1h, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
*/
select
    "time",
    taker_buy_sell_ratio,
    rolling_buy_sell_ratio_1d
from flow_features
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
order by "time"
