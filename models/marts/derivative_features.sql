with funding as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        funding_rate
    from {{ ref('stg_funding') }}
),

basis as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        basis_bps
    from {{ ref('stg_basis') }}
),

open_interest as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        open_interest
    from {{ ref('stg_open_interest') }}
),

ohlcv as (
    select
        series_id,
        "time",
        "close"
    from {{ ref('stg_ohlcv') }}
),

-- one row per bar of any of the three: (series_id, time) is unique in each
derivatives as (
    select
        funding.funding_rate,
        basis.basis_bps,
        open_interest.open_interest,
        coalesce(funding.series_id, basis.series_id, open_interest.series_id) as series_id,
        coalesce(funding.exchange, basis.exchange, open_interest.exchange) as exchange,
        coalesce(funding.symbol, basis.symbol, open_interest.symbol) as symbol,
        coalesce(funding."interval", basis."interval", open_interest."interval") as "interval",
        coalesce(funding.clock, basis.clock, open_interest.clock) as clock,
        coalesce(funding."time", basis."time", open_interest."time") as "time",
        coalesce(funding.known_at, basis.known_at, open_interest.known_at) as known_at
    from funding
    full outer join basis
        on funding.series_id = basis.series_id and funding."time" = basis."time"
    full outer join open_interest
        on
            coalesce(funding.series_id, basis.series_id) = open_interest.series_id
            and coalesce(funding."time", basis."time") = open_interest."time"
),

-- at most one row of each joined relation per bar
measured as (
    select
        derivatives.series_id,
        derivatives.exchange,
        derivatives.symbol,
        derivatives."interval",
        derivatives.clock,
        derivatives."time",
        derivatives.known_at,
        ohlcv."close",
        derivatives.funding_rate * 1e4 as funding_rate_bps,
        derivatives.basis_bps,
        derivatives.open_interest,
        {{ change_bps('ohlcv."close"', 'ohlcv_1h_ago."close"') }} as price_return_bps_1h,
        {{ change_pct('derivatives.open_interest', 'open_interest_1h_ago.open_interest') }}
            as oi_change_1h_pct,
        {{ change('derivatives.open_interest', 'open_interest_1d_ago.open_interest') }}
            as oi_change_1d
    from derivatives
    left join ohlcv
        on derivatives.series_id = ohlcv.series_id and derivatives."time" = ohlcv."time"
    {{ join_at('derivatives', 'ohlcv_1h_ago', '-1 hour', other='ohlcv') }}
    {{ join_at('derivatives', 'open_interest_1h_ago', '-1 hour', other='open_interest') }}
    {{ join_at('derivatives', 'open_interest_1d_ago', '-1 day', other='open_interest') }}
),

scored as (
    select
        *,
        {{ rolling_zscore('funding_rate_bps', '1 day') }} as funding_rate_bps_z_1d,
        {{ rolling_zscore('basis_bps', '1 day') }} as basis_bps_z_1d,
        {{ rolling_zscore('open_interest', '1 day') }} as open_interest_z_1d,
        {{ rolling_count('funding_rate_bps + basis_bps + open_interest', '1 day') }} as bars_1d,
        {{ rolling_rank('funding_rate_bps', '7 days', min_coverage=0.25) }} as rank_funding,
        {{ rolling_rank('basis_bps', '7 days', min_coverage=0.25) }} as rank_basis,
        {{ rolling_rank('oi_change_1d', '7 days', min_coverage=0.25) }} as rank_oi_change,
        {{ rolling_count('funding_rate_bps + basis_bps + oi_change_1d', '7 days') }} as bars_7d
    from {{ counted('measured', '1 day', '7 days') }}
    {{ windows('1 day', '7 days', counted=true) }}
),

final as (
    select
        series_id,
        exchange,
        symbol,
        "interval",
        clock,
        "time",
        known_at,
        "close",
        funding_rate_bps,
        basis_bps,
        open_interest,
        price_return_bps_1h,
        oi_change_1h_pct,
        oi_change_1d * 100 as oi_change_1d_pct,
        funding_rate_bps_z_1d,
        basis_bps_z_1d,
        open_interest_z_1d,
        {{ mean_of(['funding_rate_bps_z_1d', 'basis_bps_z_1d', 'open_interest_z_1d']) }}
            as crowding_z,
        rank_funding,
        rank_basis,
        rank_oi_change,
        {{ mean_of(['rank_funding', 'rank_basis', 'rank_oi_change']) }} as crowding_rank,
        funding_rate_bps_z_1d > {{ var('stress_funding_z') }}
        and basis_bps_z_1d > {{ var('stress_basis_z') }}
        and open_interest_z_1d > {{ var('stress_open_interest_z') }} as stress_regime,
        coalesce(
            funding_rate_bps_z_1d > {{ var('stress_funding_z') }}
            and basis_bps_z_1d > {{ var('stress_basis_z') }}
            and open_interest_z_1d > {{ var('stress_open_interest_z') }},
            false
        ) as stress_regime_filled,
        bars_1d,
        bars_7d
    from scored
)

select * from final
