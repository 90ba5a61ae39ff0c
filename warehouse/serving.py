"""HTTP servers on this machine: listening, and closing connections that send too slowly."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from warehouse.errors import UsageError

_REQUEST_S = 20
_MOST_CONNECTIONS = 256


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket, and its address as in a URL; port 0 picks a free one.

    Raises
    ------
    UsageError
        The port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        why = (
            "another program uses this port"
            if error.errno == errno.EADDRINUSE
            else os.strerror(error.errno or errno.EINVAL)
        )
        raise UsageError(
            f"cannot serve on {host}:{port}: {why}", next_step="choose another --port"
        ) from error
    return listener, f"[{host}]" if family == socket.AF_INET6 else host


def create_server(app: Callable[..., Any], *, request_s: float = _REQUEST_S) -> uvicorn.Server:
    """A server that trusts no forwarded header and closes connections that send too slowly.

    Parameters
    ----------
    request_s
        Seconds within which a connection must complete a request.
    """
    config = uvicorn.Config(
        app,
        http=partial(_Connection, request_s),  # type: ignore[arg-type]
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    return uvicorn.Server(config)


class _Connection(H11Protocol):
    """A connection that is closed when its sender does not complete a request in time.

    uvicorn limits only the time between two requests. Without this limit a client that sends one
    byte now and then keeps its connection open indefinitely.
    """

    def __init__(self, request_s: float, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._request_s = request_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()

    def on_response_complete(self) -> None:
        self._deadline.cancel()
        self._wait_for_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        self._deadline = self.loop.call_later(self._request_s, self._close_unless_answering)

    def _close_unless_answering(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
