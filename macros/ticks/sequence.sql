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
             'case when placed.bipower_variation > placed.realized_vol ** 2 then 0'
             ~ ' else 1 - placed.bipower_variation / nullif(placed.realized_vol ** 2, 0) end'],
            ['jump_ratio', 'across',
             '1 - placed.bipower_variation__across / nullif(placed.realized_vol ** 2, 0)'],
            ['ret_autocorr_lag1', 'across', none], ['trendiness', 'across', none],
        ],
        'body': warehouse._returns_bars,
    }) }}
{%- endmacro %}

{% macro _returns_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day) }},

{{ warehouse._ordered(of_day, {
    'us_1': warehouse._before('us'), 'price_1': warehouse._before('price'),
    'us_2': warehouse._before('us', 2), 'price_2': warehouse._before('price', 2),
}) }},

log_returns as (
    select
        ordered.*,
        {{ warehouse._log_return('ordered.price', 'ordered.price_1') }} as r,
        {{ warehouse._log_return('ordered.price_1', 'ordered.price_2') }} as r_1
    from ordered
),

bars as (
    select
        {{ warehouse._bar_keys('ticks.bar') }},
        var_samp(ticks.r) filter (where ticks.us_1 >= ticks.bar) as logret_var,
        sqrt(coalesce(fsum(ticks.r * ticks.r) filter (where ticks.us_1 >= ticks.bar), 0)) as realized_vol
        {#- A return across the start of the bar is the one that ends with its first trade. #}
        {%- for suffix, of_return, of_pair in [
            ('', 'ticks.us_1 >= ticks.bar', 'ticks.us_2 >= ticks.bar'),
            ('__across', 'ticks.us_1 is not null', 'ticks.us_1 >= ticks.bar and ticks.us_2 is not null'),
        ] %}
        {%- if with_readings or not suffix %},
        pi() / 2 * coalesce(fsum(abs(ticks.r * ticks.r_1)) filter (where {{ of_pair }}), 0) as bipower_variation{{ suffix }},
        {#- corr of a constant is NaN in DuckDB. #}
        case when isnan(corr(ticks.r, ticks.r_1) filter (where {{ of_pair }}))
            then null
            else corr(ticks.r, ticks.r_1) filter (where {{ of_pair }})
        end as ret_autocorr_lag1{{ suffix }},
        abs(fsum(ticks.r) filter (where {{ of_return }}))
        / nullif(fsum(abs(ticks.r)) filter (where {{ of_return }}), 0) as trendiness{{ suffix }}
        {%- endif %}
        {%- endfor %}
    from log_returns as ticks
    group by ticks.series_id, ticks.bar
)
{%- endmacro %}


{#- NULL beside a price of 0, which has no logarithm. -#}
{% macro _log_return(price, previous) -%}
    case when {{ price }} / nullif({{ previous }}, 0) > 0 then ln({{ price }} / nullif({{ previous }}, 0)) end
{%- endmacro %}


{% macro _impact() -%}
    {{ return({
        'name': 'impact', 'sources': ['trades'],
        'columns': [
            'amihud_like', 'kyle_like_lambda', 'impact_per_notional', 'large_trade_reversal',
            'directional_impact_asymmetry',
        ],
        'expressions': {
            'amihud_like': 'abs((placed.last_price - placed.first_price) / nullif(placed.first_price, 0)) / nullif(placed.notional, 0)',
            'impact_per_notional':
                'abs((placed.last_price - placed.first_price) / nullif(placed.first_price, 0)) / nullif(abs(placed.net_notional), 0)',
        },
        'readings': [
            ['kyle_like_lambda', 'notional', none], ['large_trade_reversal', 'signed', none],
        ],
        'body': warehouse._impact_bars,
    }) }}
{%- endmacro %}

{% macro _impact_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day) }},

keys as (
    select
        {{ warehouse._bar_keys() }},
        quantile_cont(ticks.price * ticks.amount, 0.9) as large
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._ordered(of_day, {
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
    'next_us': warehouse._after('us'),
    'us_5': warehouse._after('us', 5), 'price_5': warehouse._after('price', 5),
}) }},

