"""Ctrl-C where DuckDB would make something else of it: an aborted process, or another error."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_S = 0.02
"""A Ctrl-C that has to wait is tried again after so long."""


@contextmanager
def interruptible() -> Iterator[None]:
    """While it stands, Ctrl-C is a ``KeyboardInterrupt`` wherever it comes.

    Raised amid ``import duckdb``, some 0.1 s, it would abort the process: there it waits. Whoever
    has a handler of Ctrl-C of their own keeps it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    is_ours = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except RuntimeError as error:
        raise_if_interrupt(error)
        raise
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def raise_if_interrupt(error: Exception) -> None:
    """Raise the ``KeyboardInterrupt`` that ``error`` was made of, if it was.

    DuckDB does so where it runs a query in the main thread, and Python where a class is being made.

    Examples
    --------
    >>> try:
    ...     raise_if_interrupt(RuntimeError("Query interrupted"))
    ... except KeyboardInterrupt:
    ...     print("Ctrl-C")
    Ctrl-C
    """
    if isinstance(error, RuntimeError) and (
        str(error) == "Query interrupted" or isinstance(error.__cause__, KeyboardInterrupt)
    ):
        raise KeyboardInterrupt from error


def _interrupt(_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals["__name__"] == "duckdb":
            again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt
