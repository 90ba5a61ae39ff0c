{#-
    ratio(x, y): x / y, NULL where y is 0 or either is NULL; never infinite for finite inputs.
-#}
{% macro ratio(numerator, denominator) -%}
    ({{ numerator }}) / nullif({{ denominator }}, 0)
{%- endmacro %}


{#- bps(x, y): x as basis points of y; NULL where y is 0. -#}
{% macro bps(numerator, denominator) -%}
    {{ ratio(numerator, denominator) }} * 1e4
{%- endmacro %}


{#- change_bps(later, earlier): 1e4 * (later / earlier - 1); NULL where earlier is 0. -#}
{% macro change_bps(later, earlier) -%}
    1e4 * ({{ ratio(later, earlier) }} - 1)
{%- endmacro %}


{#- The value one bar earlier; NULL where that bar is missing. -#}
{% macro previous_bar(expression) -%}
    case
        when lag(known_at) over (partition by series_id order by "time") = "time"
            then lag({{ expression }}) over (partition by series_id order by "time")
    end
{%- endmacro %}


{#-
    join_at(relation, alias, offset): the row of the same series exactly `offset` away, as `alias`;
    all NULL where there is none, and so where the offset is no whole number of bars. The offset is
    a length ('1 hour' looks ahead, '-1 hour' looks back) or 'next bar'. The join adds no rows
    because (series_id, time) is unique in `relation`.
-#}
{% macro join_at(relation, alias, offset) -%}
    {%- if offset != 'next bar' -%}
        {%- do warehouse.length_us(offset.lstrip('-')) -%}
    {%- endif -%}
left join {{ relation }} as {{ alias }}
    on
        {{ relation }}.series_id = {{ alias }}.series_id
        and {% if offset == 'next bar' -%}
            {{ relation }}.known_at = {{ alias }}."time"
        {%- else -%}
            {{ relation }}."time" + interval '{{ offset }}' = {{ alias }}."time"
        {%- endif -%}
{%- endmacro %}
