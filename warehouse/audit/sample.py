"""Chooses the cuts of an audit, which are moments, and the bars of a few series around each.

Choosing them reads ``meta.coverage`` only; the data of a cut is read when the cut is examined.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import duckdb

from warehouse.project import Model, Project, bar_end_in
from warehouse.sql import Relation, identifier, literal
from warehouse.times import DAY_US
from warehouse.vendor import SeriesKey, interval_us

# Name under which the audited catalog is attached.
ORIGIN = "origin"

VENDOR = "vendor"
# Kept bars: a dataset whose name begins with it is a view of this schema.
TICKS = "ticks"

_LEAST_BARS_BEFORE = 64
_LEAST_BARS_AFTER = 8
_EARLY_EVERY = 3
_WITHIN_EVERY = 3
_ON_EDGE_AT = 4
_MOST_DRAWS = 8
_LATE_ENDS = 100
_EARLY_MOMENTS = 8
_FAR_BARS = 4_000
_MOMENTS = 64
# Maximum number of series of an audit at a model's own moments, which may join others to its own.
_MOST_SERIES = 12
_USUAL_LOOKBACK_US = 8 * DAY_US
_USUAL_HORIZON_US = DAY_US
MARGIN_US = DAY_US

# Moments in microseconds by series; those of rows without a series are under None.
Moments = Mapping[int | None, Sequence[int]]


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Amount of data in an audit.

    Attributes
    ----------
    series
        Maximum number of series; those of one instrument first, then others.
    bars
        Maximum number of bars of one series before a cut; after most cuts a quarter of that.
    takes_turns
        Whether cuts alternate between removing the future and replacing it by noise, instead of
        both.
    """

    series: int = 6
    bars: int = 4_000
    takes_turns: bool = False


FULL = SampleSize()
QUICK = SampleSize(series=4, bars=600, takes_turns=True)


