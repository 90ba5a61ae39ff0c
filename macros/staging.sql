{#-
    finite(x): x, or NULL where x is NaN, infinite, larger than the var largest_value or closer to 0
    than the var smallest_value without being 0. No price or amount is that large or small, and the
    squares and products that measures take of it would overflow or vanish.
-#}
{% macro finite(expression) -%}
    {{ return(adapter.dispatch('finite', 'warehouse')(expression)) }}
{%- endmacro %}

{% macro default__finite(expression) -%}
    case
            when
                abs({{ expression }}) between {{ var('smallest_value') }} and {{ var('largest_value') }}
                or {{ expression }} = 0
                then {{ expression }}
        end
{%- endmacro %}


{#-
    staged(dataset): the select of a staging view. Keys and times unchanged, then the contract's
    columns in its order and type, reals through finite(), counts NULL where they are beyond 2^53,
    so that sums of a few of them do not overflow. Grain and row count are those of
    vendor.<dataset>, which stays readable with its NaN and infinities.
-#}
{% macro staged(dataset) -%}
    {%- set relation = source('vendor', dataset) -%}
    {%- if execute -%}
        {%- set found = graph.sources.values()
            | selectattr('source_name', 'equalto', 'vendor')
            | selectattr('name', 'equalto', dataset) | list -%}
        {%- set columns = found[0].columns.values() | rejectattr('name', 'equalto', 'time') | list -%}
select
    series_id,
    exchange,
    symbol,
    "interval",
    clock,
    "time",
    known_at,
        {%- for column in columns %}
    {% if column.data_type == 'double' -%}
        {{ finite(adapter.quote(column.name)) }} as {{ adapter.quote(column.name) }}
    {%- elif column.data_type == 'bigint' -%}
        {%- set count = adapter.quote(column.name) -%}
        case when {{ count }} between -{{ 2 ** 53 }} and {{ 2 ** 53 }} then {{ count }} end as {{ count }}
    {%- else -%}
        {{ adapter.quote(column.name) }}
    {%- endif -%}
    {{ ',' if not loop.last }}
        {%- endfor %}
from {{ relation }}
    {%- else -%}
select * from {{ relation }}
    {%- endif -%}
{%- endmacro %}
