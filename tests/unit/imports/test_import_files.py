"""Ticks in other formats are imported completely and in order, each file once, or are refused."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse.build.catalog import prepare_catalog
from warehouse.config import Settings
from warehouse.errors import UsageError
from warehouse.home import Home
from warehouse.imports import ContractSize, ImportReport, find_importer, import_files, try_import
from warehouse.lake import Manifest
from warehouse.sync import sync_folder
from warehouse.times import us_datetime

SPOT = "spot-BTC-USDT"
DAY_US = 1_748_736_000_000_000
FIRST_DAY = us_datetime(DAY_US)
NEXT_US = DAY_US + 86_400_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def take_in(
    settings: Settings, name: str, *paths: Path, symbol: str = SPOT, **options: Any
) -> ImportReport:
    importer = find_importer(Home.of(settings), name)
    return import_files(settings, importer, paths, exchange="venue", symbol=symbol, **options)


def lake(settings: Settings, dataset: str = "raw_trades") -> list[dict[str, Any]]:
    """The rows of the lake's current files, in the order of the files and of their rows."""
    with Manifest(Home.of(settings).manifest) as manifest:
        files = [file for file in manifest.files() if file.key.dataset == dataset]
    rows: list[dict[str, Any]] = []
    for file in files:
        table = pq.read_table(Home.of(settings).object_path(file.object))
        rows += [{"day": file.key.period.text, **row} for row in table.to_pylist()]
    return rows


def own(settings: Settings, header: str, sql: str, name: str = "mine.trades") -> str:
    folder = Home.of(settings).importers
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(f"{name}.sql").write_text(f"{header}\n{sql}\n", "utf-8")
    return name.partition(".")[0]


PLAIN = """select make_timestamp(t::bigint) as exchange_timestamp,
    make_timestamp(l::bigint) as local_timestamp,
    id::varchar as id, side, price::double as price, amount::double as amount
from read_csv($files, header = true)"""
WITH_IDS = "-- grain: trade\n-- receive_clock: measured\n-- sequence: id"
WITHOUT_IDS = "-- grain: trade\n-- receive_clock: measured\n-- sequence: file"


