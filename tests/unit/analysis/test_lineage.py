"""Origins of columns: by hand for small queries, and against sqlglot for every model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import warehouse
from warehouse import interrupts
from warehouse.analysis.catalog_names import Names
from warehouse.analysis.lineage import Ancestry, ColumnOf, outputs
from warehouse.analysis.scope import query_scope
from warehouse.interrupts import Limits, StoppedError, one_clock, run
from warehouse.query import session_of
from warehouse.sql import Relation

GRID = {"series_id", "exchange", "symbol", "interval", "clock", "time", "known_at"}


@pytest.fixture(scope="module")
def wh(small_home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(small_home) as opened:
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
        ("select favg(net_delta) from mart", "base", None),
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


def shown(column: Any) -> str:
    """A column's meaning and unit as the catalog's comments have them."""
    return f"{column.meaning} [{column.unit}]" if column.unit else f"{column.meaning or ''}"


def test_units_when_a_whole_relation_is_asked_for_then_are_those_that_describe_shows(
    demo_home: Path,
) -> None:
    with warehouse.open(demo_home) as wh:
        wrong, asked = [], 0
        for schema, name, _ in wh.tables().fetchall():
            if name.endswith("()"):
                continue
            described = {row[0]: row[2] or "" for row in wh.describe(f"{schema}.{name}").fetchall()}
            for column, found in wh.sql(f'from "{schema}"."{name}"').columns.items():
                asked += 1
                if shown(found).strip() != described[column].strip():
                    wrong.append((schema, name, column))
        assert asked > 800
        assert wrong == []


NET, CLOSE = "Bought minus sold. [base]", "Last price. [quote/base]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select m.* exclude (mean_delta) rename (close as c) from mart m",
         {"net_delta": NET, "c": CLOSE}),
        ("select * replace (close * 2 as net_delta) from mart", {"net_delta": "", "close": CLOSE}),
        ("select columns('clo.e|net.*') from mart", {"net_delta": NET, "close": CLOSE}),
        ("select columns(lambda c: c like 'c%'), net_delta from mart",
         {"clock": "", "close": "", "net_delta": NET}),
        ("from mart a join mart b using (series_id, time)", {"close": CLOSE, "net_delta_1": NET}),
        ("from vendor.ohlcv o join mart b using (series_id, time)", {"net_delta": NET}),
        ("from mart right join (select time, 1 as close from mart) using (time)",
         {"close": CLOSE, "close_1": ""}),
        ("from mart natural join (select time, 'x' as close_2 from mart)",
         {"close": CLOSE, "close_2": ""}),
        ("from mart semi join vendor.ohlcv using (time)", {"close": CLOSE}),
        ("from (select 1 as close) a, mart", {"close": "", "close_1": CLOSE}),
        ("from span(timestamp '2025-09-01', timestamp '2025-09-02') s, mart",
         {"close": "", "close_1": CLOSE}),
        ("select 1 as net_delta, * from mart", {"net_delta": "", "net_delta_1": NET}),
        ("with c(a, b) as (select close, net_delta from mart) from c", {"a": CLOSE, "b": NET}),
        ("select b from (select close, net_delta from mart) as s(a, b)", {"b": NET}),
        ("with recursive mart as (select 1 as close union all"
         " select close + 1 from mart where close < 3) from mart", {"close": ""}),
        ("from mart union by name select close as net_delta from mart",
         {"net_delta": "", "close": CLOSE}),
        ("with x as (select columns(lambda c: c like 'clos%') from mart) from x, mart",
         {"close": "", "close_1": CLOSE, "net_delta": NET}),
        ("select unnest({'close': 1}), net_delta from mart", {"close": "", "net_delta": NET}),
    ],
)  # fmt: skip
def test_units_when_a_star_is_expanded_then_are_right_by_name_or_not_shown(
    wh: warehouse.Warehouse, text: str, expected: dict[str, str]
) -> None:
    columns = wh.sql(text).columns
    assert {name: shown(columns[name]) for name in expected} == expected


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
        ("from mart where time < '2025-09-31'", "in the calendar"),
    ]:
        with pytest.raises(warehouse.WarehouseError) as caught:
            wh.sql(text).fetchall()
        assert nearest in str(caught.value.next_step)
    with pytest.raises(warehouse.WarehouseError) as caught:
        wh.sql("from pg_typ")
    assert "pg_typ does not exist" in caught.value.what and "Did you mean" not in caught.value.what


def leaves_by_sqlglot(names: Names, relation: Relation, columns: list[str]) -> dict[str, set[str]]:
    """Inputs of a model's columns, one level down, as sqlglot sees them."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema: dict[str, Any] = {}
    for other, facts in names.columns.items():
        tables = schema.setdefault("warehouse", {}).setdefault(other.schema, {})
        tables[other.name] = {f'"{name}"': column.type for name, column in facts.items()}
    tree = sqlglot.parse_one(names.definition(relation) or "", dialect="duckdb")
    tree = qualify(tree, dialect="duckdb", schema=schema, validate_qualify_columns=False,
                   identify=False)  # fmt: skip
    scope, found = build_scope(tree), {}
    for column in columns:
        node = lineage(column, tree, schema=schema, scope=scope, dialect="duckdb")
        found[column] = {
            str(ColumnOf(Relation(step.expression.db, step.expression.name),
                         exp.to_column(step.name).name))
            for step in node.walk()
            if not step.downstream and isinstance(step.expression, exp.Table)
        }  # fmt: skip
    return found