@dataclass(frozen=True, slots=True)
class Reach:
    """Look-back and horizon of the audited models, in microseconds."""

    before_us: int
    after_us: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of one series in one dataset with ``time >= start`` and ``known_at <= end``."""

    dataset: str
    series_id: int
    start_us: int
    end_us: int

    @property
    def condition(self) -> str:
        return (
            f'(series_id = {self.series_id} and "time" >= make_timestamp({self.start_us})'
            f" and known_at <= make_timestamp({self.end_us}))"
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """A moment, and the data around it; ``is_holed`` removes some just before it.

    ``ended`` are series whose last row is the one before the cut in the world with noise.
    """

    number: int
    at_us: int
    stretches: tuple[Stretch, ...]
    is_holed: bool
    ended: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """The plan of an audit: series by number, cuts in order."""

    series: dict[int, SeriesKey]
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class _Month:
    """A month of a series in a dataset that has rows."""

    dataset: str
    series_id: int
    rows: int
    first_us: int
    last_us: int


def plan_sample(
    connection: duckdb.DuckDBPyConnection,
    datasets: Sequence[str],
    *,
    size: SampleSize,
    reach: Reach,
    cuts: int,
    seed: int,
    moments: Moments | None = None,
) -> Sample:
    """Choose series and cuts at random, the same for the same seed and catalog.

    ``moments`` are those of :func:`moments_of` for the only audited model: all cuts are at them,
    every third at an early one, and the model's own series are chosen first.

    Cuts are on the edge of a bar of a chosen series, in months weighted by their number of rows,
    and late enough for windows before them to be full if possible. Every third, beginning with the
    first, is within a bar of a slower series of an instrument, because only there can a slower bar
    that is read too early be found. Every third is soon after the first row instead, with far more
    bars after it, to test warm-ups, first calibrations, and what reads weeks ahead. Of the others,
    half are at the beginning of a day or month; if bars of the chosen series are known late, the
    other half are at the end of a bar that is not known then.
    """
    random = Random(seed)
    rows, keys, late = _held(connection, datasets)
    own = {series_id for series_id in moments or () if series_id in keys}
    chosen = _choose_series(rows, keys, late, size, random, own)
    months = _months(connection, datasets, chosen)
    if not months:
        return Sample({}, ())
    ends = _late_ends(connection, datasets, chosen & late, seed)
    planned = []
    own_moments = [moments[one] for one in sorted(own & chosen)] if moments else []
    if moments and not own_moments:
        own_moments = list(moments.values())
    for number in range(cuts):
        around, most_after = reach, size.bars // 4
        is_early = number % _EARLY_EVERY == _EARLY_EVERY - 1
        if own_moments:
            at_us = _choose_own_moment(own_moments, random, is_early=is_early)
        elif is_early:
            at_us = _choose_early_moment(months, keys, reach, random)
        elif number % _WITHIN_EVERY == 0:
            at_us = _choose_moment_within(months, keys, reach, random)
        elif ends and number % (2 * _WITHIN_EVERY) == 1:
            at_us = random.choice(ends)
        else:
            at_us = _choose_moment(months, keys, reach, random)
            if number % (2 * _WITHIN_EVERY) == _ON_EDGE_AT:
                at_us = _choose_edge(months, at_us, random, of_month=number % 4 == 2)
        if is_early:
            around, most_after = replace(reach, after_us=_FAR_BARS * DAY_US), _FAR_BARS
        stretches = _stretches(months, keys, at_us, size=size, reach=around, most_after=most_after)
        later = _later_series(chosen, keys) if number % 8 == 5 else ()
        stretches = tuple(
            replace(one, start_us=at_us) if one.series_id in later else one for one in stretches
        )
        ended = sorted(chosen)[number // 4 % 2 :: 2] if number % 4 == 3 and len(chosen) > 1 else ()
        planned.append(Cut(number, at_us, stretches, number % 2 == 1, tuple(ended)))
    return Sample({series_id: keys[series_id] for series_id in sorted(chosen)}, tuple(planned))


def reach_of(project: Project) -> Reach:
    """Look-back and horizon of the models of a project."""
    lookbacks = [total_lookback_us(model, project) for model in project.models]
    horizons = [model.horizon_us for model in project.models]
    return Reach(
        before_us=max([_USUAL_LOOKBACK_US, *(us for us in lookbacks if us)]) + 2 * MARGIN_US,
        after_us=max([_USUAL_HORIZON_US, *(us for us in horizons if us)]) + MARGIN_US,
    )


def total_lookback_us(model: Model, project: Project) -> int | None:
    """Declared lookbacks along the longest chain of models; staging uses its own row only."""
    if model.relation.schema == "staging":
        return 0
    total = model.lookback_us
    for read in project.models:
        if total is None:
            return None
        if read.relation in model.depends_on:
            below = total_lookback_us(read, project)
            total = None if below is None else max(total, (model.lookback_us or 0) + below)
    return total


def moments_of(connection: duckdb.DuckDBPyConnection, model: Model, seed: int) -> Moments:
    """Some moments at which rows of a built model became known, by series, in microseconds.

    The first ones of each series and some at random, in order. The last moment of a series is
    included only if there is no other, because no row of it comes later.
    """
    sql = model.relation.sql
    columns = {row[0].lower() for row in connection.execute(f"describe {sql}").fetchall()}
    if "known_at" not in columns:
        return {}
    series = "series_id" if "series_id" in columns else "null"
    rows = connection.execute(
        f"select series, min(us, {_EARLY_MOMENTS}), arg_min(us, hash(us, {seed}), {_MOMENTS}),"
        f" max(us) from (select {series} as series, epoch_us(known_at) as us from {sql}"
        " where isfinite(known_at)) group by series order by series"
    ).fetchall()
    return {
        series: sorted({us for us in (*firsts, *others) if us < last}) or [last]
        for series, firsts, others, last in rows
    }


def relation_of(dataset: str) -> Relation:
    """The view of a dataset: the vendor's, or that of kept bars for a name such as ``ticks.flow``.

    Examples
    --------
    >>> str(relation_of("flow")), str(relation_of("ticks.flow"))
    ('vendor.flow', 'ticks.flow')
    """
    schema, dot, name = dataset.rpartition(".")
    return Relation(schema, name) if dot else Relation(VENDOR, name)


def load_cut(connection: duckdb.DuckDBPyConnection, dataset: str, cut: Cut) -> None:
    """Read a cut's data of one dataset into the table ``memory.cut.<dataset>``."""
    stretches = [stretch for stretch in cut.stretches if stretch.dataset == dataset]
    condition = "false"
    if stretches:
        # separate numbers let DuckDB skip the branches of other series
        numbers = ", ".join(str(stretch.series_id) for stretch in stretches)
        either = " or ".join(stretch.condition for stretch in stretches)
        condition = f"series_id in ({numbers}) and ({either})"
    connection.execute(
        f"create or replace table memory.cut.{identifier(dataset)} as"
        f" from {_in_origin(relation_of(dataset))} where {condition}"
        ' order by series_id, "time"'
    )


