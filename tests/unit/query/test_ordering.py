"""An ORDER BY is left out only where its rows lie in that order, and the answer stays the same."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warehouse
from warehouse.errors import QueryError
from warehouse.query.ordering import Unsorted, read_in_order

ONE = "symbol = 'perpetual-BTC-USDT:USDT' and interval = '1h'"
IN_ORDER = [
    f"select time, close from flow_features where {ONE} order by time",
    f"SELECT * FROM main.flow_features AS f WHERE {ONE}\nORDER  BY\n\ttime ;",
    f'from flow_features /* größe */ where {ONE} and close > $low order by "time"',
    f"select known_at as time, close from flow_features where {ONE} order by time",
]
OTHERS = [
    f"select time, close from flow_features where {ONE} order by time -- and nothing else",
    f"select time, row_number() over (order by close) as place from flow_features where {ONE}"
    " order by time",
    "select time, symbol, interval from flow_features where time < '2025-10-01' order by time",
    f"select time, close from flow_features where {ONE} order by time desc",
    f"select time, close from flow_features where {ONE} order by close",
    f"select [time] as time, close from flow_features where {ONE} order by time",
    f"select close from flow_features where {ONE} order by time",
    f"select time, close from flow_features where {ONE} order by time limit 5",
    f"select time, close from flow_features where {ONE} order by time nulls first",
    f"select time, close from flow_features where {ONE} order by time, close",
    f"select time, known_at as time from flow_features where {ONE} order by time",
    f"select distinct time from flow_features where {ONE} order by time",
    f"select -epoch(time) as t, timestamp '2030-01-01' - (time - timestamp '2020-01-01') as time"
    f" from flow_features where {ONE} order by time",
    "select date_trunc('day', time) as time, count(*) as n from flow_features group by all"
    " order by time",
    "select time, close from flow_features where false order by time",
    f"select nullif(time, timestamp '2025-09-01 03:00') as time, close from flow_features"
    f" where {ONE} order by time",
    "select a.time, b.spread_bps from flow_features as a"
    " join l1_features as b using (series_id, time)"
    f" where a.{ONE.replace(' and ', ' and a.')} order by time",
]


@pytest.mark.parametrize("text", [*IN_ORDER, *OTHERS])
def test_answer_when_rows_are_wanted_by_time_is_that_of_the_engine(
    demo_home: Path, text: str
) -> None:
    params = {"low": 1.0} if "$low" in text else {}
    with warehouse.open(demo_home) as wh:
        result = wh.sql(text, params)
        bare = f"from (\n{text.rstrip(' ;')}\n)"
        expected = wh.connection().sql(bare, params=params).to_arrow_table()
        found = result.arrow()
        again = wh.sql(text, params).arrow()
    assert found.schema == expected.schema
    assert list(result.types) == expected.column_names
    name = expected.column_names[-1] if "by close" in text else expected.column_names[0]
    assert found[name].to_pylist() == expected[name].to_pylist()
    rows = [sorted(map(str, table.to_pylist())) for table in (found, again, expected)]
    assert rows[0] == rows[1] == rows[2]


@pytest.mark.skipif(duckdb.__version__ < "2", reason="before 2.0 a query is not bound ahead")
@pytest.mark.parametrize("text", IN_ORDER)
def test_query_of_one_series_by_time_is_not_sorted_again(demo_home: Path, text: str) -> None:
    with warehouse.open(demo_home) as wh:
        result = wh.sql(text, {"low": 1.0} if "$low" in text else {})
        assert result._in_order() is not None
        assert sum(batch.num_rows for batch in result.batches()) > 700


def test_query_when_its_order_is_wrong_then_is_refused_as_it_is_written(demo_home: Path) -> None:
    with warehouse.open(demo_home) as wh, pytest.raises(QueryError, match="tiem"):
        wh.sql("select time from flow_features order by tiem")


@pytest.mark.parametrize(
    ("types", "fits"),
    [
        ({"time": "TIMESTAMP"}, True),
        ({"time": "TIMESTAMP WITH TIME ZONE", "close": "DOUBLE"}, True),
        ({"time": "DATE", "time_zone": "VARCHAR"}, True),
        ({"time": "VARCHAR"}, False),
        ({"time": "TIMESTAMP[]"}, False),
        ({"time": "DATE[3]"}, False),
        ({"close": "DOUBLE"}, False),
        ({"time": "TIMESTAMP", "time_1": "TIMESTAMP"}, False),
        ({"time": "TIMESTAMP", "TIME:1": "TIMESTAMP"}, False),
    ],
)
def test_column_when_it_may_be_another_then_is_not_trusted(
    types: dict[str, str], fits: bool
) -> None:
    assert Unsorted("", "time").fits(types) is fits


@given(
    values=st.lists(st.none() | st.integers(-3, 3), max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=4),
    kind=st.sampled_from([pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.date32()]),
)
def test_rows_are_taken_if_and_only_if_they_lie_in_order(
    values: list[int | None], cuts: list[int], kind: pa.DataType
) -> None:
    column = pa.array(values, kind)
    table = pa.table({"time": column, "place": range(len(values))})
    edges = [0, *sorted(cut for cut in cuts if cut <= len(values)), len(values)]
    pieces = [table.slice(a, b - a) for a, b in pairwise(edges)]
    batches = [
        pa.record_batch([column.combine_chunks() for column in piece.columns], table.schema)
        for piece in pieces
    ]
    found = read_in_order(pa.RecordBatchReader.from_batches(table.schema, batches), "time")
    known = [value for value in values if value is not None]
    if len(known) == len(values) and known == sorted(known):
        assert found == table
    else:
        assert found is None
