/*
purpose: Bid, ask and mid at the top of the book over two days.
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 5m, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: 2025-10-09, meaning: First bar shown.}
  end: {type: time, default: 2025-10-11, meaning: Bars before it are shown.}
*/
select
    "time",
    bid_price,
    ask_price,
    midprice,
    spread_bps
from l1_features
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
order by "time"
