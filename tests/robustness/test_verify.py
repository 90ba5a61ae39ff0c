"""Every kind of damage is found, named, and repaired to the same bytes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.robustness.support import (
    FILES,
    MONTHS,
    ROWS,
    answer,
    change_manifest,
    current_tree,
    damage,
    faults,
    keep_aside,
    put_back,
    quick_build,
    require_no_leftovers,
    sqlite_rows,
    sync_round,
)
from tests.support import VENUE, bar_table, file_key, grid, run_warehouse, write_file
from warehouse.build.marts.native_copy import copy_marts, remove_copy
from warehouse.config import Settings, load_settings
from warehouse.errors import DamagedError, NotFoundError
from warehouse.generations.publish import generations, rollback
from warehouse.home import Home, generation_path, native_copy
from warehouse.lake.manifest.manifest import Manifest
from warehouse.lake.manifest.schema import HOME_VERSION
from warehouse.sync.from_folder import sync_folder
from warehouse.upkeep.prune import prune_home, take_snapshot
from warehouse.upkeep.repair import repair_home
from warehouse.upkeep.verify import About, Finding, Severity, verify_home
from warehouse.vendor.keys import SeriesKey

ANSWER_ROWS = 3 * len(MONTHS) * ROWS
MONTH_START, DECEMBER = date(2025, 9, 1), date(2025, 12, 1)


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two rounds of restated files, two generations, one file in quarantine."""
    folder = tmp_path_factory.mktemp("verify")
    home = Home(folder / "home")
    sync_round(home, folder / "files", 1)
    quick_build(home)
    bad = write_file(folder / "files", file_key("funding", "2025-09"), bar_table("funding", []))
    bad.write_bytes(b"no parquet at all")
    sync_round(home, folder / "files", 2)
    quick_build(home)
    keep_aside(home)
    return home


@pytest.fixture
def home(two_rounds: Home) -> Home:
    put_back(two_rounds)
    return two_rounds


@pytest.fixture
def files(home: Home) -> Path:
    return home.root.with_name("files")


# -- what is planted -----------------------------------------------------------------------------


def an_object(home: Home, *, current: bool = True) -> Path:
    with Manifest(home.manifest) as manifest:
        found = [
            file
            for file in manifest.files(superseded=True)
            if (file.superseded_at is None) == current and file.key.dataset == "flow"
        ]
    return home.object_path(found[1].object)


def a_link(home: Home) -> Path:
    return sorted(home.lake.glob("flow/**/*.parquet"))[1]


