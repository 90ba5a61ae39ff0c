select
    flow.series_id,
    flow."time",
    flow.known_at,
    flow.net_delta,
    earlier.next_bar_return_bps as last_return_bps,
    same.next_bar_return_bps as last_return_off_by_one_bps
from {{ ref('flow_features') }} as flow
left join {{ ref('forward_returns') }} as earlier
    on flow.series_id = earlier.series_id and flow."time" = earlier.known_at
left join {{ ref('forward_returns') }} as same
    on flow.series_id = same.series_id and flow."time" = same."time"
