"""Time the steps of a forced build: ``python -m benchmarks.building HOME``.

The command prints the beginning of each step to stderr. This module prints as JSON the seconds from
the beginning of storing the marts to that of testing them (``store_s``), the processor time in
between (``processor_s``), and the seconds that the copy of all marts into tables takes
(``copy_s``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import product

STORING, TESTING, COPYING = "storing the marts", "testing", "copying the marts"


def main() -> None:
    command = product(Path(sys.argv[1]), "build", "--force")
    began: dict[str, float] = {}
    used: dict[str, float] = {}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            for step in (STORING, TESTING, COPYING):
                if line.startswith(step):
                    began[step], used[step] = time.perf_counter(), _processor_s(process.pid)
    ended = time.perf_counter()
    if process.returncode not in (0, 1):
        sys.exit(process.returncode)
    copy_s = ended - began[COPYING] if COPYING in began else 0.0
    store_s, processor_s = (times[TESTING] - times[STORING] for times in (began, used))
    print(json.dumps({"store_s": store_s, "processor_s": processor_s, "copy_s": copy_s}))


def _processor_s(pid: int) -> float:
    """Processor time of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
