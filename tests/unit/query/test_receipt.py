"""Receipts: their contents, when the content hash is stable, and the outcomes of verification."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warehouse
from tests.asking import ETH
from tests.support import BTC, utc
from warehouse.errors import QueryError
from warehouse.query.results.receipt import Receipt, content_hash

ASK = "select time, net_delta from mart where symbol = $s and time < $end order by time"


@pytest.fixture(scope="module")
def home(small_home: Path) -> Path:
    return small_home


def receipt_of(home: Path, text: str = ASK, **params: object) -> Receipt:
    with warehouse.open(home) as wh:
        return wh.sql(text, params).receipt


def test_receipt_when_written_then_reads_back_the_same(home: Path, tmp_path: Path) -> None:
    values = {"s": BTC, "end": date(2025, 9, 3), "at": utc("2025-09-01"), "n": [1, 2.5, None]}
    receipt = receipt_of(home, f"{ASK} limit len($n::double[]) + ($at is null)::integer", **values)
    path = receipt.save(tmp_path / "receipt.json")
    assert Receipt.from_json(path.read_text()) == receipt
    assert receipt.params == values
    assert receipt.rows == 3
    assert receipt.columns == {"time": "TIMESTAMP", "net_delta": "DOUBLE"}
    assert receipt.is_ordered


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"receipt": 2}', '{"receipt": 1, "sql": 1}'])
def test_receipt_when_it_is_none_then_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="receipt"):
        Receipt.from_json(text)


def test_receipt_files_when_predicates_are_certain_then_are_those_of_the_series(home: Path) -> None:
    def files(text: str) -> set[tuple[str, str, str]]:
        return {(f.dataset, f.symbol, f.period) for f in receipt_of(home, text).files}

    both = {
        (d, s, p) for d in ("flow", "ohlcv") for s in (BTC, ETH) for p in ("2025-09", "2025-10")
    }
    assert files("from mart") == both
    assert files(f"from mart where symbol = '{ETH}'") == {f for f in both if f[1] == ETH}
    # a mart's windows reach beyond the bars asked for, a vendor view's rows do not
    assert files("from mart where time < '2025-09-05'") == both
    assert files(f"from vendor.flow where symbol = '{ETH}' and time < '2025-09-05'") == {
        ("flow", ETH, "2025-09")
    }
    assert files("from vendor.flow where time >= '2025-10-31 23:00'") == {
        ("flow", BTC, "2025-10"),
        ("flow", ETH, "2025-10"),
    }
    assert files('from "user".mine') == both
    assert files("select 1") == set()


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats()),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.text(max_size=5)),
        st.one_of(st.none(), st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1))),  # noqa: DTZ001
        st.booleans(),
    ),
    max_size=8,
)
SCHEMA = pa.schema(
    [("x", pa.float64()), ("n", pa.int64()), ("s", pa.string()), ("t", pa.timestamp("us")),
     ("b", pa.bool_())]
)  # fmt: skip


def hashed(rows: list[tuple[object, ...]], *, ordered: bool, size: int = 100) -> str:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)
    return content_hash({"x": "DOUBLE"}, table.to_batches(size), ordered=ordered)[1]


@given(ROWS, st.randoms())
def test_content_when_rows_are_shuffled_then_only_an_ordered_hash_changes(
    rows: list[tuple[object, ...]], random: object
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert hashed(rows, ordered=False) == hashed(shuffled, ordered=False, size=2)
    if [repr(row) for row in rows] == [repr(row) for row in shuffled]:
        assert hashed(rows, ordered=True) == hashed(shuffled, ordered=True, size=3)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((1.0,), (1.0 + 1e-13,), True),
        ((1.0,), (1.0 + 1e-6,), False),
        ((0.0,), (-0.0,), True),
        ((1e300,), (1.0000000001e300,), True),
        ((float("nan"),), (float("nan"),), True),
        ((None,), (float("nan"),), False),
        ((None,), (0.0,), False),
        ((float("inf"),), (-float("inf"),), False),
        ((float("inf"),), (1.7e308,), False),
    ],
)
def test_content_when_reals_differ_then_counts_nine_digits(
    one: tuple[float | None], other: tuple[float | None], same: bool
) -> None:
    rest = (1, "a", None, True)
    assert (hashed([one + rest], ordered=True) == hashed([other + rest], ordered=True)) is same


def test_content_when_a_cell_changes_then_changes() -> None:
    row = (1.0, 1, "a", utc("2025-09-01"), True)
    others = [(2.0, *row[1:]), (*row[:1], 2, *row[2:]), (*row[:2], "b", *row[3:]),
              (*row[:3], utc("2025-09-02"), True), (*row[:4], False)]  # fmt: skip
    hashes = {hashed([r], ordered=True) for r in (row, *others)}
    assert len(hashes) == 6
    assert hashed([row, row], ordered=False) != hashed([row], ordered=False)
