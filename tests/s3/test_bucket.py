"""A home in a bucket: publishing, reading elsewhere, races, interruption, damage and prune."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

import warehouse
from tests.robustness.support import ROUND_SQL, quick_build, sync_round, write_round
from tests.s3.conftest import SECRET, Bucket, ok
from tests.support import BTC, bar_table, copy_home, file_key, grid, utc, write_file
from warehouse.bucket.push import names_of, push_home
from warehouse.bucket.store import Store
from warehouse.bucket.upkeep import prune_bucket
from warehouse.config import load_settings
from warehouse.errors import DamagedError, NotFoundError, StoreError
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder

obstore = pytest.importorskip("obstore", reason="the extra bucket is not installed")
pytestmark = pytest.mark.s3

FEATURES = "select * from flow_features order by series_id, time"
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


def publish(home: Path, address: str) -> None:
    push_home(Home(home), Store(address))


def next_round(home: Path, folder: Path, number: int, address: str) -> int:
    """Another generation in the bucket, made without dbt."""
    sync_round(Home(home), folder / f"round {number}", number)
    generation = quick_build(Home(home))
    publish(home, address)
    return generation


def month(folder: Path, dataset: str, name: str) -> Path:
    """A folder with one more file of the vendor."""
    first = utc(f"{name}-01").date()
    write_file(folder, file_key(dataset, name), bar_table(dataset, grid(first, 48)))
    return folder


# -- other machines ------------------------------------------------------------------------------


def test_another_machine_gets_the_same_results_and_receipts_and_no_secret_is_kept(
    bucket: Bucket, writer: Path
) -> None:
    address, reader = bucket.address, bucket.home("reader")
    for sql in (
        FEATURES,
        "select * from vendor.ohlcv order by all",
        "select count(*), sum(slow.close) from as_of('flow_features', '1h', 'bars', '1h',"
        " interval '2 hours')",
        "from meta.files order by all",
    ):
        answers = {
            ok(bucket.run(home, "sql", sql, "--format", "csv")).stdout
            for home in (writer, reader, address)
        }
        assert len(answers) == 1, sql
    ok(bucket.run(writer, "sql", FEATURES, "--receipt", "w.json", "--format", "csv"))
    ok(bucket.run(reader, "sql", FEATURES, "--receipt", "r.json", "--format", "csv"))
    for home, receipt in ((reader, "w.json"), (writer, "r.json")):
        assert ok(bucket.run(home, "verify", receipt)).stdout.startswith("identical")
    for home in (writer, reader):
        assert "nothing is damaged" in ok(bucket.run(home, "verify")).stderr
    # only the months that were asked for were fetched, and no manifest
    assert {path.name for path in (reader / "marts").iterdir()} == {
        *("flow_features", "bars", "vendor.ohlcv")
    }
    assert not (reader / "manifest.sqlite").exists()
    for path in bucket.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_reader_keeps_its_generation_until_it_refreshes(bucket: Bucket, writer: Path) -> None:
    with warehouse.open(bucket.address) as opened:
        before = opened.sql(ROUND_SQL).fetchall()
        next_round(writer, bucket.folder, 2, bucket.address)
        assert opened.sql(ROUND_SQL).fetchall() == before
        opened.refresh()
        assert opened.sql(ROUND_SQL).fetchall()[0][:2] == (2, 2.0)
        assert opened.generation == 2
    with warehouse.open(bucket.address, generation=1) as past:
        assert past.sql(ROUND_SQL).fetchall() == before


def test_snapshots_rollback_and_as_of_of_a_writer_are_those_of_readers(
    bucket: Bucket, writer: Path
) -> None:
    address = bucket.address
    ok(bucket.run(writer, "snapshot", "paper-v1"))
    first = json.loads(ok(bucket.run(writer, "snapshot", "--json")).stdout)
    next_round(writer, bucket.folder, 2, address)
    with warehouse.open(address, snapshot="paper-v1") as past:
        assert past.generation == 1
    with warehouse.open(address, as_of=first[0]["published_at"].split(".")[0] + ".999999") as past:
        assert past.generation == 1
    assert json.loads(ok(bucket.run(address, "snapshot", "--json")).stdout)[0]["snapshots"] == [
        "paper-v1"
    ]
    ok(bucket.run(writer, "rollback"))
    with warehouse.open(address) as opened:
        assert opened.generation == 1
    refused = bucket.run(address, "rollback")
    assert refused.exit_code == 2
    assert "only reads" in refused.stderr
    assert "warehouse pull" in refused.stderr
    refused = bucket.run(address, "status")
    assert refused.exit_code == 2
    assert f"{address}: this home only reads from the bucket" in refused.stderr
    assert "warehouse symbols" in refused.stderr


# -- two writers ---------------------------------------------------------------------------------


def test_of_two_writers_at_once_one_wins_and_the_other_loses_nothing(
    bucket: Bucket, writer: Path
) -> None:
    other = bucket.home("other")
    ok(bucket.run(other, "pull"))
    assert "nothing is damaged" in ok(bucket.run(other, "verify")).stderr
    folders = {
        home: month(bucket.folder / f"new {home.name}", dataset, "2025-11")
        for home, dataset in ((writer, "flow"), (other, "ohlcv"))
    }
    with ThreadPoolExecutor(2) as pool:
        done = dict(
            zip(
                folders,
                pool.map(lambda h: bucket.run(h, "update", "--from", folders[h]), folders),
                strict=True,
            )
        )
    codes = sorted(run.exit_code for run in done.values())
    assert codes in ([0, 5], [1, 5]), done
    loser = next(home for home, run in done.items() if run.exit_code == 5)
    assert "holds generation 2, and what this home last pulled or pushed was generation 1;" in (
        done[loser].stderr
    )
    assert f"warehouse --home {loser} pull" in done[loser].stderr
    assert bucket.run(loser, "build").exit_code == 5
    ok(bucket.run(loser, "pull"))
    ok(bucket.run(loser, "build"))
    files = "select dataset, count(*) from meta.files where period = '2025-11' group by all"
    for home in (loser, bucket.address):
        counted = ok(bucket.run(home, "sql", f"{files} order by all", "--format", "csv")).stdout
        assert counted.split()[1:] == ['"flow",1', '"ohlcv",1']
    assert "nothing is damaged" in ok(bucket.run(loser, "verify")).stderr


def test_files_that_were_restated_before_any_build_are_no_damage_elsewhere(
    bucket: Bucket, writer: Path
) -> None:
    """No generation reads the first restatement, so it is on the writer's machine only."""
    for number in (2, 3):
        write_round(bucket.folder / "rounds", number)
        ok(bucket.run(writer, "sync", "--from", bucket.folder / "rounds"))
    ok(bucket.run(writer, "build"))
    other = bucket.home("other")
    ok(bucket.run(other, "pull"))
    assert "nothing is damaged" in ok(bucket.run(other, "verify")).stderr
    ok(bucket.run(other, "snapshot", "of_other"))
    ok(bucket.run(writer, "pull"))
    found = ok(bucket.run(writer, "verify")).stderr
    assert "damaged:" not in found and "stray: objects/" in found
    assert "are dropped from it when a machine that never had them publishes" in found
    ok(bucket.run(writer, "prune", "--keep", "9", "--yes"))
    assert "nothing is damaged" in ok(bucket.run(writer, "verify")).stderr


