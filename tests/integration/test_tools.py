"""The table of tools in docs/asking.md: each line whose tool is installed is tried."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import warehouse
from tests.support import BTC
from warehouse.build.catalog import STORAGE_VERSION
from warehouse.project import tick_macros

DOCS = Path(__file__).parents[2] / "docs" / "asking.md"
BARS = 112_944
COUNT = "select count(*) as bars from flow_features"
PRICES = """select time, close, net_delta from flow_features
    where symbol = $s and "interval" = '1h' order by time limit 50"""
IS_2 = int(duckdb.__version__.split(".")[0]) >= 2


def _table() -> dict[str, str]:
    """The entry of each tool for the installed DuckDB."""
    section = DOCS.read_text("utf-8").split("\n## Other tools\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.+?) +\|.*?\| (.+?) +\| (.+?) +\|$", section, re.MULTILINE)
    return {tool: on_2 if IS_2 else on_1 for tool, on_1, on_2 in lines if tool != "tool"}


@pytest.fixture(scope="module")
def wh(demo_home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(demo_home) as opened:
        yield opened


@pytest.fixture
def read_only(wh: warehouse.Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(_file(wh), read_only=True) as connection:
        yield connection


def _file(wh: warehouse.Warehouse) -> Path:
    return wh.settings.home / "warehouse.duckdb"


Trial = Callable[[pytest.FixtureRequest], None]


def _wh(request: pytest.FixtureRequest) -> warehouse.Warehouse:
    opened: warehouse.Warehouse = request.getfixturevalue("wh")
    return opened


def _prices(request: pytest.FixtureRequest) -> warehouse.Result:
    return _wh(request).sql(PRICES, s=BTC)


def _need(*modules: str) -> list[Any]:
    return [pytest.importorskip(module) for module in modules]


def _pandas(request: pytest.FixtureRequest) -> None:
    (pandas,) = _need("pandas")
    connection = request.getfixturevalue("read_only")
    assert len(connection.sql("from flow_features").df()) == BARS
    assert pandas.read_sql(COUNT, connection)["bars"].tolist() == [BARS]
    assert pandas.read_sql(COUNT, _wh(request).connection())["bars"].tolist() == [BARS]


def _polars(request: pytest.FixtureRequest) -> None:
    (polars,) = _need("polars")
    connection = request.getfixturevalue("read_only")
    assert connection.sql("from flow_features").pl().height == BARS
    assert polars.read_database(COUNT, connection)["bars"].to_list() == [BARS]


def _pyarrow(request: pytest.FixtureRequest) -> None:
    _need("pyarrow")
    connection = request.getfixturevalue("read_only")
    assert connection.sql("from flow_features").to_arrow_table().num_rows == BARS


def _sqlalchemy(request: pytest.FixtureRequest) -> None:
    pandas, sqlalchemy, engine = _need("pandas", "sqlalchemy", "duckdb_engine")
    wh = _wh(request)
    url = f"duckdb:///{_file(wh)}"
    by_file = sqlalchemy.create_engine(url, connect_args={"read_only": True})
    ours = sqlalchemy.create_engine(
        "duckdb://", creator=lambda: engine.ConnectionWrapper(wh.connection())
    )
    for made in (by_file, ours):
        assert pandas.read_sql(COUNT, made)["bars"].tolist() == [BARS]
        made.dispose()


def _jupysql(request: pytest.FixtureRequest) -> None:
    testing, _ = _need("IPython.testing.globalipapp", "sql.magic")
    shell = testing.get_ipython() or testing.start_ipython()
    shell.run_line_magic("load_ext", "sql")
    shell.user_ns["conn"] = _wh(request).connection()
    shell.run_line_magic("sql", "conn")
    assert list(shell.run_line_magic("sql", COUNT)) == [(BARS,)]


def _ibis(request: pytest.FixtureRequest) -> None:
    ibis, _ = _need("ibis", "pyarrow_hotfix")
    connection = ibis.duckdb.connect(_file(_wh(request)), read_only=True)
    assert connection.table("flow_features").count().execute() == BARS
    assert connection.sql(COUNT).execute()["bars"].tolist() == [BARS]


def _dbt(request: pytest.FixtureRequest) -> None:
    _need("dbt.adapters.duckdb")
    folder = request.getfixturevalue("tmp_path")
    (folder / "models").mkdir()
    (folder / "models" / "bars.sql").write_text(
        f"{{{{ config(materialized='table') }}}} {COUNT.replace('from ', 'from w.')}"
    )
    (folder / "dbt_project.yml").write_text("{name: mine, version: 1.0.0, profile: mine}")
    (folder / "profiles.yml").write_text(
        "mine: {target: dev, outputs: {dev: {type: duckdb, path: mine.duckdb, attach:"
        f" [{{path: {_file(_wh(request))}, alias: w, read_only: true}}]}}}}}}"
    )
    code = "import sys; from dbt.cli.main import cli; sys.exit(cli(['run', '--quiet']))"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    with duckdb.connect(folder / "mine.duckdb", read_only=True) as connection:
        assert connection.sql("from bars").fetchall() == [(BARS,)]


def _shell(request: pytest.FixtureRequest) -> None:
    shell = Path(sys.executable).parent / "duckdb"
    if not shell.is_file():
        pytest.skip("no DuckDB shell is installed")
    macros = request.getfixturevalue("tmp_path") / "t.duckdb"  # of ticks, which the demo lacks
    with duckdb.connect() as connection:
        connection.execute(f"attach '{macros}' as t (storage_version '{STORAGE_VERSION}'); use t")
        connection.execute(tick_macros())
        found = connection.execute(
            "select distinct function_name from duckdb_functions()"
            " where function_name like 'ticks%readings'"
        ).fetchall()
    assert len(found) == 17
    understood = f"attach '{macros}' as t (read_only);"
    understood += "".join(f"explain from t.{name}('1h');" for (name,) in found)
    done = subprocess.run(
        [
            shell,
            "-readonly",
            "-csv",
            "-noheader",
            _file(_wh(request)),
            "-c",
            f"{COUNT};{understood}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.splitlines()[0], done.stderr) == (str(BARS), "")


def _plotly(request: pytest.FixtureRequest) -> None:
    (express,) = _need("plotly.express")
    r = _prices(request)
    figure = express.line(r, x="time", y="close")
    assert list(figure.data[0].y) == r["close"].to_pylist()


def _seaborn(request: pytest.FixtureRequest) -> None:
    _, seaborn = _need("matplotlib.pyplot", "seaborn")
    axes = seaborn.lineplot(data=_prices(request), x="time", y="close")
    assert len(axes.lines[0].get_ydata()) == 50


def _plotnine(request: pytest.FixtureRequest) -> None:
    (plotnine,) = _need("plotnine")
    chart = plotnine.ggplot(_prices(request), plotnine.aes("time", "close"))
    assert (chart + plotnine.geom_line()).draw().axes


def _altair(request: pytest.FixtureRequest) -> None:
    (altair,) = _need("altair")
    chart = altair.Chart(_prices(request).pl()).mark_line().encode(x="time", y="close")
    ((rows),) = chart.to_dict()["datasets"].values()
    assert len(rows) == 50


def _learn(request: pytest.FixtureRequest) -> None:
    (linear,) = _need("sklearn.linear_model")
    r = _prices(request)
    assert linear.LinearRegression().fit(r[["close"]], r["net_delta"]).coef_.shape == (1,)


def _marimo(request: pytest.FixtureRequest) -> None:
    (marimo,) = _need("marimo")
    assert "marimo-table" in marimo.ui.table(_prices(request)).text
    found = marimo.sql(COUNT, engine=_wh(request).connection(), output=False)
    assert found["bars"].to_list() == [BARS]


TRIALS: dict[str, Trial] = {
    "pandas": _pandas,
    "Polars": _polars,
    "pyarrow": _pyarrow,
    "SQLAlchemy": _sqlalchemy,
    "JupySQL": _jupysql,
    "ibis": _ibis,
    "dbt": _dbt,
    "the DuckDB shell": _shell,
    "plotly": _plotly,
    "seaborn": _seaborn,
    "plotnine": _plotnine,
    "altair": _altair,
    "scikit-learn": _learn,
    "marimo": _marimo,
}


def test_docs_when_they_list_tools_then_each_has_a_trial() -> None:
    lines = list(_table())
    assert len(lines) == len(TRIALS)
    assert all(line.startswith(tool) for line, tool in zip(lines, TRIALS, strict=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "tool", [pytest.param(t, marks=pytest.mark.long if t == "dbt" else ()) for t in TRIALS]
)
def test_tool_when_it_reads_the_catalog_then_works_as_documented(
    tool: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    (told,) = (told for line, told in _table().items() if line.startswith(tool))
    if told.startswith("fails"):
        with pytest.raises(AttributeError):
            TRIALS[tool](request)
    else:
        TRIALS[tool](request)
