{#- How this project sits in dbt: schema names, comments, and the record of what ran. -#}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{- custom_schema_name or target.schema -}}
{%- endmacro %}


{#-
    Copies the comments of a source's view to the staging view over it, column by column. The source
    may have columns beyond the contract, which the staging view does not select.
-#}
{% macro comment_like_source(model) -%}
    {%- if execute and model.sources -%}
        {%- set dataset = model.sources[0][1] -%}
        {%- set found = run_query(
            "select column_name, comment from duckdb_columns()"
            ~ " where database_name = current_database() and schema_name = 'vendor'"
            ~ " and table_name = '" ~ dataset ~ "' and comment is not null"
            ~ " and column_name in (select column_name from duckdb_columns()"
            ~ " where database_name = current_database() and schema_name = '" ~ this.schema
            ~ "' and table_name = '" ~ this.identifier ~ "')"
        ) -%}
        comment on view {{ this }} is
            'vendor.{{ dataset }} with NaN and infinity as NULL.';
        {% for row in found.rows -%}
            comment on column {{ this }}.{{ adapter.quote(row[0]) }} is
                '{{ row[1] | replace("'", "''") }}';
        {% endfor -%}
    {%- endif -%}
{%- endmacro %}


{#-
    Name and message of a node. A broken `holds` test goes by its model's name, and tells the query
    that shows the rows.
-#}
{% macro _told(result) -%}
    {%- set test = result.node.test_metadata if result.node.resource_type == 'test' else none -%}
    {%- if test and test.name == 'holds' and result.failures and result.node.attached_node -%}
        {%- set schema = 'user.' if result.node.package_name == 'user_models' else '' -%}
        {%- set model = schema ~ result.node.attached_node.split('.')[-1] -%}
        {{ return([
            model,
            result.failures ~ ' of its rows, shown by: warehouse sql "from ' ~ model ~ ' where ('
            ~ test.kwargs.expression | trim ~ ') is distinct from true"'
        ]) }}
    {%- endif -%}
    {%- if test and test.name == 'schedule_known' and result.failures -%}
        {{ return([
            'funding_labels',
            result.failures ~ ' series of funding have no sure schedule over more than two days:'
            ~ ' payments there are NULL or have no row. warehouse status lists the schedules; declare'
            ~ ' what is missing as [[funding]] in warehouse.toml'
        ]) }}
    {%- endif -%}
    {{ return([result.node.name, result.message or '']) }}
{%- endmacro %}


{#- Writes the outcome of every node into meta.results; `warehouse publish` reads it there. -#}
{% macro record_results(results) -%}
    {%- if execute and flags.WHICH in ['build', 'run', 'test', 'seed'] and results -%}
        insert into meta.results by name
        {% for result in results -%}
            {%- set name, message = _told(result) %}
            select
                '{{ name }}' as name,
                '{{ result.node.resource_type }}' as resource_type,
                '{{ result.node.package_name }}' as package,
                '{{ result.status }}' as status,
                {{ result.failures if result.failures is not none else 'null' }} as failures,
                '{{ message | replace("'", "''") }}' as message
            {{ 'union all' if not loop.last }}
        {% endfor -%}
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}
