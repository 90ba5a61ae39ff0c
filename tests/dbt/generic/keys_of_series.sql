{#- Exchange, symbol, interval and clock of every row are those of its series. -#}
{% test keys_of_series(model) %}
{{- config(meta={'by_month': ['series']}) }}
select rows_of.*
from (
    select distinct
        series_id,
        exchange,
        symbol,
        "interval",
        clock
    from {{ model }}
) as rows_of
left join {{ target.database ~ '.' if target.database }}meta.series as series
    on
        rows_of.series_id = series.series_id
        and rows_of.exchange = series.exchange
        and rows_of.symbol = series.symbol
        and rows_of."interval" is not distinct from series."interval"
        and rows_of.clock is not distinct from series.clock
where series.series_id is null
{% endtest %}
