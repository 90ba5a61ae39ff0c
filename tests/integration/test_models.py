"""The models on a home with all metric datasets: it builds, passes its tests, is described."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from tests.market import Market, write_market
from tests.support import BTC, run_warehouse
from warehouse.home import Home
from warehouse.project import shipped_or_kept
from warehouse.vendor.contracts import load_contracts


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of all metric datasets, from ``warehouse update``."""
    folder = tmp_path_factory.mktemp("models")
    market = Market(
        symbols=(BTC,),
        datasets=tuple(name for name in load_contracts() if not name.startswith("raw_")),
        intervals=("1h", "5m"),
        clocks=("exchange", "true"),
        start=date(2025, 9, 1),
        end=date(2025, 9, 5),
        missing_bars=0.001,
    )
    write_market(folder / "files", market)
    home = folder / "home"
    updated = run_warehouse(
        "update", "--from", folder / "files", "--home", home, cwd=folder, audits=False
    )
    assert updated.exit_code == 0, updated.stderr
    assert "warning" not in updated.stderr
    return home / "warehouse.duckdb"


def test_build_on_all_datasets_passes_every_test_without_a_warning(built: Path) -> None:
    with duckdb.connect(built, read_only=True) as connection:
        outcomes = connection.execute(
            "select status, count(*) from meta.results where resource_type = 'test' group by all"
        ).fetchall()
    assert [status for status, _ in outcomes] == ["pass"]
    assert outcomes[0][1] > 40


def test_every_mart_and_column_has_a_comment_with_a_unit(built: Path) -> None:
    with duckdb.connect(built, read_only=True) as connection:
        bare = connection.execute(
            "select table_name || '.' || column_name from duckdb_columns()"
            " where schema_name = 'main' and database_name = 'warehouse' and not internal"
            " and not regexp_matches(coalesce(comment, ''), '\\[.+\\]')"
        ).fetchall()
        views = connection.execute(
            "select view_name from duckdb_views()"
            " where schema_name in ('main', 'staging') and not internal and comment is null"
        ).fetchall()
    assert bare == []
    assert views == []


@pytest.mark.parametrize("max_age", ["30 minutes", "3 hours"])
def test_as_of_joins_the_last_closed_bar_as_merge_asof_does(built: Path, max_age: str) -> None:
    with duckdb.connect(built, read_only=True) as connection:
        joined = connection.sql(
            "select time, known_at, slow.time as slow_time, slow.close as slow_close"
            f" from as_of('flow_features', '5m', 'flow_features', '1h', interval '{max_age}')"
            " where clock = 'true' order by time"
        ).df()
        hourly = connection.sql(
            "select known_at, close as slow_close from flow_features"
            " where \"interval\" = '1h' and clock = 'true' order by time"
        ).df()
    expected = pd.merge_asof(
        joined[["time", "known_at"]], hourly, on="known_at", tolerance=pd.Timedelta(max_age)
    )
    pd.testing.assert_series_equal(joined["slow_close"], expected["slow_close"])
    closed = joined["slow_time"] + pd.Timedelta(hours=1)
    assert (closed.dropna() <= joined["known_at"][closed.notna()]).all()
    assert joined["slow_close"].notna().mean() > 0.5
    assert joined["slow_close"].isna().any()


def test_flow_from_a_moment_begins_its_sum_there(built: Path) -> None:
    with duckdb.connect(built, read_only=True) as connection:
        rows = connection.sql(
            "select net_delta, cumulative_delta_from_start from flow_from(timestamp '2025-09-03')"
            " where \"interval\" = '5m' and clock = 'true' order by time"
        ).df()
    assert rows["cumulative_delta_from_start"].iloc[0] == rows["net_delta"].iloc[0]
    assert rows["cumulative_delta_from_start"].iloc[-1] == pytest.approx(rows["net_delta"].sum())


def test_marts_when_no_dataset_of_their_rows_has_bars_then_have_no_rows(
    built: Path, tmp_path: Path
) -> None:
    compiled = shipped_or_kept(Home(built.parent))
    assert compiled is not None
    checked = [model for model in compiled.project.models if model.rows_of]
    assert {model.name for model in checked} == {"derivative_features", "funding_labels"}
    with duckdb.connect(shutil.copy(built.resolve(), tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(f"set variable warehouse_home = '{built.parent}'")
        for model in checked:
            (rows,) = connection.execute(f"select count(*) from ({model.sql})").fetchone() or (0,)
            assert rows > 100
            connection.begin()
            for name in model.rows_of:
                connection.execute(f"create table rows_of_{name} as from vendor.{name} limit 0")
                connection.execute(f"create or replace view vendor.{name} as from rows_of_{name}")
            found = connection.execute(f"select count(*) from ({model.sql})").fetchone()
            assert found == (0,), model.name
            connection.rollback()
