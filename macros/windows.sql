{#-
    Windows over time, by one rule for all.

    A window of length L at bar t has the bars with t - L < time <= t of the same series: it is a
    span of time, so a gap does not lengthen it. A value exists if L is a whole number of bars
    and all of them are present with an input that is not NULL. `min_bars` requires that many inputs
    instead, `min_coverage` for that share of the bars; the var min_window_coverage relaxes the rule
    for all. Inputs must be finite, as staging makes them.

    The macros name a window by its length, `windows(...)` at the end of the select defines it:

        select
            series_id,
            "time",
            {{ rolling_zscore('spread_bps', '1 day') }} as spread_z_1d
        from {{ ref('l1_features') }}
        {{ windows('1 day') }}

    The relation has series_id, time and known_at, and one row per bar. Other engines use
    `<engine>__<macro>`, by dbt's dispatch. The length of a bar is that of its series: see bar_end.

    Each length gives two windows: `last_1_day` is the span of time, `bars_1_day` as many rows as
    the span has bars. If no bar is missing, both have the same rows, and the second is much faster;
    measures that need all bars use it after a check that none is missing.
-#}


{#-
    The last rows of a select: the windows of these lengths, by name. `counted=true` means that the
    select reads from counted(...) of the same lengths.
-#}
{% macro windows() -%}
    {%- set counted = kwargs.pop('counted', false) -%}
    {%- if not varargs or kwargs -%}
        {{ exceptions.raise_compiler_error("windows: name the lengths, as windows('1 day', '1 hour')") }}
    {%- endif -%}
window
    {%- for length in varargs %}
    {{ adapter.dispatch('windows_of', 'warehouse')(length, counted) }}{{ ',' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro default__windows_of(length, counted) -%}
    {{ warehouse._window(length) }} as {{ warehouse._window_definition(length, counted) }},
    {{ warehouse._bars(length) }} as {{ warehouse._bars_definition(length) }}
{%- endmacro %}


{#-
    A relation with the number of rows in each window of these lengths, to select from. The engine
    searches the beginning of a span of time again for every measure, which takes a third of the
    time of several measures over one window; a number of rows needs no search.
-#}
{% macro counted(relation) -%}
    {{ return(adapter.dispatch('counted', 'warehouse')(relation, varargs)) }}
{%- endmacro %}

{% macro default__counted(relation, lengths) -%}
    (
        select
            *,
            {%- for length in lengths %}
            count(*) over {{ warehouse._window(length) }} as {{ warehouse._rows(length) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ relation }}
        window
            {%- for length in lengths %}
            {{ warehouse._window(length) }} as {{ warehouse._window_definition(length) }}{{ ',' if not loop.last }}
            {%- endfor %}
    ) as {{ relation }}
{%- endmacro %}


{#- Number of inputs in the window that are not NULL. -#}
{% macro rolling_count(expression, length) -%}
    {{ return(adapter.dispatch('rolling_count', 'warehouse')(expression, length)) }}
{%- endmacro %}

{% macro default__rolling_count(expression, length) -%}
    {{ warehouse._count(expression, warehouse._window(length)) }}::bigint
{%- endmacro %}


{% macro rolling_mean(expression, length, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_mean', 'warehouse')(
        expression, length, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_mean(expression, length, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {{ warehouse._rolling(
        warehouse._mean(expression, length, over), expression, length, min_bars, min_coverage,
        of_sums=true
    ) }}
{%- endmacro %}


{% macro rolling_sum(expression, length, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_sum', 'warehouse')(
        expression, length, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_sum(expression, length, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {{ warehouse._rolling(
        warehouse._sum(expression, over), expression, length, min_bars, min_coverage,
        of_sums=true
    ) }}
{%- endmacro %}


{% macro rolling_min(expression, length, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_min', 'warehouse')(
        expression, length, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_min(expression, length, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {{ warehouse._rolling(
        'min(' ~ expression ~ ') over ' ~ over, expression, length, min_bars, min_coverage
    ) }}
{%- endmacro %}


{% macro rolling_max(expression, length, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_max', 'warehouse')(
        expression, length, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_max(expression, length, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {{ warehouse._rolling(
        'max(' ~ expression ~ ') over ' ~ over, expression, length, min_bars, min_coverage
    ) }}
{%- endmacro %}


{#- Sample standard deviation (ddof 1); NULL for a single input. -#}
{% macro rolling_std(expression, length, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_std', 'warehouse')(
        expression, length, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_std(expression, length, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {{ warehouse._rolling(
        'stddev_samp(' ~ expression ~ ') over ' ~ over, expression, length, min_bars, min_coverage
    ) }}
{%- endmacro %}


{#-
    (of - mean(x)) / std(x) over the window; `of` defaults to x. NULL if x does not vary: a
    deviation below 1e-12 of the mean is a rounding error of equal values.
-#}
{% macro rolling_zscore(expression, length, of=none, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_zscore', 'warehouse')(
        expression, length, of, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_zscore(expression, length, of, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {%- set mean = warehouse._mean(expression, length, over) -%}
    {%- set deviation = 'stddev_samp(' ~ expression ~ ') over ' ~ over -%}
    {{ warehouse._rolling(
        '(' ~ (of or expression) ~ ' - ' ~ mean ~ ')\n                / ' ~ deviation,
        expression, length, min_bars, min_coverage, of_sums=true,
        also=deviation ~ '\n                    > 1e-12 * abs(' ~ mean ~ ')'
    ) }}
{%- endmacro %}


{#-
    Rank of the row's x among the window's, ties averaged, as (rank - 1) / (count - 1): 0 lowest,
    1 highest. NULL where x is NULL or alone.
-#}
{% macro rolling_rank(expression, length, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_rank', 'warehouse')(
        expression, length, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_rank(expression, length, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {{ warehouse._rolling(
        '(' ~ warehouse._average_rank(expression, over) ~ ' - 1)\n                / nullif('
        ~ warehouse._count(expression, over) ~ ' - 1, 0)',
        expression, length, min_bars, min_coverage,
        also=warehouse._operand(expression) ~ ' is not null'
    ) }}
{%- endmacro %}


{#-
    Rank of the row's x among the window's, ties averaged, as rank / count: pandas' rank(pct=True)
    of the last value. In (0, 1]. NULL where x is NULL.
-#}
{% macro rolling_percentile(expression, length, min_bars=none, min_coverage=none) -%}
    {{ return(adapter.dispatch('rolling_percentile', 'warehouse')(
        expression, length, min_bars, min_coverage
    )) }}
{%- endmacro %}

{% macro default__rolling_percentile(expression, length, min_bars, min_coverage) -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {{ warehouse._rolling(
        warehouse._average_rank(expression, over) ~ '\n                / '
        ~ warehouse._count(expression, over),
        expression, length, min_bars, min_coverage,
        also=warehouse._operand(expression) ~ ' is not null'
    ) }}
{%- endmacro %}


{#-
    Whether a bar is needed where a build computes one month of a mart and this select looks no
    further back than `length`; true everywhere else. A mart with one long window reads the bars of
    that length; its other selects leave most of them out, which saves time. Values do not depend on
    it.
-#}
{% macro within_reach(length) -%}
    {{ return(adapter.dispatch('within_reach', 'warehouse')(length)) }}
{%- endmacro %}

{% macro default__within_reach(length) -%}
    {%- do warehouse.length_s(length) -%}
    "time" >= coalesce(
            getvariable('month_start')::timestamp - interval '{{ length }}', '-infinity'::timestamp
        )
{%- endmacro %}


{#- Bars in a length of time, a real number: 288 for '1 day' at 5m. -#}
{% macro bars_in(length) -%}
    {{ return(adapter.dispatch('bars_in', 'warehouse')(length)) }}
{%- endmacro %}

{% macro default__bars_in(length) -%}
    {%- if length is mapping -%}
        {{ warehouse.length_us(length) }} / epoch_us({{ warehouse.bar_end() }} - "time")
    {%- else -%}
        epoch(interval '{{ length }}') / epoch({{ warehouse.bar_end() }} - "time")
        {%- do warehouse.length_s(length) -%}
    {%- endif -%}
{%- endmacro %}


{#- Seconds of a length such as '1 day' or '90 minutes'; stops the build on anything else. -#}
{% macro length_s(length) -%}
    {%- set units = {'second': 1, 'minute': 60, 'hour': 3600, 'day': 86400} -%}
    {%- set words = (length | string).split() -%}
    {%- set unit = words[1].removesuffix('s') if words | length == 2 else '' -%}
    {%- if unit not in units or not words[0].isdecimal() or words[0] | int < 1 -%}
        {{ exceptions.raise_compiler_error(
            "length '" ~ length ~ "': write a whole number and second, minute, hour or day, as"
            ~ " '4 hours'"
        ) }}
    {%- endif -%}
    {{ return((words[0] | int) * units[unit]) }}
{%- endmacro %}


{#-
    The same in microseconds, as SQL. In the functions of the catalog the length is an argument of the
    call, known only to DuckDB; then `length` is a mapping with the name of that parameter.
-#}
{% macro length_us(length) -%}
    {%- if length is mapping -%}
        {%- set given = length.name ~ '::interval' -%}
        {{ return(
            "case when epoch_us(" ~ given ~ ") > 0 and datepart('month', " ~ given ~ ") = 0"
            ~ " and datepart('year', " ~ given ~ ") = 0 then epoch_us(" ~ given ~ ")"
            ~ " else error('length ''' || " ~ length.name ~ "::varchar || ''': write a whole number"
            ~ " and second, minute, hour or day, as ''4 hours''') end"
        ) }}
    {%- endif -%}
    {{ return((warehouse.length_s(length) * 1000000) | string) }}
{%- endmacro %}


{#- One microsecond less than a length, so that a frame leaves its far end out. -#}
{% macro just_less_than(length) -%}
    {{ return(adapter.dispatch('just_less_than', 'warehouse')(length)) }}
{%- endmacro %}

{% macro default__just_less_than(length) -%}
    {%- if length is mapping -%}
        to_microseconds({{ warehouse.length_us(length) }} - 1)
    {%- else -%}
        {%- set seconds = warehouse.length_s(length) - 1 -%}
        interval '{{ '%02d:%02d:%02d' % (seconds // 3600, seconds // 60 % 60, seconds % 60) }}.999999'
    {%- endif -%}
{%- endmacro %}


{#- last_1_day for '1 day': the window as a span of time. -#}
{% macro _window(length) -%}
    {%- if length is mapping -%}
        {{ return(warehouse._window_definition(length)) }}
    {%- endif -%}
    {%- do warehouse.length_s(length) -%}
    last_{{ length | replace(' ', '_') }}
{%- endmacro %}


{#- bars_1_day for '1 day': the window as a number of rows. -#}
{% macro _bars(length) -%}
    {%- if length is mapping -%}
        {{ return(warehouse._bars_definition(length)) }}
    {%- endif -%}
    {%- do warehouse.length_s(length) -%}
    bars_{{ length | replace(' ', '_') }}
{%- endmacro %}


{#- rows_1_day for '1 day': the rows in last_1_day. -#}
{% macro _rows(length) -%}
    {{ return(warehouse._window(length) | replace('last_', 'rows_')) }}
{%- endmacro %}


{#- The two windows of a length, as a select defines them. -#}
{% macro _window_definition(length, counted=false) -%}
(
        partition by series_id order by "time"
        {% if counted -%}
        rows between {{ warehouse._rows(length) }} - 1 preceding and current row
        {%- else -%}
        range between {{ just_less_than(length) }} preceding and current row
        {%- endif %}
    )
{%- endmacro %}


{% macro _bars_definition(length) -%}
(
        partition by series_id order by "time"
        rows between {{ _bars_before(length) }} preceding and current row
    )
{%- endmacro %}


{% macro _is_bars(over) -%}
    {{ return(over.startswith('bars_') or 'rows between' in over) }}
{%- endmacro %}


{#- Number of rows of a window without missing bars. -#}
{% macro _bars_of(length) -%}
    greatest({{ warehouse.length_us(length) }} // (epoch_us({{ warehouse.bar_end() }}) - epoch_us("time")), 1)
{%- endmacro %}


{#- Those of them before the current one. -#}
{% macro _bars_before(length) -%}
    {{ warehouse._bars_of(length) }} - 1
{%- endmacro %}


{#- Share of the window's bars that must exist. -#}
{% macro _coverage(min_coverage) -%}
    {%- set wanted = 1.0 if min_coverage is none else min_coverage | float -%}
    {%- set loosened = var('min_window_coverage') | float -%}
    {%- if not (0 < wanted <= 1 and 0 < loosened <= 1) -%}
        {{ exceptions.raise_compiler_error(
            'min_coverage and the var min_window_coverage lie in (0, 1], not ' ~ wanted ~ ' and '
            ~ loosened
        ) }}
    {%- endif -%}
    {{ return([wanted, loosened] | min) }}
{%- endmacro %}


{#- The window of a measure: by rows if it needs every bar, else by time. -#}
{% macro _frame(length, min_bars, min_coverage) -%}
    {{ return(adapter.dispatch('_frame', 'warehouse')(length, min_bars, min_coverage)) }}
{%- endmacro %}

{% macro default___frame(length, min_bars, min_coverage) -%}
    {%- if min_bars is none and warehouse._coverage(min_coverage) == 1 -%}
        {{ return(warehouse._bars(length)) }}
    {%- endif -%}
    {{ return(warehouse._window(length)) }}
{%- endmacro %}


{#-
    One value under the window rule. All bars are present if the bar that many rows before began one
    length before this one ended. Measures made of sums then need no count of their inputs, because
    a sum shows whether one is missing.
-#}
{% macro _rolling(
    value, expression, length, min_bars, min_coverage, of_sums=false, also=none
) -%}
    {%- set coverage = warehouse._coverage(min_coverage) -%}
    {%- if not expression is string or not expression | trim -%}
        {{ exceptions.raise_compiler_error(
            'rolling measure: name a column or write an expression, in quotes'
        ) }}
    {%- elif min_bars is not none and (min_coverage is not none or min_bars | int < 1) -%}
        {{ exceptions.raise_compiler_error(
            'min_bars must be a whole number of at least 1 and excludes min_coverage'
        ) }}
    {%- endif -%}
    {%- set over = warehouse._frame(length, min_bars, min_coverage) -%}
    {%- set count = warehouse._count(expression, over) -%}
    {%- set seconds = (warehouse.length_us(length) ~ ' / 1e6') if length is mapping
        else warehouse.length_s(length) -%}
    {%- set whole = seconds ~ ' % epoch(' ~ warehouse.bar_end() ~ ' - "time") = 0' -%}
    case
            when {% if min_bars is not none -%}
                {{ count }} >= {{ min_bars }}
                and {{ whole }}
            {%- elif coverage == 1 and warehouse._is_bars(over) -%}
                epoch_us({{ warehouse.bar_end() }}) - epoch_us(lag("time", {{ warehouse._bars_before(length) }}) over {{ over }})
                    = {{ warehouse.length_us(length) }}
                {%- if not of_sums %}
                and {{ count }} = {{ warehouse.bars_in(length) }}
                {%- endif %}
            {%- else -%}
                {{ count }} * epoch({{ warehouse.bar_end() }} - "time") >= {{ (coverage ~ ' * ' ~ seconds)
                    if length is mapping else (coverage * seconds) | round(6) }}
                and {{ whole }}
            {%- endif %}
            {%- if also %}
                and {{ also }}
            {%- endif %}
                then {{ value }}
        end
{%- endmacro %}


{#-
    The sum, DOUBLE; over bars it is NULL if one of them lacks its input, because NaN spreads. The
    engine computes equal sums of a select once: the text is the same wherever one is needed.
-#}
{% macro _sum(expression, over) -%}
    {%- set input = '(' ~ expression ~ ')::double' -%}
    {%- if warehouse._is_bars(over) -%}
        nullif(sum(coalesce({{ input }}, 'nan')) over {{ over }}, 'nan')
    {%- else -%}
        sum({{ input }}) over {{ over }}
    {%- endif -%}
{%- endmacro %}


{#- The mean, as by DuckDB's avg; over bars it is NULL where one of them lacks its input. -#}
{% macro _mean(expression, length, over) -%}
    {{ warehouse._sum(expression, over) }} / {% if warehouse._is_bars(over) -%}
        {{ warehouse._bars_of(length) }}
    {%- else -%}
        {{ warehouse._count(expression, over) }}
    {%- endif -%}
{%- endmacro %}


{#-
    Number of inputs that are not NULL, by a sum, because in a long window the engine adds numbers
    four times as fast as it counts. `*` and `distinct x` are arguments of `count` only, which also
    refuses a list of columns.
-#}
{% macro _count(expression, over) -%}
    {%- set text = expression | string | trim | lower -%}
    {%- set outside_calls = text.split('(') | first ~ text.split(')') | last -%}
    {%- if text.startswith('distinct ') or text.endswith('*') or ',' in outside_calls -%}
        count({{ expression }}) over {{ over }}
    {%- else -%}
        sum(({{ warehouse._operand(expression) }} is not null)::double) over {{ over }}
    {%- endif -%}
{%- endmacro %}


{#- From the numbers of lower and of higher inputs: a count of equal ones is another sort. -#}
{% macro _average_rank(expression, over) -%}
    {{ return(adapter.dispatch('_average_rank', 'warehouse')(expression, over)) }}
{%- endmacro %}

{% macro default___average_rank(expression, over) -%}
    (
                    rank(order by {{ expression }} nulls last) over {{ over }}
                    - rank(order by {{ expression }} desc nulls last) over {{ over }}
                    + {{ warehouse._count(expression, over) }} + 1
                ) / 2
{%- endmacro %}
