{#-
    Rows of the sources in bars: selection, order, and what several datasets compute from them.

    Each body has two forms. For ticks_<dataset> it reads a source as it is and sorts for itself, by
    series and UTC day. For day_<dataset> (of_day) it reads rows of one series and UTC day that are
    already sorted, so that windows need no sort: see days.sql.
-#}


{#-
    Selected rows of a source, with their time `us` by the clock, the time of receipt `seen`, and
    some columns. `days_before` extends the selection into the past.
-#}
{% macro _ticks(name, source, columns, condition='true', days_before=0) -%}
{{ name }} as not materialized (
    select
        source.series_id,
        source.exchange,
        source.symbol,
        epoch_us({{ warehouse._clock_column() }}) as us,
        source.local_timestamp as seen
        {%- for alias, expression in columns.items() %},
        {{ expression }} as {{ alias }}
        {%- endfor %}
    from query_table({{ source }}) as source
    where
        {{ warehouse._is_asked() }}
        and {{ warehouse._clock_column() }} >= make_timestamptz({{ warehouse._from_us() }} - {{ days_before }} * 86400000000)
        and {{ warehouse._clock_column() }} < make_timestamptz({{ warehouse._until_us() }})
        and {{ condition }}
)
{%- endmacro %}

{#- The same for a UTC day whose rows are sorted in a table, each with its `place` there. -#}
{% macro _of_day(name, source, condition='true') -%}
{{ name }} as not materialized (
    select
        0 as series_id,
        exchange as exchange,
        symbol as symbol,
        source.*,
        row_number() over () as place
    from query_table({{ source }}) as source
    where {{ condition }}
)
{%- endmacro %}


{#- Columns that are read from each source, besides times. -#}
{% macro _columns_of(source) -%}
    {%- set in_file = 'row_number() over ()' -%}
    {%- if source == 'trades' -%}
        {{ return({
            'n': 'case when source.id is null then ' ~ in_file ~ ' else try_cast(source.id as bigint) end',
            'id': 'source.id',
            'sign': "case source.side when 'buy' then 1::tinyint when 'sell' then -1::tinyint end",
            'price': warehouse._finite('price'), 'amount': warehouse._finite('amount'),
        }) }}
    {%- elif source == 'quotes' -%}
        {#- A price of 0 is not a price. #}
        {{ return({
            'place': in_file,
            'bid_price': 'nullif(' ~ warehouse._finite('bid_price') ~ ', 0)',
            'ask_price': 'nullif(' ~ warehouse._finite('ask_price') ~ ', 0)',
            'bid_amount': warehouse._finite('bid_amount'), 'ask_amount': warehouse._finite('ask_amount'),
        }) }}
    {%- else -%}
        {{ return({'place': in_file, 'value': warehouse._finite(warehouse._raw_names()[source])}) }}
    {%- endif -%}
{%- endmacro %}

{#- A value of a source; NaN and infinity are not values. -#}
{% macro _finite(column) -%}
    case when isfinite(source.{{ column }}::double) then source.{{ column }}::double end
{%- endmacro %}

{#- Trades; those whose taker side is known only, unless `sides` is all. -#}
{% macro _trades(of_day, sides='known', source='trades', name='ticks') -%}
    {%- if of_day -%}
        {{ return(warehouse._of_day(name, source, 'source.sign is not null' if sides == 'known' else 'true')) }}
    {%- endif -%}
    {{ return(warehouse._ticks(
        name, 'trades', warehouse._columns_of('trades'),
        "source.side in ('buy', 'sell')" if sides == 'known' else 'true',
    )) }}
{%- endmacro %}

{#- Quotes; for `carried`, also those of the day before, of which a day's rows have the last. -#}
{% macro _quotes(of_day, name='ticks', carried=false) -%}
    {%- if of_day -%}
        {{ return(warehouse._of_day(
            name, 'quotes', 'true' if carried else 'source.us >= ' ~ warehouse._from_us()
        )) }}
    {%- endif -%}
    {{ return(warehouse._ticks(
        name, 'quotes', warehouse._columns_of('quotes'), days_before=1 if carried else 0
    )) }}
{%- endmacro %}

{#- Rows of a derivative's source that have a value. -#}
{% macro _values(of_day, name, source) -%}
    {%- if of_day -%}
        {{ return(warehouse._of_day(name, source)) }}
    {%- endif -%}
    {{ return(warehouse._ticks(
        name, source, warehouse._columns_of(source),
        warehouse._finite(warehouse._raw_names()[source]) ~ ' is not null',
    )) }}
{%- endmacro %}


{% macro _bar(us='ticks.us') -%}
    ({{ us }} - {{ us }} % {{ warehouse._width() }})
{%- endmacro %}

{#- Keys and counts of a bar, for a select that groups ticks by series_id and bar. -#}
{% macro _bar_keys(bar=none, count='count(*)') -%}
ticks.series_id,
        {{ bar or warehouse._bar() }} as bar,
        max(ticks.seen) as seen,
        {{ count }} as n_events
{%- endmacro %}


{#-
    A value of the bar's first or last trade in order. One number holds time and id where the id is
    a number; a text id comes after the numbers of the same moment.
-#}
{% macro _first(of_day, value, where='true') -%}
    {{ return(warehouse._edge(of_day, value, where, 'min', '<')) }}
{%- endmacro %}

{% macro _last(of_day, value, where='true') -%}
    {{ return(warehouse._edge(of_day, value, where, 'max', '>=')) }}
{%- endmacro %}

{% macro _edge(of_day, value, where, which, wins) -%}
    {%- set key = '((ticks.us::hugeint << 64) + ticks.n)' -%}
    {%- set is_text = 'ticks.n is null and ' ~ where -%}
    {%- if of_day -%}
        arg_{{ which }}({{ value }}, ticks.place)
    {%- else -%}
    case
            when coalesce(
                {{ which }}(ticks.us) filter (where {{ is_text }})
                {{ wins }} {{ which }}({{ key }}) filter (where {{ where }}) >> 64,
                {{ which }}({{ key }}) filter (where {{ where }}) is null
            )
                then arg_{{ which }}({{ value }}, {us: ticks.us, id: ticks.id}) filter (where {{ is_text }})
            else arg_{{ which }}({{ value }}, {{ key }}) filter (where {{ where }})
        end
    {%- endif -%}
{%- endmacro %}


{#- How trades of the same moment are ordered; by their ids as text: '10' before '9'. -#}
{% macro _by_id() -%}
    {{ return('n nulls last, case when n is null then id end') }}
{%- endmacro %}

{% macro _by_text_id() -%}
    {{ return('id nulls last, n') }}
{%- endmacro %}

{#- The window in which rows of a series and UTC day have their order. -#}
{% macro _by_order(of_day, order='place', rows='ticks') -%}
    {%- if of_day -%}
by_order as ()
    {%- else -%}
by_order as (
        partition by {{ rows }}.series_id, {{ rows }}.us // 86400000000
        order by us, {{ order }}
    )
    {%- endif -%}
{%- endmacro %}

{#-
    Trades in order, each with some values of trades before and after it of the same UTC day, as
    {alias: expression over the window by_order}.
-#}
{% macro _ordered(of_day, values, order=none) -%}
ordered as (
    select
        ticks.series_id,
        ticks.us,
        ticks.seen,
        {{ warehouse._bar() }} as bar,
        ticks.price,
        ticks.amount,
        ticks.sign,
        {%- for alias, expression in values.items() %}
        {{ expression }} as {{ alias }}{{ ',' if not loop.last }}
        {%- endfor %}
    from ticks
    window {{ warehouse._by_order(of_day, order or warehouse._by_id()) }}
)
{%- endmacro %}

{% macro _before(column, rows=1) -%}
    {{ return('lag(ticks.' ~ column ~ ', ' ~ rows ~ ') over by_order') }}
{%- endmacro %}

{% macro _after(column, rows=1) -%}
    {{ return('lead(ticks.' ~ column ~ ', ' ~ rows ~ ') over by_order') }}
{%- endmacro %}

{#- Bars with the columns that other CTEs computed of them. -#}
{% macro _joined_bars(keys, measured) -%}
bars as (
    select
        {{ keys }}.*,
        {%- for relation in measured %}
        {{ relation }}.* exclude (series_id, bar){{ ',' if not loop.last }}
        {%- endfor %}
    from {{ keys }}
    {%- for relation in measured %}
    left join {{ relation }}
        on {{ keys }}.series_id = {{ relation }}.series_id and {{ keys }}.bar = {{ relation }}.bar
    {%- endfor %}
)
{%- endmacro %}


{#-
    The ranks half a percent of the values below and above a rank. The vendor's medians and
    percentiles of more than 256 values come from a sketch: the audit of its metrics judges these by
    the readings rank_low and rank_high of the column.
-#}
{% macro _ranks_around(rank) -%}
    [{{ (rank - 0.005) | round(4) }}, {{ (rank + 0.005) | round(4) }}]
{%- endmacro %}

{#- These two readings of a column, from the list of readings. -#}
{% macro _rank_readings(column, ranks) -%}
    {{ return([
        [column, 'rank_low', 'placed.' ~ ranks ~ '[1]'], [column, 'rank_high', 'placed.' ~ ranks ~ '[2]'],
    ]) }}
{%- endmacro %}


{#-
    Bars with moments of their values, and other measures of the ticks, `measured`. The moments are
    sums of powers around the bar's median: DuckDB 1.5's own skewness and kurtosis suffer
    cancellation for prices (-2e11 instead of -2). NULL where all values are equal.
-#}
{% macro _bars_with_moments(value, prefix, measured, with_readings) -%}
keys as (
    select
        {{ warehouse._bar_keys() }},
        median({{ value }}) as {{ prefix }}_median
        {%- if with_readings %},
        quantile_cont({{ value }}, {{ warehouse._ranks_around(0.5) }}) as {{ prefix }}_ranks
        {%- endif %}
        {%- for alias, expression in measured.items() %},
        {{ expression }} as {{ alias }}
        {%- endfor %}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

deviations as (
    select
        keys.series_id,
        keys.bar,
        {{ value }} - keys.{{ prefix }}_median as d
    from ticks
    inner join keys on ticks.series_id = keys.series_id and {{ warehouse._bar() }} = keys.bar
),

powers as (
    select
        deviations.series_id,
        deviations.bar,
        count(*) as n,
        fsum(deviations.d) / count(*) as d,
        fsum(deviations.d * deviations.d) / count(*) as s2,
        fsum(deviations.d * deviations.d * deviations.d) / count(*) as s3,
        fsum(deviations.d * deviations.d * (deviations.d * deviations.d)) / count(*) as s4
    from deviations
    group by deviations.series_id, deviations.bar
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

bars as (
    select
        keys.*,
        keys.{{ prefix }}_median + central.d as {{ prefix }}_mean,
        case when central.n > 1 then greatest(central.m2, 0) * central.n / (central.n - 1) end as {{ prefix }}_variance,
        case when central.n > 2 and central.m2 > 0
            then sqrt(central.n * (central.n - 1.0)) / (central.n - 2) * central.m3 / central.m2 ** 1.5
        end as {{ prefix }}_skewness,
        case when central.n > 3 and central.m2 > 0
            then (central.n - 1.0) / ((central.n - 2.0) * (central.n - 3.0))
            * ((central.n + 1) * central.m4 / central.m2 ** 2 - 3.0 * (central.n - 1))
        end as {{ prefix }}_kurtosis
    from keys
    inner join central on keys.series_id = central.series_id and keys.bar = central.bar
)
{%- endmacro %}


{#- Filters for the size classes, by notional in quote units. -#}
{% macro _sizes() -%}
    {{ return(['small', 'medium', 'large']) }}
{%- endmacro %}

{#-
    The number of a trade's class: its notional in quote units, times notional_usd_rate, is below 100,
    below 1000, or more.
-#}
{% macro _size_class() -%}
    {%- set notional = 'ticks.price * ticks.amount * notional_usd_rate::double' -%}
    case
            when {{ notional }} < 100 then 0::tinyint
            when {{ notional }} < 1000 then 1::tinyint
            when {{ notional }} >= 1000 then 2::tinyint
        end
{%- endmacro %}


{#-
    Sums over rows `ticks` with previous_us, previous_<value> and next_us, for the four readings of an
    average over time: each value holds until the bar's next one and the last has no weight (the
    mean if no time passes), the mean, the last value held until the bar's end, and that with the
    value before the bar carried in.
-#}
{% macro _time_sums(value, with_readings) -%}
    {%- set end = '(ticks.bar + ' ~ warehouse._width() ~ ')' -%}
    {%- set is_last = 'ticks.next_us is null or ticks.next_us >= ' ~ end -%}
min(ticks.us) as first_us,
        max(ticks.us) as last_us,
        min(ticks.{{ value }}) as lowest,
        max(ticks.{{ value }}) as highest,
        fsum(ticks.{{ value }}) / count(*) as mean,
        coalesce(fsum(ticks.{{ value }} * (ticks.next_us - ticks.us)) filter (where ticks.next_us < {{ end }}), 0) as held
        {%- if with_readings %},
        fsum(ticks.{{ value }} * ({{ end }} - ticks.us)) filter (where {{ is_last }}) as to_end,
        fsum(ticks.previous_{{ value }} * (ticks.us - ticks.bar)) filter (where ticks.previous_us < ticks.bar) as carried
        {%- endif %}
{%- endmacro %}

{#-
    The averages of these sums. A mean is limited to the range of its values, because of rounding.
-#}
{% macro _time_averages(sums, twap, with_readings) -%}
    {%- set end = '(' ~ sums ~ '.bar + ' ~ warehouse._width() ~ ')' -%}
    {%- set averages = {
        twap: 'coalesce(' ~ sums ~ '.held / nullif(' ~ sums ~ '.last_us - ' ~ sums ~ '.first_us, 0), ' ~ sums ~ '.mean)',
    } -%}
    {%- if with_readings -%}
        {%- do averages.update({
            twap ~ '__mean': sums ~ '.mean',
            twap ~ '__held': '(' ~ sums ~ '.held + ' ~ sums ~ '.to_end) / (' ~ end ~ ' - ' ~ sums ~ '.first_us)',
        }) -%}
    {%- endif -%}
    {%- for alias, average in averages.items() -%}
        greatest(least({{ average }}, {{ sums }}.highest), {{ sums }}.lowest) as {{ alias }}{{ ',
        ' if not loop.last }}
    {%- endfor -%}
    {%- if with_readings -%}
        ,
        ({{ sums }}.held + {{ sums }}.to_end + coalesce({{ sums }}.carried, 0))
        / ({{ end }} - case when {{ sums }}.carried is null then {{ sums }}.first_us else {{ sums }}.bar end) as {{ twap }}__carried_in
    {%- endif -%}
{%- endmacro %}