def csv(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    lines = ["t,l,id,side,price,amount", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def zipped(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}.csv", text)
    return path


# -- shipped importers ---------------------------------------------------------------------------


def test_binance_files_when_imported_then_rows_are_sorted_by_id_in_the_day_of_their_time(
    settings: Settings, tmp_path: Path
) -> None:
    one = zipped(
        tmp_path / "BTCUSDT-trades-2025-06-01.zip",  # microseconds, no header, as spot has them
        f"10,100.5,2,201,{DAY_US},False,True\n9,100,1,100,{DAY_US},True,True\n"
        f"11,101,1,101,{NEXT_US},True,True\n",
    )
    report = take_in(settings, "binance_trades", one)
    assert [(r["day"], r["id"], r["side"], r["price"], r["amount"], r["sequence_number"])
            for r in lake(settings)] == [
        ("2025-06-01", "9", "sell", 100.0, 1.0, 1),
        ("2025-06-01", "10", "buy", 100.5, 2.0, 2),
        ("2025-06-02", "11", "sell", 101.0, 1.0, 1),
    ]  # fmt: skip
    assert {row["local_timestamp"] for row in lake(settings)} == {None}
    assert report.exit_code == 0
    assert report.files[0].rows == 3
    futures = tmp_path / "two.csv"
    futures.write_text(
        f"id,price,qty,quote_qty,time,is_buyer_maker\n12,102,1,102,{NEXT_US // 1000 + 1},false\n",
        "utf-8",
    )
    take_in(settings, "binance_trades", futures)
    last = lake(settings)[-1]
    assert (last["day"], last["id"]) == ("2025-06-02", "12")
    assert last["exchange_timestamp"].isoformat() == "2025-06-02T00:00:00.001000+00:00"
    assert len(lake(settings)) == 4


def test_every_other_shipped_importer_when_run_then_reads_its_format(
    settings: Settings, tmp_path: Path
) -> None:
    later = DAY_US + 1_500
    tardis = b"exchange,symbol,timestamp,local_timestamp,"
    files = {
        "binance_agg_trades": (f"7,100,3,20,22,{DAY_US // 1000},true\n".encode(), "a.csv"),
        "binance_book_ticker": (
            b"update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
            b"event_time\n" + f"1,100,2,101,3,{DAY_US // 1000},{DAY_US // 1000}\n".encode(),
            "b.csv",
        ),
        "tardis_trades": (
            gzip.compress(
                tardis + b"id,side,price,amount\n"
                + f"x,BTC,{DAY_US},{later},7,unknown,100,3\n".encode()
            ),
            "t.csv.gz",
        ),
        "tardis_quotes": (
            gzip.compress(
                tardis + b"ask_amount,ask_price,bid_price,bid_amount\n"
                + f"x,BTC,{DAY_US},{later},3,101,100,2\nx,BTC,{DAY_US},{later},,,100,2\n".encode()
            ),
            "q.csv.gz",
        ),
        "json_lines_trades": (
            b'{"received": %d, "data": {"e":"trade","s":"BTCUSDT","T":%d,"t":7,"p":"100","q":"3",'
            b'"m":true}}\n' % (later * 1000, DAY_US // 1000),
            "c.jsonl",
        ),
        "json_lines_quotes": (
            b'{"received": %d, "data": {"e":"bookTicker","s":"BTCUSDT","T":%d,"b":"100","B":"2",'
            b'"a":"101","A":"3"}}\n' % (later, DAY_US // 1000),
            "d.jsonl",
        ),
    }  # fmt: skip
    moment = pa.array([DAY_US * 1000], pa.timestamp("ns"))
    pq.write_table(
        pa.table(
            {
                "side": ["sell"], "quantity": [3.0], "price": [100.0], "trade_id": ["7"],
                "origin_time": moment, "received_time": moment,
            }
        ),
        tmp_path / "crypto.parquet",
    )  # fmt: skip
    for content, file in files.values():
        (tmp_path / file).write_bytes(content)
    places = {name: tmp_path / file for name, (_, file) in files.items()}
    for name, path in {**places, "crypto_lake_trades": tmp_path / "crypto.parquet"}.items():
        trial = try_import(settings, find_importer(Home.of(settings), name), [path], symbol=SPOT)
        row = dict(zip(trial.columns, trial.rows[0], strict=True))
        assert trial.staged.faults == (), name
        assert row["exchange_timestamp"] == FIRST_DAY, name
        if "bid_price" in row:
            values = [
                row[f"{side}_{what}"] for side in ("bid", "ask") for what in ("price", "amount")
            ]
            assert values == [100, 2, 101, 3], name
        else:
            side = None if name == "tardis_trades" else "sell"
            assert (row["id"], row["side"], row["price"], row["amount"]) == ("7", side, 100, 3), (
                name
            )
        has_clock = find_importer(Home.of(settings), name).receive_clock == "measured"
        assert (row["local_timestamp"] is not None) == has_clock, name
    assert not settings.home.exists()


def test_shipped_importers_when_given_rows_as_published_then_read_them(
    settings: Settings, tmp_path: Path
) -> None:
    """Rows of the vendors' own documentation and files."""
    tardis = "exchange,symbol,timestamp,local_timestamp,"
    files = {
        "binance_agg_trades": "3599977418,105594.05,0.00093,5013856487,5013856487,1750032000387884,"
        "True,True\n",
        "binance_book_ticker": "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,"
        "transaction_time,event_time\n"
        "3932256034651,42570.3,0.821,42570.4,7.207,1707091200006,1707091200012\n",
        "tardis_trades": f"{tardis}id,side,price,amount\nbitmex,XBTUSD,1585699202957000,"
        "1585699203089980,d202810a-ec78-0d65-8652-42c8168f127c,buy,6425.5,12\n",
        "tardis_quotes": f"{tardis}ask_amount,ask_price,bid_price,bid_amount\n"
        "huobi-dm-swap,BTC-USD,1585699201147000,1585699201270777,86,6423,6422.9,112\n",
    }
    found = {}
    for name, text in files.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text, "utf-8")
        found[name] = path
    lake_columns = {
        "side": ["buy"], "amount": [0.5], "price": [19422.61], "id": ["1871092337"],
        "timestamp": [1664582400041000000], "receipt_timestamp": [1664582400045512345],
    }  # fmt: skip
    found["crypto_lake_trades"] = tmp_path / "1.snappy.parquet"
    pq.write_table(pa.table(lake_columns), found["crypto_lake_trades"])
    rows = {}
    for name, path in found.items():
        trial = try_import(settings, find_importer(Home.of(settings), name), [path], symbol=SPOT)
        assert trial.staged.faults == (), name
        row = dict(zip(trial.columns, trial.rows[0], strict=True))
        moments = [row[f"{clock}_timestamp"] for clock in ("exchange", "local")]
        times = [f"{moment:%H:%M:%S.%f}" for moment in moments if moment is not None]
        values = ("id", "side", "price", "amount")
        quotes = ("bid_price", "bid_amount", "ask_price", "ask_amount")
        rows[name] = [*times, *(row[v] for v in (quotes if "bid_price" in row else values))]
    assert rows == {
        "binance_agg_trades": ["00:00:00.387884", "3599977418", "sell", 105594.05, 0.00093],
        "binance_book_ticker": ["00:00:00.006000", 42570.3, 0.821, 42570.4, 7.207],
        "tardis_trades": [
            "00:00:02.957000", "00:00:03.089980", "d202810a-ec78-0d65-8652-42c8168f127c", "buy",
            6425.5, 12.0,
        ],
        "tardis_quotes": ["00:00:01.147000", "00:00:01.270777", 6422.9, 112.0, 6423.0, 86.0],
        "crypto_lake_trades": [
            "00:00:00.041000", "00:00:00.045512", "1871092337", "buy", 19422.61, 0.5,
        ],
    }  # fmt: skip


# -- again, and in parts -------------------------------------------------------------------------


def test_files_when_imported_again_or_published_again_then_their_rows_are_replaced(
    settings: Settings, tmp_path: Path
) -> None:
    name = own(settings, WITH_IDS, PLAIN)
    first = csv(tmp_path / "1.csv", [(DAY_US, DAY_US, 1, "buy", 100, 1)])
    second = csv(
        tmp_path / "2.csv",  # a file by receive time: one row belongs to the day before
        [(NEXT_US - 1, NEXT_US, 2, "sell", 101, 1), (NEXT_US, NEXT_US, 3, "buy", 102, 1)],
    )
    take_in(settings, name, first)
    take_in(settings, name, second)
    rows = lake(settings)
    assert [(row["day"], row["id"]) for row in rows] == [
        ("2025-06-01", "1"), ("2025-06-01", "2"), ("2025-06-02", "3"),
    ]  # fmt: skip
    again = take_in(settings, name, first, second)
    assert len(again.unchanged) == 2
    assert again.files == ()
    moved = tmp_path / "moved.csv"
    moved.write_bytes(first.read_bytes())
    assert len(take_in(settings, name, moved).unchanged) == 1
    assert lake(settings) == rows
    csv(second, [(NEXT_US, NEXT_US, 3, "buy", 102, 1), (NEXT_US, NEXT_US, 4, "buy", 102, 1)])
    take_in(settings, name, second)
    assert [(row["day"], row["id"]) for row in lake(settings)] == [
        ("2025-06-01", "1"), ("2025-06-02", "3"), ("2025-06-02", "4"),
    ]  # fmt: skip


def test_rows_when_they_repeat_an_id_then_one_is_kept_and_the_others_are_counted(
    settings: Settings, tmp_path: Path
) -> None:
    name = own(settings, WITH_IDS, PLAIN)
    one = csv(tmp_path / "1.csv", [(DAY_US, DAY_US + 5, 1, "buy", 100, 1)])
    two = csv(
        tmp_path / "2.csv",  # a second connection got the same trade earlier
        [(DAY_US, DAY_US + 3, 1, "buy", 100, 1), (DAY_US, DAY_US + 9, 2, "", 100, 1)],
    )
    report = take_in(settings, name, one, two)
    assert report.duplicates == 1
    assert [f.without_side for f in report.files] == [0, 1]
    assert [(row["id"], row["source_file"]) for row in lake(settings)] == [
        ("1", str(two)), ("2", str(two)),
    ]  # fmt: skip
    assert len(take_in(settings, name, one, two).unchanged) == 2


def test_rows_when_they_have_no_ids_then_all_are_kept_and_many_repeats_warned_of(
    settings: Settings, tmp_path: Path
) -> None:
    name = own(settings, WITHOUT_IDS, PLAIN)
    rows = [(DAY_US, DAY_US, "", "buy", 100, 1)] * 2 + [(DAY_US, DAY_US, "", "buy", 99, 1)]
    file = csv(tmp_path / "1.csv", rows)
    report = take_in(settings, name, file)
    assert [row["price"] for row in lake(settings)] == [100, 100, 99]
    assert "1 row (33.3%) repeat another in every column; all are kept" in report.warnings[0]
    other = csv(tmp_path / "other.csv", [*rows, (DAY_US + 1, DAY_US + 1, "", "buy", 98, 1)])
    refused = take_in(settings, name, other)
    assert refused.exit_code == 1
    assert "is it the same data under another name?" in refused.refused[0][1]
    assert len(lake(settings)) == 3


# -- refusals ------------------------------------------------------------------------------------

GOOD = (DAY_US, DAY_US, 1, "buy", 100, 1)


BAD = [
    ([(DAY_US // 1000, DAY_US, 1, "buy", 100, 1)], "a time outside 2009 to tomorrow"),
    ([(DAY_US * 100, DAY_US, 1, "buy", 100, 1)], "a time outside 2009 to tomorrow"),
    ([("", DAY_US, 1, "buy", 100, 1)], "no exchange_timestamp"),
    ([(DAY_US, "", 1, "buy", 100, 1)], "no local_timestamp"),
    ([(DAY_US + 1_500_000, DAY_US, 1, "buy", 100, 1)], "received 1.500 s before its time"),
    ([(DAY_US, DAY_US, 1, "buy", 0, 1)], "price of 0 or below"),
    ([(DAY_US, DAY_US, 1, "buy", 100, -1)], "amount of 0 or below"),
    ([(DAY_US, DAY_US, 1, "buy", "nan", 1)], "NaN or infinity in price"),
    ([(DAY_US, DAY_US, 1, "buy", "", 1)], "no price"),
    ([(DAY_US, DAY_US, 1, "BUY", 100, 1)], "a side other than buy, sell, NULL"),
    ([(DAY_US, DAY_US, "", "buy", 100, 1)], "no id"),
    ([(DAY_US, DAY_US, 1, "buy", "x", 1)], "cannot read it"),
]


def test_files_when_their_rows_cannot_be_right_then_are_refused_and_others_are_imported(
    settings: Settings, tmp_path: Path
) -> None:
    name = own(settings, WITH_IDS, PLAIN)
    good = csv(tmp_path / "good.csv", [(NEXT_US, NEXT_US, 5, "sell", 100, 1)])
    bad = [csv(tmp_path / f"{n}.csv", rows) for n, (rows, _) in enumerate(BAD)]
    report = take_in(settings, name, good, *bad)
    assert report.exit_code == 1
    for path, (_, why) in zip(bad, BAD, strict=True):
        assert any(why in reason for name, reason in report.refused if name == str(path)), why
    assert [row["id"] for row in lake(settings)] == ["5"]
    csv(bad[0], [GOOD])
    assert take_in(settings, name, good, bad[0]).exit_code == 0
    assert [row["id"] for row in lake(settings)] == ["1", "5"]


def test_a_day_when_one_id_has_two_values_then_is_refused_and_tried_again(
    settings: Settings, tmp_path: Path
) -> None:
    name = own(settings, WITH_IDS, PLAIN)
    next_day = (NEXT_US, NEXT_US, 5, "sell", 100, 1)
    one = csv(tmp_path / "1.csv", [GOOD, next_day])
    two = csv(tmp_path / "2.csv", [(DAY_US, DAY_US, 1, "buy", 101, 1)])
    report = take_in(settings, name, one, two)
    assert report.exit_code == 1
    ((day, why),) = report.refused
    assert (day, "is 1, in" in why, str(one) in why, str(two) in why) == (
        "2025-06-01", True, True, True,
    )  # fmt: skip
    assert [row["id"] for row in lake(settings)] == ["5"]
    assert take_in(settings, name, one).exit_code == 0  # its first day is missing yet
    assert [row["id"] for row in lake(settings)] == ["1", "5"]


def test_a_damaged_archive_when_imported_then_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    whole = zipped(tmp_path / "a.zip", f"1,100,1,100,{DAY_US},true,true\n" * 500)
    broken = bytearray(whole.read_bytes())
    broken[40:60] = b"\0" * 20
    whole.write_bytes(broken)
    report = take_in(settings, "binance_trades", whole)
    assert "cannot be unzipped" in report.refused[0][1]


def test_a_damaged_compressed_file_when_imported_then_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    """Files that DuckDB reads without an error, as if they were whole."""
    text = "".join(
        f"{n},100.{n * 7919 % 99991},1,100,{DAY_US + n},true,true\n" for n in range(30_000)
    )
    whole = {}
    for kind, ending in (("gzip", "csv.gz"), ("zstd", "csv.zst")):
        whole[kind] = tmp_path / f"whole.{ending}"
        with pa.output_stream(str(whole[kind]), compression=kind) as stream:
            stream.write(text.encode())
    gzipped, zstd = (path.read_bytes() for path in whole.values())
    checksum = gzipped[:-8] + bytes([gzipped[-8] ^ 1]) + gzipped[-7:]
    cases = (
        ("gzip", "checksum.csv.gz", checksum, False),
        ("gzip", "checksum_in_zip.csv.gz", checksum, True),
        ("zstd", "half.csv.zst", zstd[: len(zstd) // 2], False),
        ("zstd", "last_byte_in_zip.csv.zst", zstd[:-1], True),
    )
    kinds = {}
    for kind, name, damaged, is_zipped in cases:
        path = tmp_path / name
        path.write_bytes(damaged)
        if is_zipped:
            path = tmp_path / f"{name}.zip"
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(name, damaged)
        kinds[str(path)] = kind
    report = take_in(settings, "binance_trades", *map(Path, kinds))
    assert len(report.refused) == len(cases)
    for path, reason in report.refused:
        assert f"is a damaged {kinds[path]} file" in reason, path
    assert take_in(settings, "binance_trades", *whole.values()).refused == ()


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('{other}')",
        "select * from read_csv($files) union all select * from read_csv('{other}')",
        "select * from read_csv($files) where (select count(*) from '{other}') > 0",
        "select * from read_text($files)",
        "select * from glob('/*'), read_csv($files)",
        "copy (select * from read_csv($files)) to '{other}'",
        "select * from read_csv($files); select 1",
        "select getenv('HOME') as id, * from read_csv($files)",
        "select $secret as id, * from read_csv($files)",
        "select 1 as id",
    ],
)
def test_an_importer_when_it_reaches_beyond_its_files_then_is_refused(
    settings: Settings, tmp_path: Path, sql: str
) -> None:
    other = csv(tmp_path / "secret.csv", [GOOD])
    name = own(settings, WITH_IDS, sql.format(other=other))
    file = csv(tmp_path / "1.csv", [GOOD])
    try:
        report = take_in(settings, name, file)
    except UsageError:
        return
    assert report.exit_code == 1
    assert report.sync.admissions == ()
    assert other.read_text("utf-8").count("\n") == 2


@pytest.mark.parametrize(
    ("header", "sql", "reason"),
    [
        ("-- grain: trade\n-- sequence: id", PLAIN, "its header lacks receive_clock"),
        (f"{WITH_IDS}\n-- grian: trade", PLAIN, "unknown key 'grian'"),
        (WITH_IDS.replace("trade", "day"), PLAIN, "grain 'day'"),
        (WITH_IDS, PLAIN.replace("as price", "as prize"), "lacks price; has prize"),
        (WITH_IDS, PLAIN.replace("make_timestamp(t::bigint)", "t"), "is BIGINT, not a timestamp"),
    ],
)
def test_an_importer_when_it_is_written_wrongly_then_the_message_names_the_place(
    settings: Settings, tmp_path: Path, header: str, sql: str, reason: str
) -> None:
    name = own(settings, header, sql)
    with pytest.raises(UsageError, match=reason.replace("(", "\\(")):
        take_in(settings, name, csv(tmp_path / "1.csv", [GOOD]))


# -- what a row is -------------------------------------------------------------------------------


def test_contracts_when_coin_margined_then_become_base_units_or_are_refused(
    settings: Settings, tmp_path: Path
) -> None:
    symbol = "perpetual-BTC-USD:BTC"
    name = own(settings, WITH_IDS, PLAIN)
    file = csv(tmp_path / "1.csv", [(DAY_US, DAY_US, 1, "buy", 50_000, 5)])
    with pytest.raises(UsageError, match="amounts in contracts"):
        take_in(settings, name, file, symbol=symbol)
    with pytest.raises(UsageError, match="does not fit"):
        take_in(settings, name, file, symbol=symbol, contract_size=ContractSize.parse("10 EUR"))
    take_in(settings, name, file, symbol=symbol, contract_size=ContractSize.parse("100 USD"))
    assert [row["amount"] for row in lake(settings)] == [0.01]


def test_ticks_when_of_another_kind_than_those_of_the_series_then_are_not_mixed(
    settings: Settings, tmp_path: Path
) -> None:
    name = own(settings, WITH_IDS, PLAIN)
    orders = own(settings, WITH_IDS.replace("trade", "order"), PLAIN, "orders.trades")
    clockless = own(
        settings,
        WITH_IDS.replace("measured", "none"),
        PLAIN.replace("make_timestamp(l::bigint)", "null"),
        "clockless.trades",
    )
    file = csv(tmp_path / "1.csv", [GOOD])
    take_in(settings, name, file)
    for other in (orders, clockless):
        with pytest.raises(UsageError, match="not mixed in one series"):
            take_in(settings, other, csv(tmp_path / "2.csv", [GOOD]))
    vendors = tmp_path / "vendor/raw/trades/exchange=vendor/symbol=spot-BTC-USDT/2025-06-01.parquet"
    vendors.parent.mkdir(parents=True)
    moment = pa.array([DAY_US], pa.timestamp("us", tz="UTC"))
    pq.write_table(
        pa.table({"exchange_timestamp": moment, "local_timestamp": moment, "id": ["1"]}), vendors
    )
    sync_folder(Home.of(settings), tmp_path / "vendor")
    importer = find_importer(Home.of(settings), name)
    with pytest.raises(UsageError, match="the vendor's own ticks"):
        import_files(settings, importer, [file], exchange="vendor", symbol=SPOT)
    vendors.parent.parent.rename(vendors.parent.parent.with_name("exchange=venue"))
    (refused,) = sync_folder(Home.of(settings), tmp_path / "vendor").refused
    assert "holds imported ticks" in (refused.reason or "")


def test_an_imported_day_when_built_then_the_catalog_names_its_origin_and_claims_no_latency(
    settings: Settings, tmp_path: Path
) -> None:
    file = zipped(tmp_path / "a.zip", f"1,100,1,100,{DAY_US},true,true\n")
    take_in(settings, "binance_trades", file)
    prepare_catalog(settings, generation=1)
    with duckdb.connect(str(Home.of(settings).build_catalog), read_only=True) as connection:
        assert connection.execute(
            "select time, known_at, local_timestamp, sequence_number, source_file"
            " from vendor.raw_trades"
        ).fetchall() == [(FIRST_DAY, None, None, 1, str(file))]
        assert connection.execute(
            "select importer, grain, receive_clock from meta.files"
        ).fetchall() == [("binance_trades", "trade", "none")]
        assert connection.execute(
            "select exchange, symbol, period, source_file, rows, duplicates from meta.sources"
        ).fetchall() == [("venue", SPOT, "2025-06-01", str(file), 1, 0)]
        assert connection.execute("select count(*) from meta.drift").fetchone() == (0,)
