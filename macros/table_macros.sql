{#-
    Table macros of the catalog, for queries that depend on an argument. They are created after
    every run, whichever models ran; those of ticks only where the lake has any, because each opening
    of a catalog parses them.
-#}
{% macro create_macros(create, only_with=none) -%}
    {%- set found = 'select 1 from meta.months where is_shown and starts_with(dataset, ' -%}
    {%- if execute and flags.WHICH in ['build', 'run'] and (
        only_with is none or target.type == 'spark'
        or run_query(found ~ "'" ~ only_with ~ "') limit 1").rows
    ) -%}
        {{ return(create()) }}
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{% macro duckdb__create_table_macros() -%}
create or replace macro main.as_of(fast, fast_interval, slow, slow_interval, max_age) as table
with fast_bars as (
    select * from query_table(fast)
    where "interval" = fast_interval
),

slow_bars as (
    select * from query_table(slow)
    where "interval" = slow_interval
)

select
    fast_bars.*,
    case when fast_bars.known_at - slow_bars.known_at <= max_age then slow_bars end as slow
from fast_bars
asof left join slow_bars
    on
        fast_bars.exchange = slow_bars.exchange
        and fast_bars.symbol = slow_bars.symbol
        and fast_bars.clock = slow_bars.clock
        and fast_bars.known_at >= slow_bars.known_at;

{% set meaning %}
    as_of(fast, fast_interval, slow, slow_interval, max_age): each bar of one mart with the last
    bar of another (or the same) that was known by then, as the struct slow; NULL where that bar is
    older than max_age. Example: select time, net_delta, slow.spread_bps from as_of('flow_features',
    '5m', 'l1_features', '1h', interval '2 hours') where symbol = 'perpetual-BTC-USDT:USDT'.
    Where the catalog is attached as w and not in use, the marts are named with it: from
    w.as_of('w.flow_features', '5m', 'w.l1_features', '1h', interval '2 hours')
{% endset -%}
comment on macro table main.as_of is {{ _comment(meaning) }};

create or replace macro main.flow_from(start_time, flow := 'main.flow_features') as table
select
    *,
    case
        when net_delta is not null
            then sum(net_delta) over (
                partition by series_id order by "time"
                rows between unbounded preceding and current row
            )
    end as cumulative_delta_from_start
from query_table(flow)
where "time" >= start_time;

{% set meaning %}
    flow_from(start_time): flow_features from a moment on, with cumulative_delta_from_start, which
    begins at 0 there. [base] Example: select * from flow_from(timestamp '2025-10-01'); attached as w
    and not in use: w.flow_from(timestamp '2025-10-01', flow := 'w.flow_features')
{% endset -%}
comment on macro table main.flow_from is {{ _comment(meaning) }}
{%- endmacro %}
