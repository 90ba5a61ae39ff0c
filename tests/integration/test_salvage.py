"""Which files can be salvaged, and what happens to a salvaged file later."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.robustness.support import quick_build
from tests.support import bar_table, file_key, grid, write_file
from warehouse.cli import run as run_here
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.lake.manifest.records import StoredFile
from warehouse.sync.from_folder import sync_folder
from warehouse.sync.report import SyncReport
from warehouse.upkeep.prune import plan_prune
from warehouse.upkeep.repair import repair_home
from warehouse.upkeep.verify import About, verify_home

KEY = file_key("ohlcv", "2025-09")
WHOLE = bar_table("ohlcv", grid(date(2025, 9, 1), 720))


def with_first_row_again(table: pa.Table, **values: object) -> pa.Table:
    row = table.slice(0, 1).to_pylist()[0] | values
    return pa.concat_tables([table, pa.Table.from_pylist([row], table.schema)])


class Synced:
    """A folder with one file, and a home that takes it in."""

    def __init__(self, folder: Path, table: pa.Table) -> None:
        self.home, self.files = Home(folder / "home"), folder / "files"
        write_file(self.files, KEY, table)

    def sync(self, *, salvage: bool = False) -> SyncReport:
        return sync_folder(self.home, self.files, salvage=salvage)

    def stored(self) -> StoredFile:
        with Manifest(self.home.manifest) as manifest:
            (file,) = manifest.files()
        return file

    def original(self) -> Path:
        return self.home.quarantine / f"{self.stored().facts.original}.refused"


@pytest.fixture
def salvaged(tmp_path: Path) -> Synced:
    synced = Synced(tmp_path, with_first_row_again(WHOLE))
    assert synced.sync(salvage=True).exit_code == 1
    assert synced.stored().facts.rows == 720
    return synced


def test_the_vendors_bytes_outlive_a_prune_as_long_as_the_salvaged_file(
    salvaged: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warehouse.upkeep.prune.list_generations", lambda home: [])
    assert salvaged.original().is_file()
    assert salvaged.original() not in plan_prune(salvaged.home).files


def test_the_same_bytes_without_the_option_change_nothing(salvaged: Synced) -> None:
    before = salvaged.stored()
    (path,) = salvaged.files.rglob("*.parquet")
    path.touch()
    report = salvaged.sync()
    assert report.exit_code == 0 and not report.taken_in
    assert salvaged.stored().object == before.object


def test_a_whole_file_replaces_a_salvaged_one(salvaged: Synced) -> None:
    write_file(salvaged.files, KEY, WHOLE)
    assert salvaged.sync().exit_code == 0
    assert salvaged.stored().facts.left_out == () and salvaged.stored().facts.rows == 720


def test_a_damaged_salvaged_object_is_made_again_from_the_vendors_bytes(salvaged: Synced) -> None:
    before = salvaged.stored()
    path = salvaged.home.object_path(before.object)
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    (salvaged.home.lake / KEY.path).unlink()
    done = repair_home(salvaged.home, lambda: None)
    assert any("salvaged" in line for line in done), done
    assert salvaged.stored() == before
    assert [finding.about for finding in verify_home(salvaged.home)] == [
        About.CATALOG
    ]  # none built


def test_a_lost_manifest_is_made_again_with_what_was_left_out(salvaged: Synced) -> None:
    before = salvaged.stored().facts
    salvaged.home.manifest.unlink()
    repair_home(salvaged.home, lambda: None)
    assert salvaged.stored().facts == before
    assert not salvaged.sync().taken_in


def test_status_when_it_reads_changed_months_only_then_equals_that_of_all_rows(
    salvaged: Synced, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Salvaged rows and notes of built months come from the catalog, and numbers of files too."""
    home, files = salvaged.home, salvaged.files
    write_file(files, file_key("ohlcv", "2030-01"), bar_table("ohlcv", grid(date(2030, 1, 1), 3)))
    salvaged.sync(salvage=True)
    quick_build(home)
    write_file(files, file_key("flow", "2025-09"), bar_table("flow", grid(date(2025, 9, 1), 3)))
    salvaged.sync(salvage=True)
    read = []
    of_month = Manifest.files_of_month
    monkeypatch.setattr(
        Manifest, "files_of_month", lambda *place: read.append(place[1:]) or of_month(*place)
    )

    def said() -> dict[str, Any]:
        assert run_here(["status", "--json", "--home", str(home.root)]) == 0
        facts: dict[str, Any] = json.loads(capsys.readouterr().out)
        return facts

    facts = said()
    assert read == [("flow", "2025-09")]
    assert (facts["files"], facts["catalog"]["files_not_built"]) == (3, 1)
    assert [one["rows_left_out"] for one in facts["salvaged"]] == [1]
    assert any("future times: in 1 file" in line for line in facts["notes"])
    monkeypatch.setattr("warehouse.cli.status.__version__", "another")
    assert said() == facts
    assert len(read) == 4


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a"] * 720).cast(pa.string_view()),
        pa.array([b"\xff"] * 720).cast(pa.binary_view()),
        pa.array([1] * 720).cast(pa.timestamp("ns")),
        pa.array([{"a": None, "b": [1, 2]}] * 720),
        pa.array([float("nan")] * 720),
    ],
    ids=lambda column: str(column.type),
)
def test_a_row_twice_is_kept_once_whatever_its_other_columns_hold(
    tmp_path: Path, column: pa.Array
) -> None:
    table = WHOLE.append_column("extra", column)
    synced = Synced(tmp_path, pa.concat_tables([table, table.slice(0, 1)]))
    synced.sync(salvage=True)
    assert [number for number, _, _ in synced.stored().facts.left_out] == [720]


