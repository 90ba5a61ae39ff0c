{#-
    A UTC day of one series, for bars that are kept: its ticks are put in order once, in a temporary
    table per source, and all datasets read them there. A day at a time needs the memory of a day.

        create temp table day_trades as from day_trades_read(clock, exchange, symbol, start_time, end_time);
        from day_flow('45m', clock, exchange, symbol, start_time, end_time, has_before, has_after);

    day_<source>_read takes the rows as they lie, for which day_<source>_is_read says whether that is
    their order; day_<source>_sorted sorts them. day_<source>_beside has has_before and has_after:
    whether ticks lie on the day before and after.
-#}


{% macro duckdb__create_tick_days() -%}
{%- set asked = 'clock, exchange, symbol, start_time, end_time' -%}
{%- for name in warehouse._day_sources() %}
{%- set source = 'trades' if name == 'trades_by_text_id' else name %}
{%- set order = warehouse._day_order(name) %}
create or replace macro main.day_{{ name }}_is_read({{ asked }}) as table
with {{ warehouse._day_rows(source) }}
select coalesce(bool_and(x.is_next), true) as is_in_order
from (
    select
        rows_read.us > lag(rows_read.us) over ()
        or (rows_read.us = lag(rows_read.us) over () and {{ order.is_next }}) as is_next
    from rows_read
) as x;

{%- for way in ['read', 'sorted'] %}

create or replace macro main.day_{{ name }}_{{ way }}({{ asked }}) as table
with {{ warehouse._day_rows(source) }}
select
    x.us,
    x.seen,
    {%- for column in warehouse._columns_of(source) if column not in ['n', 'id', 'place'] %}
    x.{{ column }},
    {%- endfor %}
    row_number() over () as place
from (
    select *
    from rows_read
    {%- if way == 'sorted' %}
    order by us, {{ order.by }}
    {%- endif %}
) as x;
{%- endfor %}
{%- endfor %}
{%- for source in warehouse._raw_names() %}

create or replace macro main.day_{{ source }}_beside({{ asked }}) as table
with {{ warehouse._neighbours("'vendor.raw_" ~ warehouse._raw_names()[source] ~ "'") }}
select
    coalesce(bool_or(neighbours.has_before), false) as has_before,
    coalesce(bool_or(neighbours.has_after), false) as has_after
from neighbours;
{%- endfor %}
{%- for dataset in warehouse._tick_datasets() %}

create or replace macro main.day_{{ dataset.name }}(
    every, {{ asked }}, has_before, has_after
    {%- for source in dataset.get('day_sources', dataset.sources) %}, {{ source }} := 'day_{{ source }}'{% endfor %}
) as table
{{ warehouse._tick_query(dataset, false, of_day=true) }};
{%- endfor %}
{%- endmacro %}


{% macro _day_sources() -%}
    {{ return(['trades', 'trades_by_text_id', 'quotes', 'mark_prices', 'index_prices', 'funding_rates', 'open_interests']) }}
{%- endmacro %}

{#- How rows of the same moment are ordered, and whether a row may follow the one before it. -#}
{% macro _day_order(name) -%}
    {%- if name == 'trades' -%}
        {{ return({
            'by': warehouse._by_id(),
            'is_next': 'coalesce(rows_read.n >= lag(rows_read.n) over (), false)',
        }) }}
    {%- elif name == 'trades_by_text_id' -%}
        {{ return({
            'by': warehouse._by_text_id(),
            'is_next': 'coalesce(rows_read.id >= lag(rows_read.id) over (), rows_read.id is null)',
        }) }}
    {%- endif -%}
    {{ return({'by': 'place', 'is_next': 'true'}) }}
{%- endmacro %}

{#- Rows of a source as they lie; of quotes, those of the last moment of the day before, too. -#}
{% macro _day_rows(source) -%}
    {%- set name = "'vendor.raw_" ~ warehouse._raw_names()[source] ~ "'" -%}
    {%- set clock_column, start = warehouse._clock_column(), 'make_timestamptz(' ~ warehouse._from_us() ~ ')' -%}
    {%- set condition -%}
        (select checked.is_fine from checked)
        {%- if source == 'quotes' %}
        and {{ clock_column }} >= coalesce(
            (
                select max({{ clock_column }})
                from query_table({{ name }}) as source
                where
                    {{ warehouse._is_asked() }}
                    and {{ clock_column }} >= {{ start }} - interval '1 day'
                    and {{ clock_column }} < {{ start }}
            ),
            {{ start }}
        )
        {%- elif source != 'trades' %}
        and source.{{ warehouse._raw_names()[source] }} is not null
        {%- endif %}
    {%- endset -%}
checked as (
    select {{ warehouse._checked(source, is_first=false, relation=name) }} as is_fine
),

{{ warehouse._ticks(
    'rows_read', name, warehouse._columns_of(source), condition, days_before=1 if source == 'quotes' else 0
) }}
{%- endmacro %}