def _listed(connection: duckdb.DuckDBPyConnection, datasets: Sequence[str]) -> str:
    """SQL of the months with rows of each series in these datasets.

    ``is_late``: whether bars of the series may be known after their end, like some kept bars.
    """
    late = "false"
    if bar_end_in(connection, ORIGIN) is not None:
        end = f"{ORIGIN}.main.bar_end(series_id, timestamp 'epoch', null::timestamp)"
        late = f"({end} is not null)"
    names = ", ".join(literal(dataset) for dataset in datasets) or "null"
    listed = [
        "select dataset, series_id, rows, epoch_us(first_time) as first_us,"
        f" epoch_us(last_time) as last_us, {late} as is_late,"
        ' exchange, symbol, "interval", clock, month'
        f" from {ORIGIN}.meta.coverage where rows > 0 and dataset in ({names})",
        *(
            f'select {literal(dataset)}, series_id, count(*), epoch_us(min("time")),'
            f' epoch_us(max("time")), {late},'
            ' exchange, symbol, "interval", clock,'
            " strftime(\"time\", '%Y-%m') as month"
            f" from {_in_origin(relation_of(dataset))} group by all"
            for dataset in datasets
            if relation_of(dataset).schema == TICKS
        ),
    ]
    return " union all ".join(listed)


def _held(
    connection: duckdb.DuckDBPyConnection, datasets: Sequence[str]
) -> tuple[dict[tuple[int, str], int], dict[int, SeriesKey], set[int]]:
    """Rows by series and dataset, the keys of the series, and the series that have late bars."""
    found = connection.execute(
        "select series_id, dataset, sum(rows)::bigint, bool_or(is_late),"
        ' exchange, symbol, "interval", clock'
        f" from ({_listed(connection, datasets)}) group by all order by series_id, dataset"
    ).fetchall()
    rows = {(series_id, dataset): count for series_id, dataset, count, *_ in found}
    keys = {row[0]: SeriesKey(*row[4:]) for row in found}
    return rows, keys, {row[0] for row in found if row[3]}


def _months(
    connection: duckdb.DuckDBPyConnection, datasets: Sequence[str], series: Iterable[int]
) -> list[_Month]:
    rows = connection.execute(
        f"select dataset, series_id, rows, first_us, last_us from ({_listed(connection, datasets)})"
        " where series_id in (select unnest($1::integer[])) order by series_id, dataset, month",
        [list(series)],
    ).fetchall()
    return [_Month(*row) for row in rows]


def _late_ends(
    connection: duckdb.DuckDBPyConnection,
    datasets: Sequence[str],
    series: Iterable[int],
    seed: int,
) -> list[int]:
    """Ends of some bars of these series that were known later, in microseconds."""
    numbers = ", ".join(map(str, sorted(series)))
    end = f'{ORIGIN}.main.bar_end(series_id, "time", known_at)'
    branches = [
        f"select epoch_us({end}) as us from {_in_origin(relation_of(dataset))}"
        f" where series_id in ({numbers}) and known_at > {end}"
        for dataset in datasets
    ]
    if not numbers or not branches:
        return []
    found = connection.execute(
        f"select distinct us from ({' union all '.join(branches)})"
        f" order by hash(us, {seed}), us limit {_LATE_ENDS}"
    ).fetchall()
    return [us for (us,) in found]


def _in_origin(relation: Relation) -> str:
    return f"{ORIGIN}.{identifier(relation.schema)}.{identifier(relation.name)}"


