"""The look-ahead audit on a small catalog made by hand, with models written as compiled SQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from warehouse.audit import (
    AuditReport,
    Kind,
    Mode,
    ModelAudit,
    SampleSize,
    Verdict,
    audit_lookahead,
    audit_sample,
)
from warehouse.audit.report import ModelFinding
from warehouse.audit.sample import Cut
from warehouse.audit.scratch import _holed_sql
from warehouse.errors import DamagedError, NotFoundError
from warehouse.project.project import Model, Project
from warehouse.sql import Relation

PRICES = Relation("vendor", "prices")
FROM = f"from {PRICES.sql}"
KEY = 'series_id, "time", known_at'
WINDOW = 'over (partition by series_id order by "time"'
SIZE = SampleSize(series=3, bars=200)

Run = Callable[..., AuditReport]


def model(name: str, sql: str, *reads: str, **declared: object) -> Model:
    plain = Model(
        relation=Relation("main", name),
        sql=sql,
        depends_on=tuple(Relation("main", read) for read in reads),
        sources=() if reads else (PRICES,),
        labels=frozenset(),
        path=Path(f"models/{name}.sql"),
        is_labels=False,
        is_whole_sample=False,
        is_stored=True,
        lookback_us=None,
        horizon_us=None,
        accumulates=(),
    )
    return replace(plain, **declared)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Series 1 and 2 of 5m, series 3 of 1h: two weeks of prices, volumes and counts."""
    path = tmp_path_factory.mktemp("catalog") / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema vendor; create schema meta")
        connection.execute(
            """
            create table vendor.prices as
            select
                series_id::integer as series_id, 'here' as exchange,
                'spot-' || symbol || '-USD' as symbol, "interval", 'true' as clock,
                timestamp '2025-01-01' + bar * to_minutes(minutes) as "time",
                "time" + to_minutes(minutes) as known_at,
                100 + (hash(series_id, bar) % 1000) / 100.0 as price,
                (hash(bar, series_id) % 90)::double as volume,
                (hash(series_id, bar, 1) % 50)::bigint as trades
            from (
                values (1, 'A', '5m', 5), (2, 'B', '5m', 5), (3, 'A', '1h', 60)
            ) as series (series_id, symbol, "interval", minutes)
            cross join range(4032) as bars (bar)
            where bar * minutes < 20160 and hash(bar, minutes, 2) % 500 > 0
            """
        )
        connection.execute(
            """
            create table vendor.raw_trades as
            select
                4 as series_id, 'here' as exchange, 'spot-A-USD' as symbol,
                null::varchar as "interval", null::varchar as clock,
                timestamp '2025-01-01' + to_milliseconds(7001 * trade) as "time",
                "time" + to_milliseconds(20 + (hash(trade) % 100)::bigint) as known_at,
                (hash(trade) % 90)::double as amount
            from range(5000) as trades (trade)
            """
        )
        connection.execute("create macro main.halved(x) as x / 2")
        connection.execute("create macro main.quartered(x) as halved(x) / 2")
        connection.execute(
            """
            create table meta.coverage as
            select
                'prices' as dataset, series_id, exchange, symbol, "interval", clock,
                '2025-01' as month, count(*) as rows,
                min("time") as first_time, max("time") as last_time
            from vendor.prices group by all
            union all
            select
                'raw_trades', series_id, exchange, symbol, "interval", clock,
                '2025-01', count(*), min("time"), max("time")
            from vendor.raw_trades group by all
            """
        )
    return path


@pytest.fixture
def run(catalog: Path) -> Run:
    def audited(*models: Model, cuts: int = 1, **options: object) -> AuditReport:
        project = Project(models, ())
        return audit_lookahead(catalog, project, cuts=cuts, size=SIZE, **options)  # type: ignore[arg-type]

    return audited


_together: list[Model] = []


def together(name: str, sql: str, *reads: str, **declared: object) -> Model:
    """A model that is audited in one run with all others of this kind; see ``report``."""
    _together.append(model(name, sql, *reads, **declared))
    return _together[-1]


@pytest.fixture(scope="module")
def report(catalog: Path) -> AuditReport:
    """Of all models that are audited together."""
    return audit_lookahead(catalog, Project(tuple(_together), ()), cuts=2, size=SIZE)


def found(report: AuditReport, model: Model) -> list[ModelFinding]:
    return [finding for finding in report.findings if finding.model == model.relation]


def of(report: AuditReport, model: Model) -> ModelAudit:
    return next(audit for audit in report.models if audit.model == model.relation)


