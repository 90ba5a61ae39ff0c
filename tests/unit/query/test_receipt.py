"""Receipts: what they hold, when a content hash stays, and what a verification says."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warehouse
from tests.asking import ETH, publish_without_dbt, write_month, write_small_home
from tests.support import BTC, utc
from warehouse.config import load_settings
from warehouse.errors import QueryError
from warehouse.home import Home
from warehouse.query.receipt import Receipt, ReceiptFile, content_hash
from warehouse.sync.from_folder import sync_folder
from warehouse.upkeep.receipts import ReceiptVerdict, Verdict, verify_receipt

ASK = "select time, net_delta from mart where symbol = $s and time < $end order by time"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_home(tmp_path_factory.mktemp("receipts") / "home", symbols=(BTC, ETH))


def receipt_of(home: Path, text: str = ASK, **params: object) -> Receipt:
    with warehouse.open(home) as wh:
        return wh.sql(text, params).receipt


def test_a_file_that_another_home_lacks_is_listed_once() -> None:
    lost, kept = (
        ReceiptFile("flow", "x", "y", "1h", "true", "2025-09", sha) for sha in ("aa", "bb")
    )
    found = ReceiptVerdict(Verdict.OTHER_INPUTS, False, 1, gone=(lost, kept), pruned=(lost,))
    lines = str(found).splitlines()
    assert sum("2025-09" in line for line in lines) == 2
    assert any("no longer in this home" in line and "(aa)" in line for line in lines)


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


def test_verify_when_nothing_changed_then_is_identical(home: Path) -> None:
    receipt = receipt_of(home, s=BTC, end=date(2025, 10, 3))
    found = verify_receipt(load_settings(home), receipt)
    assert (found.verdict, str(found)) == (Verdict.IDENTICAL, "identical")


def test_verify_when_code_or_inputs_changed_then_says_which(tmp_path: Path) -> None:
    home = write_small_home(tmp_path / "home", symbols=(BTC,))
    settings = load_settings(home)
    ordered = receipt_of(home, s=BTC, end=date(2025, 10, 3))
    loose = receipt_of(home, "select close from mart where symbol = $s", s=BTC)
    changed = Receipt.from_json(json.dumps(json.loads(ordered.to_json()) | {"content": "0" * 64}))
    verdict, past = str(verify_receipt(settings, changed)).splitlines()
    assert verdict == "same inputs, other code"
    assert "own generation is not kept" in past

    write_month(tmp_path / "new", "flow", BTC, 10, volume_delta=pa.array([2.0] * 744))
    sync_folder(Home(home), tmp_path / "new")
    publish_without_dbt(home, generation=2)
    found = verify_receipt(settings, ordered)
    assert (found.verdict, found.same_answer) == (Verdict.OTHER_INPUTS, False)
    assert [(f.dataset, f.period) for f in found.restated] == [("flow", "2025-10")]
    assert "restated: flow binance-futures" in str(found)
    kept = verify_receipt(settings, loose)
    assert (kept.verdict, kept.same_answer) == (Verdict.OTHER_INPUTS, True)
    assert "the same result" in str(kept)

    gone = Receipt.from_json(ordered.to_json().replace("net_delta", "net_gone"))
    found = verify_receipt(settings, gone)
    assert found.verdict is Verdict.OTHER_CODE
    assert found.problem is not None and "net_gone" in found.problem


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
