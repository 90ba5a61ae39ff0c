select
    series_id,
    "time",
    known_at,
    rolling_net_delta_1d,
    coalesce(
        rolling_net_delta_1d,
        first_value(rolling_net_delta_1d ignore nulls) over (
            partition by series_id order by "time"
            rows between unbounded preceding and unbounded following
        )
    ) as net_delta_filled
from {{ ref('flow_features') }}