@pytest.mark.parametrize("stray", [2**63 - 1, grid(date(2025, 9, 1), 5)[4] * 1_000 + 1])
def test_one_time_between_two_microseconds_costs_its_row_alone(tmp_path: Path, stray: int) -> None:
    stamps = pa.array([*(grid(date(2025, 9, 1), 720) * 1_000), stray]).cast(pa.timestamp("ns"))
    synced = Synced(tmp_path, with_first_row_again(WHOLE).set_column(0, "time", stamps))
    (refused,) = synced.sync().refused
    assert refused.can_be_salvaged and "row 720" in str(refused.reason)
    synced.sync(salvage=True)
    assert synced.stored().facts.rows == 720
    assert [number for number, _, _ in synced.stored().facts.left_out] == [720]


@pytest.mark.parametrize(
    "facts",
    [
        b"[" * 100_000,
        b"\xff",
        b'{"original": "x", "rows": []}',
        b'{"original": "%s", "rows": [[1e400, 1, ""]]}' % (b"0" * 64),
        b'{"original": "%s", "rows": [[1e30, 1, ""]]}' % (b"0" * 64),
    ],
)
def test_a_file_that_only_claims_to_be_salvaged_is_refused(tmp_path: Path, facts: bytes) -> None:
    synced = Synced(tmp_path, WHOLE.replace_schema_metadata({b"warehouse.salvaged": facts}))
    (refused,) = synced.sync().refused
    assert "salvaged rows cannot be read" in str(refused.reason)


@pytest.mark.parametrize("kind", [pa.int64(), pa.decimal128(30, 2), pa.float32()])
def test_prices_of_0_are_noted_in_every_type_of_number(tmp_path: Path, kind: pa.DataType) -> None:
    close = pa.array(np.r_[[0] * 5, [1] * 715]).cast(kind)
    place = WHOLE.schema.get_field_index("close")
    synced = Synced(tmp_path, WHOLE.set_column(place, "close", close))
    (admission,) = synced.sync().taken_in
    assert admission.notes == (
        ("price not positive", "close: 5 rows with a price of 0 or below"),
        ("value out of range", "5 rows with close below low"),
    )
