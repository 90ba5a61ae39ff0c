"""A vendor that responds with anything: the real client and sync against a real socket.

After any response the run ends soon, with an error of this package or with files that passed their
check; nothing is written outside the home, and no file name comes from a response.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.robustness.support import damage
from tests.support import BTC, VENUE, bar_table, grid
from warehouse.errors import VendorError, WarehouseError
from warehouse.home import Home
from warehouse.lake.manifest.manifest import Manifest
from warehouse.sync.from_vendor import plan_vendor, sync_vendor
from warehouse.sync.subscription import Subscription, resolve
from warehouse.vendor.api import VendorClient
from warehouse.vendor.http import RetryPolicy
from warehouse.vendor.keys import SeriesKey
from warehouse.vendor.request import Wanted

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SERIES = SeriesKey(VENUE, BTC, "1h", "true")
WANTED = Wanted("flow", SERIES, date(2025, 9, 1), date(2025, 10, 1))
HASTY = RetryPolicy(
    tries=2, first_wait_s=0.001, longest_wait_s=0.002, longest_hint_s=0.01, timeout_s=0.5
)
LONGEST_S = 10.0
FEW, MANY = 40, 1_000
HOMES = 20


@dataclass
class Answer:
    """The hostile vendor's response to one request."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    has_length: bool = True


@dataclass
class Hostile:
    """A server that returns prepared responses and records the requests."""

    url: str = ""
    say: Callable[[str], Answer] = lambda path: Answer()
    asked: list[str] = field(default_factory=list)
    keys_seen: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hostile: Hostile

    def do_GET(self) -> None:
        hostile = self.hostile
        hostile.asked.append(self.path)
        hostile.keys_seen.append((self.headers["host"], self.headers.get("x-api-key")))
        answer = hostile.say(self.path)
        self.wfile.write(b"HTTP/1.1 %d Fine\r\n" % answer.status)
        for name, value in answer.headers:
            self.wfile.write(name + b": " + value + b"\r\n")
        if answer.has_length:
            self.wfile.write(b"content-length: %d\r\n" % len(answer.body))
        self.wfile.write(b"connection: close\r\n\r\n" + answer.body)
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up on a hostile server is right."""


@pytest.fixture(scope="module")
def server() -> Iterator[Hostile]:
    hostile = Hostile()
    handler = type("OneHandler", (Handler,), {"hostile": hostile})
    with QuietServer(("127.0.0.1", 0), handler) as running:
        hostile.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=partial(running.serve_forever, 0.02), daemon=True)
        thread.start()
        yield hostile
        running.shutdown()


@pytest.fixture
def hostile(server: Hostile) -> Hostile:
    server.asked.clear()
    server.keys_seen.clear()
    return server


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a sync ended."""

    error: WarehouseError | None
    taken_in: int
    failures: tuple[VendorError, ...]
    seconds: float


def sync(home: Home, hostile: Hostile, wanted: Wanted = WANTED) -> Outcome:
    """A sync that may fail, but only with an error of this package."""
    started = time.monotonic()
    error, taken_in, failures = None, 0, ()
    with VendorClient(f"{hostile.url}/api/v1", "secret-key", retry=HASTY, connections=2) as vendor:
        try:
            report = sync_vendor(home, [wanted], vendor, now=NOW, recheck=True)
            taken_in, failures = len(report.taken_in), report.failures
        except WarehouseError as caught:
            error = caught
    return Outcome(error, taken_in, failures, time.monotonic() - started)


def listing(*entries: object) -> bytes:
    return json.dumps({"files": list(entries)}).encode()


def good_file() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(bar_table("flow", grid(date(2025, 9, 1), 24)), sink)
    return sink.getvalue().to_pybytes()


GOOD = good_file()


