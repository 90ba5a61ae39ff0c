{#-
    What Spark needs to run these models: `dbt build --target spark`, or `warehouse build --engine
    spark`, which also stores the resulting marts in the home.

    Models quote names with "…". dbt-spark turns off the setting by which Spark would read them so,
    and would make text of them, without an error: every statement that is made of a model's SQL is
    therefore rewritten to Spark's own quotes, and a run begins with a check that they are read.
-#}

{% macro _spark_quoted(sql) -%}
    {{ return(sql | replace('"', '`')) }}
{%- endmacro %}


{% macro spark__create_view_as(relation, sql) -%}
    create or replace view {{ relation }} as {{ warehouse._spark_quoted(sql) }}
{%- endmacro %}


{% macro spark__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- set contract = config.get('contract') -%}
    {%- if contract.enforced -%}
        {{ get_assert_columns_equivalent(compiled_code) }}
    {%- endif -%}
    create table {{ relation }} using parquet as {{ warehouse._spark_quoted(compiled_code) }}
{%- endmacro %}


{% macro spark__get_empty_subquery_sql(select_sql, select_sql_header=none) -%}
    select * from ({{ warehouse._spark_quoted(select_sql) }}) as __dbt_sbq where false limit 0
{%- endmacro %}


{#- Columns of a contract as a query; Spark has no varchar without a length. -#}
{% macro spark__get_empty_schema_sql(columns) -%}
    select
    {%- for column in columns.values() %}
        cast(null as {{ warehouse._spark_type(column.data_type) }}) as `{{ column.name }}`
        {{- ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{% macro _spark_type(data_type) -%}
    {{ return({'varchar': 'string', 'timestamp': 'timestamp_ntz'}.get(data_type, data_type)) }}
{%- endmacro %}


{% macro spark__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
    select
        {{ fail_calc }} as failures,
        {{ fail_calc }} {{ warn_if }} as should_warn,
        {{ fail_calc }} {{ error_if }} as should_error
    from (
        {{ warehouse._spark_quoted(main_sql) }}
        {{ 'limit ' ~ limit if limit is not none }}
    ) as dbt_internal_test
{%- endmacro %}


{#- Rows of a seed as literals: dbt-spark binds an empty cell as the text 'None'. -#}
{% macro spark__load_csv_rows(model, agate_table) -%}
    {%- set types = model['config'].get('column_types', {}) -%}
    {%- set rows = [] -%}
    {%- for row in agate_table.rows -%}
        {%- set cells = [] -%}
        {%- for name in agate_table.column_names -%}
            {%- set kind = types.get(name, adapter.convert_type(agate_table, loop.index0)) -%}
            {%- set value = 'null' if row[name] is none else warehouse._text(row[name]) -%}
            {%- do cells.append('cast(' ~ value ~ ' as ' ~ kind ~ ')') -%}
        {%- endfor -%}
        {%- do rows.append('(' ~ cells | join(', ') ~ ')') -%}
    {%- endfor -%}
    {%- set statement = 'insert into ' ~ this.render() ~ ' values ' ~ rows | join(', ') -%}
    {%- if rows -%}
        {%- do adapter.add_query(statement, abridge_sql_log=True) -%}
    {%- endif -%}
    {{ return(statement) }}
{%- endmacro %}


{#-
    The functions of DuckDB that models call, and the check of the quotes. They live as long as the
    session, which is that of the run.
-#}
{% macro spark__begin_run() -%}
    {%- if execute and flags.WHICH in ['build', 'run', 'test'] -%}
        {%- for statement in [
            'create or replace temporary function epoch_us(moment timestamp_ntz) returns bigint'
            ~ ' return unix_micros(cast(moment as timestamp))',
            'create or replace temporary function epoch(span interval day to second) returns double'
            ~ " return unix_micros(cast(timestamp_ntz '1970-01-01 00:00:00' + span as timestamp))"
            ~ ' / cast(1000000 as double)',
            'create or replace temporary function bar_end(series_id int, start timestamp_ntz,'
            ~ ' known_at timestamp_ntz) returns timestamp_ntz return known_at',
            'create or replace temporary function isodow(moment timestamp_ntz) returns bigint'
            ~ ' return cast(weekday(moment) + 1 as bigint)',
        ] -%}
            {%- do run_query(statement) -%}
        {%- endfor -%}
        {%- set read = run_query(warehouse._spark_quoted('select "x" from (select 1 as x)')) -%}
        {%- if read.rows[0][0] | string != '1' -%}
            {{ exceptions.raise_compiler_error(
                'Spark reads quoted names as text, so every column would hold its own name'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{#- DuckDB's table macros, functions and records have no counterpart here. -#}
{% macro spark__create_table_macros() -%}
    select 1
{%- endmacro %}

{% macro spark__create_functions() -%}
    select 1
{%- endmacro %}

{% macro spark__create_ticks() -%}
    select 1
{%- endmacro %}

{% macro spark__create_tick_days() -%}
    select 1
{%- endmacro %}

{% macro spark__record_results(results) -%}
    select 1
{%- endmacro %}


-- windows -----------------------------------------------------------------------------------------

{#- Spark accepts no expression as a number of rows, so every window is a span of time. -#}
{% macro spark__windows_of(length, counted) -%}
    {{ warehouse._window(length) }} as {{ warehouse._window_definition(length) }}
{%- endmacro %}

{% macro spark__counted(relation, lengths) -%}
    {{ relation }}
{%- endmacro %}

{% macro spark___frame(length, min_bars, min_coverage) -%}
    {{ return(warehouse._window(length)) }}
{%- endmacro %}

{% macro spark__just_less_than(length) -%}
    {%- set seconds = warehouse.length_s(length) - 1 -%}
    interval '{{ '%d:%02d:%02d' % (seconds // 3600, seconds // 60 % 60, seconds % 60) }}.999999' hour to second
{%- endmacro %}

{#- A run on Spark computes all months at once, so there is no month to limit the rows to. -#}
{% macro spark__within_reach(length) -%}
    true
{%- endmacro %}

{#- Rank in the window, ties averaged; one pass over the inputs of the window. -#}
{% macro spark___average_rank(expression, over) -%}
    (aggregate(
                    collect_list(cast({{ expression }} as double)) over {{ over }},
                    cast(0.5 as double),
                    (rank_so_far, other) -> rank_so_far + case
                        when other < {{ expression }} then 1D
                        when other = {{ expression }} then 0.5D
                        else 0D
                    end
                ))
{%- endmacro %}


{#- Spark has no compensated sum. -#}
{% macro spark__compensated_mean(expression) -%}
    avg({{ expression }})
{%- endmacro %}


{#- Homes with late bars are refused; the function of this name is for tests of rows. -#}
{% macro spark__bar_end(of) -%}
    {{ of }}known_at
{%- endmacro %}


{#- The last value of an aggregate's rows that is not NULL, by `at`. -#}
{% macro spark__last_known(expression, at) -%}
    max_by({{ expression }}, {{ at }}) filter (where {{ expression }} is not null)
{%- endmacro %}


-- joins -------------------------------------------------------------------------------------------

{#-
    Spark reads `asof` as an alias, without an error. Instead both relations are sorted together by
    time, and each row gets the last row of the other relation before it, as the struct `found`.
-#}
{% macro spark__asof_join(relation, other, alias, by, at) -%}
left join (
        select distinct
            {%- for column in by %}
            {{ column }},
            {%- endfor %}
            at_time,
            found
        from (
            select
                *,
                last_value(of_other, true) over (
                    partition by {{ by | join(', ') }} order by at_time, is_asking
                    rows between unbounded preceding and current row
                ) as found
            from (
                select {{ by | join(', ') }}, "{{ at }}" as at_time, 1 as is_asking, null as of_other
                from {{ relation }}
                union all
                select {{ by | join(', ') }}, known_at as at_time, 0 as is_asking, struct(*) as of_other
                from {{ other }}
            )
        )
        where is_asking = 1
    ) as {{ alias }}
        on
            {%- for column in by %}
            {{ 'and ' if not loop.first }}{{ relation }}.{{ column }} = {{ alias }}.{{ column }}
            {%- endfor %}
            and {{ relation }}."{{ at }}" = {{ alias }}.at_time
{%- endmacro %}

{% macro spark__asof_value(column, relation, alias, max_age, at) -%}
    {%- do warehouse.length_s(max_age) -%}
    case
            when {{ relation }}."{{ at }}" - {{ alias }}.found.known_at <= interval '{{ max_age }}'
                then {{ alias }}.found.{{ column }}
        end
{%- endmacro %}