signed as (
    select
        ordered.*,
        case when ordered.previous_us >= ordered.bar
            then (ordered.price - ordered.previous_price) / nullif(ordered.previous_price, 0)
        end as r,
        case when ordered.us_5 < ordered.bar + {{ warehouse._width() }}
            and ordered.price * ordered.amount >= keys.large
            then (ordered.price_5 - ordered.price) / nullif(ordered.price, 0)
        end as reversal
    from ordered
    inner join keys on ordered.series_id = keys.series_id and ordered.bar = keys.bar
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

{{ warehouse._joined_bars('keys', ['measured']) }}
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
        'name': 'updownticks', 'sources': ['trades'], 'day_sources': ['trades_by_text_id'],
        'columns': columns,
        'expressions': expressions, 'readings': readings, 'body': warehouse._updownticks_bars,
    }) }}
{%- endmacro %}

{% macro _updownticks_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day, source='trades_by_text_id') }},

{{ warehouse._ordered(
    of_day,
    {'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price')},
    warehouse._by_text_id(),
) }},

bars as (
    select
        {{ warehouse._bar_keys('ticks.bar') }}
        {%- for tick, sign in [('uptick', '>'), ('downtick', '<'), ('unchanged', '=')] %}
        {%- set where = 'ticks.previous_us >= ticks.bar and ticks.price ' ~ sign ~ ' ticks.previous_price' %},
        count(*) filter (where {{ where }}) as {{ tick }}_count,
        coalesce(fsum(ticks.amount) filter (where {{ where }}), 0) as {{ tick }}_volume
        {%- endfor %},
        count(*) filter (where ticks.previous_us >= ticks.bar) as compared_count,
        fsum(ticks.amount) filter (where ticks.previous_us >= ticks.bar) as compared_volume,
        fsum(ticks.amount) as all_volume
    from ordered as ticks
    group by ticks.series_id, ticks.bar
)
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

{#- Runs are measured where they end; the rows in between are of no interest. -#}
{% macro _run_structure_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day) }},

keys as (
    select
        {{ warehouse._bar_keys() }}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

{{ warehouse._ordered(of_day, {
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
    'previous_sign': warehouse._before('sign'), 'next_sign': warehouse._after('sign'),
    'next_us': warehouse._after('us'), 'place': 'row_number() over by_order',
}) }},

turns as (
    select
        ordered.series_id,
        ordered.us,
        ordered.bar,
        ordered.sign,
        ordered.place,
        coalesce(ordered.previous_us < ordered.bar, true) as is_first,
        is_first or ordered.sign != ordered.previous_sign as is_begin,
        coalesce(ordered.next_us >= ordered.bar + {{ warehouse._width() }}, true)
        or ordered.sign != ordered.next_sign as is_end,
        abs((ordered.price - ordered.previous_price) / nullif(ordered.previous_price, 0)) as price_change
    from ordered
    where is_begin or is_end
),

runs as (
    select
        turns.*,
        turns.is_begin and not turns.is_first as is_flip,
        turns.place + 1
        - case when turns.is_begin then turns.place else lag(turns.place) over by_order end as length
    from turns
    window {{ warehouse._by_order(of_day, rows='turns') }}
),

measured as (
    select
        x.series_id,
        x.bar
        {%- for side, sign in [('buy', 1), ('sell', -1)] %}
        {%- set of_side = '(where x.is_end and x.sign = ' ~ sign ~ ')' %},
        coalesce(max(x.length) filter {{ of_side }}, 0) as {{ side }}_run_max_len,
        avg(x.length) filter {{ of_side }} as {{ side }}_run_mean_len
        {%- endfor %},
        count(*) filter (where x.is_flip) as flips,
        fsum(x.price_change) filter (where x.is_flip)
        / nullif(count(*) filter (where x.is_flip), 0) as price_change_on_flip
    from runs as x
    group by x.series_id, x.bar
),

{{ warehouse._joined_bars('keys', ['measured']) }}
{%- endmacro %}
