/*
purpose: Close, and the net quantity bought by takers since the first bar shown.
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
    close,
    case
        when net_delta is not null
            then sum(net_delta) over (order by "time" rows unbounded preceding)
    end as cumulative_delta
from flow_features
where
    exchange = $exchange
    and symbol = $symbol
    and "interval" = $interval
    and clock = $clock
    and ($start is null or "time" >= $start)
    and ($end is null or "time" < $end)
order by "time"