def test_a_home_that_never_pulled_does_not_replace_another_one(
    bucket: Bucket, writer: Path, built: Path
) -> None:
    stranger = bucket.home("stranger", source=built)
    for arguments in (("build", "--force"), ("snapshot", "x"), ("sync", "--from", "nothing")):
        done = bucket.run(stranger, *arguments)
        assert done.exit_code == 5, done.stderr
        assert "this home has never pulled" in done.stderr
    new = bucket.home("new")
    assert bucket.run(new, "update", "--from", bucket.folder).exit_code == 5
    # with a series of its own and another version of a file, it becomes a writer of both
    files = bucket.folder / "own"
    first = utc("2025-09-01").date()
    for symbol in (BTC, "perpetual-ETH-USDT:USDT"):
        key = file_key("flow", "2025-09", symbol=symbol)
        write_file(files, key, bar_table("flow", grid(first, 24)))
    sync_folder(Home(stranger), files)
    ok(bucket.run(stranger, "pull"))
    assert quick_build(Home(stranger)) == 2
    publish(stranger, bucket.address)
    with warehouse.open(bucket.address) as opened:
        rows = opened.sql("select symbol, count(*) from vendor.flow group by all order by all")
        assert rows.fetchall() == [(BTC, 24 + 48), ("perpetual-ETH-USDT:USDT", 24)]
        assert len(opened.sql("from meta.restatements")) == 1
    assert "nothing is damaged" in ok(bucket.run(stranger, "verify")).stderr


# -- killed --------------------------------------------------------------------------------------

