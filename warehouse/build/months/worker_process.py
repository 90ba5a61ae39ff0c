"""Computes months for a build: ``python -m warehouse.build.months.worker_process``.

:mod:`compute_months` starts it. It reads jobs from its standard input and answers on its standard
output. It ignores Ctrl-C, which the build handles, and ends when the build does.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # before modules that take time to load

    from warehouse.build.months.compute_months import serve

    serve(sys.stdin.buffer, sys.stdout.buffer)