def only(report: AuditReport) -> ModelFinding:
    assert len(report.findings) == 1, "\n".join(report.lines())
    return report.findings[0]


# -- what is clean -------------------------------------------------------------------------------


MEAN = together("mean", f"select {KEY}, avg(price) {WINDOW} rows 5 preceding) as mean {FROM}")


def test_a_trailing_window_is_clean_and_rows_are_counted(report: AuditReport) -> None:
    mean = of(report, MEAN)
    assert mean.verdict is Verdict.CLEAN
    assert mean.rows > 300
    assert mean.untested == ()
    assert not found(report, MEAN)
    assert len(report.cuts) == 2
    assert set(report.series) == {"here spot-A-USD 5m true", "here spot-A-USD 1h true"} | {
        "here spot-B-USD 5m true"
    }


ALL_ROWS = f"{WINDOW} rows between unbounded preceding and unbounded following)"
LATER_ROWS = f"{WINDOW} rows between 1 following and unbounded following)"
TOTAL = together(
    "total",
    f"select {KEY}, sum(price / 7) {ALL_ROWS} - coalesce(sum(price / 7) {LATER_ROWS}, 0) as total"
    f" {FROM} qualify isfinite(total)",
)
"""The sum over the whole frame in another order, less what came after: equal but for bits."""


def test_sums_that_differ_in_the_last_bits_are_equal(report: AuditReport) -> None:
    assert {finding.mode for finding in found(report, TOTAL)} <= {Mode.NOISE}


COSTS = together(
    "costs",
    f"select {KEY}, size, price * size as cost {FROM} cross join (values (1), (2)) s (size)",
)
QUARTER = together("quarter", f"select {KEY}, Quartered(price) as quarter {FROM}")


@pytest.mark.parametrize(
    "clean", [COSTS, QUARTER], ids=["rows of equal keys", "a macro that calls another"]
)
def test_a_model_that_looks_at_no_later_row_is_clean(report: AuditReport, clean: Model) -> None:
    assert of(report, clean).verdict is Verdict.CLEAN


def test_what_has_no_vendor_data_and_columns_that_are_always_null_are_left_untested(
    run: Run,
) -> None:
    one = model("one", "select 1 as one", sources=())
    nothing = model("nothing", f"select {KEY}, price, null::double as nothing {FROM}")
    report = run(nothing, one)
    assert of(report, one).verdict is Verdict.UNTESTED
    assert report.passed
    assert of(report, nothing).untested == ("nothing",)
    lines = list(report.lines())
    assert "not tested (always NULL): nothing" in lines[0]
    assert lines[-1].startswith("not tested: 1 column of 1 model, NULL in every")


