"""The example of docs/importing.md, as a user types it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pyarrow.parquet as pq

from tests.support import ROOT, run_warehouse
from warehouse.analysis.gaps import _LakeToday
from warehouse.home import Home

DOCS = (ROOT / "docs" / "importing.md").read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_documented_importer_when_written_as_shown_then_imports_its_file(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    (home / "importers").mkdir(parents=True)
    (home / "importers" / "acme.trades.sql").write_text(block("sql"), "utf-8")
    file = tmp_path / "trades-2025-06-01.csv.gz"
    file.write_bytes(gzip.compress(block("csv").encode()))
    command = ("--home", home, "import", "acme", file, "--symbol", "spot-BTC-USDT")
    tried = run_warehouse(*command, "--try", cwd=tmp_path)
    assert tried.exit_code == 0, tried.stderr
    assert "sell" in tried.stdout
    assert not (home / "objects").exists()
    done = run_warehouse(*command, "--exchange", "acme", cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert f"{file}: 3 rows" in done.stderr
    rows = pq.read_table(
        home / "lake/raw/trades/exchange=acme/symbol=spot-BTC-USDT/2025-06-01.parquet"
    ).to_pylist()
    assert [(row["id"], row["side"], row["price"], row["amount"]) for row in rows] == [
        ("901", "buy", 105000.5, 0.02), ("902", "sell", 105000.0, 0.5),
        ("903", "buy", 105001.0, 0.1),
    ]  # fmt: skip
    (home / "importers" / "._acme.trades.sql").write_bytes(b"\0\5\x16\7")  # as macOS leaves them
    listed = run_warehouse("--home", home, "import", cwd=tmp_path)
    assert (listed.exit_code, "acme" in listed.stdout) == (0, True), listed.stderr
    assert rows[0]["local_timestamp"].isoformat() == "2025-06-01T00:00:00.013000+00:00"
    series = ("raw_trades", "acme", "spot-BTC-USDT", None, None)
    assert str(_LakeToday(Home(home)).sync_line(series, (0, None))).endswith(
        "import acme FILES --exchange acme --symbol spot-BTC-USDT"
    )
    file.write_bytes(gzip.compress(block("csv").partition("\n")[0].encode()))
    without_rows = run_warehouse(*command, "--exchange", "acme", cwd=tmp_path)
    assert without_rows.exit_code == 1
    assert f"refused: {file}: it has no rows" in without_rows.stderr


def test_files_when_refused_then_are_named_and_the_exit_code_is_1(tmp_path: Path) -> None:
    bad = tmp_path / "BTCUSDT-trades-2025-06-01.csv"
    bad.write_text("1,0,1,0,1748736000000,true\n", "utf-8")
    command = ("--home", tmp_path / "home", "import", "binance_trades", bad)
    done = run_warehouse(
        *command, "--symbol", "spot-BTC-USDT", "--exchange", "binance", cwd=tmp_path
    )
    assert done.exit_code == 1
    assert f"refused: {bad}: 1 row with price of 0 or below, the first is row 1" in done.stderr
    assert "nothing imported, problems: 1" in done.stderr and "up to date" not in done.stderr
    bad.write_text('1,"100,5",1,100,1748736000000,true\n', "utf-8")
    comma = run_warehouse(
        *command, "--symbol", "spot-BTC-USDT", "--exchange", "binance", cwd=tmp_path
    )
    assert "'100,5'" in comma.stderr and "such as decimal commas" in comma.stderr
    bad.write_text("1,100,1\n2,100,1\n", "utf-8")
    short = run_warehouse(
        *command, "--symbol", "spot-BTC-USDT", "--exchange", "binance", cwd=tmp_path
    )
    tried = run_warehouse(*command, "--symbol", "spot-BTC-USDT", "--try", cwd=tmp_path)
    for run, label in ((short, "refused"), (tried, "error")):
        assert f"{label}: {bad}: the importer " in run.stderr
        assert 'column "column4" not found' in run.stderr and '"column2"' in run.stderr
        assert (
            f"next: choose the importer of this format, from: warehouse --home {tmp_path}/home"
            in (run.stderr)
        )
    bad.write_bytes(b"PAR1 and no parquet")
    lake = ("--home", tmp_path / "home", "import", "crypto_lake_trades", bad, "--try")
    other = run_warehouse(*lake, "--symbol", "spot-BTC-USDT", cwd=tmp_path)
    assert other.exit_code == 1 and f"'{bad}'" in other.stderr  # not the name of the copy
    unnamed = run_warehouse(*command, cwd=tmp_path)
    assert unnamed.exit_code == 2
    assert "give --exchange and --symbol" in unnamed.stderr
