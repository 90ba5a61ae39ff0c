{#- Datasets of trades and those before or after them in order. -#}


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
