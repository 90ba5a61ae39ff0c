{#-
    The measures as functions of the catalog, for SQL that dbt does not compile: made from the same
    text as the macros, so the results are identical.

        select time, rolling_zscore(spread_bps, '1 day') as spread_z from l1_features

    They read series_id, time and known_at of the select that calls them. DuckDB binds the body of a
    function when it is created, where these columns are not known, but it stops binding at the first
    parameter inside a function, because its type is not known either. `coalesce(x, null)`, which is
    x, makes sure that such a parameter comes first. Tried with 1.4.4, 1.5.6 and 2.0.1.

    A function finds another one only in the database that is in use, which need not be the catalog.
    So bar_end is replaced by its definition in this catalog.
-#}
{% macro duckdb__create_functions() -%}
{%- set bar_end = _bar_end_definition() -%}
{%- for function in warehouse._functions() %}
create or replace macro main.{{ function.name }}({{ function.parameters }}) as
{{ function.body | trim | replace(warehouse.bar_end(), bar_end) }};

comment on macro main.{{ function.name }} is {{ _comment(
    function.name ~ '(' ~ function.parameters ~ '): ' ~ function.meaning
) }};
{% endfor -%}
{%- endmacro %}


{#- Returns the call itself if a project is compiled for builds without dbt, which replace it. -#}
{% macro _bar_end_definition() -%}
    {%- if not execute or flags is not defined or flags.WHICH not in ['build', 'run'] -%}
        {{ return(warehouse.bar_end()) }}
    {%- endif -%}
    {%- set found = run_query(
        "select macro_definition from duckdb_functions() where function_name = 'bar_end'"
        ~ " and database_name = current_database()"
    ) -%}
    {{ return('(' ~ found.rows[0][0] ~ ')') }}
{%- endmacro %}


{% macro _functions() -%}
    {%- set x, price = 'coalesce(x, null)', 'coalesce(price, null)' -%}
    {%- set length = {'name': 'length'} -%}
    {%- set whole = " over the last length, as '1 day'; NULL where a bar or its x is missing" -%}
    {%- set found = [
        ['rolling_mean', 'x, length', warehouse.rolling_mean(x, length),
         'mean of x' ~ whole],
        ['rolling_sum', 'x, length', warehouse.rolling_sum(x, length), 'sum of x' ~ whole],
        ['rolling_min', 'x, length', warehouse.rolling_min(x, length), 'least x' ~ whole],
        ['rolling_max', 'x, length', warehouse.rolling_max(x, length), 'greatest x' ~ whole],
        ['rolling_std', 'x, length', warehouse.rolling_std(x, length),
         'sample standard deviation (ddof 1) of x' ~ whole],
        ['rolling_zscore', 'x, length', warehouse.rolling_zscore(x, length),
         '(x - mean) / standard deviation' ~ whole],
        ['rolling_rank', 'x, length', warehouse.rolling_rank(x, length),
         'rank of x, 0 lowest and 1 highest, ties averaged,' ~ whole],
        ['rolling_percentile', 'x, length', warehouse.rolling_percentile(x, length),
         'rank of x / count, in (0, 1], ties averaged,' ~ whole],
        ['rolling_count', 'x, length', warehouse.rolling_count(x, length),
         'how many x of the last length are not NULL; it always has a value'],
        ['previous_bar', 'x', warehouse.previous_bar(x),
         'x of the bar that ended when this one began; NULL where that is missing'],
        ['next_bar', 'x', warehouse._next_bar(x),
         'LOOKS AHEAD: x of the bar that begins when this one ends; NULL where that is missing'],
        ['value_before', 'x, length', warehouse._value_at(x, length, 'asc'),
         'x of the bar exactly the length earlier; NULL where that is missing'],
        ['value_after', 'x, length', warehouse._value_at(x, length, 'desc'),
         'LOOKS AHEAD: x of the bar exactly the length later; NULL where that is missing'],
        ['past_return', 'price, horizon',
         warehouse.change_bps(price, warehouse._value_at(price, {'name': 'horizon'}, 'asc')),
         '1e4 * (price / price one horizon earlier - 1) [bps]; NULL where that bar is missing'],
        ['forward_return', 'price, horizon',
         warehouse.change_bps(warehouse._value_at(price, {'name': 'horizon'}, 'desc'), price),
         'LOOKS AHEAD: 1e4 * (price one horizon later / price - 1) [bps]; NULL where that bar is'
         ~ ' missing'],
        ['ratio', 'x, y', warehouse.ratio('x', 'y'), 'x / y; NULL where y is 0'],
        ['bps', 'x, y', warehouse.bps('x', 'y'), '1e4 * x / y; NULL where y is 0 [bps]'],
        ['change', 'later, earlier', warehouse.change('later', 'earlier'),
         'later / earlier - 1; NULL where earlier is 0 [fraction]'],
        ['change_bps', 'later, earlier', warehouse.change_bps('later', 'earlier'),
         'the same times 1e4 [bps]'],
    ] -%}
    {%- set functions = [] -%}
    {%- for name, parameters, body, meaning in found -%}
        {%- do functions.append(
            {'name': name, 'parameters': parameters, 'body': body, 'meaning': meaning}
        ) -%}
    {%- endfor -%}
    {{ return(functions) }}
{%- endmacro %}


{% macro _next_bar(expression) -%}
    case
            when lead("time") over (partition by series_id order by "time") = {{ warehouse.bar_end() }}
                then lead({{ expression }}) over (partition by series_id order by "time")
        end
{%- endmacro %}


{#-
    The value one length before (asc) or after (desc). A frame that ends in the future is slow, so
    the order is reversed instead and all frames are before their row.
-#}
{% macro _value_at(expression, length, direction) -%}
    {%- set over -%}
        (
            partition by series_id order by "time" {{ direction }}
            range between to_microseconds({{ warehouse.length_us(length) }}) preceding
            and current row
        )
    {%- endset -%}
    case
            when abs(epoch_us("time") - epoch_us(first_value("time") over {{ over }}))
                = {{ warehouse.length_us(length) }}
                then first_value({{ expression }}) over {{ over }}
        end
{%- endmacro %}
