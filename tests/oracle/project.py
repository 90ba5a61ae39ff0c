"""The models on a test's own rows, in memory: their SQL as shipped, or as dbt compiles it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from tests.support import ROOT
from warehouse.home import Home
from warehouse.project import (
    Project,
    Renderer,
    create_schemas,
    create_seeds,
    create_views,
    shipped_or_kept,
)
from warehouse.project.compiled import SHIPPED
from warehouse.sql import Relation, identifier
from warehouse.vendor.contracts import KEY_COLUMNS, load_contracts
from warehouse.vendor.keys import interval_us

LOOSENED = 0.25
"""The var ``min_window_coverage`` of the tests that loosen the window rule."""
KEYS = tuple(column.name for column in KEY_COLUMNS)


def bare_project(folder: Path) -> list[str]:
    """Our project with its macros, but without models, which take dbt seconds; dbt's options."""
    project = folder / "project"
    shutil.copytree(ROOT / "macros", project / "macros")
    shutil.copyfile(ROOT / "dbt_project.yml", project / "dbt_project.yml")
    options = {
        "project-dir": project, "profiles-dir": ROOT,
        "target-path": folder / "target", "log-path": folder / "logs",
    }  # fmt: skip
    return [part for name, place in options.items() for part in (f"--{name}", str(place))]


def shipped_project() -> Project:
    """The models as the package ships them; ``test_build.py`` compares them with dbt's."""
    compiled = shipped_or_kept(Home(Path("nowhere")))
    assert compiled is not None, "the project's files were edited: run: make compiled"
    return compiled.project


def loosened_models(folder: Path) -> Path:
    """The target folder of all models where ``min_window_coverage`` was edited to ``LOOSENED``.

    The renderer's text is that of dbt: see ``test_render.py``.
    """
    for part in ("macros", "models", "seeds", "tests/dbt"):
        shutil.copytree(ROOT / part, folder / part)
    text = (ROOT / "dbt_project.yml").read_text("utf-8")
    strict, loosened = (f"min_window_coverage: {value}" for value in (1.0, LOOSENED))
    assert strict in text
    (folder / "dbt_project.yml").write_text(text.replace(strict, loosened), "utf-8")
    manifest = json.loads(SHIPPED.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warehouse.project.render.dbt_project_dir", lambda: folder)
        renderer = Renderer()
        for node in manifest["nodes"].values():
            node["root_path"] = str(folder)
            path = folder / node["original_file_path"]
            if node["resource_type"] == "model":
                relation = Relation(node["schema"], node["name"])
                node["compiled_code"] = renderer.render(path.read_text("utf-8"), relation).sql
    (folder / "target").mkdir()
    (folder / "target" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return folder / "target"


class Models:
    """Our models over ``vendor.<dataset>`` tables that hold what ``fill`` puts there."""

    def __init__(self, project: Project) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("set TimeZone = 'UTC'; attach ':memory:' as warehouse")
        create_schemas(self._connection, project)
        create_seeds(self._connection, project)
        for name, contract in load_contracts().items():
            columns = (*KEY_COLUMNS, *(c for c in contract.columns if c.name != "time"))
            typed = ", ".join(f"{identifier(c.name)} {c.type}" for c in columns)
            self._connection.execute(f"create table warehouse.vendor.{identifier(name)} ({typed})")
        self._connection.execute(
            "create table warehouse.meta.funding_declared (exchange varchar, symbol varchar,"
            " period_hours integer, since timestamp, until timestamp)"
        )
        create_views(self._connection, project)

    def fill(self, rows: Mapping[str, pa.Table]) -> None:
        """Replace the rows of all datasets; those not named become empty."""
        for dataset in load_contracts():
            table = f"warehouse.vendor.{identifier(dataset)}"
            self._connection.execute(f"truncate {table}")
            if dataset in rows:
                self._connection.register("incoming_rows", rows[dataset])
                self._connection.execute(f"insert into {table} by name from incoming_rows")
                self._connection.unregister("incoming_rows")

    def rows(self, model: str, order: str = "series_id, time") -> pd.DataFrame:
        """All rows of a model of ``main`` or ``staging``, NULL as NaN, None or NaT."""
        return self.query(f"select * from warehouse.{model} order by {order}")

    def query(self, sql: str) -> pd.DataFrame:
        return self._connection.sql(sql).df()


def keyed(
    table: pa.Table,
    *,
    interval: str,
    series_id: int = 1,
    symbol: str = "perpetual-BTC-USDT:USDT",
    exchange: str = "binance-futures",
    clock: str = "true",
) -> pa.Table:
    """A dataset's rows with the key columns that the catalog adds."""
    time = table["time"].cast(pa.timestamp("us"))
    count = len(table)
    known_at = pa.array(
        time.cast(pa.int64()).to_numpy() + interval_us(interval), pa.timestamp("us")
    )
    names = {"exchange": exchange, "symbol": symbol, "interval": interval, "clock": clock}
    keys = {name: pa.array([text] * count, pa.string()) for name, text in names.items()}
    return pa.table(
        {
            "series_id": pa.array([series_id] * count, pa.int32()),
            **keys,
            "time": time,
            "known_at": known_at,
            **{name: table[name] for name in table.column_names if name != "time"},
        }
    )


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of several series of one dataset as one table."""
    return pa.concat_tables(tables, promote_options="permissive")
