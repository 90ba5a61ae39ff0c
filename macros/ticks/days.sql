{#-
    A UTC day of one series, for bars that are kept: its ticks are put in order once, in a temporary
    table per source, and all datasets read them there. A day at a time needs the memory of a day.

        create temp table day_trades as from day_trades_read(clock, exchange, symbol, start_time, end_time);
        from day_flow('45m', clock, exchange, symbol, start_time, end_time, has_before, has_after);

    day_<source>_read takes the rows as they lie, for which day_<source>_is_read says whether that is
    their order; day_<source>_sorted sorts them. day_<source>_beside has has_before and has_after:
    whether ticks lie on the day before and after. Trades whose ids are text in another order than
    as numbers, which day_trades_by_text_id_is_trades says, have a second table.
-#}


{% macro duckdb__create_tick_days() -%}
{%- set asked = 'clock, exchange, symbol, start_time, end_time' -%}
create or replace macro main.day_trades_by_text_id_is_trades({{ asked }}) as table
with {{ warehouse._day_rows('trades') }}
select
    count(rows_read.id) = 0
    or coalesce(
        min(length(rows_read.id)) = max(length(rows_read.id))
        and bool_and(coalesce(rows_read.n >= 0 and rows_read.n::varchar = rows_read.id, false)),
        false
    ) as is_the_same
from rows_read;

{%- for source in warehouse._raw_names() %}
create or replace macro main.day_{{ source }}_is_read({{ asked }}) as table
with {{ warehouse._day_rows(source) }}
select coalesce(bool_and(x.is_next), true) as is_in_order
from (
    select
        rows_read.us > lag(rows_read.us) over ()
        or (
            rows_read.us = lag(rows_read.us) over ()
            {%- if source == 'trades' %}
            and coalesce(rows_read.n >= lag(rows_read.n) over (), false)
            {%- endif %}
        ) as is_next
    from rows_read
) as x;
{%- endfor %}

{%- for name, source, way, order in warehouse._day_tables() %}

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
    order by us, {{ order }}
    {%- endif %}
) as x;
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


{#- Tables of a day: name, source, whether its rows are sorted, the order of those of one moment. -#}
{% macro _day_tables() -%}
    {%- set tables = [['trades_by_text_id', 'trades', 'sorted', warehouse._by_text_id()]] -%}
    {%- for source in warehouse._raw_names() -%}
        {%- do tables.append([source, source, 'read', none]) -%}
        {%- do tables.append(
            [source, source, 'sorted', warehouse._by_id() if source == 'trades' else 'place']
        ) -%}
    {%- endfor -%}
    {{ return(tables) }}
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
        and {{ warehouse._finite(warehouse._raw_names()[source]) }} is not null
        {%- endif %}
    {%- endset -%}
checked as (
    select {{ warehouse._checked(source, is_first=false, relation=name) }} as is_fine
),

{{ warehouse._ticks(
    'rows_read', name, warehouse._columns_of(source), condition, days_before=1 if source == 'quotes' else 0
) }}
{%- endmacro %}
