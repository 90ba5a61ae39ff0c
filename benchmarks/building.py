"""A forced build whose steps are timed: ``python -m benchmarks.building HOME``.

The command says on stderr which step begins; this notes when, and prints as JSON the seconds from
the first word of storing the marts to the first of testing them (``store_s``), and those that the
copy of all marts into tables takes (``copy_s``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import product

STORING, TESTING, COPYING = "storing the marts", "testing", "copying the marts"


def main() -> None:
    command = product(Path(sys.argv[1]), "build", "--force")
    began: dict[str, float] = {}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            for step in (STORING, TESTING, COPYING):
                if line.startswith(step):
                    began[step] = time.perf_counter()
    ended = time.perf_counter()
    if process.returncode not in (0, 1):
        sys.exit(process.returncode)
    copy_s = ended - began[COPYING] if COPYING in began else 0.0
    print(json.dumps({"store_s": began[TESTING] - began[STORING], "copy_s": copy_s}))


if __name__ == "__main__":
    main()
