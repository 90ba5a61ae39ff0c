"""A server of the page for tests, and how busy this process is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.config import load_settings
from warehouse.serving import create_server
from warehouse.ui.app import create_app

TOKEN = "secret"


@contextmanager
def served(home: Path) -> Iterator[tuple[str, int]]:
    """The page of a home on a separate server."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = create_server(create_app(load_settings(home), {}, TOKEN))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(30)


def busy() -> float:
    """Seconds of processor time that this process takes in a fifth of a second, as a share."""
    began = time.process_time()
    time.sleep(0.2)
    return (time.process_time() - began) / 0.2


def until(is_so: Callable[[], bool], limit_s: float) -> bool:
    """Whether a condition becomes true within a time."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if is_so():
            return True
    return False
