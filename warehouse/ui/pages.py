"""Data of the pages besides charts: the catalog's tables, series, coverage and cross-sections."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from warehouse.config import program
from warehouse.display import counted
from warehouse.errors import NotFoundError, UsageError, did_you_mean
from warehouse.home import Home
from warehouse.sql import Relation, identifier
from warehouse.times import DAY_US, us_datetime
from warehouse.ui.asking import Asking, is_number
from warehouse.ui.chart_tiles import MOST_COLUMNS, Source
from warehouse.ui.values import plain, shown, shown_table
from warehouse.vendor import KEY_COLUMNS, SERIES_COLUMNS, SeriesKey, load_contracts

# Schemas in the page's menus, in order.
_SHOWN = ("main", "user", "vendor")
_KEYS = frozenset(column.name for column in KEY_COLUMNS)
_RECENT_DAYS = 30
_COURSE = 48

# Verdicts on models whose rows hold data from after their time, as they declare.
_DECLARED = ("labels", "in-sample")
# How the comment of a model of the user begins that looks ahead without declaring it.
_LEAK = "LOOKS AHEAD"

_AUDITED = 'select "schema", name, verdict from meta.audited'
_MEANINGS = (
    "select schema_name as s, view_name as n, comment from duckdb_views()"
    " where database_name = 'warehouse' union all select schema_name, table_name, comment"
    " from duckdb_tables() where database_name = 'warehouse'"
)


def catalog(asking: Asking) -> dict[str, Any]:
    """All tables with their columns, and all series, for the page's menus."""
    has_audits = Relation("meta", "audited") in asking.names.columns
    verdicts = {
        Relation(row["schema"], row["name"]): row["verdict"]
        for row in (asking.rows(_AUDITED) if has_audits else [])
    }
    comments = {
        Relation(row["s"], row["n"]): row["comment"] or "" for row in asking.rows(_MEANINGS)
    }
    relations = [relation for relation in asking.names.columns if relation.schema in _SHOWN]
    relations.sort(key=lambda relation: (_SHOWN.index(relation.schema), relation.name))
    ahead = {
        relation
        for relation in relations
        if verdicts.get(relation) in _DECLARED
        or (relation.schema == "user" and comments.get(relation, "").startswith(_LEAK))
    }
    held = {row["dataset"] for row in asking.rows("select distinct dataset from meta.coverage")}
    (build,) = asking.rows("select generation, built_at, home from meta.build")
    return {
        "generation": asking.warehouse.generation,
        "built_at": plain(build["built_at"]),
        "tables": [
            _table(asking, relation, comments.get(relation, ""), ahead)
            | {"has_data": not held.isdisjoint(asking.names.datasets(relation))}
            for relation in relations
        ],
        "names": [str(relation) for relation in asking.names.columns],
        "series": series(asking),
    }


def _table(
    asking: Asking, relation: Relation, meaning: str, ahead: set[Relation]
) -> dict[str, Any]:
    columns = asking.names.columns[relation]
    return {
        "name": str(relation),
        "meaning": meaning,
        "looks_ahead": relation in ahead,
        "has_bars": "series_id" in columns and "time" in columns,
        "known_at": "known_at" in columns,
        "columns": [
            {
                "name": name,
                "type": facts.type,
                "unit": facts.unit,
                "meaning": facts.meaning,
                "is_measure": is_measure(name, facts.type),
            }
            for name, facts in columns.items()
        ],
    }


def series(asking: Asking) -> list[dict[str, Any]]:
    """Every series with the datasets that it has and their span."""
    return [
        {name: plain(value) for name, value in row.items()}
        for row in asking.rows(
            'select s.series_id as id, s.exchange, s.symbol, s."interval", s.clock,'
            " list(distinct c.dataset order by c.dataset) as datasets,"
            ' min(c.first_time) as "from", max(c.last_time) as until'
            " from meta.series as s left join meta.coverage as c using (series_id)"
            " group by all order by s.exchange, s.symbol, s.clock desc, s.series_id"
        )
    ]


def filled(asking: Asking, table: str, columns: Sequence[str], series_id: int) -> dict[str, Any]:
    """Which of these columns have a value in a series."""
    relation = asking.relation(table)
    asking.require_columns(relation, "series_id", *columns)
    if not columns or len(columns) > MOST_COLUMNS:
        raise UsageError(f"{counted(len(columns), 'column')}: choose 1 to {MOST_COLUMNS}")
    tests = ", ".join(
        f"exists(from {shown_table(relation)} where series_id = $series_id"
        f" and {identifier(name)} is not null)"
        for name in columns
    )
    (found,) = asking.sql(f"select {tests}", {"series_id": series_id}).fetchall()
    return {"columns": [name for name, is_held in zip(columns, found, strict=True) if is_held]}


