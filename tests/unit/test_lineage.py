"""Where columns come from: by hand on small texts, and against sqlglot on every model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import warehouse
from tests.asking import write_small_home
from tests.support import BTC
from warehouse.lineage import ColumnOf, behind
from warehouse.names import Names
from warehouse.reach import Place

GRID = {"series_id", "exchange", "symbol", "interval", "clock", "time", "known_at"}


@pytest.fixture(scope="module")
def wh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[warehouse.Warehouse]:
    home = write_small_home(tmp_path_factory.mktemp("lineage") / "home", symbols=(BTC,))
    with warehouse.open(home) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "tables", "vendor"),
    [
        ("select close from mart", ["mart.close"], ["vendor.ohlcv.close"]),
        ("select close as x from mart", ["mart.close"], ["vendor.ohlcv.close"]),
        ("select m.CLOSE from mart as m", ["mart.close"], ["vendor.ohlcv.close"]),
        ("select mean_delta from mart", ["mart.mean_delta"], ["vendor.flow.volume_delta"]),
        ("select time from mart", ["mart.time"], ["vendor.flow.time"]),
        ("select close + net_delta from mart", ["mart.close", "mart.net_delta"],
         ["vendor.flow.volume_delta", "vendor.ohlcv.close"]),
        ("select case when close > 1 then net_delta end from mart",
         ["mart.close", "mart.net_delta"], ["vendor.flow.volume_delta", "vendor.ohlcv.close"]),
        ("select sum(net_delta) over (partition by symbol order by close) from mart",
         ["mart.close", "mart.net_delta"], ["vendor.flow.volume_delta", "vendor.ohlcv.close"]),
        ("with a as (select close * 2 as c from mart) select c from a", ["mart.close"],
         ["vendor.ohlcv.close"]),
        ("select c from (select close as c, time from mart)", ["mart.close"],
         ["vendor.ohlcv.close"]),
        ("select close as a, a * 2 as b from mart", ["mart.close"], ["vendor.ohlcv.close"]),
        ("select close from mart union all select net_delta from mart",
         ["mart.close", "mart.net_delta"], ["vendor.flow.volume_delta", "vendor.ohlcv.close"]),
        ("select (select max(close) from vendor.ohlcv) as m", ["vendor.ohlcv.close"],
         ["vendor.ohlcv.close"]),
        ('select twice from "user".mine', ["user.mine.twice"], ["vendor.ohlcv.close"]),
        ("select gap_from from meta.gaps", ["meta.gaps.gap_from"], ["meta.gaps.gap_from"]),
        ("select 1", [], []),
    ],
)  # fmt: skip
def test_trace_when_a_column_is_computed_then_names_its_inputs(
    wh: warehouse.Warehouse, text: str, tables: list[str], vendor: list[str]
) -> None:
    column = wh.sql(text).trace().columns[-1]
    assert (list(column.tables), list(column.vendor)) == (tables, vendor)


@pytest.mark.parametrize(
    ("text", "unit", "meaning"),
    [
        ("select net_delta from mart", "base", "Bought minus sold."),
        ("select net_delta as d from (from mart)", "base", "Bought minus sold."),
        ("select avg(net_delta) from mart", "base", None),
        ("select round(max(net_delta), 2) as m from mart", "base", None),
        ("select lag(net_delta) over (order by time) as m from mart", "base", None),
        ("select net_delta * 2 as net_delta from mart", None, None),
        ("select count(net_delta) from mart", None, None),
        ("select net_delta from mart union all select close from mart", None, None),
        ("select 1 as net_delta", None, None),
        ("pivot mart on symbol using avg(net_delta)", None, None),
    ],
)
def test_units_when_a_column_is_the_catalogs_then_are_known_and_else_not(
    wh: warehouse.Warehouse, text: str, unit: str | None, meaning: str | None
) -> None:
    column = list(wh.sql(text).columns.values())[-1]
    assert (column.unit, column.meaning) == (unit, meaning)


def test_columns_when_used_as_text_then_are_their_types(wh: warehouse.Warehouse) -> None:
    columns = wh.sql("select time, net_delta from mart").columns
    assert columns == {"time": "TIMESTAMP", "net_delta": "DOUBLE"}
    assert dict(columns)["net_delta"].type == "DOUBLE"
    assert f"{columns['time']}" == "TIMESTAMP"


def test_suggestions_when_a_name_is_wrong_then_are_the_nearest(wh: warehouse.Warehouse) -> None:
    for text, nearest in [
        ("from mrt", "mart"),
        ("from stg_flow", "staging.stg_flow"),
        ("select net_dleta from mart", "net_delta"),
        ("select m.net_dleta from mart as m", "net_delta"),
    ]:
        with pytest.raises(warehouse.WarehouseError) as caught:
            wh.sql(text)
        assert nearest in str(caught.value.next_step)


def leaves_by_sqlglot(names: Names, place: Place, columns: list[str]) -> dict[str, set[str]]:
    """Inputs of a model's columns, one level down, as sqlglot sees them."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema: dict[str, Any] = {}
    for other, facts in names.columns.items():
        tables = schema.setdefault("warehouse", {}).setdefault(other.schema, {})
        tables[other.table] = {f'"{name}"': column.type for name, column in facts.items()}
    tree = sqlglot.parse_one(names.definition(place) or "", dialect="duckdb")
    tree = qualify(tree, dialect="duckdb", schema=schema, validate_qualify_columns=False,
                   identify=False)  # fmt: skip
    scope, found = build_scope(tree), {}
    for column in columns:
        node = lineage(column, tree, schema=schema, scope=scope, dialect="duckdb")
        found[column] = {
            str(ColumnOf(Place(step.expression.db, step.expression.name),
                         exp.to_column(step.name).name))
            for step in node.walk()
            if not step.downstream and isinstance(step.expression, exp.Table)
        }  # fmt: skip
    return found


@pytest.mark.parametrize(
    "model", ["flow_features", "l1_features", "forward_returns", "derivative_features"]
)
def test_lineage_when_sqlglot_works_it_out_too_then_both_agree(demo_home: Path, model: str) -> None:
    """Ours also counts the keys and times in the frames of named windows, which sqlglot skips."""
    with warehouse.open(demo_home) as wh:
        names, place = wh.names(), Place("main", model)
        measures = [name for name in names.columns[place] if name not in GRID]
        theirs = leaves_by_sqlglot(names, place, measures[:8])
        ours = names.outputs_of(place)
        for column, expected in theirs.items():
            found = {str(c) for c in ours[column].inputs}
            assert {c for c in found if c.split(".")[-1] not in GRID} == {
                c for c in expected if c.split(".")[-1] not in GRID
            }, column


def test_lineage_when_followed_down_then_every_column_of_every_mart_ends_at_the_vendor(
    demo_home: Path,
) -> None:
    with warehouse.open(demo_home) as wh:
        names = wh.names()
        for place, columns in names.columns.items():
            if place.schema != "main":
                continue
            assert names.datasets(place), place
            for column in columns:
                found = behind(ColumnOf(place, column), names)
                assert {c.place.schema for c in found} <= {"vendor", "staging"}, (place, column)
                if column not in ("measure", "funding_regime"):
                    assert found, (place, column)
