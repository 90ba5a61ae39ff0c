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
        {{ return(adapter.dispatch('create_ticks', 'warehouse')()) }}
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
create or replace macro main.ticks(
    dataset, every,
    clock := 'true', exchange := null, symbol := null, start_time := null, end_time := null
) as table
select * from query(
    case
        when coalesce(dataset not in ({% for dataset in warehouse._tick_datasets() %}{{ ', ' if not loop.first }}'{{ dataset.name }}'{% endfor %}), true)
            then error(
                'dataset: no ticks make bars of ' || coalesce(dataset, 'NULL') || '; choose from
                {%- for dataset in warehouse._tick_datasets() %} {{ dataset.name }}{% endfor %}'
            )
        else 'from ticks_' || dataset || '('
            || concat_ws(', '
            {%- for name in ['every', 'clock', 'exchange', 'symbol', 'start_time', 'end_time'] %},
                '{{ name ~ ' := ' if name != 'every' }}''' || replace({{ name }}::varchar, '''', '''''') || ''''
            {%- endfor %}) || ')'
    end
);

comment on macro table main.ticks is
    'ticks(dataset, every, …): bars of any of the vendor''s metric datasets but l2_* from ticks, at any
length that divides a day. clock := ''true'' (default) or ''exchange''; exchange, symbol, start_time,
end_time select. Example: from ticks(''flow'', ''45m'', symbol := ''perpetual-BTC-USDT:USDT''). Where
the catalog is attached as w and not in use: w.ticks_flow(…)';
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


{# -- datasets: a body that ends with the CTE bars, columns in the vendor's order, readings -- #}


{% macro _tick_datasets() -%}
    {{ return([
        warehouse._ohlcv(), warehouse._vtwap(), warehouse._flow(), warehouse._trade_size(),
        warehouse._range(), warehouse._returns(), warehouse._updownticks(),
        warehouse._run_structure(), warehouse._impact(), warehouse._slippage(),
        warehouse._l1_price(), warehouse._l1_imbalance(), warehouse._l1_liquidity(),
        warehouse._funding(), warehouse._open_interest(), warehouse._basis(),
        warehouse._derivative_price(),
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
            fsum(((ordered.price - ordered.previous_price) / ordered.previous_price) ** 2)
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
             'if(placed.bipower_variation > placed.realized_vol ** 2, 0,'
             ~ ' 1 - placed.bipower_variation / nullif(placed.realized_vol ** 2, 0))'],
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


{% macro _impact() -%}
    {{ return({
        'name': 'impact', 'sources': ['trades'],
        'columns': [
            'amihud_like', 'kyle_like_lambda', 'impact_per_notional', 'large_trade_reversal',
            'directional_impact_asymmetry',
        ],
        'expressions': {
            'amihud_like': 'abs((placed.last_price - placed.first_price) / placed.first_price) / nullif(placed.notional, 0)',
            'impact_per_notional':
                'abs((placed.last_price - placed.first_price) / placed.first_price) / nullif(abs(placed.net_notional), 0)',
        },
        'readings': [
            ['kyle_like_lambda', 'notional', none], ['large_trade_reversal', 'signed', none],
        ],
        'body': warehouse._impact_bars,
    }) }}
{%- endmacro %}

{% macro _impact_bars(with_readings) -%}
{{ warehouse._trades() }},

{{ warehouse._ordered({
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
    'next_us': warehouse._after('us'),
    'us_5': warehouse._after('us', 5), 'price_5': warehouse._after('price', 5),
}) }},

thresholds as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar,
        quantile_cont(ticks.price * ticks.amount, 0.9) as large
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

signed as (
    select
        ordered.*,
        thresholds.large,
        if(
            ordered.previous_us >= ordered.bar,
            (ordered.price - ordered.previous_price) / ordered.previous_price,
            null
        ) as r,
        if(
            ordered.us_5 < ordered.bar + {{ warehouse._width() }}
            and ordered.price * ordered.amount >= thresholds.large,
            (ordered.price_5 - ordered.price) / ordered.price,
            null
        ) as reversal
    from ordered
    inner join thresholds on ordered.series_id = thresholds.series_id and ordered.bar = thresholds.bar
),

measured as (
    select
        x.series_id,
        x.bar,
        any_value(x.price) filter (where x.previous_us is null or x.previous_us < x.bar) as first_price,
        any_value(x.price) filter (
            where x.next_us is null or x.next_us >= x.bar + {{ warehouse._width() }}
        ) as last_price,
        fsum(x.price * x.amount) as notional,
        fsum(x.sign * x.price * x.amount) as net_notional,
        covar_samp(x.r, x.sign * x.amount) / nullif(var_samp(x.sign * x.amount), 0) as kyle_like_lambda,
        fsum(x.reversal) / count(x.reversal) as large_trade_reversal,
        {%- if with_readings %}
        covar_samp(x.r, x.sign * x.price * x.amount)
        / nullif(var_samp(x.sign * x.price * x.amount), 0) as kyle_like_lambda__notional,
        fsum(x.sign * x.reversal) / count(x.reversal) as large_trade_reversal__signed,
        {%- endif %}
        fsum(x.r) filter (where x.sign = 1) / count(x.r) filter (where x.sign = 1)
        + fsum(x.r) filter (where x.sign = -1)
        / count(x.r) filter (where x.sign = -1) as directional_impact_asymmetry
    from signed as x
    group by x.series_id, x.bar
),

{{ warehouse._joined_bars(['measured']) }}
{%- endmacro %}


{#- Trades of the same moment are in the order of their ids as text here: '10' before '9'. -#}
{% macro _updownticks() -%}
    {%- set ticks = ['uptick', 'downtick', 'unchanged'] -%}
    {%- set columns, expressions, readings = [], {}, [] -%}
    {%- for part in ['count', 'volume'] -%}
        {%- for tick in ticks -%}{%- do columns.append(tick ~ '_' ~ part) -%}{%- endfor -%}
    {%- endfor -%}
    {%- for part in ['volume', 'count'] -%}
        {%- set column = 'uptick_downtick_' ~ part ~ '_ratio' -%}
        {%- do columns.append(column) -%}
        {%- do expressions.update({column: 'placed.uptick_' ~ part ~ ' / nullif(placed.downtick_' ~ part ~ ', 0)'}) -%}
    {%- endfor -%}
    {%- for tick, part in [
        ('uptick', 'count'), ('downtick', 'count'), ('unchanged', 'count'),
        ('unchanged', 'volume'), ('downtick', 'volume'), ('uptick', 'volume'),
    ] -%}
        {%- set column = tick ~ '_' ~ part ~ '_percentage' -%}
        {%- set whole = 'placed.compared_' ~ part -%}
        {%- do columns.append(column) -%}
        {%- do expressions.update({column: 'placed.' ~ tick ~ '_' ~ part ~ ' / nullif(' ~ whole ~ ', 0)'}) -%}
        {%- do readings.append([column, 'of_all_trades', 'placed.' ~ tick ~ '_' ~ part ~ ' / nullif('
            ~ ('placed.n_events' if part == 'count' else 'placed.all_volume') ~ ', 0)']) -%}
    {%- endfor -%}
    {{ return({
        'name': 'updownticks', 'sources': ['trades'], 'columns': columns,
        'expressions': expressions, 'readings': readings, 'body': warehouse._updownticks_bars,
    }) }}
{%- endmacro %}

{% macro _updownticks_bars(with_readings) -%}
{{ warehouse._trades() }},

{{ warehouse._ordered(
    {'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price')},
    order_id='ticks.id nulls last, ticks.n',
) }},

measured as (
    select
        x.series_id,
        x.bar
        {%- for tick, sign in [('uptick', '>'), ('downtick', '<'), ('unchanged', '=')] %}
        {%- set where = 'x.previous_us >= x.bar and x.price ' ~ sign ~ ' x.previous_price' %},
        count(*) filter (where {{ where }}) as {{ tick }}_count,
        coalesce(fsum(x.amount) filter (where {{ where }}), 0) as {{ tick }}_volume
        {%- endfor %},
        count(*) filter (where x.previous_us >= x.bar) as compared_count,
        fsum(x.amount) filter (where x.previous_us >= x.bar) as compared_volume,
        fsum(x.amount) as all_volume
    from ordered as x
    group by x.series_id, x.bar
),

{{ warehouse._joined_bars(['measured']) }}
{%- endmacro %}


{% macro _run_structure() -%}
    {{ return({
        'name': 'run_structure', 'sources': ['trades'],
        'columns': [
            'buy_run_max_len', 'sell_run_max_len', 'buy_run_mean_len', 'sell_run_mean_len',
            'run_imbalance', 'flip_rate', 'price_change_on_flip',
        ],
        'expressions': {
            'buy_run_mean_len': 'coalesce(placed.buy_run_mean_len, 0)',
            'sell_run_mean_len': 'coalesce(placed.sell_run_mean_len, 0)',
            'run_imbalance':
                '(placed.buy_run_max_len - placed.sell_run_max_len)'
                ~ ' / (placed.buy_run_max_len + placed.sell_run_max_len)',
            'flip_rate': 'placed.flips / placed.n_events',
        },
        'readings': [
            ['flip_rate', 'of_transitions', 'placed.flips / nullif(placed.n_events - 1, 0)'],
        ],
        'body': warehouse._run_structure_bars,
    }) }}
{%- endmacro %}

{#- A run ends before the next one of its bar begins; the last one with the bar's last trade. -#}
{% macro _run_structure_bars(with_readings) -%}
{{ warehouse._trades() }},

{{ warehouse._ordered({
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
    'previous_sign': "if(lag(ticks.side) over by_order = 'buy', 1, -1)",
    'place': 'row_number() over by_order',
}) }},

keys as (
    select
        {{ warehouse._bar_keys() }}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

begun as (
    select
        ordered.series_id,
        ordered.bar,
        ordered.sign,
        ordered.place,
        ordered.previous_us >= ordered.bar as is_flip,
        abs((ordered.price - ordered.previous_price) / ordered.previous_price) as price_change
    from ordered
    where
        ordered.previous_us is null
        or ordered.previous_us < ordered.bar
        or ordered.sign != ordered.previous_sign
),

runs as (
    select
        begun.*,
        lead(begun.place) over by_place as next_place,
        min(begun.place) over by_place as first_place
    from begun
    window by_place as (partition by begun.series_id, begun.bar order by begun.place)
),

measured as (
    select
        x.series_id,
        x.bar,
        any_value(keys.exchange) as exchange,
        any_value(keys.symbol) as symbol,
        any_value(keys.seen) as seen,
        any_value(keys.n_events) as n_events
        {%- for side, sign in [('buy', 1), ('sell', -1)] %}
        {%- set length = 'coalesce(x.next_place, x.first_place + keys.n_events) - x.place' %},
        coalesce(max({{ length }}) filter (where x.sign = {{ sign }}), 0) as {{ side }}_run_max_len,
        avg({{ length }}) filter (where x.sign = {{ sign }}) as {{ side }}_run_mean_len
        {%- endfor %},
        count(*) filter (where x.is_flip) as flips,
        fsum(x.price_change) filter (where x.is_flip)
        / nullif(count(*) filter (where x.is_flip), 0) as price_change_on_flip
    from runs as x
    inner join keys on x.series_id = keys.series_id and x.bar = keys.bar
    group by x.series_id, x.bar
),

bars as (
    select * from measured
)
{%- endmacro %}


{% macro _slippage() -%}
    {{ return({
        'name': 'slippage', 'sources': ['trades', 'quotes'],
        'columns': [
            'slippage_mean', 'slippage_bps_mean', 'slippage_bps_std', 'slippage_bps_median',
            'slippage_bps_p95', 'slippage_bps_vwap', 'slippage_bps_buy_mean',
            'slippage_bps_sell_mean', 'slippage_bps_buy_sell_ratio', 'slippage_bps_sell_buy_ratio',
            'n_trades',
        ],
        'expressions': {
            'slippage_bps_buy_sell_ratio':
                'placed.slippage_bps_buy_mean / nullif(placed.slippage_bps_sell_mean, 0)',
            'slippage_bps_sell_buy_ratio':
                'placed.slippage_bps_sell_mean / nullif(placed.slippage_bps_buy_mean, 0)',
            'n_trades': 'placed.n_events',
        },
        'readings': [], 'body': warehouse._slippage_bars,
    }) }}
{%- endmacro %}

{#- A trade meets the last quote at or before it that is less than a day old. -#}
{% macro _slippage_bars(with_readings) -%}
{{ warehouse._ticks('trade_ticks', 'trades', {
    'side': 'source.side', 'price': 'source.price', 'amount': 'source.amount',
}, "source.side in ('buy', 'sell')") }},

{{ warehouse._quotes('quote_rows', days_before=1) }},

{{ warehouse._series_of('trade_ticks', 'quote_rows') }},

last_quotes as (
    select
        quote_rows_series.series_id,
        quote_rows.us,
        arg_max_null(quote_rows.bid_price, quote_rows.place) as bid,
        arg_max_null(quote_rows.ask_price, quote_rows.place) as ask,
        max(quote_rows.seen) as seen
    from quote_rows
    inner join quote_rows_series on quote_rows.series_id = quote_rows_series.own_id
    group by quote_rows_series.series_id, quote_rows.us
),

ticks as (
    select
        trade_ticks.series_id,
        trade_ticks.us,
        greatest(trade_ticks.seen, last_quotes.seen) as seen,
        trade_ticks.side,
        trade_ticks.amount,
        if(
            trade_ticks.side = 'buy',
            trade_ticks.price - last_quotes.ask,
            last_quotes.bid - trade_ticks.price
        ) as cost,
        cost / ((last_quotes.bid + last_quotes.ask) / 2) * 1e4 as cost_bps
    from trade_ticks
    asof inner join last_quotes
        on trade_ticks.series_id = last_quotes.series_id and trade_ticks.us >= last_quotes.us
    where
        trade_ticks.us - last_quotes.us < 86400000000
        and last_quotes.bid is not null
        and last_quotes.ask is not null
),

measured as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar,
        max(ticks.seen) as seen,
        count(*) as n_events,
        fsum(ticks.cost) / count(*) as slippage_mean,
        fsum(ticks.cost_bps) / count(*) as slippage_bps_mean,
        stddev_samp(ticks.cost_bps) as slippage_bps_std,
        median(ticks.cost_bps) as slippage_bps_median,
        quantile_cont(ticks.cost_bps, 0.95) as slippage_bps_p95,
        fsum(ticks.cost_bps * ticks.amount) / nullif(fsum(ticks.amount), 0) as slippage_bps_vwap
        {%- for side in ['buy', 'sell'] %},
        fsum(ticks.cost_bps) filter (where ticks.side = '{{ side }}')
        / nullif(count(*) filter (where ticks.side = '{{ side }}'), 0) as slippage_bps_{{ side }}_mean
        {%- endfor %}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

bars as (
    select
        measured.*,
        quote_rows_series.exchange,
        quote_rows_series.symbol
    from measured
    inner join quote_rows_series on measured.series_id = quote_rows_series.series_id
)
{%- endmacro %}

{#- For the series of a second source, own_id, the series of the first of the same symbol. -#}
{% macro _series_of(first, second) -%}
{{ second }}_series as (
    select
        firsts.series_id,
        firsts.exchange,
        firsts.symbol,
        seconds.series_id as own_id
    from (select distinct x.series_id, x.exchange, x.symbol from {{ first }} as x) as firsts
    inner join (select distinct x.series_id, x.exchange, x.symbol from {{ second }} as x) as seconds
        on firsts.exchange = seconds.exchange and firsts.symbol = seconds.symbol
)
{%- endmacro %}

{#- Quotes with their place in the source, which orders those of one moment; a price of 0 is none. -#}
{% macro _quotes(name='ticks', days_before=0) -%}
    {{ return(warehouse._ticks(name, 'quotes', {
        'place': 'row_number() over ()',
        'bid_price': 'nullif(source.bid_price, 0)', 'ask_price': 'nullif(source.ask_price, 0)',
        'bid_amount': 'source.bid_amount', 'ask_amount': 'source.ask_amount',
    }, days_before=days_before)) }}
{%- endmacro %}

{#- Last value that is not NULL; of one moment, the last row. -#}
{% macro _last_quote(value) -%}
    arg_max({{ value }}, (ticks.us::hugeint << 64) + ticks.place)
{%- endmacro %}

{#- The same, but the first row of the last moment. -#}
{% macro _first_of_last(value) -%}
    arg_max({{ value }}, (ticks.us::hugeint << 64) - ticks.place)
{%- endmacro %}


{% macro _l1_price() -%}
    {%- set last = {
        'ask_price': 'ticks.ask_price', 'bid_price': 'ticks.bid_price',
        'ask_amount': 'nullif(ticks.ask_amount, 0)', 'bid_amount': 'nullif(ticks.bid_amount, 0)',
        'midprice': '(ticks.bid_price + ticks.ask_price) / 2',
        'weighted_midprice':
            '(ticks.bid_price * ticks.ask_amount + ticks.ask_price * ticks.bid_amount)'
            ~ ' / nullif(ticks.bid_amount + ticks.ask_amount, 0)',
    } -%}
    {%- set columns, readings = [], [] -%}
    {%- for column in last -%}
        {%- do columns.append(column) -%}{%- do readings.append([column, 'first_of_ties', none]) -%}
    {%- endfor -%}
    {%- do readings.append(['weighted_midprice', 'own_size', none]) -%}
    {%- for side in ['ask', 'bid'] -%}
        {%- do columns.append(side ~ '_price_twap') -%}
        {%- for reading in ['mean', 'held', 'carried_in'] -%}
            {%- do readings.append([side ~ '_price_twap', reading, none]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do columns.append('ask_price_vwap') -%}
    {%- do columns.append('bid_price_vwap') -%}
    {%- do columns.append('quote_update_frequency') -%}
    {%- do columns.append('avg_update_interval') -%}
    {%- set seconds = '(' ~ warehouse._width() ~ ' / 1e6)' -%}
    {%- do readings.append(['quote_update_frequency', 'price_changes', 'placed.changes / ' ~ seconds]) -%}
    {%- do readings.append(['avg_update_interval', 'price_changes', seconds ~ ' / nullif(placed.changes, 0)']) -%}
    {{ return({
        'name': 'l1_price', 'sources': ['quotes'], 'columns': columns, 'readings': readings,
        'expressions': {
            'quote_update_frequency': 'placed.n_events / ' ~ seconds,
            'avg_update_interval': seconds ~ ' / placed.n_events',
        },
        'body': warehouse._l1_price_bars, 'last': last,
    }) }}
{%- endmacro %}

{% macro _l1_price_bars(with_readings) -%}
{{ warehouse._quotes() }},

{%- for side in ['ask', 'bid'] %}

{{ side }}s as (
    select
        ticks.series_id,
        ticks.us,
        {{ warehouse._bar() }} as bar,
        ticks.{{ side }}_price as {{ side }},
        lag(ticks.us) over by_order as previous_us,
        lag(ticks.{{ side }}_price) over by_order as previous_{{ side }},
        lead(ticks.us) over by_order as next_us
    from ticks
    where ticks.{{ side }}_price is not null
    window by_order as (
        partition by ticks.series_id, ticks.us // 86400000000 order by ticks.us, ticks.place
    )
),

{{ warehouse._time_averages(side ~ 's', side, side ~ '_price_twap') }},
{%- endfor %}
{%- if with_readings %}

compared as (
    select
        ticks.series_id,
        ticks.us,
        {{ warehouse._bar() }} as bar,
        (ticks.bid_price, ticks.ask_price) as prices,
        lag(ticks.us) over by_order as previous_us,
        lag((ticks.bid_price, ticks.ask_price)) over by_order as previous_prices
    from ticks
    window by_order as (
        partition by ticks.series_id, ticks.us // 86400000000 order by ticks.us, ticks.place
    )
),

price_changes as (
    select
        compared.series_id,
        compared.bar,
        count(*) filter (
            where compared.previous_us is null
                or compared.previous_us < compared.bar
                or compared.prices is distinct from compared.previous_prices
        ) as changes
    from compared
    group by compared.series_id, compared.bar
),
{%- endif %}

lasts as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar
        {%- for column, value in warehouse._l1_price().last.items() %},
        {{ warehouse._last_quote(value) }} as {{ column }}
        {%- if with_readings %},
        {{ warehouse._first_of_last(value) }} as {{ column }}__first_of_ties
        {%- endif %}
        {%- endfor %},
        {%- if with_readings %}
        {{ warehouse._last_quote(
            '(ticks.bid_price * ticks.bid_amount + ticks.ask_price * ticks.ask_amount)'
            ~ ' / nullif(ticks.bid_amount + ticks.ask_amount, 0)'
        ) }} as weighted_midprice__own_size,
        {%- endif %}
        fsum(ticks.ask_price * ticks.ask_amount)
        / nullif(fsum(ticks.ask_amount) filter (where ticks.ask_price is not null), 0) as ask_price_vwap,
        fsum(ticks.bid_price * ticks.bid_amount)
        / nullif(fsum(ticks.bid_amount) filter (where ticks.bid_price is not null), 0) as bid_price_vwap
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._joined_bars(
    ['lasts', 'ask_averages', 'bid_averages'] + (['price_changes'] if with_readings else [])
) }}
{%- endmacro %}


{#- A dataset of last values and plain means over updates of the same expressions. -#}
{% macro _of_quotes(name, values, without_mean, body) -%}
    {%- set columns = [] -%}
    {%- for column in values -%}{%- do columns.append(column) -%}{%- endfor -%}
    {%- for column in values -%}{%- if column not in without_mean -%}{%- do columns.append(column ~ '_avg') -%}{%- endif -%}{%- endfor -%}
    {%- set readings = [] -%}
    {%- for column in values -%}{%- do readings.append([column, 'first_of_ties', none]) -%}{%- endfor -%}
    {{ return({
        'name': name, 'sources': ['quotes'], 'columns': columns, 'expressions': {},
        'readings': readings, 'body': body, 'values': values,
    }) }}
{%- endmacro %}

{% macro _quote_bars(values, with_readings) -%}
{{ warehouse._quotes() }},

bars as (
    select
        {{ warehouse._bar_keys() }}
        {%- for column, value in values.items() %},
        {{ warehouse._last_quote(value) }} as {{ column }},
        fsum({{ value }}) / count({{ value }}) as {{ column }}_avg
        {%- if with_readings %},
        {{ warehouse._first_of_last(value) }} as {{ column }}__first_of_ties
        {%- endif %}
        {%- endfor %}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
)
{%- endmacro %}


{% macro _l1_imbalance() -%}
    {%- set both = 'nullif(ticks.bid_amount + ticks.ask_amount, 0)' -%}
    {{ return(warehouse._of_quotes('l1_imbalance', {
        'imbalance': 'ticks.bid_amount - ticks.ask_amount',
        'imbalance_ratio': '(ticks.bid_amount - ticks.ask_amount) / ' ~ both,
        'bid_ask_ratio': 'ticks.bid_amount / nullif(ticks.ask_amount, 0)',
        'bid_percentage': 'ticks.bid_amount / ' ~ both,
        'ask_percentage': 'ticks.ask_amount / ' ~ both,
    }, [], warehouse._l1_imbalance_bars)) }}
{%- endmacro %}

{% macro _l1_imbalance_bars(with_readings) -%}
{{ warehouse._quote_bars(warehouse._l1_imbalance()['values'], with_readings) }}
{%- endmacro %}


{% macro _l1_liquidity() -%}
    {%- set bid, ask = 'nullif(ticks.bid_amount, 0)', 'nullif(ticks.ask_amount, 0)' -%}
    {%- set spread = 'abs(ticks.ask_price - ticks.bid_price)' -%}
    {{ return(warehouse._of_quotes('l1_liquidity', {
        'spread': spread,
        'spread_bps': spread ~ ' / ((ticks.bid_price + ticks.ask_price) / 2) * 1e4',
        'spread_depth_ratio': spread ~ ' / (' ~ bid ~ ' + ' ~ ask ~ ')',
        'total_depth': bid ~ ' + ' ~ ask,
        'dollar_depth_bid': 'ticks.bid_price * ' ~ bid,
        'dollar_depth_ask': 'ticks.ask_price * ' ~ ask,
        'total_dollar_depth': 'ticks.bid_price * ' ~ bid ~ ' + ticks.ask_price * ' ~ ask,
    }, [], warehouse._l1_liquidity_bars)) }}
{%- endmacro %}

{% macro _l1_liquidity_bars(with_readings) -%}
{{ warehouse._quote_bars(warehouse._l1_liquidity()['values'], with_readings) }}
{%- endmacro %}


{#- Rows of a derivative's source in order, with the row before of the same UTC day. -#}
{% macro _updates(name, source, column) -%}
{{ warehouse._ticks(name ~ '_rows', source, {'value': 'source.' ~ column, 'place': 'row_number() over ()'},
    'source.' ~ column ~ ' is not null') }},

{{ name }} as (
    select
        ticks.*,
        {{ warehouse._bar() }} as bar,
        lag(ticks.us) over by_order as previous_us,
        lag(ticks.value) over by_order as previous_value,
        lead(ticks.us) over by_order as next_us
    from {{ name }}_rows as ticks
    window by_order as (
        partition by ticks.series_id, ticks.us // 86400000000 order by ticks.us, ticks.place
    )
)
{%- endmacro %}

{#- First and last value of a bar, for a select over updates x. -#}
{% macro _first_and_last(alias) -%}
any_value(x.value) filter (where x.previous_us is null or x.previous_us < x.bar) as first_{{ alias }},
        any_value(x.value) filter (
            where x.next_us is null or x.next_us >= x.bar + {{ warehouse._width() }}
        ) as last_{{ alias }}
{%- endmacro %}

{% macro _update_keys() -%}
x.series_id,
        x.bar,
        any_value(x.exchange) as exchange,
        any_value(x.symbol) as symbol,
        max(x.seen) as seen,
        count(*) as n_events
{%- endmacro %}


{% macro _funding() -%}
    {%- set seconds = '(' ~ warehouse._width() ~ ' / 1e6)' -%}
    {%- set columns = ['funding_rate', 'funding_rate_update_frequency', 'funding_rate_avg_update_interval'] -%}
    {%- set expressions = {
        'funding_rate': 'placed.last_rate',
        'funding_rate_update_frequency': 'placed.changes / ' ~ seconds,
        'funding_rate_avg_update_interval': seconds ~ ' / nullif(placed.changes, 0)',
    } -%}
    {%- for part in ['', '_spread', '_spread_bps', '_spread_mean', '_std', '_spread_bps_std', '_update_frequency'] -%}
        {%- set column = 'predicted_funding_rate' ~ part -%}
        {%- do columns.append(column) -%}{%- do expressions.update({column: 'null::double'}) -%}
    {%- endfor -%}
    {{ return({
        'name': 'funding', 'sources': ['funding_rates'], 'columns': columns,
        'expressions': expressions, 'readings': [], 'body': warehouse._funding_bars,
    }) }}
{%- endmacro %}

{% macro _funding_bars(with_readings) -%}
{{ warehouse._updates('rates', 'funding_rates', 'funding_rate') }},

bars as (
    select
        {{ warehouse._update_keys() }},
        {{ warehouse._first_and_last('rate') }},
        count(*) filter (where x.value is distinct from x.previous_value) as changes
    from rates as x
    group by x.series_id, x.bar
)
{%- endmacro %}


{% macro _open_interest() -%}
    {%- set change = '(placed.last_oi - placed.first_oi) / nullif(placed.first_oi, 0)' -%}
    {{ return({
        'name': 'open_interest', 'sources': ['open_interests', 'mark_prices'],
        'columns': [
            'open_interest', 'open_interest_pct_change', 'open_interest_volatility',
            'oi_price_change_ratio',
        ],
        'expressions': {
            'open_interest': 'placed.last_oi',
            'open_interest_pct_change': change ~ ' * 100',
            'oi_price_change_ratio': change
                ~ ' / nullif((placed.last_mark - placed.first_mark) / nullif(placed.first_mark, 0), 0)',
        },
        'readings': [
            ['open_interest_volatility', 'percent', 'placed.open_interest_volatility * 100'],
        ],
        'body': warehouse._open_interest_bars,
    }) }}
{%- endmacro %}

{% macro _open_interest_bars(with_readings) -%}
{{ warehouse._updates('interests', 'open_interests', 'open_interest') }},

{{ warehouse._updates('marks', 'mark_prices', 'mark_price') }},

mark_bars as (
    select
        {{ warehouse._update_keys() }},
        {{ warehouse._first_and_last('mark') }}
    from marks as x
    group by x.series_id, x.bar
),

interest_bars as (
    select
        {{ warehouse._update_keys() }},
        {{ warehouse._first_and_last('oi') }},
        stddev_samp((x.value - x.previous_value) / nullif(x.previous_value, 0)) filter (
            where x.previous_us >= x.bar and x.value != x.previous_value
        ) as open_interest_volatility
    from interests as x
    group by x.series_id, x.bar
),

bars as (
    select
        interest_bars.* replace (greatest(interest_bars.seen, mark_bars.seen) as seen),
        mark_bars.first_mark,
        mark_bars.last_mark
    from interest_bars
    left join mark_bars
        on
            interest_bars.exchange = mark_bars.exchange
            and interest_bars.symbol = mark_bars.symbol
            and interest_bars.bar = mark_bars.bar
)
{%- endmacro %}


{% macro _basis() -%}
    {{ return({
        'name': 'basis', 'sources': ['mark_prices', 'index_prices', 'trades'],
        'columns': [
            'basis', 'basis_bps', 'mark_price_spread', 'mark_price_spread_bps', 'basis_mean',
            'basis_bps_std', 'mark_price_spread_mean', 'mark_price_spread_bps_std', 'basis_rate',
        ],
        'expressions': {'basis_rate': 'null::double'},
        'readings': [], 'body': warehouse._basis_bars,
    }) }}
{%- endmacro %}

{#- The value of a source at or before each mark price of the same UTC day; the last of a moment. -#}
{% macro _as_of_marks(name, source, column, condition='true') -%}
{{ warehouse._ticks(name ~ '_rows', source, {
    'value': 'source.' ~ column,
    'n': 'try_cast(source.id as bigint)' if source == 'trades' else 'row_number() over ()',
    'id': 'source.id' if source == 'trades' else "''",
}, condition ~ ' and source.' ~ column ~ ' is not null') }},

{{ warehouse._series_of('marks_rows', name ~ '_rows') }},

{{ name }} as (
    select
        {{ name }}_rows_series.series_id,
        x.us,
        coalesce(
            arg_max(x.value, coalesce(x.id, '')) filter (where x.n is null), arg_max(x.value, x.n)
        ) as value,
        max(x.seen) as seen
    from {{ name }}_rows as x
    inner join {{ name }}_rows_series on x.series_id = {{ name }}_rows_series.own_id
    group by {{ name }}_rows_series.series_id, x.us
)
{%- endmacro %}

{% macro _basis_bars(with_readings) -%}
{{ warehouse._updates('marks', 'mark_prices', 'mark_price') }},

{{ warehouse._as_of_marks('indices', 'index_prices', 'index_price') }},

{{ warehouse._as_of_marks('lasts', 'trades', 'price', "source.side in ('buy', 'sell')") }},

marked as (
    select
        marks.series_id,
        marks.exchange,
        marks.symbol,
        marks.us,
        marks.bar,
        marks.place,
        greatest(marks.seen, indices.seen, lasts.seen) as seen,
        marks.value - indices.value as basis,
        (marks.value - indices.value) / nullif(indices.value, 0) * 1e4 as basis_bps,
        marks.value - lasts.value as mark_price_spread,
        (marks.value - lasts.value) / nullif(lasts.value, 0) * 1e4 as mark_price_spread_bps
    from marks
    asof left join indices
        on
            marks.series_id = indices.series_id
            and marks.us // 86400000000 = indices.us // 86400000000
            and marks.us >= indices.us
    asof left join lasts
        on
            marks.series_id = lasts.series_id
            and marks.us // 86400000000 = lasts.us // 86400000000
            and marks.us >= lasts.us
),

compared as (
    select
        marked.*
        {%- for column in ['basis', 'basis_bps', 'mark_price_spread', 'mark_price_spread_bps'] %},
        if(
            marked.{{ column }} is distinct from lag(marked.{{ column }}) over by_bar,
            marked.{{ column }},
            null
        ) as changed_{{ column }}
        {%- endfor %}
    from marked
    window by_bar as (partition by marked.series_id, marked.bar order by marked.us, marked.place)
),

bars as (
    select
        {{ warehouse._update_keys() }}
        {%- for column in ['basis', 'basis_bps', 'mark_price_spread', 'mark_price_spread_bps'] %},
        arg_max(x.{{ column }}, {us: x.us, place: x.place}) as {{ column }}
        {%- endfor %}
        {%- for column in ['basis', 'mark_price_spread'] %},
        fsum(x.changed_{{ column }}) / count(x.changed_{{ column }}) as {{ column }}_mean,
        stddev_samp(x.changed_{{ column }}_bps) as {{ column }}_bps_std
        {%- endfor %}
    from compared as x
    group by x.series_id, x.bar
)
{%- endmacro %}


{% macro _derivative_price() -%}
    {%- set columns, expressions = [], {} -%}
    {%- for price in ['last', 'index', 'mark'] -%}
        {%- do columns.append(price ~ '_price') -%}
        {%- do expressions.update({price ~ '_price': 'placed.last_' ~ price}) -%}
    {%- endfor -%}
    {%- set change = {} -%}
    {%- for price in ['last', 'index', 'mark'] -%}
        {%- do columns.append(price ~ '_price_pct_change') -%}
        {%- do change.update({price: '(placed.last_' ~ price ~ ' - placed.first_' ~ price
            ~ ') / nullif(placed.first_' ~ price ~ ', 0) * 100'}) -%}
        {%- do expressions.update({price ~ '_price_pct_change': change[price]}) -%}
    {%- endfor -%}
    {%- for x, y in [('mark', 'index'), ('mark', 'last'), ('index', 'last')] -%}
        {%- set column = x ~ '_' ~ y ~ '_pct_change_ratio' -%}
        {%- do columns.append(column) -%}
        {%- do expressions.update({column: '(' ~ change[x] ~ ') / nullif(' ~ change[y] ~ ', 0)'}) -%}
    {%- endfor -%}
    {{ return({
        'name': 'derivative_price', 'sources': ['mark_prices', 'index_prices', 'trades'],
        'columns': columns, 'expressions': expressions, 'readings': [],
        'body': warehouse._derivative_price_bars,
    }) }}
{%- endmacro %}

{#- Bars with a mark price; index and trades of the same bar beside it. -#}
{% macro _derivative_price_bars(with_readings) -%}
{{ warehouse._updates('marks', 'mark_prices', 'mark_price') }},

{{ warehouse._updates('indices', 'index_prices', 'index_price') }},

{{ warehouse._trades() }},

trade_bars as (
    select
        {{ warehouse._bar_keys() }},
        {{ warehouse._first('ticks.price') }} as first_last,
        {{ warehouse._last('ticks.price') }} as last_last
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

mark_bars as (
    select
        {{ warehouse._update_keys() }},
        {{ warehouse._first_and_last('mark') }}
    from marks as x
    group by x.series_id, x.bar
),

index_bars as (
    select
        {{ warehouse._update_keys() }},
        {{ warehouse._first_and_last('index') }}
    from indices as x
    group by x.series_id, x.bar
),

bars as (
    select
        mark_bars.* replace (greatest(mark_bars.seen, index_bars.seen, trade_bars.seen) as seen),
        index_bars.first_index,
        index_bars.last_index,
        trade_bars.first_last,
        trade_bars.last_last
    from mark_bars
    {%- for other in ['index_bars', 'trade_bars'] %}
    left join {{ other }}
        on
            mark_bars.exchange = {{ other }}.exchange
            and mark_bars.symbol = {{ other }}.symbol
            and mark_bars.bar = {{ other }}.bar
    {%- endfor %}
)
{%- endmacro %}