def a_month(home: Home) -> Path:
    """The stored month that the current catalog reads."""
    return max(home.marts.glob("*/*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def flip(path: Path, place: int | None = None) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 0x10
    # in place, as a disk does: every hard link shows it
    with path.open("r+b") as file:
        file.write(content)


def cut(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 0)


def write_into(path: Path) -> None:
    """A new table, which root can write in a container despite the file's mode."""
    path.chmod(0o644)
    with duckdb.connect(path) as connection:
        connection.execute("create table mine as select 1 as x")


def drop_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def flip_blocks(path: Path) -> None:
    """Some bits in every block of a DuckDB file."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        size = path.stat().st_size
        for place in range(3 * 4096 + 100, size, 50_000):
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 0xFF]))


def other_object(home: Home) -> None:
    """A link to another file."""
    link, other = a_link(home), sorted(home.lake.glob("ohlcv/**/*.parquet"))[0]
    link.unlink()
    os.link(other, link)


def cut_copy(home: Home) -> None:
    """A truncated copy in place of a link, as where links fail."""
    link, copy = a_link(home), home.root / "copy"
    shutil.copyfile(link, copy)
    cut(copy)
    copy.replace(link)


def both(*acts: Callable[[], object]) -> None:
    for act in acts:
        act()


@dataclass(frozen=True, slots=True)
class Plant:
    """Damage to plant in a home, and the expected finding."""

    name: str
    act: Callable[[Home], object]
    kind: Severity
    about: About
    says: str
    seen_quickly: bool = True

    def is_in(self, findings: list[Finding]) -> bool:
        return any(
            (found.kind, found.about) == (self.kind, self.about) and self.says in found.what
            for found in findings
        )


PLANTS = [
    Plant(
        "object gone", lambda h: an_object(h).unlink(),
        Severity.DAMAGED, About.OBJECT, "is missing",
    ),
    Plant(
        "object and link gone",
        lambda h: both(an_object(h).unlink, a_link(h).unlink),
        Severity.DAMAGED, About.OBJECT, "is missing",
    ),
    Plant(
        "object flipped", lambda h: flip(an_object(h)), Severity.DAMAGED, About.OBJECT,
        "do not match the hash", seen_quickly=False,
    ),
    Plant(
        "object cut", lambda h: cut(an_object(h)),
        Severity.DAMAGED, About.OBJECT, "do not match the hash",
    ),
    Plant(
        "object empty", lambda h: empty(an_object(h)), Severity.DAMAGED, About.OBJECT,
        "do not match the hash",
    ),
    Plant(
        "all objects gone", lambda h: shutil.rmtree(h.objects), Severity.DAMAGED, About.OBJECT,
        "is missing",
    ),
    Plant("link gone", lambda h: a_link(h).unlink(), Severity.STALE, About.LINK, "is missing"),
    Plant("lake gone", lambda h: shutil.rmtree(h.lake), Severity.STALE, About.LINK, "is missing"),
    Plant("wrong link", other_object, Severity.STALE, About.LINK, "points to another object"),
    Plant(
        "link is a cut copy",
        cut_copy,
        Severity.STALE, About.LINK, "points to another object",
    ),
    Plant(
        "manifest gone", lambda h: h.manifest.unlink(), Severity.DAMAGED, About.MANIFEST, "missing"
    ),
    Plant(
        "manifest empty", lambda h: empty(h.manifest), Severity.DAMAGED, About.MANIFEST, "missing"
    ),
    Plant(
        "manifest no manifest", lambda h: flip(h.manifest, 3), Severity.DAMAGED,
        About.MANIFEST, "not a manifest",
    ),
    Plant("manifest cut", lambda h: cut(h.manifest), Severity.DAMAGED, About.MANIFEST, "manifest"),
    Plant(
        "a table gone", lambda h: change_manifest(h, "drop table restatements"), Severity.DAMAGED,
        About.MANIFEST, "no such table",
    ),
    Plant(
        "facts torn",
        lambda h: change_manifest(h, "update files set facts = substr(facts, 1, 50)"),
        Severity.DAMAGED, About.MANIFEST, "cannot be read",
    ),
    Plant(
        "facts wrong",
        lambda h: change_manifest(
            h, f"update files set facts = replace(facts, '\"rows\": {ROWS}', '\"rows\": 47')"
        ),
        Severity.DAMAGED, About.OBJECT, "rows: holds 48, the manifest has 47", seen_quickly=False,
    ),
    Plant(
        "size wrong", lambda h: change_manifest(h, "update files set size_bytes = 1"),
        Severity.DAMAGED, About.OBJECT, "the manifest has 1",
    ),
    Plant(
        "catalog gone", lambda h: h.catalog.unlink(),
        Severity.DAMAGED, About.CATALOG, "is missing, although generation ",
    ),
    Plant(
        "generations gone",
        lambda h: both(lambda: shutil.rmtree(h.generations), h.catalog.unlink),
        Severity.STALE, About.CATALOG, "is missing",
    ),
    Plant(
        "catalog cut", lambda h: cut(h.catalog), Severity.DAMAGED, About.CATALOG, "cannot be read"
    ),
    Plant(
        "catalog flipped", lambda h: flip_blocks(h.catalog), Severity.DAMAGED, About.CATALOG,
        "cannot be read",
    ),
    Plant(
        "old generation cut", lambda h: cut(generation_path(h, 1)), Severity.DAMAGED,
        About.GENERATION, "cannot be read",
    ),
    Plant(
        "month gone", lambda h: a_month(h).unlink(), Severity.DAMAGED, About.MONTH, "is missing"
    ),
    Plant(
        "month flipped", lambda h: flip(a_month(h)), Severity.DAMAGED, About.MONTH,
        "its bytes do not match the hash in its name", seen_quickly=False,
    ),
    Plant(
        "month empty", lambda h: empty(a_month(h)),
        Severity.DAMAGED, About.MONTH, "cannot be read",
    ),
    Plant(
        "catalog written to", lambda h: write_into(h.catalog), Severity.DAMAGED, About.CATALOG,
        "another program has written to it", seen_quickly=False,
    ),
    Plant(
        "old generation written to", lambda h: write_into(generation_path(h, 1)), Severity.DAMAGED,
        About.GENERATION, "another program has written to it", seen_quickly=False,
    ),
    Plant("journal cut", lambda h: cut(h.publications), Severity.DAMAGED, About.JOURNAL,
          "is truncated"),
    Plant(
        "a line of the journal gone", lambda h: drop_line(h.publications), Severity.DAMAGED,
        About.JOURNAL, "the copy in generation 2 has more entries",
    ),
    Plant(
        "journal gone", lambda h: h.publications.unlink(), Severity.DAMAGED, About.JOURNAL,
        "is missing",
    ),
    Plant("month cut", lambda h: cut(a_month(h)), Severity.DAMAGED, About.MONTH, "cannot be read"),
    Plant(
        "marts gone", lambda h: shutil.rmtree(h.marts), Severity.DAMAGED, About.MONTH, "is missing"
    ),
    Plant(
        "stray temporary", lambda h: (h.objects / ".1-x.new").write_bytes(b"x"),
        Severity.STRAY, About.LEFTOVER, "killed",
    ),
    Plant(
        "stray WAL", lambda h: h.catalog.with_name("warehouse.duckdb.wal").touch(), Severity.STRAY,
        About.LEFTOVER, "killed",
    ),
    Plant(
        "stray mart", lambda h: (h.marts / "flow_features" / ".x.new").touch(), Severity.STRAY,
        About.LEFTOVER, "killed",
    ),
]  # fmt: skip


TOGETHER = (
    ("object gone", "link is a cut copy", "month cut", "journal cut", "stray temporary"),
    ("object and link gone", "catalog cut", "stray WAL"),
    ("object flipped", "link gone", "month flipped", "old generation cut", "stray mart"),
    ("object cut", "month empty", "a line of the journal gone"),
    ("object empty", "catalog written to", "old generation written to"),
    ("all objects gone", "lake gone", "marts gone", "journal gone"),
    ("facts wrong", "catalog gone"),
    ("size wrong", "generations gone"),
    ("wrong link", "month gone"),
    ("manifest gone",),
    ("catalog flipped",),
    ("facts torn",),
)
"""Damages that do not hide one another; one by one they are planted by the long tests."""

LIKE_A_LOST_MANIFEST = ("manifest empty", "manifest no manifest", "manifest cut", "a table gone")
"""Healed as one that is gone, which the long tests try one by one."""


@pytest.mark.parametrize(
    "names",
    [*TOGETHER, *(pytest.param((plant.name,), marks=pytest.mark.long) for plant in PLANTS)],
    ids=", ".join,
)
def test_damage_is_found_named_and_repaired_to_the_same_bytes(
    home: Home, files: Path, names: tuple[str, ...]
) -> None:
    before = current_tree(home)
    plant_and_find(home, names)
    said = repair_home(home, lambda: quick_build(home))
    assert said
    sync_folder(home, files)
    left = faults(home)
    if [finding.about for finding in left] == [About.CATALOG]:
        quick_build(home)
        left = faults(home)
    assert left == []
    after = current_tree(home)
    assert {k: v for k, v in after.items() if "marts/" not in k} == {
        k: v for k, v in before.items() if "marts/" not in k
    }
    assert answer(home)[1:] == (2.0, 2.0, ANSWER_ROWS)
    require_no_leftovers(home)


@pytest.mark.parametrize("name", LIKE_A_LOST_MANIFEST)
def test_damage_of_the_manifest_is_found_and_named(home: Home, name: str) -> None:
    plant_and_find(home, [name])


def plant_and_find(home: Home, names: Collection[str]) -> None:
    """Plant damage; each must be found and named, also by ``--quick`` if it can see it."""
    plants = [plant for plant in PLANTS if plant.name in names]
    for plant in plants:
        plant.act(home)
    found = faults(home)
    quick = [f for f in verify_home(home, quick=True) if f.kind is not Severity.NOTE]
    for plant in plants:
        assert plant.is_in(found), (plant.name, found)
        about = {finding.about for finding in quick}
        assert (plant.about in about) == plant.seen_quickly, (plant.name, quick)
    assert all(finding.next_step for finding in found)
    assert bool(quick) == any(plant.seen_quickly for plant in plants)


def test_every_damage_is_planted() -> None:
    planted = [*LIKE_A_LOST_MANIFEST, *(name for names in TOGETHER for name in names)]
    assert sorted(planted) == sorted(plant.name for plant in PLANTS)


def test_a_sound_home_has_no_findings(home: Home) -> None:
    assert not verify_home(home)
    assert not repair_home(home, lambda: pytest.fail("nothing is to be built"))


def test_verify_changes_nothing(home: Home) -> None:
    flip(an_object(home))
    a_month(home).unlink()
    before = {path: path.stat() for path in home.root.rglob("*")}
    verify_home(home)
    after = {path: path.stat() for path in home.root.rglob("*")}
    for path, status in before.items():
        now = after.pop(path)
        assert (now.st_size, now.st_mtime_ns, now.st_ino) == (
            status.st_size, status.st_mtime_ns, status.st_ino
        ), path  # fmt: skip
    assert not after


def test_verify_when_there_is_no_home_then_reports_it_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no files were synced"):
        verify_home(Home(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_home_whose_manifest_names_a_type_less_exactly_is_sound(tmp_path: Path) -> None:
    """So earlier versions wrote the types that not every DuckDB names."""
    home = Home(tmp_path / "home")
    table = bar_table("flow", grid(MONTH_START, ROWS))
    odd = pa.array([1] * ROWS, pa.time64("ns"))
    write_file(tmp_path / "files", file_key("flow", "2025-09"), table.append_column("odd", odd))
    sync_folder(home, tmp_path / "files")
    change_manifest(home, "update files set facts = replace(facts, 'OTHER time64[ns]', 'OTHER')")
    with Manifest(home.manifest) as manifest:
        ((_, kind),) = [c for f in manifest.files() for c in f.facts.columns if c[0] == "odd"]
    assert kind == "OTHER"
    assert [finding for finding in verify_home(home) if finding.about is About.OBJECT] == []


def test_a_file_that_an_earlier_version_took_leaves_the_lake_and_its_generations_stay(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So with decimals of more than 38 digits, which DuckDB 1.5 reads as other numbers."""
    month = date(2025, 12, 1)
    table = bar_table("flow", grid(month, 24))
    long = pa.array([Decimal("1.25")] * 24, pa.decimal256(60, 4))
    table = table.set_column(table.column_names.index("volume_delta"), "volume_delta", long)
    key = file_key("flow", "2025-12")
    write_file(home.root.parent / "long", key, table)
    with monkeypatch.context() as earlier:
        earlier.setattr(
            "warehouse.lake.validate.vendor_file._has_long_decimals", lambda kind: False
        )
        sync_folder(home, home.root.parent / "long")
    quick_build(home)
    before = generations(home)
    (found,) = faults(home)
    assert "'volume_delta' is decimal256(60, 4)" in found.what and str(key) in found.what
    told = "\n".join(repair_home(home, lambda: quick_build(home)))
    assert f"removed {key} from the lake" in told and "warehouse sync --from FOLDER" in told
    assert set(before) <= set(generations(home)) and not faults(home)
    with Manifest(home.manifest) as manifest:
        assert key not in {file.key for file in manifest.files()}
        assert any("decimal256" in refusal.reason for refusal in manifest.quarantine())


# -- a lost manifest -----------------------------------------------------------------------------


def test_sync_when_the_manifest_is_lost_then_removes_nothing(home: Home, files: Path) -> None:
    """What must never happen: an empty manifest, and a sync that removes its strays."""
    home.manifest.unlink()
    before = sorted(home.root.rglob("*.parquet"))
    with pytest.raises(DamagedError, match="missing, although") as caught:
        sync_folder(home, files)
    assert "verify --repair" in str(caught.value)
    home.manifest.touch()
    with pytest.raises(DamagedError, match="missing, although"):
        sync_folder(home, files)
    for verb in (["status"], ["build"], ["sync", "--from", str(files)], ["verify"]):
        done = run_warehouse(*verb, "--home", home.root, cwd=files)
        assert done.exit_code == 4, (verb, done.stderr)
        assert "verify --repair" in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(home.root.rglob("*.parquet")) == before
    assert answer(home)[1:3] == (2.0, 2.0), "readers do not need the manifest"


def test_a_rebuilt_manifest_has_what_the_old_one_had(home: Home, files: Path) -> None:
    """Numbers of series, former files, restatements, refusals, and when each file was fetched."""
    queries = [
        "select * from series order by 1",
        "select dataset, series_id, period, object, size_bytes, facts, superseded_at is null"
        " from files order by 1, 2, 3, 4",
        "select dataset, series_id, period, kind, old_object, new_object, seen_at"
        " from restatements order by 1, 2, 3",
        "select dataset, period, object, reason from quarantine where resolved_at is null",
    ]
    before = [sqlite_rows(home, text) for text in queries]
    assert [len(rows) for rows in before] == [1, 2 * FILES, FILES, 1]
    home.manifest.unlink()
    repair_home(home, lambda: quick_build(home))
    assert [sqlite_rows(home, text) for text in queries] == before
    assert not faults(home)
    assert prune_home(home, keep=9).files == ()


def test_numbers_of_series_survive_whatever_the_order_of_their_names(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for symbol in ("perpetual-ZZZ-USDT:USDT", "perpetual-AAA-USDT:USDT"):
        key = file_key("flow", "2025-09", symbol=symbol)
        write_file(tmp_path / "files", key, bar_table("flow", grid(MONTH_START, ROWS)))
        sync_folder(home, tmp_path / "files")
    quick_build(home)
    with Manifest(home.manifest) as manifest:
        before = dict(manifest.series())
    assert before[1] == SeriesKey(VENUE, "perpetual-ZZZ-USDT:USDT", "1h", "true")
    home.manifest.unlink()
    repair_home(home, lambda: quick_build(home))
    with Manifest(home.manifest) as manifest:
        assert dict(manifest.series()) == before


def test_a_manifest_made_again_does_not_make_unsettled_files_settled(
    home: Home, files: Path
) -> None:
    """A file counts as fetched when its bytes were written, not when the manifest was rebuilt."""
    path = an_object(home)
    os.utime(path, (1_757_000_000, 1_757_000_000))
    home.manifest.unlink()
    repair_home(home, lambda: quick_build(home))
    with Manifest(home.manifest) as manifest:
        (file,) = [f for f in manifest.files() if f.object == path.stem]
    assert file.fetched_at == "2025-09-04 15:33:20"


def test_a_manifest_made_again_takes_no_damaged_file_for_a_good_one(
    home: Home, files: Path
) -> None:
    path = an_object(home)
    table = pq.read_table(path)
    changed = table.set_column(1, table.column_names[1], [[9.0] * len(table)])
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(0)
        pq.write_table(changed, file)
    home.manifest.unlink()
    repair_home(home, lambda: quick_build(home))
    with Manifest(home.manifest) as manifest:
        assert path.stem not in {f.object for f in manifest.files()}
        assert len([*manifest.files()]) == FILES - 1
    sync_folder(home, files)
    quick_build(home)
    assert answer(home)[1:] == (2.0, 2.0, ANSWER_ROWS)
    assert not damage(home)


def test_a_manifest_that_is_newer_than_the_product_is_left_alone(home: Home, files: Path) -> None:
    change_manifest(home, f"update home set value = '{HOME_VERSION + 1}'")
    before = home.manifest.read_bytes()
    with pytest.raises(DamagedError, match="newer version of the product") as caught:
        sync_folder(home, files)
    assert "upgrade the package" in str(caught.value)
    assert home.manifest.read_bytes() == before


def test_a_newer_manifest_is_never_rebuilt_by_an_older_product(home: Home) -> None:
    change_manifest(home, f"update home set value = '{HOME_VERSION + 1}'")
    before = home.manifest.read_bytes()
    with pytest.raises(DamagedError, match="newer version"):
        repair_home(home, lambda: quick_build(home))
    assert home.manifest.read_bytes() == before


# -- what cannot be had again --------------------------------------------------------------------


def test_a_snapshot_that_lost_a_file_is_named_and_kept(home: Home, files: Path) -> None:
    rollback(home, 1)
    take_snapshot(home, "paper-v1")
    rollback(home, 2)
    former = an_object(home, current=False)
    former.unlink()
    repair_home(home, lambda: quick_build(home))
    (finding,) = damage(home)
    assert finding.about is About.GENERATION
    assert "warehouse snapshot paper-v1 --drop" in finding.next_step
    assert 1 in generations(home)
    run_warehouse("snapshot", "paper-v1", "--drop", "--home", home.root, cwd=files)
    repair_home(home, lambda: quick_build(home))
    assert not faults(home)


def test_bytes_that_were_damaged_are_kept_in_quarantine(home: Home, files: Path) -> None:
    path = an_object(home)
    flip(path)
    torn = path.read_bytes()
    away = files.rename(files.with_name("away"))
    repair_home(home, lambda: quick_build(home))
    away.rename(files)
    assert torn in [kept.read_bytes() for kept in home.quarantine.glob("*.damaged")]


def test_a_file_of_the_user_in_the_lake_is_left_and_named(home: Home, files: Path) -> None:
    """A parquet file that a user puts into lake/ is left alone until it is imported."""
    key = file_key("ohlcv", "2025-12")
    mine = write_file(home.lake, key, bar_table("ohlcv", grid(DECEMBER, 3)))
    notes = home.lake / "notes.txt"
    notes.write_text("mine")
    before = mine.read_bytes()
    sync_folder(home, files)
    repair_home(home, lambda: quick_build(home))
    assert (mine.read_bytes(), notes.read_text()) == (before, "mine")
    found = {finding.subject: finding for finding in faults(home)}
    assert {finding.kind for finding in found.values()} == {Severity.STRAY}
    step = found[str(mine.relative_to(home.root))].next_step
    assert f"warehouse sync --from {shlex.quote(str(home.lake))}" in step
    notes.unlink()
    done = run_warehouse("sync", "--from", home.lake, "--home", home.root, cwd=files)
    assert done.exit_code == 0, done.stderr
    with Manifest(home.manifest) as manifest:
        assert len([*manifest.files()]) == FILES + 1
    assert [finding.about for finding in faults(home)] == [About.CATALOG]


def test_links_when_the_home_leaves_them_out_then_go_and_come_again(
    home: Home, tmp_path: Path
) -> None:
    """The user's way: ``links = false`` in ``warehouse.toml``, then any sync, and back."""

    def command(*arguments: object) -> None:
        done = run_warehouse(*arguments, "--home", home.root, cwd=tmp_path)
        assert done.exit_code == 0, done.stderr

    def links() -> list[str]:
        return sorted(str(p.relative_to(home.lake)) for p in home.lake.rglob("*") if p.is_file())

    def about_links() -> list[str]:
        settings = load_settings(home.root)
        return [f.subject for f in faults(Home.of(settings)) if f.about is About.LINK]

    before = links()
    home.subscription.write_text("links = false\n")
    assert not about_links()  # neither those that are still there nor missing ones
    (home.lake / "flow" / "mine.txt").write_text("mine")
    write_file(tmp_path, file_key("flow", "2025-12"), bar_table("flow", grid(DECEMBER, 3)))
    command("sync", "--from", tmp_path)
    assert links() == ["flow/mine.txt"]
    assert [path.name for path in home.lake.iterdir()] == ["flow"]
    command("forget", "flow", "--period", "2025-12", "--yes")
    assert about_links() == ["lake/flow/mine.txt"]
    home.manifest.unlink()  # its files are then those of the last build
    settled = Home.of(load_settings(home.root))
    repair_home(settled, lambda: quick_build(settled))
    assert links() == ["flow/mine.txt"]
    home.subscription.write_text("links = true\n")
    command("sync", "--from", tmp_path)
    mine = str(file_key("flow", "2025-12").path)
    assert links() == sorted([*before, mine, "flow/mine.txt"])
    assert about_links() == ["lake/flow/mine.txt"]


def test_sync_when_an_object_is_missing_then_names_the_command(home: Home, files: Path) -> None:
    an_object(home).unlink()
    a_link(home).unlink()
    with pytest.raises(DamagedError, match="its object is missing") as caught:
        sync_folder(home, files)
    assert "verify --repair" in str(caught.value)


def test_sync_when_the_old_version_is_damaged_then_the_new_one_comes_in(
    home: Home, files: Path
) -> None:
    for path in home.objects.glob("*.parquet"):
        flip(path, 4)
    sync_round(home, files, 3)
    quick_build(home)
    assert answer(home)[1:] == (3.0, 3.0, ANSWER_ROWS)


def test_native_copy_when_damaged_is_found_and_taken_away_and_made_again(home: Home) -> None:
    generation = generations(home)[-1]
    tables = native_copy(home, generation).closed
    expected = answer(home)
    flip_blocks(native_copy(home, generation).recent)
    assert [finding.about for finding in damage(home)] == [About.COPY]
    done = repair_home(home, lambda: quick_build(home))
    name = tables.relative_to(home.root)
    assert f"removed {name}; the next build creates it again" in done
    assert not faults(home)
    assert answer(home) == expected
    assert copy_marts(Settings(home.root)) is None
    assert tables.is_file()
    assert not faults(home)


def test_a_copy_is_never_made_of_a_damaged_month(home: Home) -> None:
    remove_copy(home, 2)
    flip(a_month(home))
    reason = copy_marts(Settings(home.root))
    assert reason is not None and "its bytes do not match the hash in its name" in reason
    assert "warehouse verify --repair" in reason
    assert not any(path.is_file() for path in native_copy(home, 2))


def test_a_damaged_copy_is_not_inherited_by_the_next_build(home: Home) -> None:
    """The damage is in its last block, which checks of the first blocks would miss."""
    for tables in native_copy(home, 2)[:2]:
        flip(tables, tables.stat().st_size - 1_000)
    quick_build(home)
    assert native_copy(home, 3).is_complete()
    assert not faults(home)


def test_a_rollback_to_a_catalog_that_was_written_to_is_refused(home: Home) -> None:
    write_into(generation_path(home, 1))
    with pytest.raises(DamagedError, match="another program has written to it"):
        rollback(home, 1)
    assert answer(home)[0] == 2


FILES_OF_A_BUILD = ("marts", "generations", "warehouse.duckdb")
HARMS: dict[str, Callable[[Path], None]] = {"empty": empty, "cut": cut, "gone": Path.unlink}


@pytest.mark.long
@pytest.mark.parametrize("harm", HARMS)
def test_every_single_file_that_is_lost_or_cut_is_repaired(
    home: Home, files: Path, harm: str
) -> None:
    """One after the other, each in the home as it was."""
    paths = [
        path.relative_to(home.root)
        for path in sorted(home.root.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    ]
    assert {path.parts[0] for path in paths} > set(FILES_OF_A_BUILD)
    for path in paths:
        put_back(home)
        HARMS[harm](home.root / path)
        run_warehouse("verify", "--home", home.root, cwd=files)
        repair_home(home, lambda: quick_build(home))
        sync_folder(home, files)
        quick_build(home)
        assert not faults(home), path
        assert answer(home)[1:] == (2.0, 2.0, ANSWER_ROWS), path


# -- the command ---------------------------------------------------------------------------------


def test_the_command_names_what_it_finds_and_exits_with_4(home: Home) -> None:
    path = an_object(home)
    flip(path)
    done = run_warehouse("verify", "--json", "--home", home.root, cwd=home.root)
    assert done.exit_code == 4
    found = [f for f in json.loads(done.stdout) if f["kind"] != "note"]
    assert [(f["subject"], f["next_step"]) for f in found] == [
        (f"objects/{path.name}", "run: warehouse verify --repair")
    ]
    plain = run_warehouse("verify", "--home", home.root, cwd=home.root)
    assert plain.exit_code == 4
    assert "findings: 1" in plain.stderr


def test_the_command_reports_when_all_is_well(home: Home) -> None:
    done = run_warehouse("verify", "--home", home.root, cwd=home.root)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing is damaged" in done.stderr
