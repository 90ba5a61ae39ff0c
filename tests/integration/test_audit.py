"""The look-ahead audit on a simulated market.

``planted/`` holds models that look ahead, or whose declarations are wrong, with the expected
verdict in ``EXPECTED``. They are built as the user's models.
"""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from tests.market import DATASETS, Market, write_market
from tests.support import copy_home, run_warehouse
from warehouse.audit import (
    FULL,
    AuditReport,
    Kind,
    ModelFinding,
    SampleSize,
    Verdict,
    audit_lookahead,
    audit_sample,
)
from warehouse.build.catalog import prepare_catalog
from warehouse.config import load_settings
from warehouse.home import Home
from warehouse.project import (
    Project,
    build_rendered_models,
    create_schemas,
    create_seeds,
    create_views,
    load_project,
    shipped_or_kept,
)
from warehouse.project.user_models import user_target
from warehouse.sql import Relation, literal
from warehouse.sync.from_folder import sync_folder

SIZE = SampleSize(series=2, bars=700)
ROWS = None  # a finding on whole rows names no column

EXPECTED: dict[str, dict[str | None, tuple[Kind, str]]] = {
    "centred_window": {"net_delta_mean": (Kind.LEAK, "uses flow ")},
    "whole_sample_zscore": {
        "volume_z": (Kind.LEAK, "a statistic of all rows, or a frame without an end"),
        "volume_share_of_largest": (Kind.LEAK, "uses ohlcv "),
        "volume_rank": (Kind.LEAK, "a statistic of all rows, or a frame without an end"),
    },
    "off_by_one_join": {
        "last_return_off_by_one_bps": (Kind.LEAK, "; it reads forward_returns, which holds labels")
    },
    "backfill": {"open_interest_backfilled": (Kind.LEAK, "uses open_interest ")},
    "next_bar": {
        "next_close": (Kind.LEAK, "up to 1 bar ("),
        "close_in_an_hour": (Kind.LEAK, "(1 hour) after the row is known"),
    },
    "slower_bar_by_time": {"hourly_close": (Kind.LEAK, "uses ohlcv 1h, whose bars close up to ")},
    "drawn_at_random": {"place": (Kind.LEAK, "two builds of the same data differ")},
    "row_needs_the_next": {ROWS: (Kind.LEAK, "uses l1_price ")},
    "mean_of_the_day": {"spread_of_day": (Kind.LEAK, "uses l1_price ")},
    "known_too_early": {ROWS: (Kind.LEAK, "uses basis ")},
    "second_hand": {
        "twice_next_close": (Kind.LEAK, "; it reads user.next_bar, which looks ahead itself")
    },
    "label_that_is_none": {"last_return": (Kind.BROKEN_LABEL, "declared as a label")},
    "too_short_a_lookback": {"volume_3h": (Kind.LOOKBACK, "further back than")},
    "too_short_a_horizon": {
        "close_in_3h": (Kind.HORIZON, "lead(), which counts rows, reaches further")
    },
    "without_known_at": {ROWS: (Kind.UNPROVEN, "has no column known_at")},
    "warm_up_from_later": {"net_delta_filled": (Kind.LEAK, "uses flow ")},
    "calibrated_on_first_week": {"volume_calibrated": (Kind.LEAK, "uses ohlcv ")},
    "following_frame": {"spread_ahead": (Kind.LEAK, "uses l1_price ")},
    "asof_forward": {"next_delta": (Kind.LEAK, "uses flow ")},
    "quantile_of_series": {"is_large": (Kind.LEAK, "")},
    "close_of_the_day": {"close_of_day": (Kind.LEAK, "uses ohlcv ")},
    "normalised_by_all": {"volume_z": (Kind.LEAK, "")},
    "joined_with_the_next": {"one_hour_return": (Kind.LEAK, "uses ohlcv ")},
    "wrong_time_zone": {"delta_of_other_zone": (Kind.LEAK, "uses flow ")},
    "survivors_only": {ROWS: (Kind.LEAK, "")},
    "known_an_hour_early": {ROWS: (Kind.LEAK, "uses flow ")},
    "known_far_too_late": {},
    "reads_stored_files": {ROWS: (Kind.UNPROVEN, "reads glob(…), which is the same at every")},
    "reads_by_name": {ROWS: (Kind.UNPROVEN, "write {{ ref('stg_flow') }} in its place")},
    "reads_by_name_second_hand": {
        ROWS: (Kind.UNPROVEN, "reads user.reads_stored_files, which reads glob(…)")
    },
    "files_vouched_for": {},
    "clean_trailing": {},
    "clean_asof": {},
    "clean_other_marts": {},
    "training_set": {},
    "volume_by_hour": {},
}


