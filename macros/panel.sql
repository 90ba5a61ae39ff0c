{#-
    panel(datasets): one row per bar of any of the datasets, with the columns of all. Columns of the
    first dataset keep their names, all others are <dataset>__<column>. The columns are those of the
    contracts, in their order.
-#}
{% macro panel(datasets) -%}
    {%- set keys = ['series_id', 'exchange', 'symbol', '"interval"', 'clock', '"time"', 'known_at'] -%}
    {%- set bar = ['series_id', '"time"', 'known_at'] -%}
    {%- set staged = {} -%}
    {%- for dataset in datasets -%}
        {%- do staged.update({dataset: ref('stg_' ~ dataset)}) -%}
    {%- endfor -%}
    {%- set contracts = warehouse.contract_columns() if execute else {} -%}
with every_row as (
    {%- for dataset in datasets %}
    select
        {{ keys | join(',\n        ') }}
    from {{ staged[dataset] }}
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

-- every bar of any dataset once; the keys of a series are the same in all its rows
spine as (
    select
        {%- for key in keys if key not in bar %}
        any_value({{ key }}) as {{ key }},
        {%- endfor %}
        {{ bar | join(',\n        ') }}
    from every_row
    group by {{ bar | join(', ') }}
),

-- at most one row of each dataset per bar: (series_id, time) is unique in all
final as (
    select
        {%- for key in keys %}
        spine.{{ key }}{{ ',' if not (loop.last and not contracts) }}
        {%- endfor %}
        {%- for dataset in datasets if contracts %}
        {%- set is_first, is_last = loop.first, loop.last %}
        {%- for column in contracts[dataset] if column.name != 'time' %}
        stg_{{ dataset }}.{{ adapter.quote(column.name) }}
        {%- if not is_first %} as {{ dataset }}__{{ column.name }}{% endif %}
        {{- ',' if not (is_last and loop.last) }}
        {%- endfor %}
        {%- endfor %}
    from spine
    {%- for dataset in datasets %}
    left join {{ staged[dataset] }} as stg_{{ dataset }}
        on
            spine.series_id = stg_{{ dataset }}.series_id
            and spine."time" = stg_{{ dataset }}."time"
    {%- endfor %}
)

select * from final
{%- endmacro %}


{#- Columns of the vendor's datasets by dataset, from the contracts; only while executing. -#}
{% macro contract_columns() -%}
    {%- set found = {} -%}
    {%- for node in graph.sources.values() if node.source_name == 'vendor' -%}
        {%- do found.update({node.name: node.columns.values() | list}) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