def _choose_series(
    rows: Mapping[tuple[int, str], int],
    keys: dict[int, SeriesKey],
    late: set[int],
    size: SampleSize,
    random: Random,
    own: set[int],
) -> set[int]:
    """The series with most rows, then its instrument's other intervals, then other series.

    Series with late bars come first, because models may read these bars too early. For a model with
    ``own`` series, some of these come first instead, then those of the same instrument or interval,
    because the model may join them.
    """
    worth: Counter[int] = Counter()
    for (series_id, _), count in rows.items():
        worth[series_id] += min(count, size.bars)
    shuffled = sorted(worth, key=lambda _: random.random())
    if not shuffled:
        return set()
    focus = keys[max(shuffled, key=lambda one: (one in own, one in late, worth[one]))]

    def distance(series_id: int) -> tuple[bool, bool, bool, bool, int]:
        key = keys[series_id]
        other_instrument = (key.exchange, key.symbol) != (focus.exchange, focus.symbol)
        other_clock = key.clock not in (focus.clock, None)
        other_interval = key.interval != focus.interval
        is_on_time = series_id not in late
        return is_on_time, other_instrument, other_clock, other_interval, -worth[series_id]

    ordered = sorted(shuffled, key=distance)
    if not own:
        return set(ordered[: size.series])
    first = [one for one in ordered if one in own][: _MOST_SERIES // 2]
    shared = (focus.exchange, focus.symbol), focus.interval

    def is_apart(series_id: int) -> bool:
        key = keys[series_id]
        return (key.exchange, key.symbol) != shared[0] and key.interval != shared[1]

    rest = sorted((one for one in ordered if one not in first), key=is_apart)
    return {*first, *rest[: _MOST_SERIES - len(first)]}


def _later_series(chosen: set[int], keys: dict[int, SeriesKey]) -> list[int]:
    """Series that have rows only after a cut: those of all instruments but one, or every second."""
    first, *others = sorted(chosen)
    return [one for one in others if keys[one].symbol != keys[first].symbol] or others[::2]


def _choose_moment(
    months: list[_Month], keys: dict[int, SeriesKey], reach: Reach, random: Random
) -> int:
    """The end of a bar, with a bar after it, in a random month of a random series.

    For raw data, which has no bars, any moment.
    """
    series_id = random.choice(sorted({month.series_id for month in months}))
    pool = [month for month in months if month.series_id == series_id]
    dataset = random.choice(sorted({month.dataset for month in pool}))
    pool = [month for month in pool if month.dataset == dataset]
    first_us, last_us = pool[0].first_us, pool[-1].last_us
    earliest_us = first_us + min(reach.before_us, (last_us - first_us) // 2)
    late = [month for month in pool if month.last_us > earliest_us] or pool
    month = random.choices(late, [month.rows for month in late])[0]
    interval = keys[series_id].interval
    bar_us = 1 if interval is None else interval_us(interval)
    start_us = max(month.first_us, min(earliest_us, month.last_us)) // bar_us * bar_us
    return start_us + bar_us * random.randint(1, max((month.last_us - start_us) // bar_us, 1))


def _choose_moment_within(
    months: list[_Month], keys: dict[int, SeriesKey], reach: Reach, random: Random
) -> int:
    """The end of a bar of an instrument's fastest series that is inside a bar of a slower one.

    Any moment, if no instrument has bars of two lengths.
    """
    lengths: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for series_id in sorted({month.series_id for month in months}):
        key = keys[series_id]
        if key.interval is not None:
            of_instrument = lengths[key.exchange, key.symbol]
            of_instrument.setdefault(interval_us(key.interval), series_id)
    several = [of_instrument for of_instrument in lengths.values() if len(of_instrument) > 1]
    if not several:
        return _choose_moment(months, keys, reach, random)
    of_instrument = random.choice(several)
    fastest, *slower = sorted(of_instrument)
    pool = [month for month in months if month.series_id == of_instrument[fastest]]
    for _ in range(_MOST_DRAWS):
        at_us = _choose_moment(pool, keys, reach, random)
        if any(at_us % bar_us for bar_us in slower):
            break
    return at_us


def _choose_edge(months: list[_Month], at_us: int, random: Random, *, of_month: bool) -> int:
    """The beginning of a moment's day or of a month, if there is data before it.

    A feature may look ahead only there, if it joins or groups by calendar.
    """
    first_us = min(month.first_us for month in months)
    later = [month.first_us for month in months if month.first_us > first_us]
    if of_month and later:
        return random.choice(later)
    edge_us = at_us // DAY_US * DAY_US
    return edge_us if edge_us > first_us else at_us


def _choose_own_moment(moments: Sequence[Sequence[int]], random: Random, *, is_early: bool) -> int:
    """One of the moments of a random series, or one of its first."""
    of_series = random.choice(moments)
    return random.choice(of_series[:_EARLY_MOMENTS] if is_early else of_series)


def _choose_early_moment(
    months: list[_Month], keys: dict[int, SeriesKey], reach: Reach, random: Random
) -> int:
    """The end of an early bar: with equal chance a few bars or some days after the first."""
    series_id = random.choice(sorted({month.series_id for month in months}))
    pool = [month for month in months if month.series_id == series_id]
    first_us, last_us = min(m.first_us for m in pool), max(m.last_us for m in pool)
    bar_us = _bar_us(keys[series_id], pool)
    most = max(min(reach.before_us, last_us - first_us) // bar_us, 1)
    return first_us // bar_us * bar_us + bar_us * max(int(most ** random.random()), 1)


def _stretches(
    months: list[_Month],
    keys: dict[int, SeriesKey],
    at_us: int,
    *,
    size: SampleSize,
    reach: Reach,
    most_after: int,
) -> tuple[Stretch, ...]:
    held: dict[tuple[str, int], list[_Month]] = defaultdict(list)
    for month in months:
        held[month.dataset, month.series_id].append(month)
    stretches = []
    for (dataset, series_id), of_series in sorted(held.items()):
        bar_us = _bar_us(keys[series_id], of_series)
        before_us = min(max(reach.before_us, _LEAST_BARS_BEFORE * bar_us), size.bars * bar_us)
        after_us = min(max(reach.after_us, _LEAST_BARS_AFTER * bar_us), most_after * bar_us)
        stretches.append(Stretch(dataset, series_id, at_us - before_us, at_us + after_us))
    return tuple(stretches)


def _bar_us(key: SeriesKey, months: Sequence[_Month]) -> int:
    """Length of a bar; for raw data the mean distance of rows."""
    if key.interval is not None:
        return interval_us(key.interval)
    rows = sum(month.rows for month in months)
    span_us = sum(month.last_us - month.first_us for month in months)
    return max(span_us // max(rows, 1), 1)
