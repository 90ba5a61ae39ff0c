{#- Measures by mart that are averaged by weekday and hour. -#}
{%- set measures = {
    'flow_features': ['taker_buy_sell_ratio', 'large_trade_share', 'net_delta_notional_m'],
    'l1_features': ['spread_bps'],
    'derivative_features': ['funding_rate_bps', 'basis_bps'],
    'execution_costs': [
        'realized_vol_1h_bps', 'depth_5', 'depth_10', 'depth_20', 'depth_25', 'dollar_depth_20',
        'impact_coef_bps_per_quote', 'expected_cost_50k_bps', 'abs_toxicity',
    ],
} -%}

with
{%- for mart, names in measures.items() %}
{{ mart }} as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        {%- for name in names %}
        {{ name }},
        {%- endfor %}
        isodow("time") as "weekday",
        hour("time")::bigint as "hour"
    from {{ ref(mart) }}
),

{{ mart }}_by_hour as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        {%- for name in names %}
        {{ compensated_mean(name) }} as {{ name }}_mean,
        median({{ name }}) as {{ name }}_median,
        count({{ name }}) as {{ name }}_count,
        {%- endfor %}
        "weekday",
        "hour"
    from {{ mart }}
    group by series_id, exchange, symbol, "interval", clock, "weekday", "hour"
),
{% endfor %}
by_measure as (
    {%- for mart, names in measures.items() %}
    {%- set last = loop.last %}
    {%- for name in names %}
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        '{{ name }}' as measure,
        "weekday",
        "hour",
        {{ name }}_mean as mean,
        {{ name }}_median as median,
        {{ name }}_count as count
    from {{ mart }}_by_hour
    {{- '\n    union all' if not (last and loop.last) }}
    {%- endfor %}
    {%- endfor %}
),

final as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        measure,
        "weekday",
        "hour",
        mean,
        median,
        count
    from by_measure
    where count > 0
)

select * from final
