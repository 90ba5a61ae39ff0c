"""The user's own frames beside the catalog: read correctly, or refused by name."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import warehouse
from tests.support import BTC, run_warehouse, utc
from warehouse.errors import QueryError
from warehouse.query.results.receipt import Receipt
from warehouse.upkeep.receipts import ReceiptStatus, verify_receipt

DOCS = Path(__file__).parents[3] / "docs" / "asking.md"
TIMES = [utc(f"2025-09-01 0{hour}:00") for hour in (3, 1, 2)]
DAY = dt.date(2025, 9, 1)
FINE = pd.Timestamp("2025-09-01T00:00:00.000000001")
MINE = pd.DataFrame({"time": TIMES, "symbol": BTC, "weight": [3.0, np.nan, 1.5]})
JOIN = """select time, symbol, close, weight from flow_features join mine using (time, symbol)
    where "interval" = '1h' order by time"""


@pytest.fixture(scope="module")
def wh(demo_home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(demo_home) as opened:
        yield opened


def abroad(zone: str) -> pd.DataFrame:
    return MINE.assign(time=MINE["time"].dt.tz_localize("UTC").dt.tz_convert(zone))


@pytest.mark.parametrize(
    "form",
    [
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).lazy(),
        lambda frame: pl.from_pandas(frame).with_columns(pl.col("symbol").cast(pl.Categorical)),
        pa.Table.from_pandas,
        pa.RecordBatch.from_pandas,
        lambda frame: pa.Table.from_pandas(frame).to_reader(),
        lambda frame: frame.set_index(["time", "symbol"]),
        lambda frame: frame.astype({"time": "datetime64[ns]", "symbol": "category"}),
        lambda frame: frame.astype(object),
        lambda frame: frame.sort_values("time"),  # its index is left out of order
        lambda _: abroad("Asia/Tokyo"),
        lambda _: pl.from_pandas(abroad("America/New_York")),
    ],
)
def test_frame_when_it_is_of_any_library_then_joins_as_the_same_rows(
    wh: warehouse.Warehouse, form: Callable[[pd.DataFrame], Any]
) -> None:
    closes = wh.sql(
        "select time, close from flow_features where symbol = $s and \"interval\" = '1h'", s=BTC
    )
    close = dict(closes.fetchall())
    wanted = zip(sorted(TIMES), (None, 1.5, 3.0), strict=True)
    r = wh.sql(JOIN, {"mine": form(MINE)})
    assert r.fetchall() == [(time, BTC, close[time], weight) for time, weight in wanted]
    assert (r.columns["close"].unit, r.columns["weight"].unit) == ("quote/base", None)
    assert len(r) == len(r.head()) == sum(batch.num_rows for batch in r.batches(2)) == 3
    assert r.receipt.frames == wh.sql(JOIN, mine=MINE).receipt.frames


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 has other types of text and time")
def test_frame_when_the_query_pivots_explains_or_limits_memory_then_is_there(
    wh: warehouse.Warehouse,
) -> None:
    pivot = wh.sql("pivot mine on symbol using sum(weight)", mine=MINE)
    assert set(pivot.columns) == {"time", BTC}
    assert len(pivot) == 3
    assert "mine" not in wh.sql("explain from mine", mine=MINE).columns
    assert len(wh.sql("from mine", mine=MINE, memory="500MB")) == 3
    assert wh.sql("from mine", mine=MINE[:0]).columns == wh.sql("from mine", mine=MINE).columns
    own = wh.sql("select time from flow_features limit 5")
    assert wh.sql("select count(*) from own", own=own).fetchall() == [(5,)]
    changing = MINE.copy()
    total = wh.sql("select sum(weight) from mine", mine=changing)
    changing.loc[0, "weight"] = 100.0
    assert total.fetchall() == [(4.5,)]
    unnamed = MINE.set_index("time").rename_axis(None)
    assert list(wh.sql("from mine", mine=unnamed).columns) == ["index", "symbol", "weight"]


class Foreign:
    """A frame of a library that we do not know: it has columns, and streams Arrow."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def columns(self) -> list[str]:
        return list(self._table.column_names)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    ("frame", "rows"),
    [
        (Foreign(pa.table({"a": [1]})), [(1,)]),
        (pd.DataFrame({"a": pd.array([1, None], "Int64")}), [(1,), (None,)]),
        (pd.DataFrame({"a": [Decimal("1.10"), Decimal("NaN")]}), [(Decimal("1.10"),), (None,)]),
        (pd.DataFrame({"a": [DAY, pd.NaT]}, dtype=object), [(DAY,), (None,)]),
        (pd.DataFrame({"a": [1, 0.5]}, dtype=object), [(1.0,), (0.5,)]),
        (pd.DataFrame({"flow_features": [1]}), [(1,)]),
        (pl.DataFrame({"a": [dt.time(1, 2)]}), [(dt.time(1, 2),)]),
        (pl.LazyFrame({"a": [dt.timedelta(hours=1)]}).select(pl.col("a").is_null()), [(False,)]),
    ],
)
def test_frame_when_its_types_are_odd_then_the_values_are_the_same(
    wh: warehouse.Warehouse, frame: Any, rows: list[tuple[Any, ...]]
) -> None:
    assert wh.sql("from mine", mine=frame).fetchall() == rows
    for name in ("select", "mine.x", "timeout"):
        assert wh.sql(f'from "{name}"', {name: frame}).fetchall() == rows


