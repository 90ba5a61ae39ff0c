"""HTTP servers on this machine."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from warehouse.errors import UsageError

_MOST_CONNECTIONS = 256


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket, and its address as in a URL; port 0 picks a free one."""
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


def create_server(app: Callable[..., Any]) -> uvicorn.Server:
    """A server that trusts no forwarded header."""
    config = uvicorn.Config(
        app,
        http="h11",
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    return uvicorn.Server(config)
