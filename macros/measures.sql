{#-
    Measures of one row, and joins that reach another row by time.

    Join macros add no rows: (series_id, time) is unique in the relation they reach into.
-#}


{#-
    x / y; NULL if y is 0, either is NULL, or finite() does not keep the quotient: such a small
    denominator is a rounding error of 0.
-#}
{% macro ratio(numerator, denominator) -%}
    {{ return(adapter.dispatch('ratio', 'warehouse')(numerator, denominator)) }}
{%- endmacro %}

{% macro default__ratio(numerator, denominator) -%}
    {%- set quotient = warehouse._operand(numerator) ~ ' / nullif(' ~ denominator ~ ', 0)' -%}
    {{ warehouse.finite(quotient) }}
{%- endmacro %}


{#-
    Mean of a column of a group. The sum is compensated; otherwise its last digits would often vary
    with the order of the rows, which threads decide. DuckDB 1.5 still returns two results at times.
-#}
{% macro compensated_mean(expression) -%}
    {{ return(adapter.dispatch('compensated_mean', 'warehouse')(expression)) }}
{%- endmacro %}

{% macro default__compensated_mean(expression) -%}
    favg({{ expression }})
{%- endmacro %}


{#- x as basis points of y: 1e4 * x / y; NULL where y is 0. -#}
{% macro bps(numerator, denominator) -%}
    {{ return(adapter.dispatch('bps', 'warehouse')(numerator, denominator)) }}
{%- endmacro %}

{% macro default__bps(numerator, denominator) -%}
    {{ warehouse.ratio(numerator, denominator) }} * 1e4
{%- endmacro %}


{#- later / earlier - 1, a fraction; NULL where earlier is 0. -#}
{% macro change(later, earlier) -%}
    {{ return(adapter.dispatch('change', 'warehouse')(later, earlier)) }}
{%- endmacro %}

{% macro default__change(later, earlier) -%}
    ({{ warehouse.ratio(later, earlier) }} - 1)
{%- endmacro %}


{#- The same in basis points. -#}
{% macro change_bps(later, earlier) -%}
    {{ return(adapter.dispatch('change_bps', 'warehouse')(later, earlier)) }}
{%- endmacro %}

{% macro default__change_bps(later, earlier) -%}
    1e4 * {{ warehouse.change(later, earlier) }}
{%- endmacro %}


{#- The same in percent. -#}
{% macro change_pct(later, earlier) -%}
    {{ return(adapter.dispatch('change_pct', 'warehouse')(later, earlier)) }}
{%- endmacro %}

{% macro default__change_pct(later, earlier) -%}
    100 * {{ warehouse.change(later, earlier) }}
{%- endmacro %}


{#- Mean of those expressions that are not NULL; NULL where none is. -#}
{% macro mean_of(expressions) -%}
    {{ return(adapter.dispatch('mean_of', 'warehouse')(expressions)) }}
{%- endmacro %}

{% macro default__mean_of(expressions) -%}
    {%- if expressions is string or expressions | length < 2 -%}
        {{ exceptions.raise_compiler_error("mean_of: give a list of columns, as ['a', 'b']") }}
    {%- endif -%}
    (
            {%- for expression in expressions %}
            {{ '+ ' if not loop.first }}coalesce({{ expression }}, 0)
            {%- endfor %}
        ) / nullif(
            {%- for expression in expressions %}
            {{ '+ ' if not loop.first }}({{ expression }} is not null)::integer
            {%- endfor %}
            , 0
        )
{%- endmacro %}


{#-
    The end of a bar: known_at, or earlier if ticks of the bar arrived after its end. Then it
    is `time` plus the length of the series' bars: the catalog's function bar_end knows such series.
-#}
{% macro bar_end(relation=none) -%}
    {{ return(adapter.dispatch('bar_end', 'warehouse')(relation ~ '.' if relation else '')) }}
{%- endmacro %}

{% macro default__bar_end(of) -%}
    bar_end({{ of }}series_id, {{ of }}"time", {{ of }}known_at)
{%- endmacro %}


{#- The value of the bar that ended when this one began; NULL where that bar is missing. -#}
{% macro previous_bar(expression) -%}
    {{ return(adapter.dispatch('previous_bar', 'warehouse')(expression)) }}
{%- endmacro %}

{% macro default__previous_bar(expression) -%}
    case
            when lag({{ warehouse.bar_end() }}) over (partition by series_id order by "time") = "time"
                then lag({{ expression }}) over (partition by series_id order by "time")
        end
{%- endmacro %}


{#-
    Joins the row of the same series exactly `offset` away, as `alias`; all NULL if there is none,
    for example because the offset is not a whole number of bars. '1 hour' looks ahead, '-1 hour'
    looks back, 'next bar' is the bar that begins when this one ends. The row comes from `other`, or
    from `relation` itself; both are names that the select can read.
-#}
{% macro join_at(relation, alias, offset, other=none) -%}
    {{ return(adapter.dispatch('join_at', 'warehouse')(relation, alias, offset, other or relation)) }}
{%- endmacro %}

{% macro default__join_at(relation, alias, offset, other) -%}
    {%- set length = offset | string | replace('-', '', 1) -%}
    {%- if offset != 'next bar' -%}
        {%- do warehouse.length_s(length) -%}
    {%- endif -%}
left join {{ other }} as {{ alias }}
        on
            {{ relation }}.series_id = {{ alias }}.series_id
            {%- if offset == 'next bar' %}
            and {{ warehouse.bar_end(relation) }} = {{ alias }}."time"
            {%- else %}
            and {{ relation }}."time" {{ '-' if offset[0] == '-' else '+' }} interval '{{ length }}' = {{ alias }}."time"
            {%- endif -%}
{%- endmacro %}


{#-
    Joins to each row of `relation` the last row of `other` (as `alias`) that was known by then:
    the greatest known_at <= `at`, never a bar that is still open. Rows match if all columns of `by`
    are equal. A row that is older than `max_age` must not be used: select its columns through
    asof_value(column, alias, max_age).
-#}
{% macro asof_join(relation, other, alias, by=['series_id'], at='known_at') -%}
    {{ return(adapter.dispatch('asof_join', 'warehouse')(relation, other, alias, by, at)) }}
{%- endmacro %}

{% macro default__asof_join(relation, other, alias, by, at) -%}
    {%- if by is string or not by -%}
        {{ exceptions.raise_compiler_error(
            "asof_join: by is a list of columns, as ['exchange', 'symbol', 'clock']"
        ) }}
    {%- endif -%}
asof left join {{ other }} as {{ alias }}
        on
            {%- for column in by %}
            {{ 'and ' if not loop.first }}{{ relation }}.{{ column }} = {{ alias }}.{{ column }}
            {%- endfor %}
            and {{ relation }}."{{ at }}" >= {{ alias }}.known_at
{%- endmacro %}


{#- A column of an as-of row, or NULL where that row is older than `max_age` at `at`. -#}
{% macro asof_value(column, relation, alias, max_age, at='known_at') -%}
    {{ return(adapter.dispatch('asof_value', 'warehouse')(column, relation, alias, max_age, at)) }}
{%- endmacro %}

{% macro default__asof_value(column, relation, alias, max_age, at) -%}
    {%- do warehouse.length_s(max_age) -%}
    case
            when {{ relation }}."{{ at }}" - {{ alias }}.known_at <= interval '{{ max_age }}'
                then {{ alias }}.{{ column }}
        end
{%- endmacro %}


{#- The value of an aggregate's last row by `at` whose value is not NULL. -#}
{% macro last_known(expression, at) -%}
    {{ return(adapter.dispatch('last_known', 'warehouse')(expression, at)) }}
{%- endmacro %}

{% macro default__last_known(expression, at) -%}
    arg_max({{ expression }}, {{ at }})
{%- endmacro %}


{#- An expression, in parentheses unless it is a plain name. -#}
{% macro _operand(expression) -%}
    {%- if modules.re.fullmatch('[\w".]+', expression | trim) -%}
        {{ expression }}
    {%- else -%}
        ({{ expression }})
    {%- endif -%}
{%- endmacro %}
