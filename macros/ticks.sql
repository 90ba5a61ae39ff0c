{#-
    The vendor's metrics from raw ticks: one table macro per dataset, the only home of its formula.

        from ticks_flow('45m', symbol := 'perpetual-BTC-USDT:USDT', start_time := '2026-02-16')

    ticks_flow gives the vendor's columns. ticks_flow_readings adds, as <column>__<reading>, the
    other readings of columns that the vendor's texts leave open. A source is the name of a relation
    with the columns of vendor.raw_trades (raw_quotes, …) and its keys series_id, exchange, symbol.

    Rules: a bar holds the ticks with start <= t < end by the clock that was asked; series never mix;
    what a bar takes from before its start goes back to UTC midnight at most, so that a day's bars do
    not depend on where the data begin. Ticks are ordered by time, id as a number, id as text, and
    ticks without an id by their place in the file.
-#}


{% macro create_ticks() -%}
    {%- if execute and flags.WHICH in ['build', 'run'] -%}
        {{ return(warehouse.duckdb__create_ticks()) }}
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}


{% macro duckdb__create_ticks() -%}
{%- for dataset in warehouse._tick_datasets() %}
{%- for with_readings in [false, true] %}
{%- set name = 'ticks_' ~ dataset.name ~ ('_readings' if with_readings else '') %}
create or replace macro main.{{ name }}(
    {{ warehouse._tick_parameters(dataset.sources) }}
) as table
{{ warehouse._tick_query(dataset, with_readings) }};

comment on macro table main.{{ name }} is {{ _text(warehouse._tick_comment(dataset, with_readings)) }};
{% endfor %}
{%- endfor %}
{%- endmacro %}


{% macro _tick_parameters(sources) -%}
    every, clock := 'true', exchange := null, symbol := null, start_time := null, end_time := null
    {%- for source in sources %}, {{ source }} := 'vendor.raw_{{ warehouse._raw_names()[source] }}'
    {%- endfor %}
{%- endmacro %}


{% macro _raw_names() -%}
    {{ return({
        'trades': 'trades', 'quotes': 'quotes', 'mark_prices': 'mark_price',
        'index_prices': 'index_price', 'funding_rates': 'funding_rate',
        'open_interests': 'open_interest',
    }) }}
{%- endmacro %}


{% macro _tick_comment(dataset, with_readings) -%}
    {%- set what -%}
        ticks_{{ dataset.name }}{{ '_readings' if with_readings }}(every, …): vendor.{{ dataset.name }}
        {%- if with_readings %} and the other readings of its open columns, as column__reading,
        {%- endif %} from ticks, at any length that divides a day, as '45m'. clock := 'true' (default)
        or 'exchange'; exchange, symbol, start_time, end_time select. Example: from ticks_
        {{- dataset.name }}('45m', symbol := 'perpetual-BTC-USDT:USDT', start_time := '2026-02-16').
        Attached as w: w.ticks_{{ dataset.name }}('45m', {{ dataset.sources[0] }} :=
        'w.vendor.raw_{{ warehouse._raw_names()[dataset.sources[0]] }}')
    {%- endset -%}
    {{ return(what | replace('\n', ' ') | trim) }}
{%- endmacro %}


