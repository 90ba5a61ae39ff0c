"""Hostile ``warehouse.toml``, ``.env``, variables, symbols, folders: refused, or valid."""

from __future__ import annotations

import random
import string
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.support import bar_table, file_key, grid, run_warehouse, write_file
from warehouse.config import load_settings
from warehouse.errors import UsageError, WarehouseError
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder
from warehouse.sync.layout import scan_folder
from warehouse.sync.subscription import load_subscriptions, resolve
from warehouse.vendor.keys import FileKey, Period, SeriesKey, Symbol, decode, encode

FEW, MANY = 400, 4_000
GOOD = """
[[sync]]
datasets = ["flow", "l1_*"]
exchanges = ["binance-futures"]
symbols = ["perpetual-BTC-USDT:USDT", "perpetual-*"]
intervals = ["1h"]
clocks = ["true"]
start = 2025-01-01
end = 2025-12-31
"""
ODD_TEXT = (
    "", " ", "..", "../../etc", "/etc/passwd", "a/b", "a\\b", "a\0b", "\x1b[2J", "\u202e",
    "中" * 90,
    "x" * 9_999,
    "*", "?", "[", "%2e%2e%2f", "%", "perpetual-BTC-USDT:USDT", "-rf",
    "~", "$HOME", "{{ x }}", "'; drop",
    "\ud800", "raw_", "raw:", "raw:../x", "CON", ".", "NaN", "1h",
)  # fmt: skip
ODD_TOML = (
    "1", "-1", "1.5", "nan", "inf", "true", "[]", "[[]]", "[1]", '""', '"*"', '["../x"]',
    '["a/b"]', 
    "{}", "0001-01-01", "9999-12-31", "2025-01-01T00:00:00Z", "07:32:00", '"2025-01-01"',
    "[" * 3_000,
    '"' + "x" * 50_000 + '"', "9" * 5_000, "'''", "2025-02-30", '["\\u0000"]', '["\\U0001F600"]',
)  # fmt: skip
TODAY = date(2026, 3, 10)


def spoilt_toml(chance: random.Random) -> str:
    lines = GOOD.strip().splitlines()
    for _ in range(chance.choice((1, 1, 2, 3))):
        place = chance.randrange(len(lines))
        match chance.randrange(5):
            case 0:
                name = lines[place].split("=")[0].strip()
                lines[place] = f"{name} = {chance.choice(ODD_TOML)}"
            case 1:
                lines.insert(place, chance.choice(lines))
            case 2:
                del lines[place]
            case 3:
                text = "".join(chance.choices(string.printable, k=20))
                lines.insert(place, text)
            case 4:
                lines.insert(place, f"{chance.choice(('sync', 'x', 'end', 'start'))} = 1")
        lines = lines or ["x"]
    return "\n".join(lines)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_a_subscription_is_refused_with_a_reason_or_gives_names_that_stay_inside(
    tmp_path: Path, count: int
) -> None:
    path = tmp_path / "warehouse.toml"
    meant = refused = 0
    for number in range(count):
        chance = random.Random(number)
        path.write_text(spoilt_toml(chance), "utf-8")
        symbols = [*chance.sample(ODD_TEXT, 5), "perpetual-ETH-USDT:USDT"]
        try:
            found = resolve(
                load_subscriptions(path), today=TODAY, symbols_of=lambda exchange, s=symbols: s
            )
        except WarehouseError as error:
            assert isinstance(error, UsageError), number
            assert len(str(error)) < 2_000 and error.next_step, (number, str(error)[:300])
            refused += 1
            continue
        meant += 1
        for wanted in found:
            stays_inside(FileKey(wanted.dataset, wanted.series, Period("2025-09")))
            assert wanted.start < wanted.end
    assert meant > count / 50 and refused > count / 50


def stays_inside(key: FileKey) -> None:
    """Its path has no ``..``, no separator in a name, and fits every file system."""
    path = key.path
    assert not path.is_absolute() and ".." not in path.parts
    assert all(part not in ("", ".") and len(part.encode()) <= 255 for part in path.parts)
    assert all(char.isprintable() for char in str(path))
    assert PurePosixPath("lake", path).is_relative_to("lake")


@pytest.mark.parametrize("count", [2 * FEW, pytest.param(4 * MANY, marks=pytest.mark.long)])
def test_a_symbol_is_refused_or_comes_back_from_its_path_as_it_was(count: int) -> None:
    alphabet = string.printable + "äß中😀\u202e\ud800\0%:/\\"
    taken = 0
    for number in range(count):
        chance = random.Random(number)
        text = "".join(chance.choices(alphabet, k=chance.choice((1, 3, 20, 127, 128, 200))))
        if chance.random() < 0.6:
            odd = chance.choice(("", text[:3], chance.choice(ODD_TEXT)))
            text = f"perpetual-{odd}-USDT:USDT"
        Symbol.parse(text)
        try:
            series = SeriesKey("binance-futures", text, "1h", "true")
        except UsageError as error:
            assert len(str(error)) < 500
            continue
        taken += 1
        stays_inside(FileKey("flow", series, Period("2025-09")))
        assert decode(encode(text)) == text
    assert taken > count / 20