@dataclass(frozen=True, slots=True)
class Ground:
    """A prepared catalog of a simulated market, and the project with the planted models."""

    catalog: Path
    project: Project

    def models(self, schema: str) -> list[str]:
        return [str(m.relation) for m in self.project.models if m.relation.schema == schema]


@pytest.fixture(scope="module")
def ground(shared_folder: Path) -> Ground:
    folder = shared_folder / "audit"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").is_file():
            prepare(folder)
            (folder / "done").touch()
    home = Home(folder / "home")
    return Ground(home.build_catalog, load_project(user_target(home)))


def prepare(folder: Path) -> None:
    """Simulate, sync and prepare; then build the planted models as the user's."""
    market = Market(
        symbols=("perpetual-BTC-USDT:USDT",),
        datasets=tuple(DATASETS),
        intervals=("5m", "1h"),
        clocks=("exchange",),
        start=date(2025, 10, 1),
        end=date(2025, 10, 22),
        missing_bars=0.0005,
        gaps=3,
    )
    write_market(folder / "files", market)
    sync_folder(Home(folder / "home"), folder / "files")
    prepare_catalog(load_settings(folder / "home", {}), generation=1)
    home = Home(folder / "home")
    shutil.copytree(Path(__file__).parent / "planted", home.models)
    compiled = shipped_or_kept(home)
    assert compiled is not None, "run: make compiled"
    built = shutil.copyfile(home.build_catalog, folder / "built.duckdb")
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(built))} as warehouse; use warehouse")
        create_schemas(connection, compiled.project)
        create_seeds(connection, compiled.project)
        create_views(connection, compiled.project)
        build_rendered_models(connection, home, compiled)


def said(report: AuditReport, name: str) -> dict[str | None, ModelFinding]:
    audits = [audit for audit in report.models if audit.model.name == name]
    return {finding.column: finding for audit in audits for finding in audit.findings}


def test_planted_leaks_are_caught_with_model_column_and_cause(ground: Ground) -> None:
    report = audit_lookahead(
        ground.catalog, ground.project, models=ground.models("user"), cuts=3, size=SIZE
    )
    text = "\n".join(report.lines())
    assert {audit.model.name for audit in report.models} == EXPECTED.keys()
    for name, expected in EXPECTED.items():
        found = said(report, name)
        assert found.keys() == expected.keys(), f"{name}\n{text}"
        for column, (kind, cause) in expected.items():
            assert found[column].kind is kind, text
            assert cause in found[column].cause, text
    verdicts = {audit.model.name: audit.verdict for audit in report.models}
    assert verdicts["training_set"] is Verdict.CLEAN
    assert verdicts["volume_by_hour"] is Verdict.IN_SAMPLE
    assert verdicts["known_far_too_late"] is Verdict.UNTESTED
    assert verdicts["reads_stored_files"] is Verdict.UNPROVEN
    assert verdicts["survivors_only"] is Verdict.LEAK
    assert verdicts["label_that_is_none"] is Verdict.MISDECLARED
    clean = {name for name, verdict in verdicts.items() if verdict is Verdict.CLEAN}
    vouched = {"training_set", "files_vouched_for"}
    assert clean == vouched | {n for n in EXPECTED if n.startswith("clean_")}
    first = said(report, "slower_bar_by_time")["hourly_close"]
    assert first.cause.endswith("join them on known_at, not on time")
    assert first.reach_us is not None
    assert 0 < first.reach_us < 3_600 * 10**6


def assert_real_models_pass(ground: Ground, size: SampleSize, cuts: int, seed: int) -> None:
    report = audit_lookahead(
        ground.catalog, ground.project, models=ground.models("main"),
        cuts=cuts, size=size, seed=seed,
    )  # fmt: skip
    assert report.passed, "\n".join(report.lines())
    assert len(report.cuts) == cuts
    verdicts = {audit.verdict for audit in report.models}
    assert verdicts == {Verdict.CLEAN, Verdict.LABELS, Verdict.IN_SAMPLE}
    assert all(audit.rows for audit in report.models if audit.verdict is Verdict.CLEAN)


