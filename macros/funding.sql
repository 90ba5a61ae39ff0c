{#-
    declared_funding(): the spans of the home's [[funding]] tables, from meta.funding_declared of the
    build file, as rows of (exchange, symbol, period_hours, since, until). They stand in the compiled
    SQL, so that a stored month is computed again when they change.
-#}
{% macro declared_funding() -%}
    {%- set rows = [] -%}
    {%- if execute -%}
        {%- set is_there = run_query(
            "select count(*) from duckdb_tables() where database_name = current_database()"
            ~ " and schema_name = 'meta' and table_name = 'funding_declared'"
        ).rows[0][0] -%}
        {%- if is_there -%}
            {%- set found = run_query(
                "select concat_ws(', ', '''' || replace(exchange, '''', '''''') || '''',"
                ~ " '''' || replace(symbol, '''', '''''') || '''', period_hours,"
                ~ " 'timestamp ''' || since || '''', 'timestamp ''' || \"until\" || '''')"
                ~ " from meta.funding_declared order by exchange, symbol, since"
            ) -%}
            {%- for row in found.rows -%}
                {%- do rows.append(row[0]) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
    select
        null::varchar as exchange,
        null::varchar as symbol,
        null::integer as period_hours,
        null::timestamp as since,
        null::timestamp as "until"
    where false
    {%- for row in rows %}
    union all
    select {{ row }}
    {%- endfor -%}
{%- endmacro %}