def require_nothing_escaped(home: Home) -> None:
    """A home contains only files that the product names."""
    known = {"objects", "lake", "quarantine", "manifest.sqlite", ".build", ".lock"}
    assert {path.name for path in home.root.iterdir()} <= known
    assert not list((home.build / "incoming").glob("*.parquet"))
    for path in home.root.rglob("*"):
        assert not path.is_symlink()


# -- fuzz ----------------------------------------------------------------------------------------

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 12, 13, 31, 32, 1969, 2024, 2025, 2026, 9999, 10_000, 2**31, 2**63,
    10**30, -(10**30), 1.5, float("nan"), float("inf"), 1e308, "", " ", "2025", "09", "٣", "²", "9",
    "2025-09", "2025-13", "0000-00", "9999-12", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800",
    "\u202e", "\x1b[2J", "x" * 10_000, [], [1], {}, {"a": 1}, [[[]]],
)  # fmt: skip
ODD_URLS = (
    "", " ", "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1", "http://169.254.169.254/",
    "http://10.0.0.1/x", "//127.0.0.1/x", "http://", "http://[::1", "http://127.0.0.1:99999/", "http:///x",
    "https://exa mple/x", "javascript:alert(1)", "data:,x", "HTTP://EXAMPLE.ORG/x", "http://127.0.0.1.example/",
    "http://127.0.0.1@example.org/x", "\\\\host\\share", "http://\ud800/", "http://xn--a/", "http://a\nb/",
    "http://127.0.0.1:1/closed", "http://127.0.0.1:abc/", "http://localhost\0/", "x" * 100_000,
)  # fmt: skip
ODD_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"retry-after", b"\xb2"), (b"retry-after", b"9" * 5_000), (b"retry-after", b"-1"),
    (b"retry-after", b"Mon, 99 Foo 99999 99:99:99 GMT"),
    (b"date", b"Mon, 01 Jan 0001 00:00:00 GMT"),
    (b"date", b"Fri, 31 Dec 9999 23:59:59 -9999"), (b"date", b"\xff"),
    (b"etag", b'"' + b"x" * 8_000 + b'"'),
    (b"etag", b'W/"weak"'), (b"last-modified", b"never"), (b"content-range", b"bytes \xb2-9/10"),
    (b"content-range", b"bytes 0-5/" + b"9" * 5_000), (b"content-encoding", b"gzip"),
    (b"content-encoding", b"br, zstd, gzip"), (b"content-type", b"text/html; charset=nonsense"),
    (b"location", b"file:///etc/passwd"), (b"location", b"https://user:pw@127.0.0.1:1/x?sig=1"),
    (b"location", b"//"), (b"location", b"/again"), (b"location", b"http://[::1"),
    (b"x", b"y" * 60_000),
    (b"set-cookie", b"a=b"), (b"transfer-encoding", b"chunked"), (b"content-length", b"-5"),
    (b"content-length", b"99999999999999999999"), (b"link", b"<x>; rel=next"),
)  # fmt: skip
BODIES = (
    b"", b"<html><body>Log in</body></html>", b"null", b"[]", b"{}", b'"files"', b"0", b"NaN",
    b"\xff\xfe",
    b'{"files": null}', b'{"files": {}}', b'{"files": [null]}', b'{"files": [[]]}', b'{"files": 1}',
    b'{"files": [{}]}', b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b'{"files": []}',
    b"PAR1PAR1",
    b'{"error": "\\u001b[2J\\u202e' + b"x" * 5_000 + b'"}',
    b'{"error": {"a": [1]}, "details": [null, {}]}',
    b'{"error": 1, "details": 5}',
)  # fmt: skip
STATUSES = (
    200,
    200,
    200,
    200,
    204,
    206,
    301,
    302,
    304,
    307,
    400,
    401,
    403,
    404,
    416,
    418,
    429,
    500,
    503,
    999,
)


