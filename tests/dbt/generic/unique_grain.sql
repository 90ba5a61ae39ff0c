{#- One row per bar: (series_id, time) is not NULL and stands once. -#}
{% test unique_grain(model) %}
select
    series_id,
    "time",
    count(*) as row_count
from {{ model }}
group by series_id, "time"
having count(*) > 1 or series_id is null or "time" is null
{% endtest %}
