{#-
    What sqlfluff puts where a model calls a macro of ours: it renders Jinja without dbt, so it
    cannot dispatch. Each stands for the shape of the SQL, not for its meaning.
-#}
{% macro finite(x) %}{{ x }}{% endmacro %}
{% macro ratio(x, y) %}({{ x }}) / {{ y }}{% endmacro %}
{% macro bps(x, y) %}({{ x }}) / {{ y }}{% endmacro %}
{% macro change(x, y) %}({{ x }}) / {{ y }}{% endmacro %}
{% macro change_bps(x, y) %}({{ x }}) / {{ y }}{% endmacro %}
{% macro change_pct(x, y) %}({{ x }}) / {{ y }}{% endmacro %}
{% macro mean_of(x) %}{{ x | join(' + ') }}{% endmacro %}
{% macro compensated_mean(x) %}avg({{ x }}){% endmacro %}
{% macro previous_bar(x) %}{{ x }}{% endmacro %}
{% macro bar_end(of=none) %}{{ of ~ '.' if of }}known_at{% endmacro %}
{% macro bars_in(length) %}1{% endmacro %}
{% macro rolling_count(x, length) %}count({{ x }}){% endmacro %}
{% macro rolling_mean(x, length) %}avg({{ x }}{{ kwargs and '' }}){% endmacro %}
{% macro rolling_sum(x, length) %}sum({{ x }}{{ kwargs and '' }}){% endmacro %}
{% macro rolling_min(x, length) %}min({{ x }}{{ kwargs and '' }}){% endmacro %}
{% macro rolling_std(x, length) %}stddev_samp({{ x }}{{ kwargs and '' }}){% endmacro %}
{% macro rolling_zscore(x, length) %}avg({{ x }}{{ kwargs and '' }}){% endmacro %}
{% macro rolling_rank(x, length) %}avg({{ x }}{{ kwargs and '' }}){% endmacro %}
{% macro rolling_percentile(x, length) %}avg({{ x }}{{ kwargs and '' }}){% endmacro %}
{% macro within_reach(length) %}"time" is not null{% endmacro %}
{% macro counted(relation) %}{{ relation }}{{ varargs and '' }}{% endmacro %}
{% macro windows() %}{{ (varargs, kwargs) and '' }}{% endmacro %}
{% macro join_at(relation, alias, offset, other=none) -%}
inner join {{ other or relation }} as {{ alias }}
        on {{ relation }}.series_id = {{ alias }}.series_id
{%- endmacro %}
{% macro asof_join(relation, other, alias) -%}
inner join {{ other }} as {{ alias }}{{ kwargs and '' }}
        on {{ relation }}.series_id = {{ alias }}.series_id
{%- endmacro %}
{% macro asof_value(column, relation, alias, max_age) -%}
{{ alias }}.{{ column }}{{ kwargs and '' }}
{%- endmacro %}
{% macro staged(dataset) %}select 1 as {{ dataset }}{% endmacro %}
{% macro panel(datasets) %}select 1 as {{ datasets[0] }}{% endmacro %}
{% macro last_known(x, at) %}max({{ x }}){% endmacro %}
