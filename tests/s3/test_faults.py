"""Responses of other S3 servers, planted by a proxy in front of the local one."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import warehouse
from tests.robustness.support import quick_build, sync_round
from tests.s3.conftest import Bucket
from warehouse.bucket.pull import pull_home
from warehouse.bucket.push import push_home
from warehouse.bucket.store import Store
from warehouse.bucket.upkeep import check_bucket
from warehouse.errors import OvertakenError, StoreError
from warehouse.home import Home
from warehouse.lake.objects import Lake
from warehouse.sync.from_folder import sync_folder

pytest.importorskip("obstore", reason="the extra bucket is not installed")
pytestmark = pytest.mark.s3

FEATURES = "select * from flow_features order by series_id, time"
# Status and code of an answer, or the number of bytes after which the body is cut.
Fault = tuple[int, str] | int


class Proxy:
    """Forwards requests; ``plan`` may answer one, given its method, name and headers."""

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server).netloc
        self.plan: Callable[[str, str, http.client.HTTPMessage], Fault | None] = lambda *_: None
        self.seen: list[tuple[str, str]] = []

    def forward(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.seen.append((request.command, request.path))
        fault = self.plan(request.command, request.path, request.headers)
        if isinstance(fault, tuple):
            content = f"<Error><Code>{fault[1]}</Code></Error>".encode() if fault[1] else b""
            self._answer(request, fault[0], {}, content)
            return
        onward = http.client.HTTPConnection(self.server, timeout=60)
        onward.request(request.command, request.path, body, dict(request.headers))
        answer = onward.getresponse()
        content, headers = answer.read(), dict(answer.getheaders())
        headers.pop("Transfer-Encoding", None)
        self._answer(request, answer.status, headers, content, cut=fault)
        onward.close()

    def _answer(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        content: bytes,
        cut: int | None = None,
    ) -> None:
        request.send_response_only(status)
        headers = {k: v for k, v in headers.items() if k != "Connection"}
        if status != 204 and request.command != "HEAD":
            headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content[:cut])
        request.close_connection = cut is not None


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Put the proxy in front of the server for the rest of the test."""
    made = Proxy(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle_any(self) -> None:
            made.forward(self)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.server_port}")
        monkeypatch.setattr("warehouse.bucket.store._WAITS_S", (0.01, 0.01))
        yield made
        listening.shutdown()
        thread.join()


@pytest.fixture
def ahead(bucket: Bucket, writer: Path) -> Home:
    """A home with one more generation than its bucket."""
    home = Home(writer)
    sync_round(home, bucket.folder / "round 2", 2)
    quick_build(home)
    return home


def generation(address: str) -> int | None:
    head = Store(address).read_head()
    return None if head is None else head.state.current


REFUSALS = (
    (400, "ExpiredToken", "the keys have expired", "AWS_SESSION_TOKEN"),
    (403, "", "the keys were refused", "AWS_ACCESS_KEY_ID"),
    (403, "RequestTimeTooSkewed", "the clock of this machine is wrong", "set the clock"),
    (301, "PermanentRedirect", "the region is wrong", "AWS_REGION"),
    (501, "NotImplemented", "the condition of a write", "If-None-Match"),
    (507, "XMinioStorageFull", "the bucket is full", "warehouse prune"),
    (503, "SlowDown", "too busy (SlowDown)", "later"),
    (429, "TooManyRequests", "too busy", "later"),
    (500, "InternalError", "answered with status 500", "run the same command again"),
)


def test_a_push_that_is_refused_in_the_middle_names_the_way_on_and_loses_nothing(
    bucket: Bucket, ahead: Home, proxy: Proxy
) -> None:
    """From the third file on, whatever the server's reason; then HEAD is what it was."""
    for status, code, reason, step in REFUSALS:
        sent: set[str] = set()

        def refuse(
            method: str, path: str, _: object, answer: Fault = (status, code)
        ) -> Fault | None:
            if method in ("PUT", "POST") and "/probe/" not in path:
                sent.add(path)  # noqa: B023
                return answer if len(sent) > 2 else None  # noqa: B023
            return None

        proxy.plan = refuse
        with pytest.raises(StoreError) as caught:
            push_home(ahead, Store(bucket.address))
        assert reason in str(caught.value) and step in str(caught.value), code
        assert generation(bucket.address) == 1
    proxy.plan = lambda *_: None
    push_home(ahead, Store(bucket.address))
    assert generation(bucket.address) == 2
    assert not list(check_bucket(ahead, Store(bucket.address)))


def test_a_busy_server_is_asked_again_and_conflicts_of_equal_objects_too(
    bucket: Bucket, ahead: Home, proxy: Proxy
) -> None:
    """Each object meets a busy server, and a conflict with another machine, before it is stored."""
    met: dict[tuple[str, str], int] = {}

    def once_each(method: str, path: str, headers: http.client.HTTPMessage) -> Fault | None:
        if method not in ("PUT", "GET") or "/probe/" in path or path.endswith("HEAD"):
            return None
        count = met[method, path] = met.get((method, path), 0) + 1
        return {1: (400, "RequestTimeout"), 2: (409, "OperationAborted")}.get(count)

    proxy.plan = once_each
    assert push_home(ahead, Store(bucket.address)) is not None
    assert len(met) > 5
    with warehouse.open(bucket.address) as opened:
        assert opened.generation == 2
        assert opened.sql(FEATURES).fetchall()


def test_a_conflict_over_head_is_resolved_by_another_attempt(
    bucket: Bucket, ahead: Home, proxy: Proxy
) -> None:
    """Amazon answers 409 where two conditional writes meet, whichever of them wins."""
    conflicts = iter([(409, "ConditionalRequestConflict")] * 2)
    proxy.plan = lambda method, path, _: (
        next(conflicts, None) if method == "PUT" and path.endswith("HEAD") else None
    )
    push_home(ahead, Store(bucket.address))
    assert generation(bucket.address) == 2
    proxy.plan = lambda method, path, _: (
        (409, "ConditionalRequestConflict") if method == "PUT" and path.endswith("HEAD") else None
    )
    sync_round(ahead, bucket.folder / "round 3", 3)
    with pytest.raises(OvertakenError, match="run the same command again"):
        push_home(ahead, Store(bucket.address))
    assert generation(bucket.address) == 2


def test_a_body_that_is_cut_is_no_answer_and_stays_nowhere(
    bucket: Bucket, writer: Path, proxy: Proxy
) -> None:
    home = bucket.home("reader")
    with warehouse.open(home) as opened:
        proxy.plan = lambda method, path, _: 100 if method == "GET" and "/marts/" in path else None
        with pytest.raises(StoreError, match="cannot be reached"):
            opened.sql(FEATURES).fetchall()
        assert not [path for path in (home / "marts").rglob("*") if path.is_file()]
        proxy.plan = lambda *_: None
        assert opened.sql(FEATURES).fetchall()


def test_a_pull_that_ends_before_its_links_leaves_them_to_the_next_sync(
    bucket: Bucket, writer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, empty = Home(bucket.home("second")), bucket.folder / "empty"
    empty.mkdir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Lake, "sweep", interrupt)
        pull_home(home, Store(bucket.address))
    assert not [path for path in home.lake.rglob("*") if path.is_file()]
    sync_folder(home, empty)
    for path in Home(writer).lake.rglob("*.parquet"):
        assert (home.lake / path.relative_to(Home(writer).lake)).is_file()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
