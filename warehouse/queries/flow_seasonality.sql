/*
purpose: Mean buy to sell ratio by weekday (1 is Monday) and hour, UTC.
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 1h, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
*/
select
    isodow("time") as weekday,
    hour("time") as hour,
    favg(taker_buy_sell_ratio) as taker_buy_sell_ratio,
    count(taker_buy_sell_ratio) as bars
from flow_features
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
group by weekday, hour
order by weekday, hour
