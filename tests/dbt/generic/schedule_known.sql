{#- No series of bars below 8 hours goes without a sure funding schedule for more than two days. -#}
{% test schedule_known(model, column_name) %}
select
    exchange,
    symbol,
    "interval",
    clock
from {{ model }}
where known_at - "time" < interval '8 hours'
group by exchange, symbol, "interval", clock
having
    sum(epoch(known_at - "time")) filter (where {{ column_name }} is null) > 2 * 86400
    or count({{ column_name }}) = 0
{% endtest %}
