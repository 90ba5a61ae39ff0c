{#-
    Windows over time, by one rule for all.

    A window of length L at bar t holds the bars with t - L < time <= t of the same series: it is
    a span of time, so a gap never stretches it. It has n = L / (length of a bar) bars. A value
    exists where n is a whole number >= 1 and n inputs (or `min_bars`, or the share set by the var
    min_window_coverage) are there and not NULL. Inputs must be finite: pass them through finite().

    Every macro takes a column expression and a length like '1 day' or '4 hours', and expects the
    relation to have series_id, time and known_at with one row per bar.
-#}

{#- Microseconds of a length such as '1 day', '90 minutes'; stops the build on anything else. -#}
{% macro length_us(length) -%}
    {%- set units = {'second': 1, 'minute': 60, 'hour': 3600, 'day': 86400} -%}
    {%- set words = (length | string).split() -%}
    {%- set unit = words[1].rstrip('s') if words | length == 2 else '' -%}
    {%- if unit not in units or not words[0].isdigit() or words[0] | int < 1 -%}
        {{ exceptions.raise_compiler_error(
            "length " ~ length ~ ": write a whole number and second, minute, hour or day, as '4 hours'"
        ) }}
    {%- endif -%}
    {{ return((words[0] | int) * units[unit] * 1000000) }}
{%- endmacro %}


{#- Length of the row's bar in microseconds. -#}
{% macro bar_us() -%}
    (epoch_us(known_at) - epoch_us("time"))
{%- endmacro %}


{#- Bars in a length of time: a BIGINT, or NULL where the length is no whole number of bars. -#}
{% macro bars_in(length) -%}
    {%- set us = warehouse.length_us(length) -%}
    case when {{ us }} % {{ bar_us() }} = 0 then {{ us }} // {{ bar_us() }} end
{%- endmacro %}


{#- The frame: the bars of the same series with t - length < time <= t. -#}
{% macro trailing(length) -%}
    {%- do warehouse.length_us(length) -%}
    (
        partition by series_id order by "time"
        range between interval '{{ length }}' - interval '1 microsecond' preceding and current row
    )
{%- endmacro %}


{#- How many inputs in the window are not NULL. -#}
{% macro rolling_count(expression, length) -%}
    count({{ expression }}) over {{ trailing(length) }}
{%- endmacro %}


{% macro rolling_mean(expression, length, min_bars=none) -%}
    {{ _rolling('avg(' ~ expression ~ ')', expression, length, min_bars) }}
{%- endmacro %}

{% macro rolling_sum(expression, length, min_bars=none) -%}
    {{ _rolling('sum(' ~ expression ~ ')', expression, length, min_bars) }}
{%- endmacro %}

{#- Sample standard deviation (ddof 1); needs two inputs. -#}
{% macro rolling_std(expression, length, min_bars=none) -%}
    {{ _rolling('stddev_samp(' ~ expression ~ ')', expression, length, min_bars) }}
{%- endmacro %}


{#-
    rolling_zscore(x, length, of=y): (y - mean(x)) / std(x) over the window; y defaults to x.
    NULL where the standard deviation is 0.
-#}
{% macro rolling_zscore(expression, length, of=none, min_bars=none) -%}
    ({{ of or expression }} - {{ rolling_mean(expression, length, min_bars) }})
    / nullif({{ rolling_std(expression, length, min_bars) }}, 0)
{%- endmacro %}


{#-
    rolling_rank(x, length): rank of the row's x among the window's, ties averaged, scaled to
    [0, 1] as (rank - 1) / (count - 1). NULL where x is NULL or the window holds fewer than two.
-#}
{% macro rolling_rank(expression, length, min_bars=none) -%}
    {%- set ordered %}partition by series_id order by "time"
        range between interval '{{ length }}' - interval '1 microsecond' preceding and current row
    {%- endset -%}
    case
        when {{ expression }} is not null then {{ _rolling(
            '((rank(order by ' ~ expression ~ ' nulls last) over (' ~ ordered ~ ')'
            ~ ' + cume_dist(order by ' ~ expression ~ ' nulls last) over (' ~ ordered ~ ')'
            ~ ' * count(*) over (' ~ ordered ~ ')) / 2 - 1)'
            ~ ' / nullif(count(' ~ expression ~ ') over (' ~ ordered ~ ') - 1, 0)',
            expression, length, min_bars, framed=true
        ) }}
    end
{%- endmacro %}


{#- One aggregate under the window rule. -#}
{% macro _rolling(aggregate, expression, length, min_bars, framed=false) -%}
    {%- set coverage = var('min_window_coverage') | float -%}
    {%- if not 0 < coverage <= 1 -%}
        {{ exceptions.raise_compiler_error('min_window_coverage must lie in (0, 1]') }}
    {%- endif -%}
    {%- set us = warehouse.length_us(length) -%}
    case
        when {{ rolling_count(expression, length) }}
            {%- if min_bars is not none %} >= {{ min_bars }} and {{ us }} % {{ bar_us() }} = 0
            {%- elif coverage == 1 %} * {{ bar_us() }} = {{ us }}
            {%- else %} * {{ bar_us() }} >= {{ coverage * us }} and {{ us }} % {{ bar_us() }} = 0
            {%- endif %}
            then {{ aggregate }}{{ ' over ' ~ trailing(length) if not framed }}
    end
{%- endmacro %}
