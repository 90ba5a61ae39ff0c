/*
purpose: Bid against ask quantity at the top of the book, by UTC day, as mean and 10 % and 90 % quantiles.
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 5m, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
*/
select
    date_trunc('day', "time") as day,
    quantile_cont(depth_imbalance, 0.1) as depth_imbalance_q10,
    favg(depth_imbalance) as depth_imbalance_mean,
    quantile_cont(depth_imbalance, 0.9) as depth_imbalance_q90,
    count(depth_imbalance) as bars
from l1_features
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
group by day
order by day
