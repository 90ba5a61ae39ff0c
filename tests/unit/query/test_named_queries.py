"""Named queries: headers, typed parameters, identifiers from closed lists."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import warehouse
from tests.support import BTC
from warehouse.errors import NotFoundError, QueryError
from warehouse.query.sql_text.named_queries import find_query, list_queries, read_query

QUERY = """/*
purpose: Any measure of
  flow_features over a span.
parameters:
  symbol: {type: text, meaning: Instrument.}
  start: {type: time, default: 2025-09-01, meaning: First bar.}
  rows: {type: integer, default: 3, meaning: How many.}
  measure:
    type: identifier
    choices: [close, net_delta]
    default: close
    meaning: Which column.
*/
select "time", {{ measure }} as value
from flow_features
where symbol = $symbol and "time" >= $start and "interval" = '1h'
order by "time" limit $rows
"""


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    (tmp_path / "measure.sql").write_text(QUERY, "utf-8")
    (tmp_path / "bare.sql").write_text("select $n::integer + 1 as n", "utf-8")
    return tmp_path


def test_query_when_read_then_has_purpose_and_parameters(queries: Path) -> None:
    query = find_query("measure", queries)
    assert query.purpose == "Any measure of flow_features over a span."
    assert [str(p) for p in query.parameters] == [
        "symbol text",
        "start time = 2025-09-01",
        "rows integer = 3",
        "measure identifier = close",
    ]
    assert query.source == "home"


def test_query_when_prepared_then_binds_values_and_writes_identifiers(queries: Path) -> None:
    query = find_query("measure", queries)
    text, values = query.prepare({"symbol": "X", "rows": np.int64(2), "measure": "net_delta"})
    assert '"net_delta" as value' in text
    assert values == {"symbol": "X", "start": date(2025, 9, 1), "rows": 2}
    moment = datetime(2025, 9, 1, 5, tzinfo=UTC)
    assert query.prepare({"symbol": "X", "start": moment})[1]["start"] == datetime(2025, 9, 1, 5)  # noqa: DTZ001
    given = query.prepare({"symbol": 3, "start": "2025-10-01T00:00"})[1]
    assert given["symbol"] == "3" and given["start"] == datetime(2025, 10, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "missing symbol"),
        ({"symbol": "X", "stat": 1}, "did you mean start?"),
        ({"symbol": "X", "rows": "many"}, "not of type integer"),
        ({"symbol": "X", "rows": True}, "not of type integer"),
        ({"symbol": "X", "start": 5}, "not of type time"),
        ({"symbol": "X", "start": "yesterday"}, "next: write a date or moment as ISO 8601"),
        ({"symbol": None}, "not of type text"),
        ({"symbol": "X", "measure": "close, (select 1)"}, "is not one of close, net_delta"),
        ({"symbol": "X", "measure": '"close"'}, "is not one of"),
    ],
)
def test_query_when_a_value_does_not_fit_then_is_refused(
    queries: Path, given: dict[str, Any], word: str
) -> None:
    with pytest.raises(QueryError) as caught:
        find_query("measure", queries).prepare(given)
    assert word in str(caught.value)


def test_query_when_a_name_is_wrong_then_lists_all_with_their_types(queries: Path) -> None:
    with pytest.raises(QueryError) as caught:
        find_query("measure", queries).prepare({"symbol": "X", "n": 1})
    assert "$rows integer = 3, $start time = 2025-09-01, $symbol text" in caught.value.what


def test_query_when_it_has_no_header_then_all_its_names_must_be_given(queries: Path) -> None:
    query = find_query("bare", queries)
    assert query.prepare({"n": 1}) == ("select $n::integer + 1 as n", {"n": 1})
    with pytest.raises(QueryError, match="missing n"):
        query.prepare({})


@pytest.mark.parametrize("name", ["nothing", "../named", "a/b", "", "measur"])
def test_query_when_there_is_none_then_lists_the_nearest(queries: Path, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_query(name, queries)
    if name == "measur":
        assert "did you mean measure" in caught.value.what


@pytest.mark.parametrize(
    "header",
    ["purpose: [", "parameters: {}", "purpose: a\nparameters: {x: {type: text}}", "3",
     "purpose: a\nparameters: {x: {type: colour, meaning: b}}",
     "purpose: a\nparameters: {x: {type: identifier, meaning: b}}",
     "purpose: a\nparameters: {x: {type: text, meaning: b, excluded; c}}",
     "purpose: a\nparameters: {x: {type: text, meaning: b, choices: [c]}}"],
)  # fmt: skip
def test_query_when_its_header_is_wrong_then_names_the_file(tmp_path: Path, header: str) -> None:
    path = tmp_path / "broken.sql"
    path.write_text(f"/*\n{header}\n*/ select 1", "utf-8")
    with pytest.raises(QueryError, match=r"broken\.sql"):
        read_query(path)
    listed = {query.name: query.purpose for query in list_queries(tmp_path)}
    assert listed.pop("broken").startswith("Cannot be read: ")
    assert len(listed) >= 14 and not any("Cannot be read" in text for text in listed.values())


def test_queries_when_listed_then_the_homes_go_before_the_packages(tmp_path: Path) -> None:
    (tmp_path / "flow_summary.sql").write_text("/*\npurpose: Mine.\n*/ select 1", "utf-8")
    found = {query.name: query for query in list_queries(tmp_path)}
    assert found["flow_summary"].purpose == "Mine."
    assert found["l1_summary"].source == "package"
    assert len(found) >= 14


ABSENT = {
    "state_impact": "impact",
    "state_pressure": "l2_liquidity",
    "state_depth": "l2_liquidity",
    "state_crowding": "funding basis open_interest",
}
"""Datasets that the demo does not have, by the query that shows a column computed from them."""


def test_packaged_queries_when_run_with_defaults_then_have_rows_and_units(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh:
        for name, purpose, _, source in wh.queries().fetchall():
            assert source == "package" and purpose.endswith(".")
            assert all(p.meaning.endswith(".") for p in find_query(name, Path()).parameters)
            result = wh.query(name)
            assert len(result) > 0
            missing = {str(getattr(warning, "dataset", warning)) for warning in result.warnings}
            assert missing == set(ABSENT.get(name, "").split()), name
            measures = list(result.columns.values())[1:]
            assert any(column.unit for column in measures)


def test_flow_price_and_delta_when_a_delta_is_missing_then_so_is_the_total_of_that_bar(
    tmp_path: Path,
) -> None:
    text, values = find_query("flow_price_and_delta", tmp_path).prepare({"symbol": "X"})
    with duckdb.connect() as connection:
        connection.execute(
            "create table flow_features as select 'binance-futures' as exchange, 'X' as symbol,"
            " '1h' as interval, 'true' as clock, timestamp '2025-09-01' + n * interval 1 hour"
            " as time, 10.0 + n as close, net_delta"
            " from (values (0, 1.5), (1, null), (2, -4.0)) as bars(n, net_delta)"
        )
        found = connection.execute(text, values).fetchall()
    assert [(close, total) for _, close, total in found] == [(10, 1.5), (11, None), (12, -2.5)]


def test_query_when_an_identifier_is_chosen_then_its_unit_is_known(
    demo_home: Path, queries: Path
) -> None:
    query = find_query("measure", queries)
    with warehouse.open(demo_home) as wh:
        result = wh.sql(*query.prepare({"symbol": BTC, "measure": "net_delta"}))
        assert len(result) == 3
        assert result.columns["value"].unit == "base"
