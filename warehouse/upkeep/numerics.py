"""Checks that the installed DuckDB computes the models correctly, against exact arithmetic.

The models of the last build run on three weeks of random bars with a gap, NaN and infinity planted,
and are compared, bar by bar, with the definitions, computed here from the same bars with exact
sums. Tested are measures whose rounding, NULL or tie rule a DuckDB version could change: sums,
means, standard deviations, z-scores, ranks, running totals, returns over a horizon.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

import duckdb

from warehouse.build import META
from warehouse.config import Settings
from warehouse.engine import connect
from warehouse.errors import NotFoundError
from warehouse.home import Home
from warehouse.project import Project, create_schemas, create_seeds, create_views, load_project
from warehouse.sql import identifier, literal
from warehouse.vendor import KEY_COLUMNS, dbt_project_dir, load_contracts, project_vars

if TYPE_CHECKING:
    import pyarrow as pa

# Largest permitted error, relative to the magnitude of the sums.
TOLERANCE = 1e-9

_DAY, _WEEK = 24, 7 * 24
# Share of a week's bars that a rank requires, unless the window rule requires less.
_RANKED_SHARE = 0.25
_SYMBOL = "perpetual-BTC-USDT:USDT"
_GAP, _NAN_AT, _INFINITE_AT = range(120, 123), 200, 290
Value = float | None
# Per bar the expected value, NULL as None, and the scale of its permitted error.
Expected = list[tuple[Value, float]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure over all bars: ``error`` is the largest one, in units of its scale."""

    mart: str
    column: str
    values: int
    nulls: int
    error: float
    nulls_differ: int

    @property
    def agrees(self) -> bool:
        return not self.nulls_differ and self.error <= TOLERANCE and self.values > 0


def compare_numerics(settings: Settings) -> list[Comparison]:
    """Compute the core measures both ways."""
    target = Home.of(settings).build / "dbt" / "target"
    if not (target / "manifest.json").is_file():
        raise NotFoundError(
            f"{target}: no models of a build", next_step="run: warehouse build --force"
        )
    tables = {name: _bars_with_gaps(name) for name in _COLUMNS}
    with connect(settings.session) as connection:
        _run_models(connection, load_project(target), tables)
        found = {
            mart: connection.sql(
                f"select {', '.join(columns)} from warehouse.main.{mart} order by time"
            ).fetchall()
            for mart, columns in _MEASURES.items()
        }
    grids = {name: _bars(name, table) for name, table in tables.items()}
    expected = _expected(grids, float(project_vars(dbt_project_dir())["min_window_coverage"]))
    return [
        _compare(mart, column, [row[place] for row in found[mart]], expected[mart, column])
        for mart, columns in _MEASURES.items()
        for place, column in enumerate(columns)
    ]


_COLUMNS = {
    "flow": (
        "volume_delta",
        "volume_delta_notional",
        "taker_buy_sell_ratio",
        "flow_toxicity_score",
    ),
    "ohlcv": ("close",),
    "l1_price": ("bid_price", "ask_price", "midprice"),
    "funding": ("funding_rate",),
}
_MEASURES = {
    "flow_features": (
        "rolling_net_delta_1d",
        "rolling_buy_sell_ratio_1d",
        "cumulative_delta",
        "delta_size_zscore_1d",
    ),
    "l1_features": ("spread_bps", "rolling_spread_bps_1d", "mid_return_bps", "realized_vol_1d_bps"),
    "derivative_features": ("funding_rate_bps_z_1d", "rank_funding"),
    "execution_costs": ("toxicity_rank_7d",),
    "forward_returns": ("next_1h_return_bps", "next_1d_return_bps"),
}


def _bars_with_gaps(dataset: str) -> pa.Table:
    """Three weeks of hourly bars, some missing, with NaN and infinity in measured columns.

    Prices are a random walk; other values are random with two decimals, so that some are equal.
    """
    import pyarrow as pa

    draws = random.Random(dataset)
    bars = range(_WEEK * 3)
    start = datetime.fromisoformat("2025-09-01")
    columns: dict[str, list[datetime] | list[float]] = {
        "time": [start + timedelta(hours=bar) for bar in bars]
    }
    for name in _COLUMNS[dataset]:
        values = [round(draws.gauss(), 2) for _ in bars]
        if "price" in name or name == "close":
            values = [100_000 * math.exp(step / 200) for step in accumulate(values)]
        values[_NAN_AT], values[_INFINITE_AT] = math.nan, math.inf
        columns[name] = values
    return pa.table(columns).take([bar for bar in bars if bar not in _GAP])