_KILLED = """
    import os, sys
    from pathlib import Path
    from warehouse.bucket import store
    from warehouse.bucket.push import push_home
    from warehouse.home import Home
    left = int(sys.argv[3])
    def counted(act, after):
        def do(*arguments, **named):
            global left
            left -= 1
            if left < 0 and not after:
                os.kill(os.getpid(), 9)
            found = act(*arguments, **named)
            if left < 0:
                os.kill(os.getpid(), 9)
            return found
        return do
    store.Store.put = counted(store.Store.put, False)
    store.Store.move_head = counted(store.Store.move_head, sys.argv[4] == "after")
    push_home(Home(Path(sys.argv[1])), store.Store(sys.argv[2]))
"""


def test_a_push_that_is_killed_anywhere_leaves_the_old_or_the_new_generation(
    bucket: Bucket, writer: Path
) -> None:
    home = Home(writer)
    sync_round(home, bucket.folder / "files 2", 2)
    quick_build(home)

    def killed_at(step: int, when: str) -> int:
        arguments = (str(writer), bucket.address, str(step), when)
        code = textwrap.dedent(_KILLED)
        return subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode

    seen = []
    for step in range(0, 40, 3):
        ended = killed_at(step, "before")
        with warehouse.open(bucket.address) as opened:
            ((generation, least, most, _),) = opened.sql(ROUND_SQL).fetchall()
        assert (generation, least, most) in ((1, 1.0, 1.0), (2, 2.0, 2.0))
        seen.append(generation)
        if ended == 0:
            break
    assert set(seen[:-1]) == {1}
    assert seen[-1] == 2
    sync_round(home, bucket.folder / "files 3", 3)
    quick_build(home)
    assert killed_at(5, "after") in (0, -9)
    while (ended := killed_at(100, "before")) == -9:  # it had not come to HEAD
        pass
    assert ended == 0  # what it moved HEAD to is its own
    with warehouse.open(bucket.address) as opened:
        assert opened.sql(ROUND_SQL).fetchall()[0][:2] == (3, 3.0)
    assert "nothing is damaged" in ok(bucket.run(writer, "verify")).stderr


# -- without a network ---------------------------------------------------------------------------


def test_offline_a_reader_reads_its_cache_and_reports_it(bucket: Bucket, writer: Path) -> None:
    address = bucket.address
    online = ok(bucket.run(address, "sql", FEATURES, "--format", "csv"))
    offline = ok(bucket.run(address, "sql", FEATURES, "--format", "csv", **NOWHERE))
    assert offline.stdout == online.stdout
    assert "cannot be reached" in offline.stderr
    assert "results use the local files of generation 1" in offline.stderr
    lacking = bucket.run(address, "sql", "from l1_features", **NOWHERE)
    empty = bucket.run(address, "sql", "from forward_returns", **NOWHERE)
    assert (lacking.exit_code, empty.exit_code) in ((0, 3), (3, 3))
    assert "marts/forward_returns/2025-09" in empty.stderr
    fresh = bucket.run(bucket.home("fresh"), "sql", FEATURES, **NOWHERE)
    assert fresh.exit_code == 3
    assert "cannot be reached" in fresh.stderr


def test_offline_a_writer_works_on_and_publishes_later(bucket: Bucket, writer: Path) -> None:
    files = month(bucket.folder / "new", "flow", "2025-11")
    done = bucket.run(writer, "update", "--from", files, **NOWHERE)
    assert done.exit_code == 3
    assert "published generation 2" in done.stderr
    assert "cannot be reached" in done.stderr
    ok(bucket.run(writer, "prune"))  # without --yes it only lists
    with warehouse.open(bucket.address) as opened:
        assert opened.generation == 1
    ok(bucket.run(writer, "build"))
    with warehouse.open(bucket.address) as opened:
        assert opened.generation == 2


# -- the cache -----------------------------------------------------------------------------------


def test_the_cache_keeps_its_limit_and_never_removes_what_is_in_use(
    bucket: Bucket, writer: Path
) -> None:
    home = bucket.home("reader", toml="cache_gb = 0.0\n")

    def cached() -> set[str]:
        return {path.parent.name for path in (home / "marts").rglob("*.parquet")}

    with warehouse.open(home) as opened:
        first = opened.sql(FEATURES)
        others = [opened.sql("from bars"), opened.sql("from vendor.ohlcv")]
        assert cached() == {"flow_features", "bars", "vendor.ohlcv"}
        assert len(first.fetchall()) == 96
        del others
        opened.sql("from forward_returns").fetchall()
        assert cached() == {"flow_features", "forward_returns"}
        assert first.df().equals(opened.sql(FEATURES).df())
        del first
        opened.sql("from bars").fetchall()
        assert cached() == {"bars"}


