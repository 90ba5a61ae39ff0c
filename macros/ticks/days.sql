{#-
    A UTC day of one series, for bars that are kept: its ticks are put in order once, in a temporary
    table per source, and all datasets read them there. So the memory is that of a day.

        from day_trades_around(clock, exchange, symbol, start_time, end_time);
        create temp table day_trades as from day_trades_read(…, since);
        from day_flow('45m', clock, exchange, symbol, start_time, end_time, has_before, has_after);

    day_<source>_around has one row: whether the days before and after have ticks, and the moment
    from which on the day's table has rows. day_<source>_read has the rows in file order, which the
    caller knows to be sorted. day_<source>_compared has the same rows; they are in order if is_next
    is true of each. day_<source>_sorted has the rows in order. day_trades_by_text_id_sorted has
    trades of one moment in the order of their ids as text. That is the table of trades if
    is_next_by_text_id is true of each.
-#}


{% macro duckdb__create_tick_days() -%}
{%- set asked = 'clock, exchange, symbol, start_time, end_time' -%}
{%- for name, source, way, order in warehouse._day_tables() %}
create or replace macro main.day_{{ name }}_{{ way }}({{ asked }}, since) as table
with {{ warehouse._day_rows(source) }}
select
    x.us,
    x.seen,
    {%- for column in warehouse._columns_of(source) if column not in ['n', 'id', 'place'] %}
    x.{{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
    {%- if way == 'compared' %},
    {{ warehouse._is_next(source) }} as is_next
    {%- endif %}
    {%- if name == 'trades' and way != 'read' %},
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
    {{- warehouse._rate_parameter(dataset) }}
    {%- for source in dataset.get('day_sources', dataset.sources) %}, {{ source }} := 'day_{{ source }}'{% endfor %}
) as table
{{ warehouse._tick_query(dataset, false, of_day=true) }};
{%- endfor %}
{%- endmacro %}


{#- Tables of a day: name, source, way of reading, order of rows of one moment. -#}
{% macro _day_tables() -%}
    {%- set tables = [['trades_by_text_id', 'trades', 'sorted', warehouse._by_text_id()]] -%}
    {%- for source in warehouse._raw_names() -%}
        {%- do tables.append([source, source, 'read', none]) -%}
        {%- do tables.append([source, source, 'compared', none]) -%}
        {%- do tables.append(
            [source, source, 'sorted', warehouse._by_id() if source == 'trades' else 'place']
        ) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}

{#- Rows of a source in file order, from the moment `since` on. -#}
{% macro _day_rows(source) -%}
    {%- set relation = warehouse._relation_of(source) -%}
    {%- set condition -%}
        (select checked.is_fine from checked)
        and {{ warehouse._clock_column() }} >= make_timestamptz(since)
        {%- if source not in ['trades', 'quotes'] %}
        and {{ warehouse._finite(warehouse._raw_names()[source]) }} is not null
        {%- endif %}
    {%- endset -%}
checked as (
    select {{ warehouse._checked(source, is_first=false, relation=relation) }} as is_fine
),

{{ warehouse._ticks(
    'rows_read', relation, warehouse._columns_of(source), condition, days_before=1 if source == 'quotes' else 0
) }}
{%- endmacro %}

{#-
    Whether the row x does not belong before the row that precedes it; NULL for the first row. Within
    a moment an id that is no number comes after the numbers; compared as text, no id comes last.
-#}
{% macro _is_next(source) -%}
    {%- set order = {
        'trades': 'coalesce(x.n >= lag(x.n) over (), x.n is null'
            ~ ' and (lag(x.n) over () is not null or x.id >= lag(x.id) over ()))',
        'trades_by_text_id': 'coalesce(x.id >= lag(x.id) over (), x.id is null'
            ~ ' and (lag(x.id) over () is not null or x.n >= lag(x.n) over ()))',
    }.get(source, 'true') -%}
    x.us > lag(x.us) over ()
    or (x.us = lag(x.us) over () and {{ order }})
{%- endmacro %}

{#-
    Whether the days before and after have ticks, and the moment from which on the day's table has
    rows: for quotes the last moment of the day before, which a trade may need.
-#}
{% macro _around_day(source) -%}
    {%- set clock_column = warehouse._clock_column() -%}
    {%- set relation = warehouse._relation_of(source) -%}
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