def absent(
    asking: Asking, home: Home, table: str, columns: Sequence[str], series_id: int
) -> dict[str, Any]:
    """Datasets of columns that a series lacks, and the commands that fetch them."""
    relation = asking.relation(table)
    asking.require_columns(relation, "series_id", *columns)
    selected = ", ".join(map(identifier, columns))
    trace = asking.sql(f"select {selected} from {shown_table(relation)}").trace()
    behind = {name.split(".")[1] for column in trace.columns for name in column.vendor}
    every = series(asking)
    of = next((row for row in every if row["id"] == series_id), None)
    if of is None:
        raise NotFoundError(f"there is no series {series_id}", next_step="choose another series")
    alike = ("exchange", "symbol", "interval")
    held = {
        name
        for row in every
        if all(row[key] == of[key] for key in alike)
        for name in row["datasets"]
    }
    missing = sorted(behind - held)
    by_clock: dict[str, list[str]] = {}
    for name in missing:
        contract = load_contracts().get(name)
        clocks = contract.clocks if contract else ()
        clock = of["clock"] if of["clock"] in clocks or not clocks else clocks[0]
        by_clock.setdefault(clock, []).append(name)
    return {
        "datasets": missing,
        "next": [_update_line(home, names, {**of, "clock": c}) for c, names in by_clock.items()],
    }


def _update_line(home: Home, datasets: Sequence[str], of: Mapping[str, Any]) -> str:
    """The command that fetches datasets of a series from the first day of its other datasets."""
    options = SeriesKey(*(of[name] for name in SERIES_COLUMNS)).options
    start = ["--start", str(of["from"])[:10]]
    return shlex.join([*program(home.root), "update", *datasets, *options, *start])


def empty(asking: Asking, source: Source | None) -> dict[str, Any]:
    """Measures without a value in the last days of a series, for menus."""
    if source is None:
        return {"columns": None, "days": _RECENT_DAYS}
    facts = asking.names.columns[source.relation]
    names = [name for name, one in facts.items() if is_measure(name, one.type)]
    start = us_datetime(source.last_us - _RECENT_DAYS * DAY_US)
    counts = ", ".join(f"count({identifier(name)})" for name in names)
    (found,) = asking.sql(
        f"select {counts or 1} from {shown_table(source.relation)}"
        " where series_id = $series_id and time >= $start",
        {"series_id": source.series_id, "start": start},
    ).fetchall()
    lacking = [name for name, count in zip(names, found, strict=False) if not count]
    return {"columns": lacking, "days": _RECENT_DAYS}


def is_measure(name: str, kind: str) -> bool:
    """Whether a column of bars can be drawn."""
    return name not in _KEYS and is_number(kind)


def extreme(
    asking: Asking, source: Source | None, column: str, span: tuple[float, float], *, is_high: bool
) -> dict[str, Any]:
    """The highest or lowest value of a measure in a span of seconds, and when it was first."""
    nothing = {"time": None, "value": None, "step": None}
    if source is None:
        return nothing
    asking.require_measures(source.relation, column)
    value = f"{identifier(column)}::double"
    start, end = (us_datetime(round(at * 1e6)) for at in span)
    rows = asking.rows(
        f"select epoch(time) as time, {value} as value from {shown_table(source.relation)}"
        " where series_id = $series_id and time >= $start and time < $end"
        f" and isfinite({value})"
        f" order by {value} {'desc' if is_high else 'asc'}, time limit 1",
        {"series_id": source.series_id, "start": start, "end": end},
    )
    return rows[0] | {"step": source.step_us / 1e6} if rows else nothing


def calendar(asking: Asking, dataset: str | None) -> dict[str, Any]:
    """Spans and gaps of each series of a dataset, in seconds; days are coloured from them."""
    datasets = [
        row["dataset"]
        for row in asking.rows(
            'select distinct dataset from meta.coverage where "interval" is not null order by 1'
        )
    ]
    if dataset and dataset not in datasets:
        raise NotFoundError(
            f"{dataset}: no dataset of bars{did_you_mean(dataset, datasets)}",
            next_step=f"those with data: {', '.join(datasets) or 'none'}",
        )
    chosen = dataset or (datasets[0] if datasets else "")
    spans = asking.rows(
        "select series_id, epoch(min(first_time)) as first, epoch(max(last_time)) as last,"
        " sum(rows)::bigint as rows, sum(expected_rows)::bigint as expected"
        " from meta.coverage where dataset = $dataset group by series_id",
        {"dataset": chosen},
    )
    gaps: dict[int, list[list[float]]] = {}
    for row in asking.rows(
        "select series_id, epoch(gap_from) as a, epoch(gap_until) as b from meta.gaps"
        " where dataset = $dataset order by series_id, gap_from",
        {"dataset": chosen},
    ):
        gaps.setdefault(row["series_id"], []).append([row["a"], row["b"]])
    for span in spans:
        span["gaps"] = gaps.get(span["series_id"], [])
    return {"datasets": datasets, "dataset": chosen, "series": spans}


