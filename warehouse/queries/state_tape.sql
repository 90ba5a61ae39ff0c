/*
purpose: Quote updates for each basis point that the midprice moved.
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 5m, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
*/
select
    "time",
    quote_updates_per_bp,
    quote_updates_rank_7d
from market_state
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
order by "time"
