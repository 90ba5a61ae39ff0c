"""A process that computes months for a build: ``python -m warehouse.build.months.worker``.

It is started by ``jobs``, reads jobs from its standard input, and answers on its standard output.
It ignores Ctrl-C, which the build handles, and ends when the build does.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # before modules that take time to load

    from warehouse.build.months.jobs import serve

    serve(sys.stdin.buffer, sys.stdout.buffer)
