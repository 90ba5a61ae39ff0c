{#- Datasets of trades, whatever their order but for first and last: body, columns in the vendor's order, readings. -#}


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
