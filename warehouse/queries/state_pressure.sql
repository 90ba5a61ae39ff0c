/*
purpose: Imbalance of the top and of the book below it, z-score of net flow, and medium-sized trades.
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
    lean_top,
    lean_5,
    lean_25,
    lean_divergence,
    leans_oppose,
    net_delta_zscore_1d,
    buy_medium_notional_share,
    sell_medium_notional_share
from market_state
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
order by "time"
