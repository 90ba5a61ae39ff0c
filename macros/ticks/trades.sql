{#-
    Datasets of trades that need no order except for first and last: body, columns in the vendor's
    order, readings.
-#}


{% macro _ohlcv() -%}
    {%- set columns = ['open', 'high', 'low', 'close', 'volume', 'volume_notional'] -%}
    {%- set readings = [] -%}
    {%- for column in columns -%}{%- do readings.append([column, 'all_sides', none]) -%}{%- endfor -%}
    {{ return({
        'name': 'ohlcv', 'sources': ['trades'], 'columns': columns, 'expressions': {},
        'readings': readings, 'body': warehouse._ohlcv_bars,
    }) }}
{%- endmacro %}

{% macro _ohlcv_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day, 'all' if with_readings else 'known') }},

bars as (
    select
        {{ warehouse._bar_keys(count='count(ticks.sign)') }}
        {%- for suffix, where in [('', 'ticks.sign is not null'), ('__all_sides', 'true')] %}
        {%- if with_readings or not suffix %}
        {%- set filter = 'filter (where ' ~ where ~ ')' if with_readings and not suffix else '' %},
        {{ warehouse._first(of_day, 'ticks.price', where if filter else 'true') }} as open{{ suffix }},
        max(ticks.price) {{ filter }} as high{{ suffix }},
        min(ticks.price) {{ filter }} as low{{ suffix }},
        {{ warehouse._last(of_day, 'ticks.price', where if filter else 'true') }} as close{{ suffix }},
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

{% macro _vtwap_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day) }},

{{ warehouse._ordered(of_day, {
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
    'next_us': warehouse._after('us'),
}) }},

sums as (
    select
        {{ warehouse._bar_keys('ticks.bar') }},
        fsum(ticks.price * ticks.amount) / nullif(fsum(ticks.amount), 0) as vwap,
        {{ warehouse._time_sums('price', with_readings) }}
    from ordered as ticks
    group by ticks.series_id, ticks.bar
),

bars as (
    select
        sums.*,
        {{ warehouse._time_averages('sums', 'twap', with_readings) }}
    from sums
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

{#- Sums of the classes of side and size first: most columns are one of these. -#}
{% macro _flow_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day) }},

{{ warehouse._ordered(of_day, {
    'previous_us': warehouse._before('us'), 'previous_price': warehouse._before('price'),
    'size': warehouse._size_class(),
}) }},

classes as (
    select
        {{ warehouse._bar_keys('ticks.bar') }},
        ticks.sign,
        ticks.size,
        fsum(ticks.amount) as volume,
        fsum(ticks.price * ticks.amount) as notional,
        fsum(
            (ticks.price - ticks.previous_price) / nullif(ticks.previous_price, 0)
            * ((ticks.price - ticks.previous_price) / nullif(ticks.previous_price, 0))
        ) filter (where ticks.previous_us >= ticks.bar) as squares
    from ordered as ticks
    group by ticks.series_id, ticks.bar, ticks.sign, ticks.size
),

scored as (
    select
        {{ warehouse._bar_keys('ticks.bar', 'sum(ticks.n_events)::bigint') }}
        {%- for side, sign in [('buy', 1), ('sell', -1)] %},
        coalesce(fsum(ticks.volume) filter (where ticks.sign = {{ sign }}), 0) as taker_{{ side }}_volume,
        coalesce(sum(ticks.n_events) filter (where ticks.sign = {{ sign }}), 0)::bigint as taker_{{ side }}_count
        {%- for size in warehouse._sizes() %}
        {%- set of_class = '(where ticks.sign = ' ~ sign ~ ' and ticks.size = ' ~ loop.index0 ~ ')' %},
        coalesce(fsum(ticks.notional) filter {{ of_class }}, 0) as taker_{{ side }}_{{ size }}_order_volume,
        coalesce(sum(ticks.n_events) filter {{ of_class }}, 0)::bigint as taker_{{ side }}_{{ size }}_order_count
        {%- endfor %}
        {%- endfor %},
        fsum(ticks.sign * ticks.volume) as volume_delta,
        fsum(ticks.sign * ticks.notional) as volume_delta_notional,
        sqrt(coalesce(fsum(ticks.squares), 0)) as volatility
    from classes as ticks
    group by ticks.series_id, ticks.bar
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
        'readings': warehouse._rank_readings('trade_amount_median', 'trade_amount_ranks'),
        'body': warehouse._trade_size_bars,
    }) }}
{%- endmacro %}

{% macro _trade_size_bars(with_readings, of_day) -%}
    {%- set measured = {
        'volume': 'fsum(ticks.amount)',
        'trade_amount_min': 'min(ticks.amount)', 'trade_amount_max': 'max(ticks.amount)',
    } -%}
    {%- for size in warehouse._sizes() -%}
        {%- set of_class = ' filter (where ' ~ warehouse._size_class() ~ ' = ' ~ loop.index0 ~ ')' -%}
        {%- do measured.update({
            size ~ '_order_volume': 'coalesce(fsum(ticks.price * ticks.amount)' ~ of_class ~ ', 0)',
            size ~ '_order_count': 'count(*)' ~ of_class,
        }) -%}
    {%- endfor -%}
{{ warehouse._trades(of_day, 'all') }},

{{ warehouse._bars_with_moments('ticks.amount', 'trade_amount', measured, with_readings) }}
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
        'readings': warehouse._rank_readings('price_median', 'price_ranks'),
        'body': warehouse._range_bars,
    }) }}
{%- endmacro %}

{% macro _range_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day, 'all') }},

{{ warehouse._bars_with_moments('ticks.price', 'price', {
    'high': 'max(ticks.price)', 'low': 'min(ticks.price)',
    'close': warehouse._last(of_day, 'ticks.price'),
}, with_readings) }}
{%- endmacro %}
