{#- Arguments of the table macros: conversion to microseconds, and checks. -#}


{#- Length of a bar in microseconds; NULL if `every` is not a length, which _checked refuses. -#}
{% macro _width() -%}
    nullif(epoch_us(try_cast(every as interval)), 0)
{%- endmacro %}

{#-
    A moment that the caller gave, in microseconds; by default the least or the greatest one.
    _checked refuses anything else.
-#}
{% macro _moment_us(parameter) -%}
    {%- set missing = '-62135596800000000' if parameter == 'start_time' else '253370764800000000' -%}
    coalesce(epoch_us(try_cast({{ parameter }} as timestamp)), {{ missing }})
{%- endmacro %}

{#- The first moment whose ticks are read, and the one after the last: whole UTC days. -#}
{% macro _from_us() -%}
    ({{ warehouse._moment_us('start_time') }} // 86400000000 * 86400000000)
{%- endmacro %}

{% macro _until_us() -%}
    (({{ warehouse._moment_us('end_time') }} + 86399999999) // 86400000000 * 86400000000)
{%- endmacro %}


{% macro _clock_column() -%}
    case when clock::varchar = 'true' then source.local_timestamp else source.exchange_timestamp end
{%- endmacro %}

{#- Whether a row of a source is of the selected series. -#}
{% macro _is_asked() -%}
    (exchange is null or source.exchange = exchange) and (symbol is null or source.symbol = symbol)
{%- endmacro %}


{#- True, or an error that names what is wrong with `every`. -#}
{% macro _checked_length() -%}
    case
            when not coalesce(regexp_full_match(every::varchar, '[1-9][0-9]{0,5}[smhd]'), false)
                then error(
                    'every: ' || coalesce(every::varchar, 'NULL')
                    || ' is not the length of a bar; write one as 15s, 45m, 4h or 1d'
                )
            when 86400000000 % {{ warehouse._width() }} > 0
                then error(
                    'every: ' || every || ' does not divide a UTC day; nearest that do: '
                    || {{ warehouse._lengths() }}
                )
            else true
        end
{%- endmacro %}


{#- True, or an error that names what is wrong with the arguments or with the ticks. -#}
{% macro _checked(source, is_first, relation=none) -%}
    {%- set what = 'raw_' ~ warehouse._raw_names()[source] -%}
    {%- set relation = relation or source -%}
    case
        when coalesce(clock::varchar not in ('true', 'exchange'), true)
            then error('clock: ' || coalesce(clock::varchar, 'NULL') || ' is none of ''true'' and ''exchange''')
        {%- if is_first %}
        when not {{ warehouse._checked_length() }} then false
        {%- for moment in ['start_time', 'end_time'] %}
        when typeof({{ moment }}) = 'TIMESTAMP WITH TIME ZONE'
            or regexp_matches({{ moment }}::varchar, ':.*(Z|[+-][0-9:]+)$')
            then error(
                '{{ moment }}: give a moment in UTC without an offset,'
                || ' as {{ moment }} := ''2026-02-16 04:00'''
            )
        when {{ moment }} is not null and try_cast({{ moment }} as timestamp) is null
            then error(
                '{{ moment }}: ' || {{ moment }}::varchar || ' is not a moment;'
                || ' write it as {{ moment }} := ''2026-02-16 04:00'''
            )
        {%- endfor %}
        when not exists (select 1 from query_table({{ relation }}) as source where {{ warehouse._is_asked() }})
            then error(
                'no {{ what }}' || coalesce(' of exchange ' || exchange, '')
                || coalesce(' of symbol ' || symbol, '') || ' in ' || {{ relation }}
                || '; see: warehouse sql "from meta.coverage where dataset = ''{{ what }}''"'
            )
        {%- endif %}
        when clock::varchar = 'true' and exists (
            select 1 from query_table({{ relation }}) as source
            where {{ warehouse._is_asked() }} and source.local_timestamp is null
        )
            then error(
                'clock ''true'': {{ what }}' || coalesce(' of symbol ' || symbol, '')
                || ' has rows without a time of receipt; use clock := ''exchange'''
            )
        else true
    end
{%- endmacro %}


{#- The next shorter and longer lengths in the unit of `every` that divide a day. -#}
{% macro _lengths() -%}
    {%- set unit -%}
        case right(every, 1) when 's' then 1 when 'm' then 60 when 'h' then 3600 else 86400 end
    {%- endset -%}
    {%- set given = 'left(every, -1)::bigint' -%}
    concat_ws(' and '
                    {%- for pick, sign in [('list_max', '<'), ('list_min', '>')] -%}
                    , {{ pick }}(list_filter(
                        range(1, 86401), lambda n: n {{ sign }} {{ given }} and 86400 % (n * {{ unit }}) = 0
                    )) || right(every, 1)
                    {%- endfor -%}
                )
{%- endmacro %}


{#- Which series have ticks on the day before and after the days that are read. -#}
{% macro _neighbours(source) -%}
neighbours as (
    select
        source.series_id,
        bool_or({{ warehouse._clock_column() }} < make_timestamptz({{ warehouse._from_us() }})) as has_before,
        bool_or({{ warehouse._clock_column() }} >= make_timestamptz({{ warehouse._until_us() }})) as has_after
    from query_table({{ source }}) as source
    where
        {{ warehouse._is_asked() }}
        and (
            (
                start_time is not null
                and {{ warehouse._clock_column() }} >= make_timestamptz({{ warehouse._from_us() }} - 86400000000)
                and {{ warehouse._clock_column() }} < make_timestamptz({{ warehouse._from_us() }})
            )
            or (
                end_time is not null
                and {{ warehouse._clock_column() }} >= make_timestamptz({{ warehouse._until_us() }})
                and {{ warehouse._clock_column() }} < make_timestamptz({{ warehouse._until_us() }} + 86400000000)
            )
        )
    group by source.series_id
)
{%- endmacro %}
