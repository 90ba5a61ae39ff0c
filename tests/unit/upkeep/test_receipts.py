"""Verifying receipts: the same result, other code, other inputs."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa

import warehouse
from tests.asking import publish_without_dbt, write_month
from tests.support import BTC, copy_home
from warehouse.config import load_settings
from warehouse.home import Home
from warehouse.query.results.receipt import Receipt, ReceiptFile
from warehouse.sync.from_folder import sync_folder
from warehouse.upkeep.receipts import ReceiptStatus, ReceiptVerdict, verify_receipt

ASK = "select time, net_delta from mart where symbol = $s and time < $end order by time"


def receipt_of(home: Path, text: str = ASK, **params: object) -> Receipt:
    with warehouse.open(home) as wh:
        return wh.sql(text, params).receipt


def test_a_file_that_another_home_lacks_is_listed_once() -> None:
    lost, kept = (
        ReceiptFile("flow", "x", "y", "1h", "true", "2025-09", sha) for sha in ("aa", "bb")
    )
    found = ReceiptVerdict(ReceiptStatus.OTHER_INPUTS, False, 1, gone=(lost, kept), pruned=(lost,))
    lines = str(found).splitlines()
    assert sum("2025-09" in line for line in lines) == 2
    assert any("no longer in this home" in line and "(aa)" in line for line in lines)


def test_verify_when_nothing_code_or_inputs_changed_then_reports_which(
    small_home: Path, tmp_path: Path
) -> None:
    home = copy_home(small_home, tmp_path / "home")
    settings = load_settings(home)
    ordered = receipt_of(home, s=BTC, end=date(2025, 10, 3))
    found = verify_receipt(settings, ordered)
    assert (found.verdict, str(found)) == (ReceiptStatus.IDENTICAL, "identical")
    loose = receipt_of(home, "select close from mart where symbol = $s", s=BTC)
    changed = Receipt.from_json(json.dumps(json.loads(ordered.to_json()) | {"content": "0" * 64}))
    verdict, past = str(verify_receipt(settings, changed)).splitlines()
    assert verdict == "same inputs, other code"
    assert "own generation is not kept" in past

    write_month(tmp_path / "new", "flow", BTC, 10, volume_delta=pa.array([2.0] * 744))
    sync_folder(Home(home), tmp_path / "new")
    publish_without_dbt(home, generation=2)
    found = verify_receipt(settings, ordered)
    assert (found.verdict, found.same_result) == (ReceiptStatus.OTHER_INPUTS, False)
    assert [(f.dataset, f.period) for f in found.restated] == [("flow", "2025-10")]
    assert "restated: flow binance-futures" in str(found)
    kept = verify_receipt(settings, loose)
    assert (kept.verdict, kept.same_result) == (ReceiptStatus.OTHER_INPUTS, True)
    assert "the same result" in str(kept)

    gone = Receipt.from_json(ordered.to_json().replace("net_delta", "net_gone"))
    found = verify_receipt(settings, gone)
    assert found.verdict is ReceiptStatus.OTHER_CODE
    assert found.problem is not None and "net_gone" in found.problem