def test_the_real_models_pass_with_3_cuts(ground: Ground) -> None:
    assert_real_models_pass(ground, replace(SIZE, takes_turns=True), cuts=3, seed=0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_the_real_models_pass_in_full(ground: Ground, seed: int) -> None:
    assert_real_models_pass(ground, FULL, 20, seed)


def test_staging_is_audited_when_it_is_named(ground: Ground) -> None:
    report = audit_lookahead(
        ground.catalog, ground.project, models=["stg_flow", "staging.stg_ohlcv"], cuts=2, size=SIZE
    )
    assert [audit.verdict for audit in report.models] == [Verdict.CLEAN] * 2


def test_the_sample_of_every_build_catches_the_common_leaks(ground: Ground) -> None:
    leaks = {"centred_window", "whole_sample_zscore", "off_by_one_join", "next_bar"}
    planted = [ground.project.model(name) for name in (*leaks, "clean_trailing", "clean_asof")]
    sampled = replace(ground.project, models=ground.project.with_ancestors(planted))
    report = audit_sample(ground.catalog, sampled)
    assert {audit.model.name for audit in report.models if audit.findings} == leaks


HOURS = "from {ohlcv} as f where f.\"interval\" = '1h'"
DAY = "timestamp '2025-10-09'"
SPAN = f'f."time" >= {DAY} and f."time" < {DAY} + interval 2 day'
NARROW = {
    "next_of_two_days": (
        f'select f.series_id, f."time", f.known_at, lead(f.close) over (partition by'
        f' f.series_id order by f."time") as x {HOURS} and {SPAN}'
    ),
    "last_of_two_days": (
        'select f.series_id, f."time", f.known_at, last_value(f.close) over (partition by'
        ' f.series_id order by f."time" rows between unbounded preceding and unbounded following)'
        f" as x {HOURS} and {SPAN}"
    ),
    "close_of_two_days": (
        f'select f.series_id, f."time", f.known_at, f.close as x {HOURS} and {SPAN}'
    ),
    "next_bar_without_a_series": (
        'select f."time", f.known_at, lead(avg(f.close)) over (order by f."time") as x'
        f' {HOURS} and {SPAN} group by f."time", f.known_at'
    ),
    "close_without_a_series": (
        f'select f."time", f.known_at, avg(f.close) as x {HOURS} and {SPAN} group by all'
    ),
}
MOMENTS = {
    "known_a_microsecond_early": (
        'select f.series_id, f."time", f.known_at - interval 1 microsecond as known_at,'
        " f.close as x from {ohlcv} as f where f.\"interval\" = '5m'"
    ),
    "known_after_59_of_60_minutes": (
        'select f.series_id, f."time", f."time" + interval 59 minute as known_at, f.close as x'
        f" {HOURS}"
    ),
    "next_bar_once_a_day": (
        'select f.series_id, f."time", f.known_at, lead(f.close) over (partition by f.series_id'
        ' order by f."time") as x from {ohlcv} as f'
        " qualify f.\"interval\" = '5m' and f.\"time\"::time = time '23:55:00'"
    ),
    "rise_of_a_week_in_5m_bars": (
        'select f.series_id, f."time", f.known_at, coalesce(lead(f.close, 2016) over (partition by'
        ' f.series_id order by f."time") > f.close, false) as x from {ohlcv} as f'
        " where f.\"interval\" = '5m'"
    ),
    "rise_of_a_fortnight_in_1h_bars": (
        'select f.series_id, f."time", f.known_at, coalesce(lead(f.close, 336) over (partition by'
        f' f.series_id order by f."time") > f.close, false) as x {HOURS}'
    ),
    "close_known_a_microsecond_late": (
        'select f.series_id, f."time", f.known_at + interval 1 microsecond as known_at,'
        " f.close as x from {ohlcv} as f"
    ),
    "mean_of_a_day_until_its_last_bar": (
        'select f.series_id, date_trunc(\'day\', f."time") as "time",'
        " max(f.known_at) as known_at, avg(f.close) as x from {ohlcv} as f group by 1, 2"
    ),
}


@pytest.fixture(scope="module")
def narrow(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The market with views of the user's whose rows are of two days of three weeks."""
    catalog = tmp_path_factory.mktemp("narrow") / "warehouse.duckdb"
    shutil.copyfile(ground.catalog, catalog)
    pattern = ground.project.model("clean_trailing")
    ohlcv = Relation("vendor", "ohlcv")
    models = []
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(catalog))} as warehouse")
        for name, sql in (NARROW | MOMENTS).items():
            relation = Relation("user", name)
            sql = sql.format(ohlcv=ohlcv.sql)
            connection.execute('create schema if not exists warehouse."user"')
            connection.execute(f"create view {relation.sql} as {sql}")
            models.append(
                replace(pattern, relation=relation, sql=sql, depends_on=(), sources=(ohlcv,))
            )
    return Ground(catalog, Project(tuple(models), ()))


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))]
)
def test_every_sample_finds_the_leak_of_a_model_with_rows_in_a_short_span(
    narrow: Ground, seed: int
) -> None:
    for name in NARROW:
        (audit,) = audit_sample(narrow.catalog, narrow.project, models=[name], seed=seed).models
        expected = Verdict.CLEAN if name.startswith("close_") else Verdict.LEAK
        assert audit.verdict is expected, audit
        assert audit.rows
        for finding in audit.findings:
            assert finding.cut is not None
            assert date(2025, 10, 9) <= finding.cut.date() < date(2025, 10, 11)


