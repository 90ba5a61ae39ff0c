"""Ctrl-C, cancelling and limits: DuckDB works on one thread while the caller waits on another.

So Ctrl-C always interrupts waiting Python code. Inside a call of DuckDB it would become another
error or be lost. DuckDB checks for an interrupt only between two steps; one step, such as a
function on a long list, or the parser on a long text, may take minutes. In that case the caller
continues without it after a short grace period.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from warehouse.errors import ExitCode, QueryError

T = TypeVar("T")

# Seconds that interrupted work has to end before it is abandoned.
_GRACE_S = 1.0

# Seconds between two checks of the limits, and between repeated interrupts.
_LOOK_S = 0.05

_STATM = Path("/proc/self/statm")


class Interruptible(Protocol):
    """The part of a connection or cursor that this module uses."""

    def interrupt(self) -> None:
        """Request that the running work stops."""


class Limit(Enum):
    """The reason why work was stopped."""

    TIME = "time"
    MEMORY = "memory"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one piece of work.

    Attributes
    ----------
    timeout_s
        Seconds until it is stopped.
    spent_s
        Seconds that are already used.
    growth
        Bytes by which the process may grow; enforced on systems with ``/proc``.
    cancelled
        Set when the result is no longer wanted.
    """

    timeout_s: float | None = None
    spent_s: float = 0.0
    growth: int | None = None
    cancelled: threading.Event | None = None


class StoppedError(QueryError):
    """A query was stopped or abandoned; its last step may still be running in its thread."""


def run(engine: Interruptible | None, act: Callable[[], T], limits: Limits | None = None) -> T:
    """Run ``act``, which uses ``engine``, and return its result; Ctrl-C and limits stop it.

    Raises
    ------
    StoppedError
        It reached one of its limits.
    """
    limits = limits or _NO_LIMITS
    began = _begun(limits)
    if limits.cancelled and limits.cancelled.is_set():
        raise _stopped(Limit.CALLER, limits, limits.spent_s, is_done=True)
    job = _Job(act)
    try:
        job.begin()
        limit = _wait(job.future, limits, began)
    except BaseException:
        job.stop(engine)
        raise
    if limit is not None and not job.stop(engine):
        raise _stopped(limit, limits, time.monotonic() - began, is_done=job.future.done())
    return job.future.result()


@contextmanager
def one_clock(*, at_least_s: float = 0.0) -> Iterator[None]:
    """Measure all time limits inside by one clock, including those of nested work.

    Inside another one the outer clock continues; at least ``at_least_s`` remain of the limit.
    """
    outer: _Clock | None = getattr(_here, "clock", None)
    now = time.monotonic()
    _here.clock = _Clock(outer.began if outer else now, now + at_least_s)
    try:
        yield
    finally:
        _here.clock = outer


def stop_if_abandoned() -> None:
    """Raise StoppedError in abandoned work; long loops in Python call this."""
    job: _Job[Any] | None = getattr(_here, "job", None)
    if job is not None and job.is_unwanted:
        raise StoppedError("stopped: the query was abandoned")


def until_abandoned(items: Iterable[T]) -> Iterator[T]:
    """Iterate over items, with :func:`stop_if_abandoned` before each."""
    for item in items:
        stop_if_abandoned()
        yield item


@contextmanager
def delay_interrupts() -> Iterator[None]:
    """Delay Ctrl-C until an import ends: during ``import duckdb`` it would abort the process.

    This has no effect if Ctrl-C is ignored, or in another thread than the main one.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    if not callable(handler):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *signalled: came.append(signalled))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])


def is_interrupt(error: Exception) -> bool:
    """Whether ``error`` is DuckDB's translation of a Ctrl-C during a query in the main thread.

    Examples
    --------
    >>> is_interrupt(RuntimeError("Query interrupted"))
    True
    """
    return isinstance(error, RuntimeError) and str(error) == "Query interrupted"


def is_abandoned() -> bool:
    """Whether abandoned work is still running."""
    return bool(_abandoned)


def exit_process(code: int) -> NoReturn:
    """End the process with an exit code, without freeing what is loaded, which takes 40 ms.

    After Ctrl-C, and if abandoned work is still running, which nothing else can stop, functions
    registered for the end are not called. Python reports output that cannot be written.
    """
    is_orderly = not is_abandoned() and code != ExitCode.INTERRUPTED
    if is_orderly:
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            if is_orderly:
                sys.exit(code)
    os._exit(code)


@dataclass(frozen=True, slots=True)
class _Clock:
    """Start of a thread's work, and the time until which it may continue whatever its limit."""

    began: float
    until: float


