/*
purpose: "One row: bars, span and averages of order flow."
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 1h, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
*/
select
    count(*) as bars,
    min("time") as first_time,
    max("time") as last_time,
    favg(taker_buy_sell_ratio) as mean_buy_sell_ratio,
    median(flow_toxicity_score_filled) as median_toxicity_filled,
    favg(net_delta) as mean_net_delta,
    favg(large_trade_share) as mean_large_trade_share
from flow_features
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
