{#- Datasets of quotes, and of trades with their quotes. -#}


{#- Columns computed from others, by the suffix of these. -#}
{% macro _slippage_expressions(suffix) -%}
    {%- set buy, sell = 'placed.slippage_bps_buy_mean' ~ suffix, 'placed.slippage_bps_sell_mean' ~ suffix -%}
    {{ return({
        'slippage_bps_buy_sell_ratio': buy ~ ' / nullif(' ~ sell ~ ', 0)',
        'slippage_bps_sell_buy_ratio': sell ~ ' / nullif(' ~ buy ~ ', 0)',
        'slippage_bps_median': 'placed.quantiles' ~ suffix ~ '[1]',
        'slippage_bps_p95': 'placed.quantiles' ~ suffix ~ '[2]',
        'n_trades': 'nullif(placed.n_trades' ~ suffix ~ ', 0)',
    }) }}
{%- endmacro %}

{#- Maximum age of a trade's quote in microseconds, by reading; by default a day. -#}
{% macro _quote_ages() -%}
    {{ return({'within_5s': 5000000, 'within_1m': 60000000}) }}
{%- endmacro %}

{% macro _slippage() -%}
    {%- set columns = [
        'slippage_mean', 'slippage_bps_mean', 'slippage_bps_std', 'slippage_bps_median',
        'slippage_bps_p95', 'slippage_bps_vwap', 'slippage_bps_buy_mean',
        'slippage_bps_sell_mean', 'slippage_bps_buy_sell_ratio', 'slippage_bps_sell_buy_ratio',
        'n_trades',
    ] -%}
    {%- set readings = warehouse._rank_readings('slippage_bps_median', 'median_ranks')
        + warehouse._rank_readings('slippage_bps_p95', 'p95_ranks') -%}
    {%- for reading in warehouse._quote_ages() -%}
        {%- for column in columns -%}
            {%- do readings.append(
                [column, reading, warehouse._slippage_expressions('__' ~ reading).get(column)]
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return({
        'name': 'slippage', 'sources': ['trades', 'quotes'], 'columns': columns,
        'expressions': dict(warehouse._slippage_expressions(''), n_trades='placed.n_events'),
        'readings': readings, 'body': warehouse._slippage_bars,
    }) }}
{%- endmacro %}

{#- The quote of a trade is the last one at or before it that is less than a day old. -#}
{% macro _slippage_bars(with_readings, of_day) -%}
{{ warehouse._trades(of_day, name='trade_ticks') }},

{{ warehouse._quotes(of_day, 'quote_rows', carried=true) }},

{%- if of_day %}

quote_moments as (
    select
        quote_rows.*,
        lead(quote_rows.us) over () as next_us
    from quote_rows
),

last_quotes as (
    select
        quote_moments.series_id,
        quote_moments.us,
        quote_moments.bid_price as bid,
        quote_moments.ask_price as ask,
        quote_moments.seen
    from quote_moments
    where quote_moments.next_us is null or quote_moments.next_us > quote_moments.us
),

{#- Trades of one moment have the same quote: a join by the moment avoids the sort of an as-of join. #}
trade_moments as (
    select
        trade_ticks.us,
        lag(trade_ticks.us) over () as previous_us
    from trade_ticks
),

quotes_met as (
    select
        trade_moments.us,
        last_quotes.bid,
        last_quotes.ask,
        last_quotes.seen
    from trade_moments
    asof inner join last_quotes on trade_moments.us >= last_quotes.us
    where
        (trade_moments.previous_us is null or trade_moments.previous_us < trade_moments.us)
        and trade_moments.us - last_quotes.us < 86400000000
),
{%- else %}

{{ warehouse._series_of('trade_ticks', 'quote_rows') }},

last_quotes as (
    select
        quote_rows_series.series_id,
        quote_rows.us,
        arg_max_null(quote_rows.bid_price, quote_rows.place) as bid,
        arg_max_null(quote_rows.ask_price, quote_rows.place) as ask,
        arg_max_null(quote_rows.seen, quote_rows.place) as seen
    from quote_rows
    inner join quote_rows_series on quote_rows.series_id = quote_rows_series.own_id
    group by quote_rows_series.series_id, quote_rows.us
),
{%- endif %}

ticks as (
    select
        trade_ticks.series_id,
        trade_ticks.us,
        greatest(trade_ticks.seen, quotes.seen) as seen,
        trade_ticks.sign,
        trade_ticks.amount,
        {%- if with_readings %}
        trade_ticks.us - quotes.us as age,
        {%- endif %}
        case when trade_ticks.sign = 1
            then trade_ticks.price - quotes.ask
            else quotes.bid - trade_ticks.price
        end as cost,
        cost / ((quotes.bid + quotes.ask) / 2) * 1e4 as cost_bps
    from trade_ticks
    {%- if of_day %}
    inner join quotes_met as quotes on trade_ticks.us = quotes.us
    {%- else %}
    asof inner join last_quotes as quotes
        on trade_ticks.series_id = quotes.series_id and trade_ticks.us >= quotes.us
    {%- endif %}
    where
        quotes.bid is not null
        and quotes.ask is not null
        {%- if not of_day %}
        and trade_ticks.us - quotes.us < 86400000000
        {%- endif %}
),

measured as (
    select
        ticks.series_id,
        {{ warehouse._bar() }} as bar,
        max(ticks.seen) as seen,
        count(*) as n_events,
        {{ warehouse._slippage_sums('', none) }}
        {%- if with_readings %},
        quantile_cont(ticks.cost_bps, {{ warehouse._ranks_around(0.5) }}) as median_ranks,
        quantile_cont(ticks.cost_bps, {{ warehouse._ranks_around(0.95) }}) as p95_ranks
        {%- for reading, age in warehouse._quote_ages().items() %},
        {{ warehouse._slippage_sums('__' ~ reading, 'ticks.age <= ' ~ age) }}
        {%- endfor %}
        {%- endif %}
    from ticks
    group by ticks.series_id, {{ warehouse._bar() }}
),

bars as (
    select * from measured
)
{%- endmacro %}

{#- Sums over the trades of a bar, or over those that satisfy a condition. -#}
{% macro _slippage_sums(suffix, condition) -%}
    {%- set where = 'filter (where ' ~ condition ~ ')' if condition else '' -%}
    {%- set count = 'nullif(count(*) ' ~ where ~ ', 0)' if condition else 'count(*)' -%}
fsum(ticks.cost) {{ where }} / {{ count }} as slippage_mean{{ suffix }},
        fsum(ticks.cost_bps) {{ where }} / {{ count }} as slippage_bps_mean{{ suffix }},
        stddev_samp(ticks.cost_bps) {{ where }} as slippage_bps_std{{ suffix }},
        quantile_cont(ticks.cost_bps, [0.5, 0.95]) {{ where }} as quantiles{{ suffix }},
        fsum(ticks.cost_bps * ticks.amount) {{ where }}
        / nullif(fsum(ticks.amount) {{ where }}, 0) as slippage_bps_vwap{{ suffix }}
        {%- if condition %},
        count(*) {{ where }} as n_trades{{ suffix }}
        {%- endif %}
        {%- for side, sign in [('buy', 1), ('sell', -1)] %}
        {%- set of_side = 'filter (where ticks.sign = ' ~ sign ~ (' and ' ~ condition if condition else '') ~ ')' %},
        fsum(ticks.cost_bps) {{ of_side }}
        / nullif(count(*) {{ of_side }}, 0) as slippage_bps_{{ side }}_mean{{ suffix }}
        {%- endfor %}
{%- endmacro %}

{#- Maps own_id, the series of a second source, to the series of the first with the same symbol. -#}
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

{#- Last value that is not NULL; of one moment, the last row. -#}
{% macro _last_quote(of_day, value) -%}
    arg_max({{ value }}, {{ 'ticks.place' if of_day else '(ticks.us::hugeint << 64) + ticks.place' }})
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

{#- An average over time is one of the moments at which its side had a price. -#}
{% macro _l1_price_bars(with_readings, of_day) -%}
{{ warehouse._quotes(of_day) }},

{%- for side in ['ask', 'bid'] %}

{{ side }}s as (
    select
        ticks.series_id,
        ticks.us,
        {{ warehouse._bar() }} as bar,
        ticks.{{ side }}_price as price,
        {%- if with_readings %}
        lag(ticks.us) over by_order as previous_us,
        lag(ticks.{{ side }}_price) over by_order as previous_price,
        {%- endif %}
        lead(ticks.us) over by_order as next_us
    from ticks
    where ticks.{{ side }}_price is not null
    window {{ warehouse._by_order(of_day) }}
),

{{ side }}_sums as (
    select
        ticks.series_id,
        ticks.bar,
        {{ warehouse._time_sums('price', with_readings) }}
    from {{ side }}s as ticks
    group by ticks.series_id, ticks.bar
),

{{ side }}_averages as (
    select
        sums.series_id,
        sums.bar,
        {{ warehouse._time_averages('sums', side ~ '_price_twap', with_readings) }}
    from {{ side }}_sums as sums
),
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
    window {{ warehouse._by_order(of_day) }}
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
        {{ warehouse._bar_keys() }}
        {%- for column, value in warehouse._l1_price().last.items() %},
        {{ warehouse._last_quote(of_day, value) }} as {{ column }}
        {%- if with_readings %},
        {{ warehouse._first_of_last(value) }} as {{ column }}__first_of_ties
        {%- endif %}
        {%- endfor %},
        {%- if with_readings %}
        {{ warehouse._last_quote(
            of_day,
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
    'lasts', ['ask_averages', 'bid_averages'] + (['price_changes'] if with_readings else [])
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

{% macro _quote_bars(values, with_readings, of_day) -%}
{{ warehouse._quotes(of_day) }},

bars as (
    select
        {{ warehouse._bar_keys() }}
        {%- for column, value in values.items() %},
        {{ warehouse._last_quote(of_day, value) }} as {{ column }},
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

{% macro _l1_imbalance_bars(with_readings, of_day) -%}
{{ warehouse._quote_bars(warehouse._l1_imbalance()['values'], with_readings, of_day) }}
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

{% macro _l1_liquidity_bars(with_readings, of_day) -%}
{{ warehouse._quote_bars(warehouse._l1_liquidity()['values'], with_readings, of_day) }}
{%- endmacro %}