@pytest.mark.parametrize(
    "text", ["0000-01", "0001-01", "1969-12", "2200-01", "9999-12", "9999-12-31"]
)
def test_absurd_years_are_no_periods(text: str) -> None:
    with pytest.raises(UsageError):
        Period(text)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"A=\x00", b"A" * 100_000, b"=\n=\n", b"A='\nB=\"", b"\xef\xbb\xbfA=1"]
)
def test_a_torn_env_file_is_passed_over_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    try:
        load_settings("data")
    except UsageError as error:
        assert ".env" in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAREHOUSE_THREADS", "0"), ("WAREHOUSE_THREADS", "²"), ("WAREHOUSE_THREADS", "9" * 5_000),
        ("WAREHOUSE_MEMORY", "lots"), ("WAREHOUSE_MEMORY", "-1GB"), ("WAREHOUSE_MEMORY", "'; x"),
        ("APERIODIC_API_URL", "file:///etc/passwd"), ("APERIODIC_API_URL", "http://[::1"),
    ],
)  # fmt: skip
def test_odd_variables_are_named_without_a_traceback(tmp_path: Path, name: str, value: str) -> None:
    place = ["--exchange", "x", "--symbol", "y", "--interval", "1h", "--clock", "true"]
    verb = ["sync", "flow", *place, "--start", "2025-01-01", "--end", "2025-01-31"]
    home = tmp_path / "home"
    write_file(tmp_path / "f", file_key("flow", "2025-09"), bar_table("flow", grid(TODAY, 0)))
    if name == "WAREHOUSE_MEMORY":
        sync_folder(Home(home), tmp_path / "f")
        verb = ["build"]
    done = run_warehouse(*verb, "--home", home, cwd=tmp_path, environment={name: value})
    assert done.exit_code == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["sync", "flow", "--start", "0001-01-01"],
        ["sync", "flow", "--end", "9999-12-31", "--start", "9999-12-30"],
        ["sync", "../x", "--start", "2025-01-01"],
        ["prune", "--keep", "-1"],
        ["rollback", str(10**30)],
        ["rollback", "-1"],
        ["snapshot", "../x"],
    ],
)
def test_odd_arguments_are_named_without_a_traceback(tmp_path: Path, arguments: list[str]) -> None:
    place = ["--exchange", "x", "--symbol", "y", "--interval", "1h", "--clock", "true"]
    extra = place if arguments[0] == "sync" else []
    environment = {"APERIODIC_API_URL": "http://127.0.0.1:9/api", "APERIODIC_API_KEY": "k"}
    done = run_warehouse(
        *arguments, *extra, "--home", tmp_path / "home", cwd=tmp_path, environment=environment
    )
    assert done.exit_code in (1, 2, 3), done.stderr
    assert "Traceback" not in done.stderr


def test_names_of_files_in_a_folder_cannot_lead_out_of_the_home(tmp_path: Path) -> None:
    """Folders named like keys, with every odd text that a disk takes."""
    files = tmp_path / "files"
    table = bar_table("flow", grid(date(2025, 9, 1), 3))
    for number, text in enumerate(ODD_TEXT):
        segment = encode(text) if "/" in text or "\0" in text else text
        try:
            symbol = f"perpetual-{segment}-USDT%3AUSDT"
            folder = files / "flow" / f"exchange=binance-futures/symbol={symbol}"
            folder = folder / "interval=1h/timestamp=true"
            folder.mkdir(parents=True)
        except (OSError, UnicodeEncodeError, ValueError):
            continue
        good = write_file(tmp_path / f"one-{number}", file_key("flow", "2025-09"), table)
        good.replace(folder / "2025-09.parquet")
    report = sync_folder(Home(tmp_path / "home"), files)
    assert len(report.taken_in) >= 5
    for found in scan_folder(files):
        if found.key is not None:
            stays_inside(found.key)
    for path in (tmp_path / "home").rglob("*"):
        assert path.resolve().is_relative_to((tmp_path / "home").resolve())
    known: Any = {"home", "files", *(p.name for p in tmp_path.glob("one-*"))}
    assert {path.name for path in tmp_path.iterdir()} <= known


def test_links_in_a_folder_are_read_and_never_followed_out_for_writing(tmp_path: Path) -> None:
    """A symbolic link named like a file is a file; the lake takes a copy of its bytes."""
    table = bar_table("flow", grid(date(2025, 9, 1), 3))
    target = write_file(tmp_path / "else", file_key("flow", "2025-09"), table)
    before = target.read_bytes()
    link = tmp_path / "files" / file_key("flow", "2025-09").path
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    (link.parent / "2025-10.parquet").symlink_to(tmp_path / "nowhere")
    (link.parent / "2025-11.parquet").mkdir()
    report = sync_folder(Home(tmp_path / "home"), tmp_path / "files")
    assert len(report.taken_in) == 1
    assert target.read_bytes() == before
