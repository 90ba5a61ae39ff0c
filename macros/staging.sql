{#-
    finite(x): x, or NULL where x is NaN or infinite.
-#}
{% macro finite(expression) -%}
    {{ return(adapter.dispatch('finite', 'warehouse')(expression)) }}
{%- endmacro %}

{% macro default__finite(expression) -%}
    case when isfinite({{ expression }}) then {{ expression }} end
{%- endmacro %}


{#-
    staged(dataset): the select that makes one vendor dataset fit to count on. Keys and times as
    they are, then the contract's columns in its order and type, reals through finite(). Grain and
    row count are those of vendor.<dataset>, which stays readable with its NaN and infinities.
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
