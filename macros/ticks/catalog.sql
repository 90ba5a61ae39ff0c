{#-
    The vendor's metrics from raw ticks: one table macro per dataset, which is the only place of its
    formula. A dataset is a body that ends with the CTE bars, columns in the vendor's order, and
    readings.

        from ticks_flow('45m', symbol := 'perpetual-BTC-USDT:USDT', start_time := '2026-02-16')

    ticks_flow has the vendor's columns. ticks_flow_readings adds, as <column>__<reading>, the other
    readings of columns that the vendor does not define completely. A source is the name of a
    relation with the columns of vendor.raw_trades (raw_quotes, …) and its keys series_id, exchange,
    symbol.

    Rules: a bar has the ticks with start <= t < end by the selected clock; series never mix; a bar
    uses earlier ticks back to UTC midnight only, so that a day's bars do not depend on where the
    data begins. Ticks are ordered by time, id as a number, id as text, and ticks without an id by
    their place in the file.
-#}

{% macro duckdb__create_ticks() -%}
{%- for dataset in warehouse._tick_datasets() %}
{%- for with_readings in [false, true] %}
{%- set name = 'ticks_' ~ dataset.name ~ ('_readings' if with_readings else '') %}
create or replace macro main.{{ name }}(
    {{ warehouse._tick_parameters(dataset) }}
) as table
{{ warehouse._tick_query(dataset, with_readings) }};

comment on macro table main.{{ name }} is {{ _comment(warehouse._tick_comment(dataset, with_readings)) }};
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

{% set meaning %}
    ticks(dataset, every, …): bars of any of the vendor's metric datasets but l2_* from ticks, at any
    length that divides a day. clock := 'true' (default) or 'exchange'; exchange, symbol, start_time,
    end_time select. Example: from ticks('flow', '45m', symbol := 'perpetual-BTC-USDT:USDT'). Where
    the catalog is attached as w and not in use: w.ticks_flow(…)
{% endset -%}
comment on macro table main.ticks is {{ _comment(meaning) }};
{%- endmacro %}


{% macro _tick_parameters(dataset) -%}
    every, clock := 'true', exchange := null, symbol := null, start_time := null, end_time := null
    {{- warehouse._rate_parameter(dataset) }}
    {%- for source in dataset.sources %}, {{ source }} := {{ warehouse._relation_of(source) }}
    {%- endfor %}
{%- endmacro %}


{#- Dollars per quote unit, for the datasets that classify trades by size. -#}
{% macro _rate_parameter(dataset) -%}
    {{ ', notional_usd_rate := 1' if dataset.name in ['flow', 'trade_size'] }}
{%- endmacro %}


{% macro _raw_names() -%}
    {{ return({
        'trades': 'trades', 'quotes': 'quotes', 'mark_prices': 'mark_price',
        'index_prices': 'index_price', 'funding_rates': 'funding_rate',
        'open_interests': 'open_interest',
    }) }}
{%- endmacro %}


{#- The view of a source, quoted for query_table. -#}
{% macro _relation_of(source) -%}
    {{ return("'vendor.raw_" ~ warehouse._raw_names()[source] ~ "'") }}
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
    {{ return(what) }}
{%- endmacro %}


{#-
    The whole query of a dataset: checks, ticks, bars, the columns in the vendor's order. For a
    sorted day, has_before and has_after tell whether the days before and after have ticks.
-#}
{% macro _tick_query(dataset, with_readings, of_day=false) -%}
with checked as (
    {%- if of_day %}
    select {{ warehouse._checked_length() }} as is_fine
    {%- else %}
    {%- for source in dataset.sources %}
    {{ 'union all' if not loop.first }}
    select {{ warehouse._checked(source, is_first=loop.first) }} as is_fine
    {%- endfor %}
    {%- endif %}
    {%- if warehouse._rate_parameter(dataset) %}
    union all
    select
        case
            when coalesce(try_cast(notional_usd_rate as double) > 0, false) then true
            else error('notional_usd_rate: write the dollars of one unit of the quote currency')
        end as is_fine
    {%- endif %}
),

{{ dataset.body(with_readings, of_day) | trim }},

placed as (
    select
        bars.*,
        lag(bars.bar // 86400000000) over by_time as previous_day,
        lead(bars.bar // 86400000000) over by_time as next_day
    from bars
    where bars.n_events > 0
    window by_time as (partition by bars.series_id order by bars.bar)
)

{%- if not of_day %},

{{ warehouse._neighbours(dataset.sources[0]) }},

{{ warehouse._ticks('series_rows', dataset.sources[0], {}) }},

series as (
    select
        series_rows.series_id,
        any_value(series_rows.exchange) as exchange,
        any_value(series_rows.symbol) as symbol
    from series_rows
    group by series_rows.series_id
)
{%- endif %}

select
    placed.series_id,
    {%- if of_day %}
    exchange as exchange,
    symbol as symbol,
    {%- else %}
    series.exchange,
    series.symbol,
    {%- endif %}
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
        {%- if of_day %}
        (placed.previous_day is null and not has_before)
        or (placed.next_day is null and not has_after),
        {%- else %}
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
        {%- endif %}
        false
    ) as is_partial
from placed
{%- if not of_day %}
inner join series on placed.series_id = series.series_id
left join neighbours on placed.series_id = neighbours.series_id
{%- endif %}
where
    placed.bar >= {{ warehouse._moment_us('start_time') }}
    and placed.bar < {{ warehouse._moment_us('end_time') }}
    and (select bool_and(checked.is_fine) from checked)
{%- endmacro %}


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