class _Job(Generic[T]):
    """One piece of work: its future result, and whether it is still needed."""

    def __init__(self, act: Callable[[], T]) -> None:
        self.future: Future[T] = Future()
        self.is_unwanted = False
        self._act: Callable[[], T] | None = act
        self._clock: _Clock | None = getattr(_here, "clock", None)

    def begin(self) -> None:
        """Run it in an idle thread or a new one; the first query of a new thread takes longer."""
        try:
            tasks = _idle.pop()
        except IndexError:
            tasks = SimpleQueue()
            name = "warehouse-query"
            threading.Thread(target=_work, args=(tasks,), name=name, daemon=True).start()
        tasks.put(self)

    def run_here(self) -> None:
        """Run it in this thread, unless it was abandoned."""
        act, self._act = self._act, None
        if act is None or not self.future.set_running_or_notify_cancel():
            return
        _here.job, _here.clock = self, self._clock
        try:
            self.future.set_result(act())
        except BaseException as error:  # passed to the waiting thread, which raises it
            self.future.set_exception(error)
        finally:
            _here.job = _here.clock = None

    def stop(self, engine: Interruptible | None) -> bool:
        """Interrupt it until it ends or is abandoned; returns whether it finished after all."""
        self.is_unwanted = True
        if self.future.cancel():
            return False
        _abandoned.add(self.future)
        self.future.add_done_callback(_abandoned.discard)
        give_up = time.monotonic() + _GRACE_S
        while not self.future.done() and time.monotonic() < give_up:
            if engine is not None:  # it may not have begun at the first interrupt
                engine.interrupt()
            wait([self.future], _LOOK_S)
        return self.future.done() and self.future.exception() is None


def _begun(limits: Limits) -> float:
    """Start of the time limit."""
    clock: _Clock | None = getattr(_here, "clock", None)
    if clock is None:
        return time.monotonic() - limits.spent_s
    return max(clock.began, clock.until - (limits.timeout_s or 0.0))


def _wait(future: Future[T], limits: Limits, began: float) -> Limit | None:
    """Wait for the end of work; returns the limit that it reached, or None."""
    outer: _Job[Any] | None = getattr(_here, "job", None)
    most = None if limits.growth is None else _resident_bytes() + limits.growth
    while True:
        left = _LOOK_S
        if limits.timeout_s is not None:
            left = min(left, limits.timeout_s - (time.monotonic() - began))
        with suppress(TimeoutError):
            future.exception(max(left, 0))  # waits like wait(), at half the cost
        if future.done():
            return None
        if limits.timeout_s is not None and time.monotonic() - began >= limits.timeout_s:
            return Limit.TIME
        if (outer and outer.is_unwanted) or (limits.cancelled and limits.cancelled.is_set()):
            return Limit.CALLER
        if most is not None and _resident_bytes() > most:
            return Limit.MEMORY


def _stopped(limit: Limit, limits: Limits, after_s: float, *, is_done: bool) -> StoppedError:
    message, next_step, in_shell = _MESSAGES[limit]
    what = message.format(limits)
    if not is_done:
        what += f"; given up after {after_s:.1f} s, because this step cannot be interrupted"
        next_step += "; the step continues and uses memory until it or the process ends"
    elif limits.timeout_s is not None and after_s > limits.timeout_s + 2 * _LOOK_S:
        what += f", after {after_s:.1f} s"
    return StoppedError(
        what,
        next_step=next_step,
        in_shell=in_shell,
        timeout_s=limits.timeout_s,
        after_s=after_s,
    )


def _resident_bytes() -> int:
    """Bytes of memory of the process; 0 if the system does not report it."""
    try:
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _work(tasks: SimpleQueue[_Job[Any]]) -> None:
    while True:
        tasks.get().run_here()
        _idle.append(tasks)


def _forget_threads() -> None:
    """Forget the parent's threads after a fork."""
    _idle.clear()
    _abandoned.clear()


# Per limit: the message, the next step in Python, and in the shell where that differs.
_MESSAGES = {
    Limit.TIME: (
        "stopped at its time limit of {0.timeout_s:g} s",
        "select fewer series or a shorter span, or raise timeout=",
        "select fewer series or a shorter span, or raise --timeout SECONDS",
    ),
    Limit.MEMORY: (
        "stopped: the process grew by more than {0.growth:,} bytes, twice its memory limit",
        "select fewer rows, stream them with batches(), or raise memory=",
        "select fewer rows, write them to a file with -o, or raise --memory SIZE",
    ),
    Limit.CALLER: ("stopped: it was cancelled", "run the query again", None),
}

_NO_LIMITS = Limits()
_here = threading.local()
_idle: list[SimpleQueue[_Job[Any]]] = []
_abandoned: set[Future[Any]] = set()
os.register_at_fork(after_in_child=_forget_threads)
