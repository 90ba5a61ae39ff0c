{#- Datasets of a derivative's mark and index price, funding rate and open interest. -#}


{#- Rows of a derivative's source in order, with the row before of the same UTC day. -#}
{% macro _updates(of_day, name, source) -%}
{{ warehouse._values(of_day, name ~ '_rows', source) }},

{{ name }} as (
    select
        ticks.*,
        {{ warehouse._bar() }} as bar,
        lag(ticks.us) over by_order as previous_us,
        lag(ticks.value) over by_order as previous_value,
        lead(ticks.us) over by_order as next_us
    from {{ name }}_rows as ticks
    window {{ warehouse._by_order(of_day) }}
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

{#- Bars of a price: its first and last value. -#}
{% macro _value_bars(price, updates) -%}
{{ price }}_bars as (
    select
        {{ warehouse._update_keys() }},
        {{ warehouse._first_and_last(price) }}
    from {{ updates }} as x
    group by x.series_id, x.bar
)
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

{% macro _funding_bars(with_readings, of_day) -%}
{{ warehouse._updates(of_day, 'rates', 'funding_rates') }},

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

{% macro _open_interest_bars(with_readings, of_day) -%}
{{ warehouse._updates(of_day, 'interests', 'open_interests') }},

{{ warehouse._updates(of_day, 'marks', 'mark_prices') }},

{{ warehouse._value_bars('mark', 'marks') }},

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
{% macro _as_of_marks(of_day, name, source, value) -%}
{%- if of_day %}
{{ name }}_moments as (
    select
        x.*,
        lead(x.us) over () as next_us
    from {{ name }}_rows as x
),

{{ name }} as (
    select
        x.series_id,
        x.us,
        x.{{ value }} as value,
        x.seen
    from {{ name }}_moments as x
    where x.next_us is null or x.next_us > x.us
)
{%- else %}
{{ warehouse._series_of('marks_rows', name ~ '_rows') }},

{{ name }} as (
    select
        {{ name }}_rows_series.series_id,
        x.us
        {%- for column, alias in [(value, 'value'), ('seen', 'seen')] %},
        {%- if source == 'trades' %}
        coalesce(
            arg_max(x.{{ column }}, x.id) filter (where x.n is null), arg_max(x.{{ column }}, x.n)
        ) as {{ alias }}
        {%- else %}
        arg_max(x.{{ column }}, x.place) as {{ alias }}
        {%- endif %}
        {%- endfor %}
    from {{ name }}_rows as x
    inner join {{ name }}_rows_series on x.series_id = {{ name }}_rows_series.own_id
    group by {{ name }}_rows_series.series_id, x.us
)
{%- endif %}
{%- endmacro %}

{% macro _basis_bars(with_readings, of_day) -%}
{{ warehouse._updates(of_day, 'marks', 'mark_prices') }},

{{ warehouse._values(of_day, 'indices_rows', 'index_prices') }},

{{ warehouse._as_of_marks(of_day, 'indices', 'index_prices', 'value') }},

{{ warehouse._trades(of_day, name='lasts_rows') }},

{{ warehouse._as_of_marks(of_day, 'lasts', 'trades', 'price') }},

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
            {%- if not of_day %}
            marks.series_id = indices.series_id
            and marks.us // 86400000000 = indices.us // 86400000000 and
            {%- endif %}
            marks.us >= indices.us
    asof left join lasts
        on
            {%- if not of_day %}
            marks.series_id = lasts.series_id
            and marks.us // 86400000000 = lasts.us // 86400000000 and
            {%- endif %}
            marks.us >= lasts.us
),

compared as (
    select
        marked.*
        {%- for column in ['basis', 'basis_bps', 'mark_price_spread', 'mark_price_spread_bps'] %},
        case when marked.{{ column }} is distinct from lag(marked.{{ column }}) over by_bar
            then marked.{{ column }}
        end as changed_{{ column }}
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

{#- Bars with a mark price; with index and trades of the same bar. -#}
{% macro _derivative_price_bars(with_readings, of_day) -%}
{{ warehouse._updates(of_day, 'marks', 'mark_prices') }},

{{ warehouse._updates(of_day, 'indices', 'index_prices') }},

{{ warehouse._trades(of_day) }},

trade_bars as (
    select
        {{ warehouse._bar_keys() }},
        any_value(ticks.exchange) as exchange,
        any_value(ticks.symbol) as symbol,
        {{ warehouse._first(of_day, 'ticks.price') }} as first_last,
        {{ warehouse._last(of_day, 'ticks.price') }} as last_last
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._value_bars('mark', 'marks') }},

{{ warehouse._value_bars('index', 'indices') }},

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
