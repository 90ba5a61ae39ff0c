{#- Hooks of this project in dbt: schema names, comments, and records of what was built. -#}

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
    The query that shows the rows that fail `holds`, or `not_null` of a user's model; nothing for
    other nodes.
-#}
{% macro _shown(node) -%}
    {%- set test = node.test_metadata if node.resource_type == 'test' else none -%}
    {%- set condition = none -%}
    {%- if test and test.name == 'holds' -%}
        {%- set condition = test.kwargs.expression | trim -%}
    {%- elif test and test.name == 'not_null' and node.package_name == 'user_models' -%}
        {%- set condition = test.kwargs.column_name ~ ' is not null' -%}
    {%- endif -%}
    {%- if condition and node.attached_node -%}
        {{ return(
            'to see them: warehouse sql "from ' ~ _tested(node) ~ ' where (' ~ condition
            ~ ') is distinct from true"'
        ) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}


{% macro _tested(node) -%}
    {%- set schema = 'user.' if node.package_name == 'user_models' else '' -%}
    {{ return(schema ~ graph.nodes[node.attached_node].alias) }}
{%- endmacro %}


{#-
    Name, status and message of a node. A failed test of rows is reported under its model's name,
    and its message is the query that shows the rows. Models of `--empty` or `--sample` lack rows,
    so they count as failed.
-#}
{% macro _outcome(result) -%}
    {%- set node, status = result.node, result.status ~ '' -%}
    {%- if result.failures and _shown(node) -%}
        {{ return([
            _tested(node), status,
            'condition not met by ' ~ result.failures ~ ' of its rows; ' ~ _shown(node)
        ]) }}
    {%- elif node.name == 'funding_doubts' and result.failures -%}
        {{ return([node.name, status, _funding_doubts(result)]) }}
    {%- elif node.resource_type == 'test' and result.failures and status in ['warn', 'fail'] -%}
        {{ return([node.name, status, 'rows that break it: ' ~ result.failures]) }}
    {%- elif node.resource_type == 'model' and status == 'success'
        and (flags.EMPTY or flags.SAMPLE) -%}
        {{ return([
            node.name, 'error', 'was built without all rows, by --empty or --sample'
        ]) }}
    {%- endif -%}
    {{ return([node.name, status, result.message or '']) }}
{%- endmacro %}


{#- The doubtful funding schedules that the test found, with lines for warehouse.toml. -#}
{% macro _funding_doubts(result) -%}
    {%- set found = run_query(result.node.compiled_code) -%}
    {%- set lines = found.columns['toml_lines'].values()[:20] | join('\n') -%}
    {{ return(
        result.failures ~ ' doubts about funding schedules (warehouse status lists the schedules).'
        ~ ' Put what is right into warehouse.toml, then run: warehouse build\n' ~ lines
        ~ ('\n…' if result.failures > 20 else '')
    ) }}
{%- endmacro %}


{% macro _text(value) -%}
    {{ return("'" ~ value | string | replace("'", "''") ~ "'") }}
{%- endmacro %}


{#- A comment as an SQL string on one line. -#}
{% macro _comment(text) -%}
    {{ return(warehouse._text(text.split() | join(' '))) }}
{%- endmacro %}


{#-
    Writes the outcome of every node into meta.results in place of an earlier one, and the SQL of
    each model that was built into meta.models; `warehouse publish` reads both, whichever command
    ran last.
-#}
{% macro record_results(results) -%}
    {{ return(adapter.dispatch('record_results', 'warehouse')(results)) }}
{%- endmacro %}

{% macro default__record_results(results) -%}
    {%- if execute and flags.WHICH in ['build', 'run', 'test', 'seed'] and results -%}
        {%- for result in results %}
            {%- set node, shown = result.node, _shown(result.node) %}
            delete from meta.results
            where
                resource_type = {{ _text(node.resource_type) }}
                and package = {{ _text(node.package_name) }}
                and (
                    name = {{ _text(node.name) }}
                    {{ 'or ends_with(message, ' ~ _text(shown) ~ ')' if shown }}
                );
            {%- if node.resource_type == 'model' and result.status == 'success' %}
            delete from meta.models
            where schema = {{ _text(node.schema) }} and name = {{ _text(node.alias) }};
            insert into meta.models by name
            select
                {{ _text(node.schema) }} as schema,
                {{ _text(node.alias) }} as name,
                {{ _text(node.compiled_code | trim) }} as sql,
                {{ _text(node.checksum.checksum) }} as checksum;
            {%- endif %}
        {% endfor -%}
        insert into meta.results by name
        {% for result in results -%}
            {%- set name, status, message = _outcome(result) %}
            select
                {{ _text(name) }} as name,
                {{ _text(result.node.resource_type) }} as resource_type,
                {{ _text(result.node.package_name) }} as package,
                {{ _text(status) }} as status,
                {{ result.failures if result.failures is not none else 'null' }} as failures,
                {{ _text(message) }} as message
            {{ 'union all' if not loop.last }}
        {% endfor -%}
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}


{#- Statements that an engine needs before the first model runs. -#}
{% macro begin_run() -%}
    {{ return(adapter.dispatch('begin_run', 'warehouse')()) }}
{%- endmacro %}

{% macro default__begin_run() -%}
    {%- set needed = {
        'build': 'vendor', 'run': 'vendor', 'seed': 'vendor', 'test': 'staging'
    }.get(flags.WHICH) -%}
    {%- if execute and needed -%}
        {%- set found = run_query(
            "select count(*) from duckdb_views() where database_name = current_database()"
            ~ " and schema_name = '" ~ needed ~ "'"
        ) -%}
        {%- if found.columns[0][0] == 0 -%}
            {{ exceptions.raise_compiler_error(
                'the build file has no ' ~ ('data' if needed == 'vendor' else 'models')
                ~ '; run first: warehouse build --no-dbt && dbt build'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
