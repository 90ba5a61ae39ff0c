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
from typing import TYPE_CHECKING, TextIO

from warehouse.display import counted, render_size

if TYPE_CHECKING:
    from rich.progress import Progress

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
        details = ", ".join([*parts, self.detail] if self.detail else parts)
        return f"{self.name}: {details}" if details else self.name


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


class Meter:
    """Counts the progress of a long step, from any thread; this one does not show it."""

    def __init__(self) -> None:
        self.files = self.expected = self._size_bytes = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def add(self, *, files: int = 0, expected: int = 0, size_bytes: int = 0) -> None:
        """Count finished files, expected ones, and received bytes."""
        with self._lock:
            self.files += files
            self.expected += expected
            self._size_bytes += size_bytes
            self._show()

    def _show(self) -> None:
        """Show the counts after a change."""

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._began

    @property
    def size(self) -> str:
        """What was received."""
        return render_size(self._size_bytes)

    @property
    def rate(self) -> str:
        """What was received per second, over the whole step."""
        return render_size(int(self._size_bytes / max(self.seconds, 0.001)))


@contextmanager
def show_progress(
    title: str, *, what: str = "file", stream: TextIO | None = None
) -> Iterator[Meter]:
    """A progress meter on ``stream`` (stderr): a bar on a terminal, else lines.

    It counts files, with the bytes received, or ``what`` takes their place.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield _Lines(title, what, stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    of_bytes = (TextColumn("{task.fields[size]}"), TextColumn("{task.fields[rate]}/s"))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {what}s"),
        *(of_bytes if what == "file" else ()),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        yield _Bar(progress, title)


class _Bar(Meter):
    """Updates a bar after each change."""

    def __init__(self, progress: Progress, title: str) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task(title, total=0, size="0 B", rate="0 B")

    def _show(self) -> None:
        self._progress.update(
            self._task, completed=self.files, total=self.expected, size=self.size, rate=self.rate
        )


class _Lines(Meter):
    """Prints a line every ten seconds."""

    def __init__(self, title: str, what: str, stream: TextIO) -> None:
        super().__init__()
        self._title, self._what = title, what
        self._stream = stream
        self._next = _SECONDS_BETWEEN_LINES

    def _show(self) -> None:
        if self.seconds < self._next:
            return
        self._next = self.seconds + _SECONDS_BETWEEN_LINES
        remaining = ""
        if self.files:  # by the share of finished files
            left = self.seconds / self.files * (self.expected - self.files)
            remaining = f", about {left:,.0f} s left"
        received = f", {self.size}, {self.rate}/s" if self._what == "file" else ""
        self._stream.write(
            f"{self._title}: {self.files:,} of {counted(self.expected, self._what)}"
            f"{received}{remaining}\n"
        )
        self._stream.flush()
