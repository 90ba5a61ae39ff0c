select
    flow.series_id,
    flow."time",
    flow.known_at,
    flow.rolling_net_delta_1d,
    spread.spread_bps,
    rank() over (partition by flow."interval", flow.known_at order by flow.net_delta) as place,
    case when flow.net_delta > 0 then spread.spread_bps end as spread_when_bought
from {{ ref('flow_features') }} as flow
left join {{ ref('l1_features') }} as spread
    on flow.series_id = spread.series_id
    and flow."time" = spread."time"