@pytest.mark.parametrize("content", [b"", b"PAR1 of something else", "cut"])
def test_damaged_objects_are_found_refused_and_sent_again(
    bucket: Bucket, writer: Path, content: bytes | str
) -> None:
    store = Store(bucket.address)
    names = names_of(store, store.read_head())
    (name, *_) = sorted(name for name in names if name.startswith("marts/flow_features/"))
    bad = (writer / name).read_bytes()[:-1] if isinstance(content, str) else content
    store.put(name, bad)
    done = bucket.run(bucket.address, "sql", FEATURES)
    assert done.exit_code == 4
    assert f"{name}: its bytes do not match the hash in its name" in done.stderr
    assert not list((bucket.folder / "cache").rglob(Path(name).name))
    assert bucket.run(writer, "verify", "--quick").exit_code == 4
    found = bucket.run(writer, "verify")
    assert found.exit_code == 4
    assert name in found.stderr
    ok(bucket.run(writer, "verify", "--repair"))
    ok(bucket.run(bucket.address, "sql", FEATURES))


def test_damaged_catalogs_and_heads_are_refused(bucket: Bucket, writer: Path) -> None:
    store = Store(bucket.address)
    head = store.read_head()
    assert head is not None
    part = head.state.generations[0].catalog.parts[0]
    store.put(f"parts/{part}", b"another")
    with pytest.raises(DamagedError, match=f"parts/{part}: its bytes do not match"):
        warehouse.open(bucket.address)
    store.put(f"parts/{head.state.manifest.parts[0]}", b"another")
    store.delete([f"parts/{head.state.names.parts[0]}"])
    assert bucket.run(writer, "verify", "--quick").exit_code == 4
    assert bucket.run(writer, "verify").exit_code == 4
    ok(bucket.run(writer, "verify", "--repair"))
    with warehouse.open(bucket.address) as opened:
        assert opened.generation >= 1
    ok(bucket.run(bucket.home("other"), "pull"))
    store.put("HEAD", b"no JSON")
    again = bucket.run(bucket.address, "sql", "select 1")
    assert again.exit_code == 4
    assert "not written by this product" in again.stderr
    store.delete(["HEAD"])
    ok(bucket.run(writer, "build"))  # publishes it again
    ok(bucket.run(bucket.address, "sql", FEATURES))


# -- prune ---------------------------------------------------------------------------------------


def test_prune_removes_only_what_no_generation_needs_and_is_old(
    bucket: Bucket, writer: Path
) -> None:
    address, store = bucket.address, Store(bucket.address)
    with warehouse.open(address) as old:
        next_round(writer, bucket.folder, 2, address)
        ok(bucket.run(writer, "prune", "--keep", "1", "--yes"))
        assert len(old.sql(ROUND_SQL).fetchall()) == 1  # younger than a day
        removed = prune_bucket(Home(writer), store, grace=timedelta(seconds=-60))
        assert any(name.startswith("objects/") for name in removed)
        assert len(old.sql("from vendor.flow").fetchall()) == 96  # in its cache
        with pytest.raises(NotFoundError, match=r"marts/bars/.*pruned there"):
            old.sql("from bars")
        old.refresh()
        assert old.sql(ROUND_SQL).fetchall()[0][:2] == (2, 2.0)
    assert "nothing is damaged" in ok(bucket.run(writer, "verify")).stderr
    assert prune_bucket(Home(writer), store, grace=timedelta(seconds=-60)) == []


