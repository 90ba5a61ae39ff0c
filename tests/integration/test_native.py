"""The native copy has the rows of the stored months after any changes, and is never required."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import warehouse
from tests.support import copy_home, reads_native_copy, run_warehouse
from warehouse.build.marts.native_copy import MOST_COLUMNS, MOST_RECENT, copy_damage, copy_marts
from warehouse.build.marts.running_columns import continued, write_running
from warehouse.config import Settings
from warehouse.errors import UsageError
from warehouse.generations.publish import generations, is_open, point_to
from warehouse.home import Home, generation_path, native_copy
from warehouse.query.session import find_native_copy, open_session
from warehouse.query.warehouse import Warehouse
from warehouse.sql import literal

MONTHS = [f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)]
MARTS = ("bars", "flow_features")

Version = dict[str, dict[str, int]]
"""Which version of each month a mart has."""


class Published:
    """A home whose generations are made by hand: catalogs over months of random rows.

    Column ``a`` is a running one: its views add what ``meta.running`` has before each month.
    """

    def __init__(self, root: Path, *, columns: int = 6) -> None:
        self.home = Home(root)
        self.settings = Settings(root)
        self.columns = columns
        root.mkdir(exist_ok=True)

    def publish(self, version: Version) -> int:
        number = max(generations(self.home), default=0) + 1
        catalog = generation_path(self.home, number)
        catalog.parent.mkdir(parents=True)
        with duckdb.connect(catalog) as connection:
            connection.execute("create schema meta")
            connection.execute(f"create table meta.build as select {number} as generation,"
                               f" {literal(str(self.home.root))} as home")  # fmt: skip
            connection.execute("create table meta.stored (model varchar, month varchar,"
                               " path varchar, rows bigint, size_bytes bigint)")  # fmt: skip
            connection.execute('create table meta.running (model varchar, "column" varchar,'
                               " first_month date, months integer, before double[])")  # fmt: skip
            for mart, months in version.items():
                paths = [self.month(mart, month, months[month]) for month in sorted(months)]
                for path in paths:
                    count = pq.read_metadata(self.home.root / path).num_rows
                    connection.execute(
                        "insert into meta.stored values (?, ?, ?, ?, ?)",
                        [mart, Path(path).name[:7], path, count, 1_000],
                    )
                rows = f"read_parquet({[str(self.home.root / path) for path in paths]})"
                write_running(connection, mart, ["a"], rows)
                (shown,) = continued(connection, {("main", mart): rows}).values()
                connection.execute(f"create view main.{mart} as from {shown}")
                connection.execute(f"comment on view main.{mart} is 'what {mart} is'")
                connection.execute(f"comment on column main.{mart}.a is 'first [bps]'")
        catalog.chmod(0o444)
        point_to(self.home, catalog)
        return number

    def month(self, mart: str, month: str, version: int) -> str:
        """Path below the home of a month, whose rows are its own."""
        path = self.home.marts / mart / f"{month}-{version}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            chooser = np.random.default_rng(hash((mart, month, version)) % 2**32)
            count = 7
            start = np.datetime64(month, "us")
            values = {"series_id": np.repeat([1, 3], [3, 4]).astype(np.int32)}
            values["time"] = start + np.r_[0:3, 0:4] * np.timedelta64(1, "h")
            for name in "abcdefghijklmnopqrstuvwxyz"[: min(self.columns - 2, 26)]:
                values[name] = chooser.normal(size=count)
            for number in range(self.columns - 28):
                values[f"x{number}"] = chooser.normal(size=count)
            pq.write_table(pa.table(values), path)
        return str(path.relative_to(self.home.root))

    def shown(self, catalog: Path | None = None) -> dict[str, pa.Table]:
        """All rows of every mart, as a session or as a plain DuckDB sees them."""
        if catalog is None:
            connection = open_session(self.settings, self.home.catalog).connection
        else:
            connection = duckdb.connect(catalog, read_only=True)
        with connection:
            return {
                mart: connection.sql(
                    f'from main.{mart} order by series_id, "time", a'
                ).to_arrow_table()
                for (mart,) in connection.execute(
                    "select distinct model from meta.stored order by model"
                ).fetchall()
            }

    def is_native(self) -> bool:
        with open_session(self.settings, self.home.catalog).connection as connection:
            return reads_native_copy(connection)


@pytest.fixture
def made(tmp_path: Path) -> Published:
    made = Published(tmp_path / "home")
    made.publish({mart: dict.fromkeys(MONTHS[:6], 1) for mart in MARTS})
    assert copy_marts(made.settings) is None
    return made


steps = st.lists(
    st.fixed_dictionaries(
        {
            mart: st.dictionaries(st.sampled_from(MONTHS[:8]), st.integers(1, 2), max_size=8)
            for mart in MARTS
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=max(3, settings.default.max_examples // 6), deadline=None)
@given(steps=steps)
def test_copy_after_any_sequence_of_builds_holds_the_rows_of_the_stored_months(
    steps: list[Version],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Published(Path(folder) / "home")
        for step in steps:
            version = {mart: months for mart, months in step.items() if months}
            number = made.publish(version)
            assert copy_marts(made.settings) is None
            assert made.is_native() == bool(version)
            assert copy_damage(made.home, number) is None
            assert made.shown() == made.shown(made.home.catalog)
            copies = [path.parent.name for path in made.home.generations.glob("*/native.duckdb")]
            assert copies == [str(number)] * bool(version), "an earlier one is of no use"


def test_copy_when_a_month_is_added_or_changed_then_the_closed_months_are_the_same_file(
    made: Published,
) -> None:
    text = "select bit_xor(hash(b)) from bars as b"
    kept, closed_again = native_copy(made.home, 1).closed.stat().st_ino, 0
    with Warehouse(made.settings) as asked:
        before = asked.sql(text).fetchall()
        for last in range(7, 7 + 2 * MOST_RECENT):
            months = dict.fromkeys(MONTHS[:last], 1) | {MONTHS[last - 1]: 2}
            number = made.publish(dict.fromkeys(MARTS, months))
            assert copy_marts(made.settings) is None
            inode = native_copy(made.home, number).closed.stat().st_ino
            closed_again += inode != kept
            kept = inode
            assert made.is_native()
            assert made.shown() == made.shown(made.home.catalog)
        assert asked.sql(text).fetchall() == before, "whoever reads a file keeps it"
    assert closed_again == 2


def test_copy_when_hours_are_added_to_the_last_month_then_only_this_month_is_written_again(
    made: Published,
) -> None:
    first = dict.fromkeys(MONTHS[:6], 1)
    closed = []
    for version in range(2, 5):
        number = made.publish(dict.fromkeys(MARTS, first | {MONTHS[5]: version}))
        assert copy_marts(made.settings) is None
        copy = native_copy(made.home, number)
        recent = json.loads(copy.facts.read_bytes())[copy.recent.name]["months"]
        assert {mart: len(months) for mart, months in recent.items()} == dict.fromkeys(MARTS, 1)
        assert made.shown() == made.shown(made.home.catalog)
        closed.append(copy.closed.stat().st_ino)
    assert len(set(closed)) == 1


def test_copy_when_a_closed_month_or_the_marts_change_then_holds_what_is_stored(
    made: Published,
) -> None:
    first = dict.fromkeys(MONTHS[:6], 1)
    for version in (
        {mart: first | {MONTHS[0]: 2} for mart in MARTS},
        {"bars": first},
        {"bars": first, "flow_features": dict.fromkeys(MONTHS[:8], 1)},
        {"bars": {MONTHS[1]: 1}, "flow_features": first},
    ):
        number = made.publish(version)
        assert copy_marts(made.settings) is None
        assert made.is_native()
        assert copy_damage(made.home, number) is None
        assert made.shown() == made.shown(made.home.catalog)


@pytest.mark.parametrize("how", ["type", "order", "name", "more"])
@pytest.mark.parametrize("count", [2, 9])
def test_copy_when_a_mart_changes_its_columns_then_is_made_again(
    tmp_path: Path, how: str, count: int
) -> None:
    made = Published(tmp_path / "home")
    for last in (count - 1, count):
        made.publish({"bars": dict.fromkeys(MONTHS[:last], 1)})
        assert copy_marts(made.settings) is None
    for month in MONTHS[:count]:
        path = made.home.root / made.month("bars", month, 2)
        table = pq.read_table(path)
        changed = {
            "type": table.set_column(3, "b", pa.array(range(len(table)), pa.int32())),
            "order": table.select(["series_id", "time", "d", "a", "b", "c"]),
            "name": table.rename_columns(["series_id", "time", "a", "b", "c", "e"]),
            "more": table.append_column("e", table["a"]),
        }
        pq.write_table(changed[how], path)
    number = made.publish({"bars": dict.fromkeys(MONTHS[:count], 2)})
    assert copy_marts(made.settings) is None
    assert made.is_native()
    assert made.shown() == made.shown(made.home.catalog)
    assert copy_damage(made.home, number) is None


def test_session_when_another_generation_is_published_then_keeps_its_own(made: Published) -> None:
    with Warehouse(made.settings) as asked:
        made.publish({"bars": {MONTHS[0]: 2}})
        assert copy_marts(made.settings) is None
        assert is_open(made.home, 1), "by this very process"
        text = "select generation, (select count(*) from bars) from meta.build"
        assert asked.sql(text).fetchall() == [(1, 42)]
        assert asked.sql(text, memory="100MB").fetchall() == [(1, 42)]
        of_first = asked.sql(text)
        asked.refresh()
        assert asked.sql(text).fetchall() == [(2, 7)]
        with pytest.raises(UsageError, match="refreshed after"):
            of_first.fetchall()
        assert not is_open(made.home, 1)
        with duckdb.connect(generation_path(made.home, 2), read_only=True):
            assert is_open(made.home, 2), "whatever else this process opens and closes"
        assert is_open(made.home, 2)


def test_listings_of_columns_when_there_is_a_copy_show_a_mart_once(made: Published) -> None:
    with Warehouse(made.settings) as asked:
        listed = asked.sql(
            "select count(*) from information_schema.columns where table_name = 'bars'"
        )
        assert listed.fetchall() == [(6,)]


def test_copy_when_the_marts_are_the_same_then_is_made_of_the_same_files(made: Published) -> None:
    before = native_copy(made.home, 1)
    inodes = [path.stat().st_ino for path in (before.closed, before.recent)]
    number = made.publish({mart: dict.fromkeys(MONTHS[:6], 1) for mart in MARTS})
    assert copy_marts(made.settings) is None
    after = native_copy(made.home, number)
    assert [path.stat().st_ino for path in (after.closed, after.recent)] == inodes
    assert made.is_native()
    assert made.shown() == made.shown(made.home.catalog)


def test_copy_when_the_one_before_has_sums_within_months_then_is_made_of_the_stored_months(
    made: Published,
) -> None:
    before = native_copy(made.home, 1)
    facts = json.loads(before.facts.read_text())
    for written in facts.values():
        del written["is_continued"]  # as earlier versions wrote it
    before.facts.unlink()
    before.facts.write_text(json.dumps(facts))
    assert copy_damage(made.home, 1) is None
    inodes = {path.stat().st_ino for path in (before.closed, before.recent)}
    with Warehouse(made.settings):
        number = made.publish({mart: dict.fromkeys(MONTHS[:6], 1) for mart in MARTS})
        assert copy_marts(made.settings) is None
        after = native_copy(made.home, number)
        assert inodes.isdisjoint(path.stat().st_ino for path in (after.closed, after.recent))
    assert made.shown() == made.shown(made.home.catalog)


def test_session_when_there_is_a_copy_then_has_the_comments_of_the_catalog(made: Published) -> None:
    text = ("select table_name, column_name, data_type, comment from duckdb_columns()"
            " where database_name = '{}' and not internal order by all")  # fmt: skip
    with duckdb.connect(made.home.catalog, read_only=True) as plain:
        expected = plain.execute(text.format("warehouse")).fetchall()
    with open_session(made.settings, made.home.catalog).connection as session:
        assert session.execute(text.format("warehouse")).fetchall() == expected
        meaning = session.execute("select comment from duckdb_views() where view_name = 'bars'")
        assert meaning.fetchall() == [("what bars is",)]


@pytest.mark.parametrize("file", ["native.duckdb", "recent.duckdb", "session.duckdb"])
@pytest.mark.parametrize("how", ["cut", "gone", "other"])
def test_session_when_the_copy_is_damaged_then_reads_the_catalog_itself(
    made: Published, file: str, how: str
) -> None:
    expected = made.shown(made.home.catalog)
    path = generation_path(made.home, 1).with_name(file)
    held = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes(held[:5_000] if how == "cut" else b"no database at all")
    assert made.shown() == expected


@pytest.mark.parametrize("file", ["native.duckdb", "recent.duckdb"])
def test_copy_when_a_block_is_changed_then_is_found_damaged(made: Published, file: str) -> None:
    path = generation_path(made.home, 1).with_name(file)
    path.chmod(0o644)
    held = bytearray(path.read_bytes())
    for place in range(3 * 4096, len(held), 4096):
        held[place + 100] ^= 0xFF
    path.write_bytes(held)
    assert copy_damage(made.home, 1) is not None


def test_query_when_the_copy_is_damaged_then_reads_parquet_and_reports_it(
    demo_home: Path, tmp_path: Path
) -> None:
    home = Home(copy_home(demo_home, tmp_path / "home"))
    tables = native_copy(home, generations(home)[-1]).closed
    shutil.copyfile(tables, tmp_path / "tables")
    (tmp_path / "tables").replace(tables)
    with tables.open("r+b") as file:
        for place in range(600_000, tables.stat().st_size - 3_000_000, 250_000):
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ 0x10]))
    text = "select symbol, max(net_delta) from flow_features group by symbol order by symbol"
    for form in ("csv", "table"):
        whole, harmed = (
            run_warehouse("sql", text, "--format", form, "--home", root, cwd=tmp_path)
            for root in (demo_home, home.root)
        )
        assert (harmed.exit_code, harmed.stdout) == (0, whole.stdout), harmed.stderr
        assert "the native copy of" in harmed.stderr and "verify --repair" in harmed.stderr
    with warehouse.open(home.root) as opened:
        result = opened.sql("select max(net_delta) from flow_features")
        assert [len(result), *(len(batch) for batch in result.batches())] == [1, 1]


def test_copy_when_the_settings_allow_none_then_is_taken_away(made: Published) -> None:
    assert find_native_copy(made.home, made.home.catalog) is not None
    assert copy_marts(Settings(made.home.root, native_gb=0)) is None
    assert find_native_copy(made.home, made.home.catalog) is None
    assert not list(made.home.root.rglob("native*"))


def test_copy_when_a_mart_is_wide_then_leaves_it_as_it_is(tmp_path: Path) -> None:
    made = Published(tmp_path / "home", columns=MOST_COLUMNS + 1)
    made.publish({"bars": {MONTHS[0]: 1}})
    assert copy_marts(made.settings) is None
    assert not made.is_native()


def test_copy_when_it_cannot_be_made_then_gives_the_reason_and_leaves_nothing(
    made: Published,
) -> None:
    number = made.publish({"bars": {MONTHS[0]: 1}})
    lost = made.home.root / made.month("bars", MONTHS[0], 1)
    lost.write_bytes(b"no parquet")
    reason = copy_marts(made.settings)
    assert reason is not None and lost.name in reason
    assert not list(generation_path(made.home, number).parent.glob("[nrs]*.duckdb"))
    assert not list(made.home.root.rglob("native*"))
    assert not made.is_native()


def test_copy_when_an_earlier_one_is_read_elsewhere_then_lets_it_be(made: Published) -> None:
    code = (
        "import sys, duckdb; c = duckdb.connect(sys.argv[1], read_only=True);"
        " print('open', flush=True); sys.stdin.read()"
    )
    earlier = generation_path(made.home, 1).with_name("session.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", code, earlier], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None and reader.stdout.readline()
        made.publish({"bars": {MONTHS[0]: 1}})
        copy_marts(made.settings)
        assert earlier.is_file()
        reader.communicate()
    copy_marts(made.settings)
    assert not earlier.exists()


def test_marts_of_the_demo_when_asked_in_a_session_are_those_of_the_shell(demo_home: Path) -> None:
    with (
        warehouse.open(demo_home) as session,
        duckdb.connect(demo_home / "warehouse.duckdb", read_only=True) as shell,
    ):
        raw = session.connection()
        assert reads_native_copy(raw)
        marts = raw.execute(
            "select distinct model from meta.stored where model not like 'vendor.%' order by all"
        ).fetchall()
        assert len(marts) >= 6
        for (mart,) in marts:
            text = f'from main.{mart} order by series_id, "time"'
            assert raw.sql(text).to_arrow_table() == shell.sql(text).to_arrow_table(), mart