def test_every_sample_has_cuts_at_moments_when_rows_of_a_model_became_known(narrow: Ground) -> None:
    causes = {
        "known_a_microsecond_early": "close up to 0.000001 seconds after the row is known",
        "known_after_59_of_60_minutes": ", or set known_at to the end of the bar that begins with",
        "next_bar_once_a_day": "uses ohlcv 5m up to 1 bar",
        "rise_of_a_week_in_5m_bars": "uses ohlcv 5m up to ",
        "rise_of_a_fortnight_in_1h_bars": "uses ohlcv 1h up to ",
        "close_known_a_microsecond_late": "",
        "mean_of_a_day_until_its_last_bar": "its known_at becomes later as bars are added",
    }
    for name, cause in causes.items():
        (audit,) = audit_sample(narrow.catalog, narrow.project, models=[name]).models
        assert audit.verdict is (Verdict.LEAK if cause else Verdict.CLEAN), audit
        assert all(cause in finding.cause for finding in audit.findings), audit


def test_a_model_whose_rows_cannot_be_read_for_cuts_is_untested_with_the_command_to_see_why(
    narrow: Ground,
) -> None:
    with duckdb.connect(narrow.catalog) as connection:
        connection.execute(
            'create view "user".next_in_a_file as'
            " select error('no such file')::timestamp as known_at"
        )
    pattern = narrow.project.model("close_of_two_days")
    model = replace(pattern, relation=Relation("user", "next_in_a_file"))

    (audit,) = audit_sample(narrow.catalog, Project((model,), ())).models

    assert audit.verdict is Verdict.UNTESTED
    assert "(Invalid Input Error: no such file)" in audit.reason
    assert "run: warehouse sql 'select max(known_at) from user.next_in_a_file'" in audit.reason


def test_the_full_audit_has_cuts_at_the_beginning_of_days_and_months(ground: Ground) -> None:
    report = audit_lookahead(ground.catalog, ground.project, models=["stg_ohlcv"], size=SIZE)
    midnights = [cut for cut in report.cuts if cut.time() == datetime.min.time()]
    assert len(midnights) >= 3


def test_command_when_the_home_is_a_copy_then_reads_the_files_of_the_copy(
    demo_home: Path, tmp_path: Path
) -> None:
    home = copy_home(demo_home, tmp_path / "copy")
    shutil.rmtree(home / "marts" / "vendor.flow")  # the original, which still has it, is not read

    done = run_warehouse(
        "--home", home, "audit", "lookahead", "flow_features", "--cuts", "1", cwd=tmp_path
    )

    assert done.exit_code not in (0, 70), done.stdout + done.stderr
    assert str(home / "marts" / "vendor.flow") in done.stderr
    assert str(demo_home) not in done.stdout + done.stderr