def test_a_catalog_without_data_gives_a_report_without_cuts(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema vendor; create schema meta")
        connection.execute(
            'create table vendor.prices (series_id int, "time" timestamp, known_at timestamp);'
            "create table meta.coverage (dataset text, series_id int, exchange text, symbol text,"
            ' "interval" text, clock text, month text, rows bigint, first_time timestamp,'
            " last_time timestamp)"
        )
    report = audit_lookahead(path, Project((model("all_of_it", f"select * {FROM}"),), ()))
    assert (report.cuts, report.models[0].verdict) == ((), Verdict.UNTESTED)


# -- leaks ---------------------------------------------------------------------------------------


AHEAD = together(
    "ahead",
    f"select {KEY}, price, lag(price) {WINDOW}) as last,"
    f" lead(price, 3) {WINDOW}) as third {FROM} where series_id = 2",
)


def test_a_leak_has_its_column_first_row_values_and_reach(report: AuditReport) -> None:
    (finding,) = found(report, AHEAD)
    assert (finding.kind, str(finding.model), finding.column) == (Kind.LEAK, "ahead", "third")
    assert finding.mode is Mode.TRUNCATED
    assert finding.series == "here spot-B-USD 5m true"
    assert finding.value_known is None
    assert ": NULL from what was known at the cut" in str(finding)
    assert isinstance(finding.value_whole, float)
    assert finding.time is not None
    assert finding.cut is not None
    assert finding.time < finding.cut
    assert finding.reach_bars in (3, 4)  # 4 where a bar is missing
    assert finding.cause.startswith("uses prices 5m up to ")
    assert str(finding).startswith("ahead.third: leak: uses prices 5m up to ")


CAPITALS = together(
    "capitals",
    f'select series_id as SERIES_ID, "time" as "Time", known_at as KNOWN_AT, price,'
    f" lead(price) {WINDOW}) as Next {FROM}",
)


def test_names_of_columns_count_without_their_case(report: AuditReport) -> None:
    (finding,) = found(report, CAPITALS)
    assert (finding.kind, finding.column) == (Kind.LEAK, "Next")
    assert finding.series is not None and finding.series.startswith("here spot-")


SPIKES = together(
    "spikes",
    f"""
    with later as (
        select series_id, max(known_at) as last, any_value(known_at) filter (volume > 1000)
            as spike from {PRICES.sql} group by series_id
    )
    select prices.series_id, "time", known_at, spike is not null as is_before_a_spike
    from {PRICES.sql} as prices inner join later using (series_id)
    """,
)


def test_what_noise_alone_shows_is_found(report: AuditReport) -> None:
    """All rows after the cut are gone, so nothing is left that could show it but their values."""
    (finding,) = found(report, SPIKES)
    assert (finding.mode, finding.column) == (Mode.NOISE, "is_before_a_spike")


TINY = together("tiny", f"select {KEY}, 1e-15 * lead(price) {WINDOW}) as tiny {FROM}")


def test_a_small_column_is_judged_by_its_own_size(report: AuditReport) -> None:
    (finding,) = found(report, TINY)
    assert finding.column == "tiny"


OWN_NAMES = ("place", "present", "right", "left", "slot", "size")
NAMES = together(
    "names",
    f"select {KEY}, "
    + ", ".join(f'lead(price) {WINDOW}) as "{name}"' for name in OWN_NAMES)
    + f" {FROM}",
)


def test_names_of_the_audit_itself_are_free_for_models(report: AuditReport) -> None:
    assert {finding.column for finding in found(report, NAMES)} == set(OWN_NAMES)


ROWS = together("rows", f"select {KEY}, price {FROM} qualify lead(price) {WINDOW}) is not null")


def test_rows_that_need_the_future_to_be_there_are_a_leak(report: AuditReport) -> None:
    (finding,) = found(report, ROWS)
    assert (finding.column, finding.value_known, finding.value_whole) == (None, "no row", "a row")


def test_holes_before_the_cut_show_a_backfill_that_clean_data_hides(run: Run) -> None:
    sql = (
        f"select {KEY}, first_value(price ignore nulls) {WINDOW} rows between current row and"
        f" unbounded following) as price {FROM}"
    )
    assert run(model("backfill", sql), cuts=1).passed  # the first cut leaves the data as they are
    assert only(run(model("backfill", sql), cuts=4)).column == "price"


def test_the_sample_of_a_build_has_other_instruments_and_intervals(catalog: Path) -> None:
    ahead = f"case when series_id = {{}} then lead(price) {WINDOW}) else price end as x"
    models = [model(f"series_{n}", f"select {KEY}, {ahead.format(n)} {FROM}") for n in (1, 2, 3)]
    report = audit_sample(catalog, Project(tuple(models), ()))
    assert [audit.verdict for audit in report.models] == [Verdict.LEAK] * 3


SECOND = together(
    "second", f'select {KEY}, 2 * third as twice from "warehouse"."main"."ahead"', "ahead"
)


def test_a_count_of_all_instruments_changes_when_some_begin_after_a_cut(run: Run) -> None:
    symbols = model("symbols", f"select {KEY}, (select count(distinct symbol) {FROM}) as n {FROM}")
    assert run(symbols, cuts=5).passed  # all instruments have rows before each of these cuts
    assert only(run(symbols, cuts=6)).column == "n"


TODAY = together("today", f'select {KEY}, price {FROM} where "time" < CURRENT_DATE')
AGED = together("aged", f'select {KEY}, age("time") > interval 1 day as is_old {FROM}')
APART = together("apart", f'select {KEY}, age(known_at, "time") as length {FROM}')


def test_a_model_that_reads_the_clock_is_unproven(report: AuditReport) -> None:
    for read, name in ((TODAY, "current_date"), (AGED, "age")):
        (finding,) = found(report, read)
        assert finding.kind is Kind.UNPROVEN
        assert finding.cause.startswith(f"reads the clock by {name}, so its rows depend on when")
        assert "it is built: write a fixed time in its place, or write in" in finding.cause
    assert of(report, APART).verdict is Verdict.CLEAN


def test_a_model_that_reads_a_leaking_one_reports_it(report: AuditReport) -> None:
    (finding,) = found(report, SECOND)
    assert finding.cause.endswith("; it reads ahead, which looks ahead itself")
    assert "reads" not in found(report, AHEAD)[0].cause


LOTS = together("lots", f"select {KEY}, random() as lot {FROM}")


def test_randomness_is_distinguished_from_look_ahead(report: AuditReport) -> None:
    (finding,) = found(report, LOTS)
    assert finding.cause.startswith("two builds of the same data differ")


def test_events_are_known_when_they_arrive(run: Run) -> None:
    known = {
        "ended": "date_trunc('minute', min(\"time\")) + interval '61 seconds'",
        "last": "max(known_at)",  # a minute of which only a part has come has one too
        "first": "min(known_at)",
    }
    models = [
        model(
            name,
            f"select series_id, {at} as known_at, sum(amount) as amount"
            ' from "warehouse"."vendor"."raw_trades"'
            """ group by series_id, date_trunc('minute', "time") having count(*) > 7""",
            sources=(Relation("vendor", "raw_trades"),),
        )
        for name, at in known.items()
    ]
    report = run(*models, cuts=8)
    leaks = {str(finding.model) for finding in report.findings}
    assert leaks == {"last", "first"}, "\n".join(report.lines())
    assert report.series == ("here spot-A-USD",)


# -- labels --------------------------------------------------------------------------------------


LABELS = together(
    "labels",
    f"select {KEY}, lead(price) {WINDOW}) as next, lag(price) {WINDOW}) as last {FROM}",
    is_labels=True,
)


def test_labels_may_look_ahead_and_must(report: AuditReport) -> None:
    (finding,) = found(report, LABELS)
    assert (finding.kind, finding.column) == (Kind.BROKEN_LABEL, "last")


TRAINING = together(
    "training",
    f"select {KEY}, price, lead(price) {WINDOW}) as next {FROM}",
    labels=frozenset({"next"}),
)


def test_a_label_beside_features_is_declared_by_its_column(report: AuditReport) -> None:
    assert of(report, TRAINING).verdict is Verdict.CLEAN


def test_labels_keep_to_their_horizon(run: Run) -> None:
    sql = (
        f"select {KEY}, max(price) {WINDOW} range between current row and interval '3 hours'"
        f" following) as highest {FROM}"
    )
    hour_us = 3_600 * 10**6
    models = [
        model(f"of_{hours}_hours", sql, is_labels=True, horizon_us=hours * hour_us)
        for hours in (1, 3)
    ]
    finding = only(run(*models, cuts=6))
    assert (str(finding.model), finding.kind) == ("of_1_hours", Kind.HORIZON)


# -- declarations --------------------------------------------------------------------------------


VOLUMES = {
    hours: together(
        f"volume_{hours}h",
        f"select {KEY}, sum(volume) {WINDOW} range between interval '2 hours'"
        f" - interval '1 microsecond' preceding and current row) as volume_2h,"
        f" sum(volume) {WINDOW} rows unbounded preceding) as so_far {FROM}",
        lookback_us=hours * 3_600 * 10**6,
        accumulates=("so_far",),
    )
    for hours in (1, 2)
}


def test_rows_keep_to_their_lookback(report: AuditReport) -> None:
    assert of(report, VOLUMES[2]).verdict is Verdict.CLEAN
    (finding,) = found(report, VOLUMES[1])
    assert (finding.kind, finding.column) == (Kind.LOOKBACK, "volume_2h")
    assert finding.mode is Mode.FORGOTTEN


BY_HOUR = f"select hour(time) as hour, avg(volume) as volume {FROM} group by hour"
HOURS = together("hours", BY_HOUR)
DECLARED_HOURS = together("declared_hours", BY_HOUR, is_whole_sample=True)


def test_a_statistic_of_the_whole_sample_is_in_sample_when_declared(
    report: AuditReport,
) -> None:
    assert not found(report, DECLARED_HOURS)
    assert of(report, DECLARED_HOURS).verdict is Verdict.IN_SAMPLE
    (finding,) = found(report, HOURS)
    assert (finding.kind, finding.cause.split(";")[0]) == (Kind.UNPROVEN, "has no column known_at")


ODD = {
    "known_at::timestamptz": "known_at is TIMESTAMP WITH TIME ZONE; it must be TIMESTAMP",
    "known_at::varchar": "known_at is VARCHAR; it must be TIMESTAMP",
    "case when trades > 3 then known_at end": "without known_at",
    "error('so be it')::timestamp": "cannot be built on the data known at a cut: ",
}
ODD_MODELS = {
    known_at: together(
        f"odd_{number}", f'select series_id, "time", {known_at} as known_at, price {FROM}'
    )
    for number, known_at in enumerate(ODD)
}


@pytest.mark.parametrize("known_at", ODD)
def test_what_cannot_be_judged_is_not_passed(report: AuditReport, known_at: str) -> None:
    (finding,) = found(report, ODD_MODELS[known_at])
    assert finding.kind is Kind.UNPROVEN
    assert ODD[known_at] in finding.cause
    assert of(report, ODD_MODELS[known_at]).verdict is Verdict.UNPROVEN


EARLY = together(
    "early", f'select series_id, "time", "time" as known_at, price {FROM} where series_id = 1'
)


def test_known_at_that_is_too_early_is_a_leak(report: AuditReport) -> None:
    (finding,) = found(report, EARLY)
    assert (finding.kind, finding.column) == (Kind.LEAK, None)


# -- the run itself ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_report_and_another_other_cuts(run: Run) -> None:
    leak = model("ahead", f"select {KEY}, lead(price) {WINDOW}) as next {FROM}")
    first = run(leak, seed=1)
    assert run(leak, seed=1) == first
    assert run(leak, seed=2).cuts != first.cuts


def test_only_the_named_models_are_audited(run: Run) -> None:
    models = [model(name, f"select {KEY}, price {FROM}") for name in ("one", "two")]
    report = run(*models, models=["two"])
    assert [str(audit.model) for audit in report.models] == ["two"]
    with pytest.raises(NotFoundError, match="models: one, two"):
        run(*models, models=["three"])


def test_what_is_no_catalog_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(b"no catalog")
    with pytest.raises(DamagedError, match="cannot be read as a catalog"):
        audit_lookahead(path, Project((), ()))


def test_cuts_fall_within_bars_of_slower_series(run: Run) -> None:
    cuts = run(model("prices", f"select {KEY} {FROM}"), cuts=8).cuts
    assert any(cut.minute for cut in cuts)
    assert all(cut.minute % 5 == 0 and cut.second == 0 for cut in cuts)


@pytest.mark.parametrize("seed", range(2))
def test_a_slower_bar_joined_by_its_time_is_found_by_the_first_cut(run: Run, seed: int) -> None:
    hours = f'(select symbol, "time", price as hour_close {FROM} where "interval" = \'1h\')'
    sql = (
        f'select fast.series_id, fast."time", fast.known_at, hour_close {FROM} as fast'
        f" inner join {hours} as slow on fast.symbol = slow.symbol and fast.\"interval\" = '5m'"
        ' and date_trunc(\'hour\', fast."time") = slow."time"'
    )
    finding = only(run(model("hours", sql), seed=seed))
    assert (finding.value_known, finding.value_whole) == ("no row", "a row")
    assert f": no row from what was known at the cut {finding.cut}, but a row " in str(finding)
    assert "join them on known_at" in finding.cause


def test_holes_before_a_cut_keep_the_bar_around_it() -> None:
    half_past_three = Cut(1, 1_735_702_200_000_000, (), True)
    columns = [("series_id", "INTEGER"), ("time", "TIMESTAMP"), ("known_at", "TIMESTAMP")]
    with duckdb.connect() as connection:
        connection.execute("create schema cut")
        connection.execute(
            "create table cut.prices as select 1 as series_id, hour::double as hour,"
            " timestamp '2025-01-01' + to_hours(hour) as \"time\","
            ' "time" + interval 1 hour as known_at from range(6) as bars (hour)'
        )
        for seed in range(8):
            holed = _holed_sql("prices", [*columns, ("hour", "DOUBLE")], half_past_three, seed)
            later = f"select hour from ({holed}) where \"time\" >= timestamp '2025-01-01 03:00'"
            assert connection.execute(f"{later} order by all").fetchall() == [(3,), (4,), (5,)]


def test_a_stored_mart_that_cannot_be_read_is_damage(tmp_path: Path, catalog: Path) -> None:
    """It chooses the series for a model that has no rows in the sample."""
    own, month = shutil.copy(catalog, tmp_path), tmp_path / "2025-01.parquet"
    with duckdb.connect(own) as connection:
        connection.execute(f"copy (select 1 as series_id) to '{month}'")
        connection.execute(f"create view main.rare as from read_parquet('{month}')")
    month.unlink()
    rare = model("rare", f"select {KEY} {FROM} where false")
    with pytest.raises(DamagedError, match="2025-01"):
        audit_lookahead(own, Project((rare,), ()), cuts=1, size=SIZE)
