"""Thread pool for downloads; callbacks run in the calling thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Self, TypeVar

_PATIENCE_S = 2.0

T = TypeVar("T")
# Returns the result of a piece of work, or raises its error.
WorkResult = Callable[[], T]


class WorkerPool:
    """Threads that run pieces of work; a context manager.

    They are daemon threads, so an interrupted run does not wait for the network.

    Examples
    --------
    >>> found = []
    >>> with WorkerPool(2) as pool:
    ...     pool.submit(lambda: 6 * 7, lambda result: found.append(result()))
    ...     for finish in pool.wait(at_most=1):
    ...         finish()
    >>> found
    [42]
    """

    def __init__(self, size: int) -> None:
        self.busy = 0
        self._todo: SimpleQueue[Any] = SimpleQueue()
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for _ in self._threads:
            self._todo.put(None)
        patient_until = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, patient_until - time.monotonic()))

    def submit(self, work: Callable[[], T], then: Callable[[WorkResult[T]], None]) -> None:
        """Let a thread do ``work``; :meth:`wait` returns calls of ``then`` with its result."""
        self.busy += 1
        self._todo.put((work, then))

    def wait(self, *, at_most: int) -> list[Callable[[], None]]:
        """Wait until a piece of work has ended; returns a call that finishes each one that has."""
        ended = [self._done.get()]
        while len(ended) < at_most and not self._done.empty():
            ended.append(self._done.get())
        self.busy -= len(ended)
        return [partial(then, result) for then, result in ended]

    def _work(self) -> None:
        while (task := self._todo.get()) is not None:
            work, then = task
            future: Future[Any] = Future()
            try:
                future.set_result(work())
            except BaseException as error:  # passed to the submitting thread, which raises it
                future.set_exception(error)
            self._done.put((then, future.result))
