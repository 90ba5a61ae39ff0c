"""A forced build whose steps are timed: ``python -m benchmarks.building HOME``.

The command says on stderr which step begins; this notes when, and prints as JSON the seconds from
the first word of storing the marts to the first of testing them (``store_s``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import product

STORING, TESTING = "storing the marts", "testing"


def main() -> None:
    command = product(Path(sys.argv[1]), "build", "--force")
    began: dict[str, float] = {}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            for step in (STORING, TESTING):
                if line.startswith(step):
                    began[step] = time.perf_counter()
    if process.returncode not in (0, 1):
        sys.exit(process.returncode)
    print(json.dumps({"store_s": began[TESTING] - began[STORING]}))


if __name__ == "__main__":
    main()