def test_a_push_that_began_before_a_prune_misses_nothing_that_it_removed(
    bucket: Bucket, writer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, store = bucket.address, Store(bucket.address)
    sync_round(Home(writer), bucket.folder / "files", 2)
    quick_build(Home(writer))
    helper = bucket.folder / "helper"
    copy_home(writer, helper)
    moves = []
    move = Store.move_head

    def moved(self: Store, *arguments: object, **named: object) -> str:
        if not moves:  # another machine prunes just before HEAD moves
            moves.append(1)
            monkeypatch.setattr(Store, "move_head", move)
            prune_bucket(Home(helper), store, grace=timedelta(seconds=-60))
        return move(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "move_head", moved)
    publish(writer, address)
    assert moves
    with warehouse.open(address) as opened:
        assert opened.sql(ROUND_SQL).fetchall()[0][:2] == (2, 2.0)
    assert "nothing is damaged" in ok(bucket.run(writer, "verify")).stderr


def test_a_server_that_ignores_conditions_is_refused(
    bucket: Bucket, writer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(bucket.address)

    class Careless:
        def __getattr__(self, name: str) -> object:
            return getattr(obstore, name)

        def put(self, where: object, name: str, content: bytes, mode: object = None) -> object:
            return obstore.put(where, name, content)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_api", Careless())
    with pytest.raises(StoreError, match="ignores the condition of a write"):
        push_home(Home(writer), store)


# -- a team --------------------------------------------------------------------------------------

_MEMBER = """
    import json, sys, time
    from pathlib import Path
    import warehouse
    from tests.robustness.support import ROUND_SQL
    home, stop = sys.argv[1], Path(sys.argv[2])
    heard, errors = [], []
    opened = warehouse.open(home)
    while True:
        is_last = stop.exists()
        opened.refresh()
        result = opened.sql(ROUND_SQL)
        first = result.fetchall()[0]
        assert opened.sql(ROUND_SQL).fetchall()[0] == first, "it changed without a refresh"
        if first not in heard:
            heard.append(first)
        if is_last:
            break
        time.sleep(0.2)
    result.receipt.save(sys.argv[3])
    print(json.dumps(heard))
"""


def test_a_team_of_one_writer_and_five_readers(bucket: Bucket, writer: Path) -> None:
    stop = bucket.folder / "stop"
    readers = []
    for number in range(5):
        home, receipt = bucket.home(f"reader {number}"), bucket.folder / f"receipt {number}.json"
        readers.append(
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    textwrap.dedent(_MEMBER),
                    str(home),
                    str(stop),
                    str(receipt),
                ],
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
            )
        )
    for number in (2, 3, 4):
        next_round(writer, bucket.folder, number, bucket.address)
    stop.touch()
    for reader in readers:
        said, _ = reader.communicate(timeout=300)
        assert reader.returncode == 0
        heard = json.loads(said)
        assert all(generation == least == most for generation, least, most, _ in heard), heard
        assert [one[0] for one in heard] == sorted(one[0] for one in heard)
        assert heard[-1][0] == 4
    for number in range(5):
        for home in (writer, bucket.folder / f"reader {(number + 1) % 5}"):
            done = ok(bucket.run(home, "verify", f"receipt {number}.json"))
            assert done.stdout.startswith("identical")


# -- as a stranger -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret key is wrong"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "the keys are unknown there"),
    ],
)
def test_wrong_keys_are_named_and_not_shown(
    bucket: Bucket, writer: Path, variables: dict[str, str], text: str
) -> None:
    done = bucket.run(bucket.address, "sql", "select 1", **variables)
    assert done.exit_code == 3
    assert text in done.stderr
    assert "nobody" not in done.stderr


def test_addresses_of_nothing_name_what_is_missing(bucket: Bucket) -> None:
    done = bucket.run("s3://nowhere-at-all/x", "sql", "select 1")
    assert done.exit_code == 3
    assert "there is no such bucket" in done.stderr
    done = bucket.run(bucket.address, "sql", "select 1")
    assert done.exit_code == 2
    assert "has no home" in done.stderr
    for server in ("nonsense", f"http://user:{SECRET}@127.0.0.1"):
        done = bucket.run(bucket.address, "sql", "select 1", AWS_ENDPOINT_URL=server)
        assert done.exit_code == 2
        assert "AWS_ENDPOINT_URL: not the address of a server" in done.stderr


def test_a_home_whose_bucket_changed_does_not_answer_for_the_other_one(
    bucket: Bucket, writer: Path
) -> None:
    home = bucket.home("reader")
    ok(bucket.run(home, "sql", FEATURES))
    (home / "warehouse.toml").write_text('store = "s3://other/home"\n')
    done = bucket.run(home, "sql", FEATURES)
    assert done.exit_code == 2
    assert bucket.address in done.stderr
    (home / "warehouse.toml").write_text("")
    ok(bucket.run(home, "sql", FEATURES))  # what is here is a home
    assert bucket.run(home, "sql", "from bars").exit_code == 4


def test_slashes_of_an_address_mean_nothing(bucket: Bucket, writer: Path) -> None:
    with warehouse.open(f"{bucket.address}//") as one, warehouse.open(bucket.address) as other:
        assert one.settings.home == other.settings.home
    assert load_settings(f"{bucket.address}/").store == bucket.address
