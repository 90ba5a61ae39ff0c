"""``meta`` updated in a copy equals ``meta`` written from scratch, after any change of the lake."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support import bar_table, file_key, grid, without_comments, write_file
from warehouse.build.meta.change import change_meta
from warehouse.build.meta.rows import Subject, write_meta
from warehouse.build.meta.tables import META
from warehouse.build.months.lake_months import Kept, LakeByMonth, kept_in
from warehouse.config import Settings
from warehouse.generations import read_catalog
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.sync.from_folder import sync_folder
from warehouse.vendor.keys import FileKey

SYMBOLS = ("perpetual-BTC-USDT:USDT", "perpetual-ETH-USDT:USDT")
PERIODS = ("2025-08", "2025-10", "2025-08-31", "2025-10-01", "2025-12")
RAW = {"interval": None, "clock": None}


def change_lake(home: Home, files: Path, chooser: random.Random) -> None:
    """One change of a random kind: a file comes, is restated, forgotten, stamped or refused."""
    with Manifest(home.manifest, create=True) as manifest:
        held = [file.key for file in manifest.files()]
    match chooser.choice(("write", "write", "write", "raw", "forget", "stamp", "other")):
        case "forget" if held:
            with Manifest(home.manifest) as manifest:
                manifest.supersede(chooser.choice(held))
        case "stamp" if held:
            with Manifest(home.manifest) as manifest:
                file = manifest.file(chooser.choice(held))
                assert file is not None
                manifest.record_stamp(file, origin=f"there {chooser.random()}", stamp="new")
        case "other" if held:
            with Manifest(home.manifest) as manifest:
                key = chooser.choice(held)
                manifest.record_refusal(
                    key, object=str(chooser.random()), size_bytes=1, reason="bad", origin="here"
                )
        case "raw":
            sync(home, files, file_key("raw_trades", chooser.choice(PERIODS), **RAW), chooser)
        case _:
            symbol, period = chooser.choice(SYMBOLS), chooser.choice(PERIODS)
            dataset = chooser.choice(("flow", "vtwap"))
            sync(home, files, file_key(dataset, period, symbol=symbol), chooser)


def sync(home: Home, files: Path, key: FileKey, chooser: random.Random) -> None:
    """Bring a file of the key with bars at random hours of its period, none now and then."""
    period = key.period
    hours = (period.end - period.start) // timedelta(hours=1)
    start = chooser.randint(0, hours - 1)
    table = bar_table(key.dataset, grid(period.start, hours)[start :: chooser.randint(1, 3)][:40])
    if chooser.random() < 0.1:
        table = table.slice(0, 0)
    if chooser.random() < 0.4:
        table = table.append_column("more", [[1] * len(table)])
    folder = files / str(len(list(files.glob("*"))))
    write_file(folder, key, table)
    sync_folder(home, folder)


def described(home: Home, manifest: Manifest, kept: Kept) -> Subject:
    return Subject(LakeByMonth(home, manifest, kept), manifest, Settings(home.root), 1, None)


def write_whole(connection: duckdb.DuckDBPyConnection, home: Home, manifest: Manifest) -> None:
    """In one transaction, as builds do; without comments, which ``rows`` do not show."""
    with without_comments():
        connection.begin()
        connection.execute("create schema meta")
        write_meta(connection, described(home, manifest, Kept()))
        connection.commit()


def rows(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    lists = {
        name: connection.execute(f"from meta.{name}").fetchall() for name in META if name != "build"
    }
    lists["build"] = connection.execute("select files from meta.build").fetchall()
    return {name: sorted(map(str, found)) for name, found in lists.items()}


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))]
)
def test_meta_when_changed_in_a_copy_then_equals_one_written_whole_and_reads_changed_months_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chooser = random.Random(seed)
    home, files, catalog = (
        Home(tmp_path / "home"),
        tmp_path / "files",
        tmp_path / "warehouse.duckdb",
    )
    files.mkdir()
    sync(home, files, file_key("flow", "2025-08"), chooser)
    with Manifest(home.manifest) as manifest, duckdb.connect(catalog) as connection:
        write_whole(connection, home, manifest)
    read: list[tuple[str, str]] = []
    whole = Manifest.files_of_month

    def files_of_month(manifest: Manifest, dataset: str, month: str) -> Any:
        read.append((dataset, month))
        return whole(manifest, dataset, month)

    monkeypatch.setattr(Manifest, "files_of_month", files_of_month)
    most = dict.fromkeys(("coverage", "gaps", "restatements", "drift"), 0)
    for _ in range(10):
        with Manifest(home.manifest) as manifest:
            before = set(manifest.months())
        for _ in range(chooser.randint(1, 4)):
            change_lake(home, files, chooser)
        kept = kept_in(home, partial(read_catalog, home, catalog))
        read.clear()
        with Manifest(home.manifest) as manifest, duckdb.connect(catalog) as connection:
            connection.begin()
            change_meta(connection, described(home, manifest, kept))
            connection.commit()
            changed = rows(connection)
            new = {(dataset, month) for dataset, month, *_ in set(manifest.months()) - before}
            assert set(read) == new and len(read) == len(new)
        with Manifest(home.manifest) as manifest, duckdb.connect() as connection:
            write_whole(connection, home, manifest)
            assert changed == rows(connection)
        most = {name: max(most[name], len(changed[name])) for name in most}
    assert min(most.values()) > 0, most
