"""The look-ahead audit on a small catalog made by hand, with models written as compiled SQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from warehouse.audit import AuditReport, Kind, Mode, SampleSize, Verdict, audit_lookahead
from warehouse.audit.report import ModelFinding
from warehouse.errors import DamagedError, NotFoundError
from warehouse.project.project import Model, ModelColumn, Project, Relation

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
        columns=(),
        description="",
        package="warehouse",
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


def only(report: AuditReport) -> ModelFinding:
    assert len(report.findings) == 1, "\n".join(report.lines())
    return report.findings[0]


# -- what is clean -------------------------------------------------------------------------------


def test_a_trailing_window_is_clean_and_rows_are_counted(run: Run) -> None:
    sql = f"select {KEY}, avg(price) {WINDOW} rows 5 preceding) as mean {FROM}"
    report = run(model("mean", sql), cuts=2)
    assert report.passed
    assert report.models[0].verdict is Verdict.CLEAN
    assert report.models[0].rows > 300
    assert report.models[0].untested == ()
    assert len(report.cuts) == 2
    assert set(report.series) == {"here spot-A-USD 5m true", "here spot-A-USD 1h true"} | {
        "here spot-B-USD 5m true"
    }


def test_sums_that_differ_in_the_last_bits_are_equal(run: Run) -> None:
    """The sum over the whole frame in another order, less what came after: equal but for bits."""
    all_rows = f"{WINDOW} rows between unbounded preceding and unbounded following)"
    later = f"{WINDOW} rows between 1 following and unbounded following)"
    sql = (
        f"select {KEY}, sum(price / 7) {all_rows} - coalesce(sum(price / 7) {later}, 0) as total"
        f" {FROM} qualify isfinite(total)"
    )
    clean_only_without_noise = run(model("total", sql), cuts=2)
    assert {finding.mode for finding in clean_only_without_noise.findings} <= {Mode.NOISE}


def test_rows_with_equal_keys_are_compared_as_a_set(run: Run) -> None:
    sql = f"select {KEY}, size, price * size as cost {FROM} cross join (values (1), (2)) s (size)"
    assert run(model("costs", sql), cuts=2).passed


def test_a_macro_of_the_catalog_may_be_called(run: Run) -> None:
    assert run(model("half", f"select {KEY}, halved(price) as half {FROM}")).passed


def test_a_model_over_no_vendor_data_is_left_untested(run: Run) -> None:
    report = run(model("one", "select 1 as one", sources=()))
    assert report.models[0].verdict is Verdict.UNTESTED
    assert report.passed


def test_a_column_that_is_always_null_is_named(run: Run) -> None:
    report = run(model("nothing", f"select {KEY}, price, null::double as nothing {FROM}"))
    assert report.models[0].untested == ("nothing",)
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


def test_a_leak_has_its_column_first_row_values_and_reach(run: Run) -> None:
    sql = (
        f"select {KEY}, price, lag(price) {WINDOW}) as last,"
        f" lead(price, 3) {WINDOW}) as third {FROM} where series_id = 2"
    )
    finding = only(run(model("ahead", sql)))
    assert (finding.kind, str(finding.model), finding.column) == (Kind.LEAK, "ahead", "third")
    assert finding.mode is Mode.TRUNCATED
    assert finding.series == "here spot-B-USD 5m true"
    assert finding.value_known is None
    assert isinstance(finding.value_whole, float)
    assert finding.time is not None
    assert finding.cut is not None
    assert finding.time < finding.cut
    assert finding.reach_bars in (3, 4)  # 4 where a bar is missing
    assert finding.cause.startswith("uses prices 5m up to ")
    assert str(finding).startswith("ahead.third: leak: uses prices 5m up to ")


def test_what_noise_alone_shows_is_found(run: Run) -> None:
    """All rows after the cut are gone, so nothing is left that could show it but their values."""
    sql = f"""
        with later as (
            select series_id, max(known_at) as last, any_value(known_at) filter (volume > 1000)
                as spike from {PRICES.sql} group by series_id
        )
        select prices.series_id, "time", known_at, spike is not null as is_before_a_spike
        from {PRICES.sql} as prices inner join later using (series_id)
    """
    finding = only(run(model("spikes", sql)))
    assert (finding.mode, finding.column) == (Mode.NOISE, "is_before_a_spike")


def test_a_small_column_is_judged_by_its_own_size(run: Run) -> None:
    sql = f"select {KEY}, 1e-15 * lead(price) {WINDOW}) as tiny {FROM}"
    assert only(run(model("tiny", sql))).column == "tiny"


def test_names_of_the_audit_itself_are_free_for_models(run: Run) -> None:
    columns = ("place", "present", "right", "left", "slot", "size")
    given = ", ".join(f'lead(price) {WINDOW}) as "{name}"' for name in columns)
    report = run(model("names", f"select {KEY}, {given} {FROM}"), cuts=1)
    assert {finding.column for finding in report.findings} == set(columns)


def test_rows_that_need_the_future_to_be_there_are_a_leak(run: Run) -> None:
    sql = f"select {KEY}, price {FROM} qualify lead(price) {WINDOW}) is not null"
    finding = only(run(model("rows", sql)))
    assert (finding.column, finding.value_known, finding.value_whole) == (None, "no row", "a row")


def test_holes_before_the_cut_show_a_backfill_that_clean_data_hides(run: Run) -> None:
    sql = (
        f"select {KEY}, first_value(price ignore nulls) {WINDOW} rows between current row and"
        f" unbounded following) as price {FROM}"
    )
    assert run(model("backfill", sql), cuts=1).passed  # the first cut leaves the data as they are
    assert only(run(model("backfill", sql), cuts=4)).column == "price"


def test_a_model_that_reads_a_leaking_one_says_so(run: Run) -> None:
    first = model("ahead", f"select {KEY}, lead(price) {WINDOW}) as next {FROM}")
    second = model(
        "second", f'select {KEY}, 2 * next as twice from "warehouse"."main"."ahead"', "ahead"
    )
    causes = {str(f.model): f.cause for f in run(first, second).findings}
    assert causes["second"].endswith("; it reads ahead, which looks ahead itself")
    assert "reads" not in causes["ahead"]


def test_chance_is_told_from_foresight(run: Run) -> None:
    finding = only(run(model("lots", f"select {KEY}, random() as lot {FROM}")))
    assert finding.cause.startswith("two builds of the same data differ")


@pytest.mark.parametrize(
    ("known", "passes"),
    [
        ("date_trunc('minute', min(\"time\")) + interval '61 seconds'", True),
        ("max(known_at)", False),  # a minute of which only a part has come has one too
        ("min(known_at)", False),
    ],
)
def test_events_are_known_when_they_arrive(run: Run, known: str, passes: bool) -> None:
    sql = (
        f"select series_id, {known} as known_at, sum(amount) as amount"
        ' from "warehouse"."vendor"."raw_trades"'
        """ group by series_id, date_trunc('minute', "time") having count(*) > 7"""
    )
    trades = (Relation("vendor", "raw_trades"),)
    report = run(model("minutes", sql, sources=trades), cuts=8)
    assert report.passed is passes, "\n".join(report.lines())
    assert report.series == ("here spot-A-USD",)


# -- labels --------------------------------------------------------------------------------------


def test_labels_may_look_ahead_and_must(run: Run) -> None:
    sql = f"select {KEY}, lead(price) {WINDOW}) as next, lag(price) {WINDOW}) as last {FROM}"
    report = run(model("labels", sql, is_labels=True))
    finding = only(report)
    assert (finding.kind, finding.column) == (Kind.BROKEN_LABEL, "last")


def test_a_label_beside_features_is_declared_by_its_column(run: Run) -> None:
    sql = f"select {KEY}, price, lead(price) {WINDOW}) as next {FROM}"
    column = ModelColumn("next", "DOUBLE", "", is_label=True)
    report = run(model("training", sql, columns=(column,)), cuts=2)
    assert report.passed
    assert report.models[0].verdict is Verdict.CLEAN


@pytest.mark.parametrize(("hours", "passes"), [(1, False), (3, True)])
def test_labels_keep_to_their_horizon(run: Run, hours: int, passes: bool) -> None:
    sql = (
        f"select {KEY}, max(price) {WINDOW} range between current row and interval '3 hours'"
        f" following) as highest {FROM}"
    )
    horizon_us = hours * 3_600 * 10**6
    report = run(model("highest", sql, is_labels=True, horizon_us=horizon_us), cuts=6)
    assert report.passed is passes
    assert {finding.kind for finding in report.findings} <= {Kind.HORIZON}


# -- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "passes"), [(1, False), (2, True)])
def test_rows_keep_to_their_lookback(run: Run, hours: int, passes: bool) -> None:
    sql = (
        f"select {KEY}, sum(volume) {WINDOW} range between interval '2 hours'"
        f" - interval '1 microsecond' preceding and current row) as volume_2h,"
        f" sum(volume) {WINDOW} rows unbounded preceding) as so_far {FROM}"
    )
    declared = {"lookback_us": hours * 3_600 * 10**6, "accumulates": ("so_far",)}
    report = run(model("volume", sql, **declared), cuts=1)
    assert report.passed is passes
    if not passes:
        finding = only(report)
        assert (finding.kind, finding.column) == (Kind.LOOKBACK, "volume_2h")
        assert finding.mode is Mode.FORGOTTEN


def test_a_statistic_of_the_whole_sample_is_in_sample_when_it_says_so(run: Run) -> None:
    sql = f"select hour(time) as hour, avg(volume) as volume {FROM} group by hour"
    declared = run(model("hours", sql, is_whole_sample=True))
    assert declared.passed
    assert declared.models[0].verdict is Verdict.IN_SAMPLE
    finding = only(run(model("hours", sql)))
    assert (finding.kind, finding.cause.split(";")[0]) == (Kind.UNPROVEN, "has no column known_at")


@pytest.mark.parametrize(
    ("known_at", "cause"),
    [
        ("known_at::timestamptz", "known_at is TIMESTAMP WITH TIME ZONE; it must be TIMESTAMP"),
        ("known_at::varchar", "known_at is VARCHAR; it must be TIMESTAMP"),
        ("case when trades > 3 then known_at end", "without known_at"),
        ("error('so be it')::timestamp", "cannot be built on the data known at a cut: "),
    ],
)
def test_what_cannot_be_judged_is_not_passed(run: Run, known_at: str, cause: str) -> None:
    sql = f'select series_id, "time", {known_at} as known_at, price {FROM}'
    report = run(model("odd", sql), model("fine", f"select {KEY}, price {FROM}"))
    finding = only(report)
    assert finding.kind is Kind.UNPROVEN
    assert cause in finding.cause
    assert [audit.verdict for audit in report.models] == [Verdict.UNPROVEN, Verdict.CLEAN]


def test_known_at_that_is_too_early_is_a_leak(run: Run) -> None:
    sql = f'select series_id, "time", "time" as known_at, price {FROM} where series_id = 1'
    finding = only(run(model("early", sql)))
    assert (finding.kind, finding.column) == (Kind.LEAK, None)


# -- the run itself ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_report_and_another_other_cuts(run: Run) -> None:
    leak = model("ahead", f"select {KEY}, lead(price) {WINDOW}) as next {FROM}")
    first = run(leak, seed=1, cuts=2)
    assert run(leak, seed=1, cuts=2) == first
    assert run(leak, seed=2, cuts=2).cuts != first.cuts


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
    cuts = run(model("prices", f"select {KEY} {FROM}"), cuts=12).cuts
    assert any(cut.minute for cut in cuts)
    assert all(cut.minute % 5 == 0 and cut.second == 0 for cut in cuts)


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