def odd_entry(chance: random.Random, url: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"year": 2025, "month": 9, "url": url}
    names = ["year", "month", "day", "url", "size", "period", "extra"]
    for name in chance.sample(names, chance.choice((0, 0, 1, 2))):
        entry[name] = chance.choice(ODD_URLS if name == "url" else ODD_VALUES)
    if chance.random() < 0.1:
        del entry[chance.choice(list(entry))]
    return entry


def odd_answer(chance: random.Random, hostile: Hostile, path: str) -> Answer:
    is_list = path.startswith("/api/")
    url = f"{hostile.url}/files/x.parquet"
    body = chance.choice(BODIES)
    kind = chance.random()
    if is_list and kind < 0.7:
        entries = [odd_entry(chance, url) for _ in range(chance.choice((1, 1, 2, 20)))]
        body = json.dumps({"files": entries}).encode()
        if chance.random() < 0.2:
            place = chance.randrange(len(body))
            body = body[:place] + chance.randbytes(3) + body[place + 3 :]
    elif not is_list and kind < 0.8:
        body = GOOD if chance.random() < 0.7 else GOOD[: chance.randrange(len(GOOD))]
    headers = [chance.choice(ODD_HEADERS) for _ in range(chance.choice((0, 0, 1, 2)))]
    status = chance.choice(STATUSES) if chance.random() < 0.3 else 200
    return Answer(status, headers, body, has_length=chance.random() < 0.9)


@pytest.mark.parametrize(
    ("first", "count"),
    [(10_000, FEW)] + [pytest.param(n * MANY, MANY, marks=pytest.mark.long) for n in range(2)],
)
def test_run_ends_with_our_errors_whatever_the_vendor_returns(
    tmp_path: Path, hostile: Hostile, first: int, count: int
) -> None:
    homes = [Home(tmp_path / f"home-{n}") for n in range(HOMES)]
    taken_in = 0
    for number in range(first, first + count):
        home = homes[number % HOMES]
        chance = random.Random(number)
        hostile.say = lambda path, chance=chance: odd_answer(chance, hostile, path)
        try:
            outcome = sync(home, hostile)
        except Exception as error:
            pytest.fail(f"case {number}: {error!r}")
        assert outcome.seconds < LONGEST_S, number
        taken_in += outcome.taken_in
        for said in (outcome.error, *outcome.failures):
            if said is not None:
                require_printable(str(said), number)
    assert taken_in, "some cases are good files"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(h.root.name for h in homes)
    for home in homes:
        require_nothing_escaped(home)
        assert not damage(home)
        with Manifest(home.manifest) as manifest:
            for file in manifest.files():
                assert file.key.series == SERIES
                assert "?" not in file.origin


def require_printable(text: str, number: int) -> None:
    assert len(text) < 2_000, (number, text[:200])
    assert all(char.isprintable() or char == "\n" for char in text), (number, text)
    assert "secret-key" not in text


# -- one by one ----------------------------------------------------------------------------------


def test_a_million_files_in_a_list_end_the_run_soon_and_in_little_memory(
    tmp_path: Path, hostile: Hostile
) -> None:
    entries = [
        {
            "year": 1970 + n % 230,
            "month": 1 + n % 12,
            "day": 1 + n % 28,
            "url": "https://x.invalid/",
        }
        for n in range(1_000_000)
    ]
    body = listing(*entries)
    hostile.say = lambda path: Answer(body=body)
    outcome = sync(Home(tmp_path / "home"), hostile)
    assert outcome.seconds < 30
    said = outcome.error or outcome.failures[0]
    assert "not from the vendor's API" in str(said)


def test_an_endless_list_is_given_up(tmp_path: Path, hostile: Hostile) -> None:
    body = b'{"files": [' + b" " * (80 << 20)
    hostile.say = lambda path: Answer(body=body, has_length=False)
    outcome = sync(Home(tmp_path / "home"), hostile)
    said = outcome.error or outcome.failures[0]
    assert "not from the vendor's API" in str(said)


