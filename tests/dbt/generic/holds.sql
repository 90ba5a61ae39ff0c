{#- An expression that is true in every row; NULL fails, so the expression must handle NULL.
    A row fails whatever other months hold, unless the expression reads other rows. -#}
{% test holds(model, expression) %}
{%- if 'select' not in expression | lower and 'from' not in expression | lower %}
    {{- config(meta={'by_month': []}) }}
{%- endif %}
select *
from {{ model }}
where ({{ expression }}) is distinct from true
{% endtest %}
