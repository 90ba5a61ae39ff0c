{#- An expression that is true in every row; NULL breaks it, so say what NULL means. -#}
{% test holds(model, expression) %}
select *
from {{ model }}
where ({{ expression }}) is distinct from true
{% endtest %}
