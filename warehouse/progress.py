"""Progress of a long step, and the duration of each phase of a command, on stderr.

A long step shows a bar on a terminal, and a plain line from time to time elsewhere. The seconds of
a phase go to the logger ``warehouse.phases``, which ``--debug`` shows.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from warehouse.display import counted, render_size

_SECONDS_BETWEEN_LINES = 10.0

log = logging.getLogger("warehouse.phases")


class Phase:
    """A part of a command: its name, counts of what it did, and other details.

    Examples
    --------
    >>> storing = Phase("store the marts")
    >>> storing.counts.update({"months computed": 2, "months reused": 140})
    >>> print(storing)
    store the marts: 2 months computed, 140 months reused
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.detail = ""
        self.seconds = 0.0

    def __str__(self) -> str:
        parts = [f"{number:,} {what}" for what, number in self.counts.items()]
        told = ", ".join([*parts, self.detail] if self.detail else parts)
        return f"{self.name}: {told}" if told else self.name


@contextmanager
def phase(name: str) -> Iterator[Phase]:
    """Time a part of a command and log it at its end, even if it fails."""
    current = Phase(name)
    began = time.perf_counter()
    try:
        yield current
    finally:
        current.seconds = time.perf_counter() - began
        log.debug("%8.3f s  %s", current.seconds, current)


class Meter(Protocol):
    """Receives the progress of a long step; its methods may be called from any thread."""

    def expect(self, *, files: int = 0, size_bytes: int = 0) -> None:
        """Add to the expected work; sizes as far as they are known."""

    def received(self, size_bytes: int) -> None:
        """Count received bytes."""

    def finished(self, files: int = 1) -> None:
        """Count finished files."""


class SilentMeter:
    """Discards all progress."""

    def expect(self, *, files: int = 0, size_bytes: int = 0) -> None:
        pass

    def received(self, size_bytes: int) -> None:
        pass

    def finished(self, files: int = 1) -> None:
        pass


@contextmanager
def show_progress(title: str, *, stream: TextIO | None = None) -> Iterator[Meter]:
    """A progress meter on ``stream`` (stderr): a bar on a terminal, else lines."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield _Lines(title, stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} files"),
        TextColumn("{task.fields[size]}"),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        task = progress.add_task(title, total=0, size="0 B", rate="0 B")

        def show(done: _Count) -> None:
            progress.update(
                task,
                completed=done.files,
                total=done.files_expected,
                size=render_size(done.size_bytes),
                rate=render_size(int(done.rate)),
            )

        yield _Counting(show)


class _Count:
    """The counts so far."""

    def __init__(self) -> None:
        self.files = self.files_expected = 0
        self.size_bytes = self.size_expected = 0
        self._since = time.monotonic()

    @property
    def rate(self) -> float:
        """Bytes per second, over the whole step."""
        return self.size_bytes / max(time.monotonic() - self._since, 0.001)

    @property
    def seconds_left(self) -> float | None:
        """Remaining seconds, by the share of finished files; None before the first is finished."""
        if not self.files:
            return None
        elapsed = time.monotonic() - self._since
        return elapsed / self.files * (self.files_expected - self.files)


class _Counting:
    """Counts, and updates the display after each change."""

    def __init__(self, show: _Show) -> None:
        self._show = show
        self._count = _Count()
        self._lock = threading.Lock()

    def expect(self, *, files: int = 0, size_bytes: int = 0) -> None:
        with self._lock:
            self._count.files_expected += files
            self._count.size_expected += size_bytes
            self._show(self._count)

    def received(self, size_bytes: int) -> None:
        with self._lock:
            self._count.size_bytes += size_bytes
            self._show(self._count)

    def finished(self, files: int = 1) -> None:
        with self._lock:
            self._count.files += files
            self._show(self._count)


class _Show(Protocol):
    def __call__(self, done: _Count) -> None: ...


class _Lines(_Counting):
    """Prints a line every ten seconds."""

    def __init__(self, title: str, stream: TextIO) -> None:
        super().__init__(self._line)
        self._title = title
        self._stream = stream
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def _line(self, done: _Count) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
        left = done.seconds_left
        remaining = "" if left is None else f", about {left:,.0f} s left"
        self._stream.write(
            f"{self._title}: {done.files:,} of {counted(done.files_expected, 'file')},"
            f" {render_size(done.size_bytes)}, {render_size(int(done.rate))}/s{remaining}\n"
        )
        self._stream.flush()
