{#-
    A UTC day of one series, for bars that are kept: its ticks are put in order once, in a temporary
    table per source, and all datasets read them there. A day at a time needs the memory of a day.

        from day_trades_around(clock, exchange, symbol, start_time, end_time);
        create temp table day_trades as from day_trades_read(…, since, in_order);
        from day_flow('45m', clock, exchange, symbol, start_time, end_time, has_before, has_after);

    day_<source>_around tells whether ticks lie on the day before (has_before) and after (has_after),
    and since which moment the day's table has rows. day_<source>_read takes the rows as they lie and
    marks in is_next those in order, all of them where the caller knows it (in_order).
    day_<source>_sorted sorts them. day_trades_by_text_id_sorted orders the trades of one moment by
    their ids as text; is_next_by_text_id tells of each trade whether that is the same.
-#}


{% macro duckdb__create_tick_days() -%}
{%- set asked = 'clock, exchange, symbol, start_time, end_time' -%}
{%- for name, source, way, order in warehouse._day_tables() %}
create or replace macro main.day_{{ name }}_{{ way }}({{ asked }}, since, in_order := false) as table
with {{ warehouse._day_rows(source) }}
select
    x.us,
    x.seen,
    {%- for column in warehouse._columns_of(source) if column not in ['n', 'id', 'place'] %}
    x.{{ column }},
    {%- endfor %}
    {{ warehouse._is_next(source) }} as is_next
    {%- if source == 'trades' %},
    {{ warehouse._is_next('trades_by_text_id') }} as is_next_by_text_id
    {%- endif %}
from (
    select *
    from rows_read
    {%- if way == 'sorted' %}
    order by us, {{ order }}
    {%- endif %}
) as x;
{%- endfor %}
{%- for source in warehouse._raw_names() %}

create or replace macro main.day_{{ source }}_around({{ asked }}) as table
{{ warehouse._around_day(source) }};
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

{#- Rows of a source as they lie, from the moment `since` on. -#}
{% macro _day_rows(source) -%}
    {%- set name = "'vendor.raw_" ~ warehouse._raw_names()[source] ~ "'" -%}
    {%- set condition -%}
        (select checked.is_fine from checked)
        and {{ warehouse._clock_column() }} >= make_timestamptz(since)
        {%- if source not in ['trades', 'quotes'] %}
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

{#-
    Whether a row x comes after the one that lies before it, or with it; NULL of the first row. An id
    that is no number comes after the numbers of its moment, a trade without an id after the ids.
-#}
{% macro _is_next(source) -%}
    {%- set order = {
        'trades': 'coalesce(x.n >= lag(x.n) over (), x.n is null'
            ~ ' and (lag(x.n) over () is not null or x.id >= lag(x.id) over ()))',
        'trades_by_text_id': 'coalesce(x.id >= lag(x.id) over (), x.id is null'
            ~ ' and (lag(x.id) over () is not null or x.n >= lag(x.n) over ()))',
    }.get(source, 'true') -%}
    in_order
    or x.us > lag(x.us) over ()
    or (x.us = lag(x.us) over () and {{ order }})
{%- endmacro %}

{#-
    Whether ticks lie on the day before and after, and the moment from which a day's table has them:
    of quotes, the last one of the day before, because a trade may meet it.
-#}
{% macro _around_day(source) -%}
    {%- set clock_column = warehouse._clock_column() -%}
    {%- set relation = "'vendor.raw_" ~ warehouse._raw_names()[source] ~ "'" -%}
    {%- set start, end = warehouse._from_us(), warehouse._until_us() -%}
with
{%- for name, first, what in [
    ('before', start ~ ' - 86400000000', 'epoch_us(max(' ~ clock_column ~ '))' if source == 'quotes' else 'true'),
    ('after', end, 'true'),
] %}
{{ name }}_day as (
    select {{ what }} as found
    from query_table({{ relation }}) as source
    where
        {{ warehouse._is_asked() }}
        and {{ clock_column }} >= make_timestamptz({{ first }})
        and {{ clock_column }} < make_timestamptz({{ first }} + 86400000000)
    limit 1
){{ ',' if not loop.last }}
{%- endfor %}

select
    (select before_day.found is not null from before_day) is true as has_before,
    (select after_day.found from after_day) is true as has_after,
    {%- if source == 'quotes' %}
    coalesce((select before_day.found from before_day), {{ start }}) as since
    {%- else %}
    {{ start }} as since
    {%- endif %}
{%- endmacro %}