def cross_section(asking: Asking, table: str, columns: Sequence[str], at: str) -> dict[str, Any]:
    """The last row of each series that was known at a moment, and the values before it."""
    relation = asking.relation(table)
    asking.require_columns(relation, "series_id", "time", "known_at")
    asking.require_measures(relation, *columns)
    # one of the user's own models may have no key but series_id
    has_keys = {*SERIES_COLUMNS} <= asking.names.columns[relation].keys()
    series_keys = "" if has_keys else " as bars left join meta.series as s using (series_id)"
    of, bars = ("", "") if has_keys else ("s.", "bars.")
    listed = "".join(f", {bars}{shown(name)}" for name in columns)
    text = (
        f'select {of}exchange, {of}symbol, {of}"interval", {of}clock, series_id, time,'
        f" known_at{listed}\nfrom {shown_table(relation)}{series_keys}\nwhere known_at <= $at\n"
        "qualify row_number() over (partition by series_id order by known_at desc) = 1\n"
        f"order by {of}exchange, {of}symbol, series_id"
    )
    answer = answer_of(asking, text, {"at": at}, limit=5_000)
    if columns:
        # a join, because a window over the rows before $at would sort all of them
        course = (
            f"with last as (select series_id, max(known_at) as until, min(known_at - time) as step"
            f" from {shown_table(relation)} where known_at <= $at group by series_id)"
            f" select series_id, list({identifier(columns[0])}::double order by known_at) as course"
            f" from {shown_table(relation)} join last using (series_id)"
            f" where known_at <= until and known_at > until - {_COURSE} * step group by series_id"
        )
        rows = asking.rows(course, {"at": at})
        answer["courses"] = {row["series_id"]: plain(row["course"]) for row in rows}
    return answer


def seasonality(asking: Asking, table: str, column: str, series_id: int) -> dict[str, Any]:
    """Mean, median and number of values of a measure by weekday and hour, UTC."""
    relation = asking.relation(table)
    asking.require_columns(relation, "series_id", "time")
    asking.require_measures(relation, column)
    text = (
        "select isodow(time) as weekday, hour(time) as hour,"
        f" favg({shown(column)}::double) as mean, median({shown(column)}) as median,"
        f" count({shown(column)}) as count\n"
        f"from {shown_table(relation)}\nwhere series_id = $series_id"
        f" and isfinite({shown(column)}::double)\ngroup by all\norder by all"
    )
    return answer_of(asking, text, {"series_id": series_id}, limit=200)


def scatter(
    asking: Asking, x: tuple[str, str], y: tuple[str, str], series_id: int
) -> dict[str, Any]:
    """A feature against another measure of the same bars: quantiles, least squares, a sample."""
    left, right = asking.relation(x[0]), asking.relation(y[0])
    for side, column in ((left, x[1]), (right, y[1])):
        asking.require_columns(side, "series_id", "time")
        asking.require_measures(side, column)
    pairs = (
        f"select a.time, a.{shown(x[1])}::double as x, b.{shown(y[1])}::double as y\n"
        f"from {shown_table(left)} as a join {shown_table(right)} as b using (series_id, time)\n"
        f"where a.series_id = $series_id"
        " and isfinite(x) and isfinite(y)"
    )
    params = {"series_id": series_id}
    return {"sql": f"{pairs}\norder by a.time", "params": params} | scattered(
        asking, f"select x, y, hash(epoch_us(time)) as place from ({pairs})", params
    )


def scattered(asking: Asking, pairs: str, params: Mapping[str, object]) -> dict[str, Any]:
    """Deciles, least squares and a sample of x and y, which are SQL."""
    bins = asking.rows(
        "select bin, count(*) as n, min(x) as low, max(x) as high, median(x) as x, avg(y) as mean,"
        " quantile_cont(y, [0.25, 0.5, 0.75]) as q, stddev_samp(y) as sd"
        f" from (select x, y, ntile(10) over (order by x) as bin from ({pairs}))"
        " group by bin order by bin",
        params,
    )
    (fit,) = asking.rows(
        "select count(*) as n, regr_slope(y, x) as slope, regr_intercept(y, x) as level,"
        f" corr(y, x) as correlation from ({pairs})",
        params,
    )
    sample = asking.rows(f"select x, y from ({pairs}) order by place limit 4000", params)
    return {
        "bins": plain(bins),
        "fit": plain(fit),
        "points": [[row["x"], row["y"]] for row in sample],
    }


def answer_of(asking: Asking, text: str, params: dict[str, Any], *, limit: int) -> dict[str, Any]:
    """The first rows of a query with its columns, and the query itself."""
    result = asking.sql(text, params)
    rows = result.head(limit + 1)
    return {
        "sql": text,
        "params": plain(params),
        "columns": [
            {"name": name, "type": str(kind), "unit": kind.unit, "meaning": kind.meaning}
            for name, kind in result.columns.items()
        ],
        "rows": [plain(row) for row in rows[:limit]],
        "is_cut": len(rows) > limit,
    }
