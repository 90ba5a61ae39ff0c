"""The mirror of a home as the vendor's server, in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import product


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The base URL of a server that answers from a home while the context lasts."""
    process = subprocess.Popen(
        product(home, "serve"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
