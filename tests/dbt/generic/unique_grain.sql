{#- One row per grain, by default a bar: its columns are not NULL and unique together.
    Two rows of the same time are in the same month. -#}
{% test unique_grain(model, columns=['series_id', '"time"']) %}
{%- if '"time"' in columns %}
    {{- config(meta={'by_month': []}) }}
{%- endif %}
select
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1 or {{ columns | join(' is null or ') }} is null
{% endtest %}
