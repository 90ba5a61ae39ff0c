"""The test vendor: the product's own mirror on a real socket, with scripted faults around it.

It serves a home that was filled with a simulated market. Faults are ASGI middleware: responses are
changed, cut, delayed or replaced.
"""

from __future__ import annotations

import asyncio
import io
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn

from warehouse.compat.server import create_app
from warehouse.home import Home

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Send], Awaitable[None]]

FOR_EVER = 10**9
FILE, LIST = r"^/files/", r"^/api/v1/data/"
SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass
class Fault:
    """One fault, for this many requests whose path matches.

    ``kind``: a status as text (``429``), ``reset`` (the connection breaks in the middle of the
    body), ``truncated`` (half of it, with a matching length), ``wrong_length`` (announces more than
    comes), ``expired`` (storage's 403), ``schema`` (another parquet file), ``html``, ``slow`` (a
    pause in the middle), ``empty`` (an empty list), ``redirect`` (to ``target``).
    """

    kind: str
    path: str = FILE
    times: int = 1
    retry_after: str | None = None
    target: str = ""
    body: bytes = b""
    pause_s: float = 0.0


@dataclass
class Seen:
    """One request: path, query, headers, and the status of the response."""

    path: str
    query: str
    headers: dict[str, str]
    status: int = 0


@dataclass
class TestVendor:
    """A running test vendor."""

    __test__ = False

    url: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def clear(self) -> None:
        self.faults.clear()
        self.seen.clear()

    def count(self, path: str, *statuses: int) -> int:
        """Requests whose path fits, answered with one of these statuses (any, if none is said)."""
        return sum(
            bool(re.search(path, one.path)) and (not statuses or one.status in statuses)
            for one in self.seen
        )

    @property
    def signatures(self) -> set[str]:
        """Every signature in a link of this vendor."""
        found = {match for one in self.seen for match in SIGNATURE.findall(one.query)}
        return found - {part for one in self.seen for part in _objects(one.query)}


@contextmanager
def serve_vendor(
    home: Home, *, key: str | None = None, link_s: int | None = None
) -> Iterator[TestVendor]:
    """Serve ``home`` on a free port of this machine until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    vendor = TestVendor(f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1")
    app = _Faulty(create_app(home, key=key, link_s=link_s), vendor)
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        listener.close()


class _BrokenOffError(Exception):
    """Raised in the middle of a response, so that the server drops the connection."""


class _Faulty:
    """Wraps an application; the first matching fault that is left changes a response."""

    def __init__(self, app: Application, vendor: TestVendor) -> None:
        self.app = app
        self.vendor = vendor
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen = Seen(scope["path"], scope["query_string"].decode(), headers)
        self.vendor.seen.append(seen)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        fault = self._next(scope["path"])
        if fault is None:
            await self.app(scope, receive, note)
        else:
            await self._misbehave(fault, scope, receive, note)

    def _next(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self.vendor.faults:
                if fault.times > 0 and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    async def _misbehave(self, fault: Fault, scope: Any, receive: Any, send: Send) -> None:
        status, headers, body = await self._answer(scope, receive)
        half = len(body) // 2
        match fault.kind:
            case "reset":
                await _start(send, status, headers)
                await _body(send, body[:half], more=True)
                await asyncio.sleep(0.01)
                raise _BrokenOffError
            case "truncated":
                await _whole(send, status, headers | _length(half), body[:half])
            case "wrong_length":
                await _start(send, status, headers | _length(len(body) + 1_000))
                await _body(send, body, more=True)
                await asyncio.sleep(0.01)
                raise _BrokenOffError
            case "slow":
                await _start(send, status, headers)
                await _body(send, body[:half], more=True)
                await asyncio.sleep(fault.pause_s)
                await _body(send, body[half:], more=False)
            case _:
                await _whole(send, *_replacement(fault))

    async def _answer(self, scope: Any, receive: Any) -> tuple[int, dict[str, str], bytes]:
        """What the application would have answered."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return messages[0]["status"], headers, body


def other_parquet() -> bytes:
    """A parquet file that is not one of the vendor's."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"time": ["then"], "price": ["much"]}), sink)
    return sink.getvalue()


def _replacement(fault: Fault) -> tuple[int, dict[str, str], bytes]:
    body, kind, status = fault.body, "application/json", 200
    extra = {"retry-after": fault.retry_after} if fault.retry_after else {}
    match fault.kind:
        case "schema":
            body, kind = other_parquet(), "application/octet-stream"
        case "html":
            body, kind = b"<html><body>Please log in</body></html>", "text/html"
        case "expired":
            status, kind = 403, "application/xml"
            body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        case "empty":
            body = b'{"files": []}'
        case "redirect":
            status, extra = 302, {"location": fault.target}
        case _:
            status, body = int(fault.kind), body or b'{"error": "not now"}'
    return status, {"content-type": kind, **extra} | _length(len(body)), body


def _objects(query: str) -> list[str]:
    return re.findall(r"object=([0-9a-f]{64})", query)


def _length(size: int) -> dict[str, str]:
    return {"content-length": str(size)}


async def _whole(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    await _start(send, status, headers)
    await _body(send, body, more=False)


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _body(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