{#- The whole query of a dataset: checks, ticks, bars, the columns in the vendor's order. -#}
{% macro _tick_query(dataset, with_readings) -%}
with checked as (
    {%- for source in dataset.sources %}
    {{ 'union all' if not loop.first }}
    select {{ warehouse._checked(source, is_first=loop.first) }} as is_fine
    {%- endfor %}
),

{{ dataset.body(with_readings) | trim }},

placed as (
    select
        bars.*,
        lag(bars.bar // 86400000000) over by_time as previous_day,
        lead(bars.bar // 86400000000) over by_time as next_day
    from bars
    where bars.n_events > 0
    window by_time as (partition by bars.series_id order by bars.bar)
),

{{ warehouse._neighbours(dataset.sources[0]) }}

select
    placed.series_id,
    placed.exchange,
    placed.symbol,
    every as "interval",
    clock::varchar as clock,
    make_timestamp(placed.bar) as "time",
    greatest(
        make_timestamp(placed.bar + {{ warehouse._width() }}), timezone('UTC', placed.seen)
    ) as known_at,
    {%- for column in dataset.columns %}
    {{ dataset.expressions.get(column, 'placed.' ~ column) }} as {{ column }},
    {%- endfor %}
    {%- if with_readings %}
    {%- for column, reading, expression in dataset.readings %}
    {{ expression or ('placed.' ~ column ~ '__' ~ reading) }} as {{ column }}__{{ reading }},
    {%- endfor %}
    {%- endif %}
    placed.n_events,
    coalesce(
        (
            placed.previous_day is distinct from placed.bar // 86400000000
            and placed.previous_day is distinct from placed.bar // 86400000000 - 1
            and not coalesce(
                placed.previous_day is null and neighbours.has_before
                and placed.bar - 86400000000 < {{ warehouse._from_us() }},
                false
            )
        )
        or (
            placed.next_day is distinct from placed.bar // 86400000000
            and placed.next_day is distinct from placed.bar // 86400000000 + 1
            and not coalesce(
                placed.next_day is null and neighbours.has_after
                and placed.bar + 86400000000 >= {{ warehouse._until_us() }},
                false
            )
        ),
        false
    ) as is_partial
from placed
left join neighbours on placed.series_id = neighbours.series_id
where
    placed.bar >= {{ warehouse._moment_us('start_time') }}
    and placed.bar < {{ warehouse._moment_us('end_time') }}
    and (select bool_and(checked.is_fine) from checked)
{%- endmacro %}


{# -- arguments -- #}


{#- Length of a bar in microseconds; NULL where `every` is no length, which _checked refuses. -#}
{% macro _width() -%}
    epoch_us(try_cast(every as interval))
{%- endmacro %}

{#- A moment that the caller gave, in microseconds; without one, the least or the most there is. -#}
{% macro _moment_us(parameter) -%}
    {%- set missing = '-62135596800000000' if parameter == 'start_time' else '253370764800000000' -%}
    coalesce(epoch_us({{ parameter }}::timestamp), {{ missing }})
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

{#- Whether a row of a source belongs to what was asked, whatever its time. -#}
{% macro _is_asked() -%}
    (exchange is null or source.exchange = exchange) and (symbol is null or source.symbol = symbol)
{%- endmacro %}


{#- True, or an error that names what is wrong with the arguments or with the ticks. -#}
{% macro _checked(source, is_first) -%}
    {%- set what = 'raw_' ~ warehouse._raw_names()[source] -%}
    case
        when coalesce(clock::varchar not in ('true', 'exchange'), true)
            then error('clock: ' || coalesce(clock::varchar, 'NULL') || ' is none of ''true'' and ''exchange''')
        {%- if is_first %}
        when not coalesce(regexp_full_match(every::varchar, '[1-9][0-9]{0,5}[smhd]'), false)
            then error(
                'every: ' || coalesce(every::varchar, 'NULL')
                || ' is no length of a bar; write one as 15s, 45m, 4h or 1d'
            )
        when 86400000000 % {{ warehouse._width() }} > 0
            then error(
                'every: ' || every || ' does not divide a UTC day; choose from '
                || {{ warehouse._lengths() }}
            )
        {%- for moment in ['start_time', 'end_time'] %}
        when typeof({{ moment }}) = 'TIMESTAMP WITH TIME ZONE'
            or regexp_matches({{ moment }}::varchar, ':.*(Z|[+-][0-9:]+)$')
            then error(
                '{{ moment }}: give a moment in UTC without an offset,'
                || ' as {{ moment }} := ''2026-02-16 04:00'''
            )
        {%- endfor %}
        when not exists (select 1 from query_table({{ source }}) as source where {{ warehouse._is_asked() }})
            then error(
                'no {{ what }}' || coalesce(' of exchange ' || exchange, '')
                || coalesce(' of symbol ' || symbol, '') || ' in ' || {{ source }}
                || '; see which there are with: from meta.coverage where dataset = ''{{ what }}'''
            )
        {%- endif %}
        when clock::varchar = 'true' and exists (
            select 1 from query_table({{ source }}) as source
            where {{ warehouse._is_asked() }} and source.local_timestamp is null
        )
            then error(
                'clock ''true'': {{ what }}' || coalesce(' of symbol ' || symbol, '')
                || ' has rows without a time of receipt; ask with clock := ''exchange'''
            )
        else true
    end
{%- endmacro %}


{#- Lengths in the unit of `every` that divide a day. -#}
{% macro _lengths() -%}
    {%- set unit -%}
        case right(every, 1) when 's' then 1 when 'm' then 60 when 'h' then 3600 else 86400 end
    {%- endset -%}
    array_to_string(list_transform(
                    list_filter(range(1, 86401), lambda n: 86400 % (n * {{ unit }}) = 0),
                    lambda n: n::varchar || right(every, 1)
                ), ', ')
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


{# -- ticks -- #}


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
{% macro _ordered(values, name='ordered', order_id='ticks.n nulls last, ticks.id') -%}
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


{# -- datasets: a body that ends with the CTE bars, columns in the vendor's order, readings -- #}


{% macro _tick_datasets() -%}
    {{ return([
        warehouse._ohlcv(), warehouse._vtwap(), warehouse._flow(), warehouse._trade_size(),
        warehouse._range(), warehouse._returns(),
    ]) }}
{%- endmacro %}


{% macro _ohlcv() -%}
    {%- set columns = ['open', 'high', 'low', 'close', 'volume', 'volume_notional'] -%}
    {%- set readings = [] -%}
    {%- for column in columns -%}{%- do readings.append([column, 'all_sides', none]) -%}{%- endfor -%}
    {{ return({
        'name': 'ohlcv', 'sources': ['trades'], 'columns': columns, 'expressions': {},
        'readings': readings, 'body': warehouse._ohlcv_bars,
    }) }}
{%- endmacro %}

{% macro _ohlcv_bars(with_readings) -%}
{{ warehouse._trades('all' if with_readings else 'known') }},

bars as (
    select
        {{ warehouse._bar_keys() | replace('count(*)', "count(*) filter (where ticks.side in ('buy', 'sell'))") }}
        {%- for suffix, where in [('', "ticks.side in ('buy', 'sell')"), ('__all_sides', 'true')] %}
        {%- if with_readings or not suffix %}
        {%- set filter = 'filter (where ' ~ where ~ ')' if with_readings and not suffix else '' %},
        {{ warehouse._first('ticks.price', where if filter else 'true') }} as open{{ suffix }},
        max(ticks.price) {{ filter }} as high{{ suffix }},
        min(ticks.price) {{ filter }} as low{{ suffix }},
        {{ warehouse._last('ticks.price', where if filter else 'true') }} as close{{ suffix }},
        fsum(ticks.amount) {{ filter }} as volume{{ suffix }},
        fsum(ticks.price * ticks.amount) {{ filter }} as volume_notional{{ suffix }}
        {%- endif %}
        {%- endfor %}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
)
{%- endmacro %}


{% macro _vtwap() -%}
    {{ return({
        'name': 'vtwap', 'sources': ['trades'], 'columns': ['vwap', 'twap'], 'expressions': {},
        'readings': [['twap', 'mean', none], ['twap', 'held', none], ['twap', 'carried_in', none]],
        'body': warehouse._vtwap_bars,
    }) }}
{%- endmacro %}

{% macro _vtwap_bars(with_readings) -%}
{{ warehouse._trades() }},

{{ warehouse._ordered({
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
    'next_us': warehouse._after('us'),
}) }},

{{ warehouse._time_averages('ordered', 'price') }},

volumes as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar,
        fsum(ticks.price * ticks.amount) / nullif(fsum(ticks.amount), 0) as vwap
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._joined_bars(['volumes', 'price_averages']) }}
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


{% macro _flow() -%}
    {%- set columns = [
        'taker_buy_volume', 'taker_sell_volume', 'taker_buy_count', 'taker_sell_count',
        'volume_delta', 'volume_delta_notional', 'flow_entropy', 'flow_toxicity_score',
        'taker_buy_sell_ratio', 'taker_buy_sell_count_ratio', 'taker_buy_sell_percentage',
        'taker_buy_sell_count_percentage',
    ] -%}
    {%- set expressions = {
        'taker_buy_sell_ratio': 'placed.taker_buy_volume / nullif(placed.taker_sell_volume, 0)',
        'taker_buy_sell_count_ratio': 'placed.taker_buy_count / nullif(placed.taker_sell_count, 0)',
        'taker_buy_sell_percentage':
            'placed.taker_buy_volume / nullif(placed.taker_buy_volume + placed.taker_sell_volume, 0)',
        'taker_buy_sell_count_percentage':
            'placed.taker_buy_count / (placed.taker_buy_count + placed.taker_sell_count)',
    } -%}
    {%- for side in ['buy', 'sell'] -%}
        {%- for size in warehouse._sizes() -%}
            {%- do columns.append('taker_' ~ side ~ '_' ~ size ~ '_order_volume') -%}{%- do columns.append('taker_' ~ side ~ '_' ~ size ~ '_order_count') -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for part, whole in [('volume', 'volume'), ('count', 'count')] -%}
        {%- for side in ['buy', 'sell'] -%}
            {%- for size in warehouse._sizes() -%}
                {%- set name = 'taker_' ~ side ~ '_' ~ size ~ '_order_' -%}
                {%- set column = name ~ ('percentage' if part == 'volume' else 'count_percentage') -%}
                {%- do columns.append(column) -%}
                {%- do expressions.update({column:
                    'placed.' ~ name ~ part ~ ' / nullif(placed.taker_' ~ side ~ '_' ~ whole ~ ', 0)'}) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return({
        'name': 'flow', 'sources': ['trades'], 'columns': columns, 'expressions': expressions,
        'readings': [['flow_toxicity_score', 'since_start', none]], 'body': warehouse._flow_bars,
    }) }}
{%- endmacro %}

{% macro _flow_bars(with_readings) -%}
{{ warehouse._trades() }},

sums as (
    select
        {{ warehouse._bar_keys() }}
        {%- for side in ['buy', 'sell'] %},
        coalesce(fsum(ticks.amount) filter (where ticks.side = '{{ side }}'), 0) as taker_{{ side }}_volume,
        count(*) filter (where ticks.side = '{{ side }}') as taker_{{ side }}_count
        {%- for size, condition in warehouse._sizes().items() %},
        coalesce(fsum(ticks.price * ticks.amount)
            filter (where ticks.side = '{{ side }}' and {{ condition }}), 0) as taker_{{ side }}_{{ size }}_order_volume,
        count(*) filter (where ticks.side = '{{ side }}' and {{ condition }}) as taker_{{ side }}_{{ size }}_order_count
        {%- endfor %}
        {%- endfor %},
        fsum(if(ticks.side = 'buy', 1, -1) * ticks.amount) as volume_delta,
        fsum(if(ticks.side = 'buy', 1, -1) * ticks.price * ticks.amount) as volume_delta_notional
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._ordered({
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
}) }},

volatilities as (
    select
        ordered.series_id,
        ordered.bar,
        sqrt(coalesce(
            fsum((ordered.price / ordered.previous_price - 1) ** 2)
                filter (where ordered.previous_us >= ordered.bar),
            0
        )) as volatility
    from ordered
    group by ordered.series_id, ordered.bar
),

scored as (
    select
        sums.*,
        volatilities.volatility
    from sums
    left join volatilities on sums.series_id = volatilities.series_id and sums.bar = volatilities.bar
),

bars as (
    select
        scored.*,
        {{ warehouse._entropy('scored.taker_buy_volume', 'scored.taker_sell_volume') }} as flow_entropy,
        {{ warehouse._expanding_z('scored.volume_delta_notional', 'by_day') }}
        * {{ warehouse._expanding_z('scored.volatility', 'by_day') }} as flow_toxicity_score
        {%- if with_readings %},
        {{ warehouse._expanding_z('scored.volume_delta_notional', 'since_start') }}
        * {{ warehouse._expanding_z('scored.volatility', 'since_start') }} as flow_toxicity_score__since_start
        {%- endif %}
    from scored
    window
        by_day as (
            partition by scored.series_id, scored.bar // 86400000000 order by scored.bar
            rows between unbounded preceding and current row
        ){{ ',' if with_readings }}
        {%- if with_readings %}
        since_start as (
            partition by scored.series_id order by scored.bar
            rows between unbounded preceding and current row
        )
        {%- endif %}
)
{%- endmacro %}

{% macro _entropy(x, y) -%}
    case
            when {{ x }} > 0 and {{ y }} > 0
                then -(
                    {{ x }} / ({{ x }} + {{ y }}) * ln({{ x }} / ({{ x }} + {{ y }}))
                    + {{ y }} / ({{ x }} + {{ y }}) * ln({{ y }} / ({{ x }} + {{ y }}))
                )
            when {{ x }} + {{ y }} > 0 then 0
        end
{%- endmacro %}

{#- The z-score of a value among those so far, its own included; NULL where they are all equal. -#}
{% macro _expanding_z(value, over) -%}
    ({{ value }} - avg({{ value }}) over {{ over }}) / nullif(stddev_samp({{ value }}) over {{ over }}, 0)
{%- endmacro %}


{% macro _trade_size() -%}
    {%- set columns = [] -%}
    {%- set expressions = {
        'trade_amount_std': 'sqrt(placed.trade_amount_variance)',
        'trade_amount_range_ratio': 'placed.trade_amount_max / nullif(placed.trade_amount_min, 0)',
        'trade_amount_cv': 'sqrt(placed.trade_amount_variance) / nullif(placed.trade_amount_mean, 0)',
        'n_trades': 'placed.n_events',
    } -%}
    {%- for size in warehouse._sizes() -%}
        {%- do columns.append(size ~ '_order_volume') -%}{%- do columns.append(size ~ '_order_count') -%}
    {%- endfor -%}
    {%- do columns.append('volume') -%}{%- do columns.append('n_trades') -%}
    {%- for part, whole in [('volume', 'volume'), ('count', 'n_events')] -%}
        {%- for size in warehouse._sizes() -%}
            {%- set column = size ~ ('_order_percentage' if part == 'volume' else '_order_count_percentage') -%}
            {%- do columns.append(column) -%}
            {%- do expressions.update({column: 'placed.' ~ size ~ '_order_' ~ part ~ ' / nullif(placed.' ~ whole ~ ', 0)'}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for part in ['mean', 'median', 'std', 'variance', 'skewness', 'kurtosis', 'min', 'max', 'range_ratio', 'cv'] -%}
        {%- do columns.append('trade_amount_' ~ part) -%}
    {%- endfor -%}
    {{ return({
        'name': 'trade_size', 'sources': ['trades'], 'columns': columns, 'expressions': expressions,
        'readings': [], 'body': warehouse._trade_size_bars,
    }) }}
{%- endmacro %}

{% macro _trade_size_bars(with_readings) -%}
{{ warehouse._trades('all') }},

{{ warehouse._moments('ticks.amount', 'trade_amount') }},

sizes as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar
        {%- for size, condition in warehouse._sizes().items() %},
        coalesce(fsum(ticks.price * ticks.amount) filter (where {{ condition }}), 0) as {{ size }}_order_volume,
        count(*) filter (where {{ condition }}) as {{ size }}_order_count
        {%- endfor %},
        fsum(ticks.amount) as volume,
        min(ticks.amount) as trade_amount_min,
        max(ticks.amount) as trade_amount_max
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._joined_bars(['sizes', 'moments']) }}
{%- endmacro %}


{% macro _range() -%}
    {{ return({
        'name': 'range', 'sources': ['trades'],
        'columns': [
            'range', 'range_bps', 'price_mean', 'price_median', 'price_std', 'price_variance',
            'price_skewness', 'price_kurtosis', 'price_range_ratio', 'price_cv',
        ],
        'expressions': {
            'range': 'placed.high - placed.low',
            'range_bps': '(placed.high - placed.low) / nullif(placed.close, 0) * 1e4',
            'price_std': 'sqrt(placed.price_variance)',
            'price_range_ratio': 'placed.high / nullif(placed.low, 0)',
            'price_cv': 'sqrt(placed.price_variance) / nullif(placed.price_mean, 0)',
        },
        'readings': [], 'body': warehouse._range_bars,
    }) }}
{%- endmacro %}

{% macro _range_bars(with_readings) -%}
{{ warehouse._trades('all') }},

{{ warehouse._moments('ticks.price', 'price') }},

edges as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar,
        max(ticks.price) as high,
        min(ticks.price) as low,
        {{ warehouse._last('ticks.price') }} as close
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._joined_bars(['edges', 'moments']) }}
{%- endmacro %}


{% macro _returns() -%}
    {{ return({
        'name': 'returns', 'sources': ['trades'],
        'columns': [
            'logret_var', 'realized_vol', 'bipower_variation', 'jump_ratio', 'ret_autocorr_lag1',
            'trendiness',
        ],
        'expressions': {
            'jump_ratio': '1 - placed.bipower_variation / nullif(placed.realized_vol ** 2, 0)',
        },
        'readings': [
            ['bipower_variation', 'across', none],
            ['jump_ratio', 'floored',
             'greatest(1 - placed.bipower_variation / nullif(placed.realized_vol ** 2, 0), 0)'],
            ['jump_ratio', 'across',
             '1 - placed.bipower_variation__across / nullif(placed.realized_vol ** 2, 0)'],
            ['ret_autocorr_lag1', 'across', none], ['trendiness', 'across', none],
        ],
        'body': warehouse._returns_bars,
    }) }}
{%- endmacro %}

{% macro _returns_bars(with_readings) -%}
{{ warehouse._trades() }},

{{ warehouse._ordered({
    'us_1': warehouse._before('us'), 'price_1': warehouse._before('price'),
    'us_2': warehouse._before('us', 2), 'price_2': warehouse._before('price', 2),
}) }},

log_returns as (
    select
        ordered.*,
        ln(ordered.price / ordered.price_1) as r,
        ln(ordered.price_1 / ordered.price_2) as r_1
    from ordered
),

measured as (
    select
        x.series_id,
        x.bar,
        var_samp(x.r) filter (where x.us_1 >= x.bar) as logret_var,
        sqrt(coalesce(fsum(x.r ** 2) filter (where x.us_1 >= x.bar), 0)) as realized_vol
        {#- A return across the start of the bar is the one that ends with its first trade. #}
        {%- for suffix, of_return, of_pair in [
            ('', 'x.us_1 >= x.bar', 'x.us_2 >= x.bar'),
            ('__across', 'x.us_1 is not null', 'x.us_1 >= x.bar and x.us_2 is not null'),
        ] %}
        {%- if with_readings or not suffix %},
        pi() / 2 * coalesce(fsum(abs(x.r) * abs(x.r_1)) filter (where {{ of_pair }}), 0) as bipower_variation{{ suffix }},
        {{ warehouse._correlation('x.r', 'x.r_1', of_pair) }} as ret_autocorr_lag1{{ suffix }},
        abs(fsum(x.r) filter (where {{ of_return }}))
        / nullif(fsum(abs(x.r)) filter (where {{ of_return }}), 0) as trendiness{{ suffix }}
        {%- endif %}
        {%- endfor %}
    from log_returns as x
    group by x.series_id, x.bar
),

{{ warehouse._joined_bars(['measured']) }}
{%- endmacro %}

{#- corr, NULL where one side is constant, for which DuckDB has NaN. -#}
{% macro _correlation(x, y, where) -%}
    case
            when var_pop({{ x }}) filter (where {{ where }}) > 0
                and var_pop({{ y }}) filter (where {{ where }}) > 0
                then corr({{ x }}, {{ y }}) filter (where {{ where }})
        end
{%- endmacro %}
