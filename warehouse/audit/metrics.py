"""The audit of the vendor's metrics: compares every value with the same one from raw ticks.

The formulas are those of ``macros/ticks/``. If a column has several readings, it is judged by the
one with the fewest differing bars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import duckdb

from warehouse.audit.metrics_report import (
    BadValue,
    ColumnAudit,
    MetricSeries,
    MetricsReport,
    SeriesAudit,
    ValueOutcome,
)
from warehouse.engine import connect
from warehouse.errors import BUILD, NotFoundError, did_you_mean
from warehouse.generations import require_catalog
from warehouse.home import Home, writing
from warehouse.interrupts import run
from warehouse.lake import Manifest
from warehouse.project import RATED, TICK_SOURCES, tick_macros, tick_sources
from warehouse.sql import HOME_VARIABLE, identifier, literal, moment
from warehouse.vendor import KEY_COLUMNS, interval_us, load_contracts

# Relative difference of sums in another order, and of values that were rounded to float32.
_EQUAL = 1e-9
_EQUAL_FLOAT32 = 1.2e-7
# Rounding error after cancellation, relative to the largest value of a column.
_ROUNDING = 1e-12
# Values per bar up to which the vendor's medians and percentiles are exact; for more values they
# come from a sketch with an error of at most half a percent of the ranks, which the readings
# rank_low and rank_high bound.
_EXACT_VALUES = 256
_RANKS = ("rank_low", "rank_high")
_LATE_MS = 50
_WORST = 5
_TICKS_TOGETHER = 5_000_000
_DAY = timedelta(days=1)


def audit_metrics(
    home: Home,
    *,
    datasets: Sequence[str] = (),
    exchange: str | None = None,
    symbol: str | None = None,
    interval: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    notional_usd_rate: float = 1.0,
) -> MetricsReport:
    """Compare the vendor's bars with the same bars from ticks, in the published catalog.

    ``start`` and ``end`` (excluded) are naive UTC, by default the span of the ticks.
    """
    require_catalog(home)
    with closing(connect(home.session, home.catalog)) as connection:
        connection.execute(tick_macros())
        connection.execute(f"set variable {HOME_VARIABLE} = {literal(str(home.root))}")
        sources = tick_sources(connection)
        for name in datasets:
            if name not in sources:
                raise NotFoundError(
                    f"{name}: no formula from ticks{did_you_mean(name, sources)}",
                    next_step=f"choose from {', '.join(sources)}",
                )
        series = [
            one
            for one in _series(connection, datasets or list(sources))
            if exchange in (None, one.exchange)
            and symbol in (None, one.symbol)
            and interval in (None, one.interval)
        ]
        if not series:
            raise NotFoundError(
                "the catalog has no bars for these datasets and options",
                next_step="list the series with: warehouse symbols; or " + BUILD,
            )
        audits = [
            _Auditor(connection, one, sources[one.dataset], start, end, notional_usd_rate).audit()
            for one in series
        ]
    return MetricsReport(tuple(audits))


def keep_audit(home: Home, report: MetricsReport) -> None:
    """Record the results of an audit, for ``meta.audit`` of the next catalog.

    Raises
    ------
    LockedError
        Another process writes to this home.
    DiskError
        The home is not writable.
    """
    with writing(home, "audit"), Manifest(home.manifest) as manifest, manifest.transaction():
        for audit in report.audits:
            if audit.skipped is None:
                series = audit.series
                manifest.record_audit(series.dataset, series.series_id, list(audit.rows()))


def _series(connection: duckdb.DuckDBPyConnection, datasets: Sequence[str]) -> list[MetricSeries]:
    rows = connection.execute(
        'select distinct dataset, series_id, exchange, symbol, "interval", clock'
        " from warehouse.meta.files where dataset = any($1) order by all",
        [list(datasets)],
    ).fetchall()
    return [MetricSeries(*row) for row in rows]


class _Auditor:
    """Audits one series, in spans of whole UTC days with a bounded number of ticks."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        series: MetricSeries,
        sources: Sequence[str],
        start: datetime | None,
        end: datetime | None,
        notional_usd_rate: float,
    ) -> None:
        self._connection = connection
        self._series = series
        self._sources = sources
        self._start = start
        self._end = end
        self._rate = notional_usd_rate
        self._report = SeriesAudit(series)
        drift = self._run(
            "select \"column\" from warehouse.meta.drift where kind = 'missing' and dataset = $1"
            " and series_id = $2 group by all having count(distinct period) = ("
            " select count(distinct period) from warehouse.meta.files"
            " where dataset = $1 and series_id = $2)",
            [series.dataset, series.series_id],
        )
        contract = load_contracts()[series.dataset]
        self._unserved = {row[0] for row in drift}
        self._retired = {column.name for column in contract.columns if not column.expected}
        self._counts = {column.name for column in contract.columns if column.type == "BIGINT"}

    def audit(self) -> SeriesAudit:
        report = self._report
        report.skipped = self._unfit()
        if report.skipped is not None:
            return report
        for first, until in self._spans():
            self._compare(first, until)
        if not report.columns:
            report.skipped = "no ticks in the span of its bars"
        report.ticks = self._ticks_behind()
        return report

    def _run(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        given = [] if parameters is None else parameters
        return run(self._connection, lambda: self._connection.execute(sql, given).fetchall())

    def _raw(self, source: str) -> str:
        return f"warehouse.vendor.{TICK_SOURCES[source]}"

    def _series_condition(self) -> str:
        series = self._series
        return f"exchange = {literal(series.exchange)} and symbol = {literal(series.symbol)}"

    # -- what can be compared --------------------------------------------------------------------

    def _unfit(self) -> str | None:
        """Why the ticks cannot be compared with the vendor's bars; None if they can."""
        ((is_replaced,),) = self._run(
            "select bool_and(len(owns_from) = 0) from warehouse.meta.files"
            " where dataset = $1 and series_id = $2",
            [self._series.dataset, self._series.series_id],
        )
        if is_replaced:
            return 'its files are not shown: [[ticks]] of warehouse.toml has marts = "replace"'
        for source in self._sources:
            raw = TICK_SOURCES[source]
            files = self._run(
                "select count(*), bool_or(grain = 'order'), bool_or(receive_clock = 'none')"
                f" from warehouse.meta.files where dataset = {literal(raw)}"
                f" and {self._series_condition()}"
            )
            ((count, has_orders, is_clockless),) = files
            if not count:
                return f"no {raw} of this symbol"
            if has_orders:
                return f"{raw} has one row per taker order, so counts and medians differ"
            if is_clockless and self._series.clock == "true":
                return f"{raw} has no time of receipt, which the clock true needs"
        return None

    def _spans(self) -> Iterator[tuple[datetime, datetime]]:
        """UTC days with bars and ticks, merged into spans with a bounded number of ticks."""
        series = self._series
        bounds = f"series_id = {series.series_id}"
        bars = self._run(
            f"select distinct date_trunc('day', time)::timestamp"
            f" from warehouse.vendor.{identifier(series.dataset)} where {bounds}"
        )
        days = {row[0] for row in bars}
        column = "known_at" if series.clock == "true" else "time"
        ticks = self._run(
            f"select date_trunc('day', {column})::timestamp as day, count(*)"
            f" from {self._raw(self._sources[0])} where {self._series_condition()} group by day"
            " order by day"
        )
        chosen = [
            (day, count)
            for day, count in ticks
            if day in days
            and (self._start is None or day + _DAY > self._start)
            and (self._end is None or day < self._end)
        ]
        span: tuple[datetime, datetime] | None = None
        held = 0
        for day, count in chosen:
            if span is not None and span[1] == day and held + count <= _TICKS_TOGETHER:
                span, held = (span[0], day + _DAY), held + count
                continue
            if span is not None:
                yield self._cut(span)
            span, held = (day, day + _DAY), count
        if span is not None:
            yield self._cut(span)

    def _cut(self, span: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
        first = span[0] if self._start is None else max(span[0], self._start)
        until = span[1] if self._end is None else min(span[1], self._end)
        return first, until

    # -- comparing -------------------------------------------------------------------------------

    def _compare(self, first: datetime, until: datetime) -> None:
        series = self._series
        given = "".join(f", {name} := {literal(self._raw(name))}" for name in self._sources)
        if series.dataset in RATED:
            given += f", notional_usd_rate := {self._rate!r}"
        self._run(
            f"""
            create or replace temp table of_ticks as
            from memory.main.ticks_{series.dataset}_readings(
                {literal(series.interval)}, clock := {literal(series.clock)},
                exchange := {literal(series.exchange)}, symbol := {literal(series.symbol)},
                start_time := {moment(first)}, end_time := {moment(until)}{given}
            )
            """
        )
        self._run(
            f"create or replace temp table of_vendor as"
            f" from warehouse.vendor.{identifier(series.dataset)}"
            f" where series_id = {series.series_id} and time >= {moment(first)}"
            f" and time < {moment(until)}"
        )
        self._judge_bars()
        names = [row[0] for row in self._run("describe of_ticks")]
        served = [row[0] for row in self._run("describe of_vendor")]
        keys = {column.name for column in KEY_COLUMNS}
        columns = [name for name in served if name in names and name not in keys]
        columns = [name for name in columns if name not in self._retired]
        self._report.unserved = [name for name in columns if name in self._unserved]
        columns = [name for name in columns if name not in self._unserved]
        self._judge_values(columns, names)

    def _judge_bars(self) -> None:
        report = self._report
        rows = self._run(
            f"""
            select
                case
                    when t.time is null then '{ValueOutcome.NO_TICKS}'
                    when v.time is null then '{ValueOutcome.NO_BAR}'
                    else '{ValueOutcome.EQUAL}'
                end as outcome,
                count(*), min(time), max(time), list(time order by time)[:{_WORST}]
            from of_vendor as v full join of_ticks as t using (time)
            where time between (select min(time) from warehouse.vendor.{self._series.dataset}
                    where series_id = {self._series.series_id})
                and (select max(time) from warehouse.vendor.{self._series.dataset}
                    where series_id = {self._series.series_id})
                and not (v.time is null and t.is_partial)
            group by outcome
            """
        )
        for outcome, count, first, last, times in rows:
            report.bars[ValueOutcome(outcome)] += count
            if outcome == ValueOutcome.NO_TICKS:
                continue
            report.first = first if report.first is None else min(report.first, first)
            report.last = last if report.last is None else max(report.last, last)
            if outcome == ValueOutcome.NO_BAR:
                report.lost = [*report.lost, *times][:_WORST]

    def _judge_values(self, columns: Sequence[str], names: Sequence[str]) -> None:
        """Judge all columns and readings in one pass."""
        known = {column.column: column for column in self._report.columns}
        for column in columns:
            if column not in known:
                known[column] = ColumnAudit(column)
                self._report.columns.append(known[column])
        judged = " union all by name ".join(
            self._judged(column, name, has_ranks=name == column and f"{column}__rank_low" in names)
            for column in columns
            for name in names
            if name == column or (name.startswith(f"{column}__") and not name.endswith(_RANKS))
        )
        if not judged:
            return
        self._run(f"create or replace temp table judged as {judged}")
        for column, reading, outcome, count, worst in self._run(
            f"""
            select
                column_name, reading, outcome, count(*),
                list({{time: time, vendor: vendor, ticks: ticks}} order by
                    abs(vendor - ticks) / greatest(abs(vendor), abs(ticks)) desc nulls last, time
                )[:{_WORST}]
            from judged group by all
            """
        ):
            one = known[column]
            one.by_reading.setdefault(reading, Counter())[ValueOutcome(outcome)] += count
            found = one.worst_by_reading.setdefault(reading, [])
            if not ValueOutcome(outcome).is_equal:
                found += [BadValue(**row, outcome=ValueOutcome(outcome)) for row in worst]
                found.sort(key=lambda bad: (not bad.outcome.is_problem, -(bad.relative or 0)))
                del found[_WORST:]
        for one in known.values():  # the default reading first, so that it wins a tie
            one.by_reading = dict(sorted(one.by_reading.items()))

    def _judged(self, column: str, name: str, *, has_ranks: bool) -> str:
        """SQL of the verdicts on a column by one reading; NULL, NaN and infinity are one class."""
        low, high = (f"t.{identifier(f'{column}__{n}')}" if has_ranks else "null" for n in _RANKS)
        tolerance = 0.0 if column in self._counts else _EQUAL
        rounding = 0.0 if column in self._counts else _ROUNDING
        vendor, ticks = (
            f"{alias}.{identifier(x)}::double" for alias, x in (("v", column), ("t", name))
        )
        difference, size = "abs(vendor - ticks)", "greatest(abs(vendor), abs(ticks))"
        return f"""
            select
                {literal(column)} as column_name,
                {literal(name.removeprefix(column).removeprefix("__"))} as reading,
                time, vendor, ticks,
                case
                    when vendor is null and ticks is null then '{ValueOutcome.EQUAL}'
                    when (vendor is null or ticks is null) and not is_partial
                        then '{ValueOutcome.MISSING}'
                    when {difference} <= {tolerance!r} * {size} + {rounding!r} * largest
                        then '{ValueOutcome.EQUAL}'
                    when vendor = vendor::float and {difference} <= {_EQUAL_FLOAT32!r} * {size}
                        then '{ValueOutcome.FLOAT32}'
                    when n_events > {_EXACT_VALUES} and vendor
                        between low - {_EQUAL_FLOAT32!r} * abs(low)
                        and high + {_EQUAL_FLOAT32!r} * abs(high)
                        then '{ValueOutcome.RANK}'
                    when is_partial then '{ValueOutcome.PARTIAL}'
                    else '{ValueOutcome.DIFFERS}'
                end as outcome
            from (
                select
                    time, is_partial, n_events, {low} as low, {high} as high,
                    case when isfinite({vendor}) then {vendor} end as vendor,
                    case when isfinite({ticks}) then {ticks} end as ticks,
                    coalesce(max(abs(case when isfinite({ticks}) then {ticks} end)) over (), 0)
                        as largest
                from of_vendor as v inner join of_ticks as t using (time)
            )
        """

    # -- the ticks behind a difference -----------------------------------------------------------

    def _ticks_behind(self) -> list[str]:
        """Peculiarities of the ticks in the worst bars, such as late arrival."""
        bad = [
            value for column in self._report.columns for value in column.worst
            if value.outcome.is_problem
        ]  # fmt: skip
        times = [time for time, _ in Counter(value.time for value in bad).most_common(3)]
        times += self._report.lost[:1]
        source = self._sources[0]
        clock = "known_at" if self._series.clock == "true" else "time"
        width_us = interval_us(self._series.interval)
        lines = []
        for time in sorted(set(times)):
            has_side = source == "trades"
            side = "side is null" if has_side else "false"
            ((count, late, unsided, tied, first, last),) = self._run(
                f"""
                select
                    count(*),
                    count(*) filter (where known_at > time + interval {_LATE_MS} milliseconds),
                    count(*) filter (where {side}),
                    count(*) - count(distinct {clock}),
                    min({clock}), max({clock})
                from {self._raw(source)}
                where {self._series_condition()} and {clock} >= {moment(time)}
                    and {clock} < {moment(time)} + to_microseconds({width_us})
                """
            )
            parts = [f"{count:,} {source}"]
            if count:
                parts.append(f"{first:%H:%M:%S.%f} to {last:%H:%M:%S.%f}")
            for number, what in (
                (late, f"received over {_LATE_MS} ms late"),
                (unsided, "without a side"),
                (tied, "at the same time as another"),
            ):
                if number:
                    parts.append(f"{number:,} {what}")
            lines.append(f"ticks of {time}: {', '.join(parts)}")
        return lines