def test_files_outside_of_what_was_asked_are_not_fetched(tmp_path: Path, hostile: Hostile) -> None:
    link = f"{hostile.url}/files/x"
    entries = [{"year": year, "month": 9, "url": link} for year in (1971, 2024, 2026, 2199)]
    hostile.say = lambda path: Answer(body=listing(*entries))
    outcome = sync(Home(tmp_path / "home"), hostile)
    assert (outcome.error, outcome.failures, outcome.taken_in) == (None, (), 0)
    assert not [path for path in hostile.asked if path.startswith("/files/")]


def test_the_same_file_a_thousand_times_is_fetched_once(tmp_path: Path, hostile: Hostile) -> None:
    link = f"{hostile.url}/files/x"
    many = listing(*[{"year": 2025, "month": 9, "url": link}] * 1_000)
    hostile.say = lambda path: Answer(body=GOOD if path.startswith("/files/") else many)
    assert sync(Home(tmp_path / "home"), hostile).taken_in == 1
    assert len([path for path in hostile.asked if path.startswith("/files/")]) == 1


@pytest.mark.parametrize("url", ODD_URLS)
def test_a_link_that_leads_elsewhere_is_not_followed(
    tmp_path: Path, hostile: Hostile, url: str
) -> None:
    answer = listing({"year": 2025, "month": 9, "url": url})
    hostile.say = lambda path: Answer(body=answer)
    outcome = sync(Home(tmp_path / "home"), hostile)
    assert outcome.taken_in == 0
    assert outcome.error or outcome.failures
    require_nothing_escaped(Home(tmp_path / "home"))
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_redirects_never_carry_the_key_to_another_origin(tmp_path: Path, hostile: Hostile) -> None:
    """Another name for the same machine is another origin."""
    port = hostile.url.rpartition(":")[2]
    there = f"http://localhost:{port}/api/v1/elsewhere".encode()

    def say(path: str) -> Answer:
        if "elsewhere" in path:
            return Answer(body=listing())
        return Answer(302, [(b"location", there)])

    hostile.say = say
    sync(Home(tmp_path / "home"), hostile)
    keys = dict(hostile.keys_seen)
    assert keys[f"127.0.0.1:{port}"] == "secret-key"
    assert keys[f"localhost:{port}"] is None


@pytest.mark.parametrize(
    "symbols",
    [
        None, 1, {}, ["../../etc"], ["a/b"], ["\x1b[2J"], ["a\0b"], [1, None, {}], ["\ud800"],
        ["x" * 10_000], ["中" * 120], ["perpetual-BTC-USDT:USDT"] * 10, [".."], ["-rf"], [""],
    ],
)  # fmt: skip
def test_odd_symbols_never_become_names(tmp_path: Path, hostile: Hostile, symbols: object) -> None:
    body = json.dumps({"symbols": symbols}).encode()
    hostile.say = lambda path: Answer(body=body if "symbols" in path else listing())
    said = Subscription(("flow",), (VENUE,), ("*",), ("1h",), ("true",), WANTED.start, WANTED.end)
    with VendorClient(f"{hostile.url}/api/v1", "secret-key", retry=HASTY) as vendor:
        try:
            wanted = resolve([said], today=NOW.date(), symbols_of=vendor.symbols)
            plan_vendor(Home(tmp_path / "home"), wanted, vendor, now=NOW)
        except WarehouseError as error:
            require_printable(str(error), 0)
            return
    assert {one.series.symbol for one in wanted} <= {BTC}


def test_a_misspelt_symbol_among_a_million_is_reported_soon(
    tmp_path: Path, hostile: Hostile
) -> None:
    body = json.dumps({"symbols": [f"perpetual-C{n}-USDT:USDT" for n in range(1_000_000)]}).encode()
    hostile.say = lambda path: Answer(body=body if "symbols" in path else listing())
    outcome = sync(Home(tmp_path / "home"), hostile)
    assert outcome.seconds < 30
