"""``python -m benchmarks``: run every part, print a table for each, and write all runs as JSON.

Nothing else should run on the machine meanwhile. The data is simulated on the first run and kept in
``--data`` for later ones.
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measure import machine

PARTS = (
    *("startup", "edits", "features", "queries", "panel", "incremental", "sync", "ticks"),
    *("page", "state", "files"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="The product's speed beside other ways."
    )
    parser.add_argument("--only", metavar="PART,…", help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--out", type=Path, help="write every run and the medians as JSON")
    parser.add_argument("--data", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(PARTS)
    for name in names:
        if name not in PARTS:
            parser.error(f"no part {name!r}; there are {', '.join(PARTS)}")
    for variable in ("WAREHOUSE_HOME", "WAREHOUSE_MEMORY", "WAREHOUSE_THREADS"):
        os.environ.pop(variable, None)
    facts = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": arguments.size,
        "machine": machine(),
        "parts": [],
    }
    print(_described(facts["machine"], arguments.size), flush=True)
    data = arguments.data.absolute()
    data.mkdir(parents=True, exist_ok=True)
    for name in names:
        part = import_module(f"benchmarks.{name}").measure(data, is_full=arguments.size == "full")
        print(f"\n{part}", flush=True)
        facts["parts"].append(part.as_json())
        if arguments.out:
            arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _described(machine: dict[str, Any], size: str) -> str:
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB,"
        f" load {machine['load_1m']:.1f}; size {size}\n{versions}"
    )


if __name__ == "__main__":
    main()