@pytest.mark.parametrize(
    ("text", "params", "what"),
    [
        ("select $mine from mine", {}, r"\$mine is a parameter of the query, and mine a frame"),
        ("select $mine", {}, r"\$mine is a parameter"),
        ("with mine as (select 1) from mine", {}, "a WITH of the query"),
        ("select 1", {}, "reads no table of that name"),
        ("from warehouse.mine", {}, "reads no table of that name"),
        ("from flow_features", {"flow_features": MINE}, "flow_features is a table of the catalog"),
        ("from FLOW", {"FLOW": MINE}, "FLOW is a table of the catalog"),
        ("from mine", {"Mine": MINE}, "two frames of the same name"),
        ("from MINE", {}, "does not exist"),
        ("insert into mine values (1)", {}, "INSERT is not allowed"),
        ("from mine, read_text('/etc/passwd')", {}, "more than the catalog"),
    ],
)
def test_frame_when_its_name_is_not_its_own_then_is_refused(
    wh: warehouse.Warehouse, text: str, params: dict[str, object], what: str
) -> None:
    given = {"mine": MINE} if what != "does not exist" and "of the catalog" not in what else {}
    with pytest.raises(QueryError, match=what) as caught:
        wh.sql(text, given | params)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "mine: several columns have the same name: a, a",
        ),
        (pa.table({"a": [1], "A": [2]}), "mine: several columns have the same name: a, A"),
        (pd.DataFrame({"a": [1]}, index=pd.Index([3], name="a")), "cannot insert a"),
        (pd.DataFrame(index=[1]), "no columns"),
        (pd.DataFrame({"a": [1, "x"]}), "column a"),
        (
            pd.DataFrame({"a": pd.period_range("2025-01", "2025-02", freq="M")}),
            r"mine\.a: .*period",
        ),
        (pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}), "Python objects: a"),
        (pa.table({"a": pa.array([1], pa.decimal256(50, 2))}), r"mine\.a: decimal256"),
        (pd.DataFrame({"": [1]}), "a column without a name"),
        (pd.DataFrame({"a": pd.cut([1, 2], [0, 1, 2])}), r"mine\.a: .*interval"),
        (pd.DataFrame({"a": [2**64]}), "too large"),
        (pd.DataFrame({"a": [DAY, TIMES[0]]}), "column a holds both dates and times"),
        (pd.DataFrame({"a": pd.Categorical([DAY, TIMES[0]])}), "column a holds both dates"),
        (pd.DataFrame({"a": [FINE.to_datetime64()]}), r"mine\.a: .*finer"),
        (pd.DataFrame({"a": [FINE]}, dtype=object), r"mine\.a: .*finer"),
        (pd.DataFrame({"a": [pd.Timedelta("1ns")]}), r"mine\.a: .*finer"),
        (pd.DataFrame({"a": [pd.Timedelta("1ns")]}, dtype=object), r"mine\.a: .*finer"),
        (pa.table({"a": pa.array([1], pa.time64("ns"))}), r"mine\.a: .*finer"),
        (pa.table({"a": pa.array([(0, 0, 1)], pa.month_day_nano_interval())}), r"mine\.a: .*finer"),
        (pd.Series([1], name="a"), "read as a table, and Series is not a frame"),
        ({"a": [1]}, "read as a table, and dict is not a frame"),
        (np.ones((2, 2)), "read as a table, and ndarray is not a frame"),
    ],
)
def test_frame_when_it_cannot_be_taken_as_meant_then_is_refused_by_name(
    wh: warehouse.Warehouse, frame: Any, what: str
) -> None:
    with pytest.raises(QueryError, match=what) as caught:
        wh.sql("from mine", mine=frame)
    assert caught.value.next_step


def test_receipt_when_a_frame_was_read_then_is_verified_with_that_frame_only(
    wh: warehouse.Warehouse, tmp_path: Path
) -> None:
    path = wh.sql(JOIN, mine=MINE).receipt.save(tmp_path / "receipt.json")
    receipt = Receipt.from_json(path.read_text())
    assert receipt.frames["mine"].rows == 3
    same = verify_receipt(wh.settings, receipt, {"mine": pl.from_pandas(MINE)})
    assert same.verdict is ReceiptStatus.IDENTICAL
    with pytest.raises(QueryError, match="mine is not the receipt's frame"):
        verify_receipt(wh.settings, receipt, {"mine": MINE[:2]})
    run = run_warehouse("verify", path, "--home", wh.settings.home, cwd=tmp_path)
    assert run.exit_code != 0
    assert "mine, a frame of 3 rows" in run.stderr.replace("\n", " ")
    assert '"receipt": 1,' in wh.sql("select 1 as one").receipt.to_json()


def test_docs_when_the_example_of_a_frame_is_run_then_it_works(
    wh: warehouse.Warehouse,
) -> None:
    section = DOCS.read_text().split("## Your own data frames")[1]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {"wh": wh, "pd": pd, "datetime": dt.datetime}
    frame, query = example[1].split("wh.sql(", 1)
    exec(frame, names)
    rows = eval(f"wh.sql({query}", names).fetchall()
    assert [time for time, pnl in rows if pnl is not None] == [utc("2025-09-01 05:00")]
