{#- Rows of the sources in bars: which are read, their order, what several datasets take of them. -#}


{#-
    Rows of a source within what was asked, with their time `us` by the clock, the moment `seen` at
    which they arrived, and some of its columns. `days_before` reads that much more of the past.
-#}
{% macro _ticks(name, source, columns, condition='true', days_before=0) -%}
{{ name }} as not materialized (
    select
        source.series_id,
        source.exchange,
        source.symbol,
        epoch_us({{ warehouse._clock_column() }}) as us,
        source.local_timestamp as seen,
        {%- for alias, expression in columns.items() %}
        {{ expression }} as {{ alias }}{{ ',' if not loop.last }}
        {%- endfor %}
    from query_table({{ source }}) as source
    where
        {{ warehouse._is_asked() }}
        and {{ warehouse._clock_column() }} >= make_timestamptz({{ warehouse._from_us() }} - {{ days_before }} * 86400000000)
        and {{ warehouse._clock_column() }} < make_timestamptz({{ warehouse._until_us() }})
        and {{ condition }}
)
{%- endmacro %}


{#- Trades; those whose taker side is known only, unless `sides` is all. -#}
{% macro _trades(sides='known') -%}
    {{ return(warehouse._ticks(
        'ticks', 'trades',
        {
            'n': 'case when source.id is null then row_number() over () else try_cast(source.id as bigint) end',
            'id': 'source.id', 'side': 'source.side', 'price': 'source.price', 'amount': 'source.amount',
        },
        "source.side in ('buy', 'sell')" if sides == 'known' else 'true',
    )) }}
{%- endmacro %}


{% macro _bar(us='ticks.us') -%}
    ({{ us }} - {{ us }} % {{ warehouse._width() }})
{%- endmacro %}

{#- Keys and counts of a bar, for a select that groups ticks by series_id and bar. -#}
{% macro _bar_keys() -%}
ticks.series_id,
        {{ warehouse._bar() }} as bar,
        any_value(ticks.exchange) as exchange,
        any_value(ticks.symbol) as symbol,
        max(ticks.seen) as seen,
        count(*) as n_events
{%- endmacro %}


{#-
    A value of the bar's first or last trade in order. One number holds time and id where the id is
    a number; a text id comes after the numbers of the same moment.
-#}
{% macro _first(value, where='true') -%}
    {{ return(warehouse._edge(value, where, 'min', '<')) }}
{%- endmacro %}

{% macro _last(value, where='true') -%}
    {{ return(warehouse._edge(value, where, 'max', '>=')) }}
{%- endmacro %}

{% macro _edge(value, where, which, wins) -%}
    {%- set key = '((ticks.us::hugeint << 64) + ticks.n)' -%}
    {%- set is_text = 'ticks.n is null and ' ~ where -%}
    case
            when coalesce(
                {{ which }}(ticks.us) filter (where {{ is_text }})
                {{ wins }} {{ which }}({{ key }}) filter (where {{ where }}) >> 64,
                {{ which }}({{ key }}) filter (where {{ where }}) is null
            )
                then arg_{{ which }}({{ value }}, {us: ticks.us, id: ticks.id}) filter (where {{ is_text }})
            else arg_{{ which }}({{ value }}, {{ key }}) filter (where {{ where }})
        end
{%- endmacro %}


{#-
    Trades in order, each with some values of trades before and after it of the same UTC day, as
    {alias: expression over the window by_order}; `order_id` orders trades of the same moment.
-#}
{% macro _ordered(values, name='ordered', order_id='ticks.n nulls last, if(ticks.n is null, ticks.id, null)') -%}
{{ name }} as (
    select
        ticks.series_id,
        ticks.us,
        {{ warehouse._bar() }} as bar,
        ticks.price,
        ticks.amount,
        if(ticks.side = 'buy', 1, -1) as sign,
        {%- for alias, expression in values.items() %}
        {{ expression }} as {{ alias }}{{ ',' if not loop.last }}
        {%- endfor %}
    from ticks
    window by_order as (
        partition by ticks.series_id, ticks.us // 86400000000
        order by ticks.us, {{ order_id }}
    )
)
{%- endmacro %}

{% macro _before(column, rows=1) -%}
    {{ return('lag(ticks.' ~ column ~ ', ' ~ rows ~ ') over by_order') }}
{%- endmacro %}

{% macro _after(column, rows=1) -%}
    {{ return('lead(ticks.' ~ column ~ ', ' ~ rows ~ ') over by_order') }}
{%- endmacro %}

{#- The keys of bars, joined with what was measured of each. -#}
{% macro _joined_bars(measured) -%}
keys as (
    select
        {{ warehouse._bar_keys() }}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

bars as (
    select
        keys.*,
        {%- for relation in measured %}
        {{ relation }}.* exclude (series_id, bar){{ ',' if not loop.last }}
        {%- endfor %}
    from keys
    {%- for relation in measured %}
    left join {{ relation }} on keys.series_id = {{ relation }}.series_id and keys.bar = {{ relation }}.bar
    {%- endfor %}
)
{%- endmacro %}


{#-
    Moments of the bars' values around a centre of each bar, by sums of powers: DuckDB 1.5's own
    skewness and kurtosis cancel for prices (-2e11 instead of -2). NULL where all values are equal.
-#}
{% macro _moments(value, prefix) -%}
centres as (
    select ticks.series_id, {{ warehouse._bar() }} as bar, median({{ value }}) as centre
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

powers as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar,
        count(*) as n,
        any_value(centres.centre) as centre,
        fsum({{ value }} - centres.centre) / count(*) as d,
        fsum(({{ value }} - centres.centre) ** 2) / count(*) as s2,
        fsum(({{ value }} - centres.centre) ** 3) / count(*) as s3,
        fsum(({{ value }} - centres.centre) ** 4) / count(*) as s4
    from ticks
    inner join centres
        on ticks.series_id = centres.series_id and {{ warehouse._bar() }} = centres.bar
    group by ticks.series_id, {{ warehouse._bar() }}
),

central as (
    select
        powers.*,
        powers.s2 - powers.d ** 2 as m2,
        powers.s3 - 3 * powers.d * powers.s2 + 2 * powers.d ** 3 as m3,
        powers.s4 - 4 * powers.d * powers.s3 + 6 * powers.d ** 2 * powers.s2
        - 3 * powers.d ** 4 as m4
    from powers
),

moments as (
    select
        central.series_id,
        central.bar,
        central.centre as {{ prefix }}_median,
        central.centre + central.d as {{ prefix }}_mean,
        if(central.n > 1, greatest(central.m2, 0) * central.n / (central.n - 1), null) as {{ prefix }}_variance,
        if(
            central.n > 2 and central.m2 > 0,
            sqrt(central.n * (central.n - 1.0)) / (central.n - 2) * central.m3 / central.m2 ** 1.5,
            null
        ) as {{ prefix }}_skewness,
        if(
            central.n > 3 and central.m2 > 0,
            (central.n - 1.0) / ((central.n - 2.0) * (central.n - 3.0))
            * ((central.n + 1) * central.m4 / central.m2 ** 2 - 3.0 * (central.n - 1)),
            null
        ) as {{ prefix }}_kurtosis
    from central
)
{%- endmacro %}


{#- Filters for the size classes, by notional in quote units. -#}
{% macro _sizes() -%}
    {%- set notional = 'ticks.price * ticks.amount' -%}
    {{ return({
        'small': notional ~ ' < 100',
        'medium': notional ~ ' >= 100 and ' ~ notional ~ ' < 1000',
        'large': notional ~ ' >= 1000',
    }) }}
{%- endmacro %}


{#-
    The four readings of an average over time of `value`, from rows with previous_us,
    previous_<value> and next_us: each value holds until the bar's next one and the last has no
    weight (the mean if no time passes), the mean, the last value held until the bar's end, and that
    with the value before the bar carried in.
-#}
{% macro _time_averages(relation, value, twap='twap') -%}
{{ value }}_around as (
    select
        {{ relation }}.series_id,
        {{ relation }}.bar,
        min({{ relation }}.{{ value }}) as centre
    from {{ relation }}
    group by {{ relation }}.series_id, {{ relation }}.bar
),

{{ value }}_sums as (
    select
        around.series_id,
        around.bar,
        any_value(around.centre) as centre,
        fsum(x.{{ value }} - around.centre) / count(*) as mean,
        min(x.us) as first_us,
        max(x.us) as last_us,
        coalesce(fsum((x.{{ value }} - around.centre) * (x.next_us - x.us))
            filter (where x.next_us < around.bar + {{ warehouse._width() }}), 0) as held,
        fsum((x.{{ value }} - around.centre) * (around.bar + {{ warehouse._width() }} - x.us))
            filter (
                where x.next_us is null or x.next_us >= around.bar + {{ warehouse._width() }}
            ) as to_end,
        fsum((x.previous_{{ value }} - around.centre) * (x.us - around.bar))
            filter (where x.previous_us < around.bar) as carried
    from {{ relation }} as x
    inner join {{ value }}_around as around on x.series_id = around.series_id and x.bar = around.bar
    group by around.series_id, around.bar
),

{{ value }}_averages as (
    select
        sums.series_id,
        sums.bar,
        sums.centre + coalesce(sums.held / nullif(sums.last_us - sums.first_us, 0), sums.mean) as {{ twap }},
        sums.centre + sums.mean as {{ twap }}__mean,
        sums.centre + (sums.held + sums.to_end)
        / (sums.bar + {{ warehouse._width() }} - sums.first_us) as {{ twap }}__held,
        sums.centre + (sums.held + sums.to_end + coalesce(sums.carried, 0))
        / (
            sums.bar + {{ warehouse._width() }} - if(sums.carried is null, sums.first_us, sums.bar)
        ) as {{ twap }}__carried_in
    from {{ value }}_sums as sums
)
{%- endmacro %}