@pytest.mark.parametrize(
    "model", ["flow_features", "l1_features", "forward_returns", "derivative_features"]
)
def test_lineage_when_sqlglot_works_it_out_too_then_both_agree(demo_home: Path, model: str) -> None:
    """Our lineage includes the keys and times in the frames of named windows, unlike sqlglot."""
    with warehouse.open(demo_home) as wh:
        names, relation = session_of(wh).names, Relation("main", model)
        measures = [name for name in names.columns[relation] if name not in GRID]
        theirs = leaves_by_sqlglot(names, relation, measures[:8])
        ours = Ancestry(names).outputs_of(relation)
        for column, expected in theirs.items():
            found = {str(c) for c in ours[column].inputs}
            assert {c for c in found if c.split(".")[-1] not in GRID} == {
                c for c in expected if c.split(".")[-1] not in GRID
            }, column


def test_lineage_when_followed_down_then_every_column_of_every_mart_ends_at_the_vendor(
    demo_home: Path,
) -> None:
    with warehouse.open(demo_home) as wh:
        names = session_of(wh).names
        ancestry = Ancestry(names)
        for relation, columns in names.columns.items():
            if relation.schema != "main":
                continue
            assert names.datasets(relation), relation
            for column in columns:
                found = ancestry.behind(ColumnOf(relation, column))
                declared = {c for c in found if c.relation.name == "funding_declared"}
                schemas = {c.relation.schema for c in found - declared}
                assert schemas <= {"vendor", "staging"}, (relation, column)
                if column not in ("measure", "funding_regime"):
                    assert found, (relation, column)


def test_queries_of_a_with_that_name_one_another_twice_are_walked_through_once(
    wh: warehouse.Warehouse,
) -> None:
    steps = [f"t{n} as (select a.close from t{n - 1} a join t{n - 1} b using (close))"
             for n in range(1, 12)]  # fmt: skip
    steps += [f"t{n} as (select close from t{n - 1} union all select close from t{n - 1})"
              for n in range(12, 40)]  # fmt: skip
    text = f"with t0 as (select close from mart), {', '.join(steps)} select close from t39"
    names = session_of(wh).names
    parsed = names.parse(text)
    assert parsed is not None
    began = time.monotonic()
    assert outputs(parsed, names)["close"].shows == ColumnOf(Relation("main", "mart"), "close")
    assert [str(found.relation) for found in query_scope(parsed, "", {}, names)] == ["mart"]
    assert time.monotonic() - began < 10  # hours, if each mention of a CTE were traced again


def test_what_a_text_touches_is_worked_out_within_its_time_limit(wh: warehouse.Warehouse) -> None:
    doubts = " and ".join(f"series_id <> {n} or series_id = {n} + {n}" for n in range(2500))
    result = wh.sql("select close from mart where " + doubts.replace("or", "and"), timeout=30)
    result._timeout_s = 0.05
    for look in (result.trace, lambda: result.warnings, lambda: result.receipt):
        began = time.monotonic()
        with pytest.raises(StoppedError, match=r"time limit of 0\.05 s"):
            look()
        assert time.monotonic() - began < 10
    assert wh.sql("select close from mart", timeout=30).columns["close"].unit


def test_one_clock_counts_all_steps_and_leaves_time_for_remarks() -> None:
    limits = Limits(0.1)
    with one_clock():
        time.sleep(0.15)
        with pytest.raises(StoppedError):
            run(None, lambda: time.sleep(0.05), limits)
        with one_clock(at_least_s=5.0):
            run(None, lambda: time.sleep(0.05), limits)
    run(None, lambda: time.sleep(0.01), limits)


def test_memory_when_the_system_does_not_report_it_then_is_not_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupts, "_STATM", Path("/no/such/proc/statm"))
    assert run(None, lambda: len(bytes(50_000_000)), Limits(growth=1)) == 50_000_000
