/*
purpose: Z-score of each bar's net delta, and the return of the next hour.
parameters:
  symbol: {type: text, default: "perpetual-BTC-USDT:USDT", meaning: Instrument in Atlas symbology.}
  exchange: {type: text, default: binance-futures, meaning: Venue.}
  interval: {type: text, default: 1h, meaning: Length of a bar.}
  clock: {type: text, default: "true", meaning: Clock that sorted events into bars.}
  start: {type: time, default: null, meaning: First bar shown; by default the first of the series.}
  end: {type: time, default: null, meaning: Bars that start before it are shown; by default all.}
*/
select
    flow."time",
    flow.abs_delta_zscore_1d,
    forward.next_1h_return_bps
from flow_features as flow
inner join forward_returns as forward
    on flow.series_id = forward.series_id and flow."time" = forward."time"
where
    flow.exchange = $exchange
    and flow.symbol = $symbol
    and flow."interval" = $interval
    and flow.clock = $clock
    and ($start is null or flow."time" >= $start)
    and ($end is null or flow."time" < $end)
    and flow.abs_delta_zscore_1d is not null
    and forward.next_1h_return_bps is not null
order by flow."time"
