select
    flow_features.series_id,
    flow_features."time",
    flow_features.known_at,
    flow_features.rolling_net_delta_1d,
    forward_returns.next_1h_return_bps
from {{ ref('flow_features') }}
inner join {{ ref('forward_returns') }}
    on flow_features.series_id = forward_returns.series_id
    and flow_features."time" = forward_returns."time"
