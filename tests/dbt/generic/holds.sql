{#- An expression that is true in every row; NULL fails, so the expression must handle NULL. -#}
{% test holds(model, expression) %}
select *
from {{ model }}
where ({{ expression }}) is distinct from true
{% endtest %}
