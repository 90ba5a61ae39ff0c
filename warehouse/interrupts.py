"""Ctrl-C where it would do harm: abort the process, turn into another error, break a library."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AGAIN_S = 0.02
"""A Ctrl-C that has to wait is tried again after so long."""


@contextmanager
def interruptible() -> Iterator[None]:
    """While it stands, Ctrl-C is a ``KeyboardInterrupt`` wherever it comes.

    Raised amid ``import duckdb``, some 0.1 s, it would abort the process: there it waits. Whoever
    has a handler of Ctrl-C of their own keeps it.
    """
    handler = _Patient() if _handler() is signal.default_int_handler else None
    if handler is not None:
        signal.signal(signal.SIGINT, handler)
    try:
        yield
    except RuntimeError as error:
        raise_if_interrupt(error)
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            handler.raise_what_waits()


@contextmanager
def held_back() -> Iterator[None]:
    """While it stands, Ctrl-C waits, and comes at its end: for what must not end half-way."""
    former = _handler()
    if former is not signal.default_int_handler and not isinstance(former, _Patient):
        yield
        return
    came = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if came:
            raise KeyboardInterrupt


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


def _handler() -> Any:
    """What Ctrl-C does; None where that cannot be changed, in other threads than the main one."""
    is_main = threading.current_thread() is threading.main_thread()
    return signal.getsignal(signal.SIGINT) if is_main else None


class _Patient:
    """Raises ``KeyboardInterrupt``; amid ``import duckdb`` it lets the signal come again soon."""

    def __init__(self) -> None:
        self._again: threading.Timer | None = None

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        self._again = None
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_globals["__name__"] == "duckdb":
                self._again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
                self._again.daemon = True
                self._again.start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    def raise_what_waits(self) -> None:
        """Raise ``KeyboardInterrupt`` if one has not come again yet."""
        if self._again is not None:
            self._again.cancel()
            raise KeyboardInterrupt