def _run_models(
    connection: duckdb.DuckDBPyConnection,
    project: Project,
    tables: dict[str, pa.Table],
) -> None:
    """The tested marts over tables in place of the catalog's views."""
    connection.execute("attach ':memory:' as warehouse")
    connection.execute("use warehouse")
    create_schemas(connection, project)
    create_seeds(connection, project)
    declared = ", ".join(f"{name} {kind}" for name, kind, _ in META["funding_declared"][1])
    connection.execute(f"create table meta.funding_declared ({declared})")
    for name, contract in load_contracts().items():
        columns = (*KEY_COLUMNS, *(c for c in contract.columns if c.name != "time"))
        typed = ", ".join(f"{identifier(c.name)} {c.type}" for c in columns)
        connection.execute(f"create table vendor.{identifier(name)} ({typed})")
        if name in tables:
            connection.register("incoming_rows", tables[name])
            connection.execute(
                f"insert into vendor.{identifier(name)} by name"
                " select 1 as series_id, 'simulated' as exchange,"
                f" {literal(_SYMBOL)} as symbol, '1h' as \"interval\", 'true' as clock,"
                ' "time" + interval 1 hour as known_at, * from incoming_rows'
            )
            connection.unregister("incoming_rows")
    measured = [project.model(name) for name in _MEASURES]
    create_views(connection, replace(project, models=project.with_ancestors(measured)))


# -- expected values ----------------------------------------------------------------------------

# Columns on the whole grid: None where a bar is missing, or its value is not finite.
Bars = dict[str, list[Value]]


def _bars(dataset: str, table: pa.Table) -> Bars:
    import pyarrow as pa

    seconds = table["time"].cast(pa.timestamp("s")).cast(pa.int64()).to_pylist()
    starts = [second // 3600 for second in seconds]
    first, last = starts[0], starts[-1]
    grid: Bars = {"is_there": [None] * (last - first + 1)}
    for start in starts:
        grid["is_there"][start - first] = 1.0
    for name in _COLUMNS[dataset]:
        column: list[Value] = [None] * (last - first + 1)
        for start, value in zip(starts, table[name].to_pylist(), strict=True):
            column[start - first] = value if math.isfinite(value) else None
        grid[name] = column
    return grid


def _expected(bars: dict[str, Bars], share: float) -> dict[tuple[str, str], Expected]:
    """Every measure; its windows contain at least this share of their bars."""
    flow, ohlcv, book = bars["flow"], bars["ohlcv"], bars["l1_price"]
    net = [_times(value, 1e-6) for value in flow["volume_delta_notional"]]
    spread = [
        None if None in (bid, ask, mid) else (ask - bid) / mid * 1e4  # type: ignore[operator]
        for bid, ask, mid in zip(
            book["bid_price"], book["ask_price"], book["midprice"], strict=True
        )
    ]
    moves = [None, *_returns(book["midprice"], 1)[:-1]]
    vol = [_times(std, math.sqrt(_DAY)) for std in _windows(moves, _std, share)]
    funding = [_times(value, 1e4) for value in bars["funding"]["funding_rate"]]
    found = {
        ("flow_features", "rolling_net_delta_1d"): _scaled(net, math.fsum, share),
        ("flow_features", "rolling_buy_sell_ratio_1d"): _scaled(
            flow["taker_buy_sell_ratio"], _mean, share
        ),
        ("flow_features", "cumulative_delta"): _running(flow["volume_delta"]),
        ("flow_features", "delta_size_zscore_1d"): _plain(_scores(_magnitudes(net), share)),
        ("l1_features", "spread_bps"): _plain(spread),
        ("l1_features", "rolling_spread_bps_1d"): _scaled(spread, _mean, share),
        ("l1_features", "mid_return_bps"): _plain(moves),
        ("l1_features", "realized_vol_1d_bps"): _plain(vol),
        ("derivative_features", "funding_rate_bps_z_1d"): _plain(_scores(funding, share)),
        ("derivative_features", "rank_funding"): _plain(
            [None if n < 2 else (rank - 1) / (n - 1) for rank, n in _ranks(funding, share)]
        ),
        ("execution_costs", "toxicity_rank_7d"): _plain(
            [
                None if not n else rank / n
                for rank, n in _ranks(_magnitudes(flow["flow_toxicity_score"]), share)
            ]
        ),
        ("forward_returns", "next_1h_return_bps"): _plain(_returns(ohlcv["close"], 1)),
        ("forward_returns", "next_1d_return_bps"): _plain(_returns(ohlcv["close"], _DAY)),
    }
    there = {
        "flow_features": flow,
        "l1_features": book,
        "derivative_features": bars["funding"],
        "execution_costs": book,
        "forward_returns": ohlcv,
    }
    return {
        (mart, column): [
            one for one, is_there in zip(values, there[mart]["is_there"], strict=True) if is_there
        ]
        for (mart, column), values in found.items()
    }


Measure = Callable[[Sequence[float]], Value]


def _windows(values: list[Value], measure: Measure, share: float) -> list[Value]:
    """A measure of the day's bars up to each; None if less than this share of them exists."""
    found: list[Value] = []
    for end in range(1, len(values) + 1):
        window = [v for v in values[max(0, end - _DAY) : end] if v is not None]
        found.append(measure(window) if len(window) >= share * _DAY else None)
    return found


def _mean(window: Sequence[float]) -> float:
    return math.fsum(window) / len(window)


def _std(window: Sequence[float]) -> Value:
    if len(window) < 2:
        return None
    mean = _mean(window)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in window) / (len(window) - 1))


def _scores(values: list[Value], share: float) -> list[Value]:
    """The z-score of each bar among the day's bars."""
    means, deviations = _windows(values, _mean, share), _windows(values, _std, share)
    return [
        (x - mean) / std
        if x is not None and mean is not None and std is not None and std > 1e-12 * abs(mean)
        else None
        for x, mean, std in zip(values, means, deviations, strict=True)
    ]


def _ranks(values: list[Value], share: float) -> list[tuple[float, int]]:
    """Rank of each among the week's bars up to it, from 1, ties averaged; and their number.

    None if the value is NULL, or too few of the bars exist.
    """
    least = min(share, _RANKED_SHARE) * _WEEK
    found = []
    for end, value in enumerate(values, 1):
        window = [v for v in values[max(0, end - _WEEK) : end] if v is not None]
        if value is None or len(window) < least:
            found.append((0.0, 0))
            continue
        below, equal = sum(v < value for v in window), window.count(value)
        found.append((below + (equal + 1) / 2, len(window)))
    return found


def _magnitudes(values: list[Value]) -> list[Value]:
    return [None if value is None else abs(value) for value in values]


def _scaled(values: list[Value], measure: Measure, share: float) -> Expected:
    """A measure, and as its scale the same measure of the magnitudes."""
    scales = _windows(_magnitudes(values), measure, share)
    pairs = zip(_windows(values, measure, share), scales, strict=True)
    return [(value, size or 1.0) for value, size in pairs]


def _plain(values: list[Value]) -> Expected:
    return [(value, max(1.0, abs(value or 0.0))) for value in values]


def _running(values: list[Value]) -> Expected:
    """A running total that continues across gaps and is NULL where its input is."""
    seen: list[float] = []
    found: Expected = []
    for value in values:
        if value is not None:
            seen.append(value)
        total = math.fsum(seen) if value is not None else None
        found.append((total, math.fsum(map(abs, seen)) or 1.0))
    return found


def _returns(values: list[Value], bars_ahead: int) -> list[Value]:
    """Change in basis points from each bar to the one this many bars later."""
    later = [*values[bars_ahead:], *[None] * bars_ahead]
    return [
        None if now is None or then is None else (then / now - 1) * 1e4
        for now, then in zip(values, later, strict=True)
    ]


def _times(value: Value, factor: float) -> Value:
    return None if value is None else value * factor


def _compare(mart: str, column: str, found: list[Value], expected: Expected) -> Comparison:
    assert len(found) == len(expected), f"{mart}: {len(found)} rows, {len(expected)} bars"
    errors = [
        abs(value - right) / scale
        for value, (right, scale) in zip(found, expected, strict=True)
        if value is not None and right is not None
    ]
    return Comparison(
        mart,
        column,
        values=len(errors),
        nulls=sum(value is None for value in found),
        error=max((math.inf if math.isnan(e) else e for e in errors), default=math.inf),
        nulls_differ=sum(
            (value is None) != (right is None)
            for value, (right, _) in zip(found, expected, strict=True)
        ),
    )
