"""Run a process and read its cost from the kernel; medians; a description of the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# A small process starts the measured one: peak memory counts what a process was before exec.
# Processor time and peak memory hold for the process and for those that it waited for.
LAUNCHER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
wall_s = time.perf_counter() - started
facts = {"exit_code": os.waitstatus_to_exitcode(status), "wall_s": wall_s,
         "processor_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}
print("\\n" + json.dumps(facts))
"""

# Where Python may not keep what it compiled, a checkout is compiled in each run, and no package is.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
_ENVIRONMENT["PYTHONPATH"] = str(ROOT)

PACKAGES = ("duckdb", "polars", "pandas", "numpy", "pyarrow", "chdb", "dbt-duckdb", "aperiodic")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a process: its cost by the kernel, and the JSON of its last line, if any."""

    wall_s: float
    processor_s: float
    peak_mb: float
    said: Any = None


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
) -> Run:
    """Run a command to its end.

    Parameters
    ----------
    environment
        Variables beside those of this process.
    accept
        Exit codes that count as done.
    """
    launched = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command],
        env=_ENVIRONMENT | dict(environment or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    *printed, facts = (line for line in launched.stdout.splitlines() if line)
    cost = json.loads(facts)
    if cost.pop("exit_code") not in accept:
        raise SystemExit(f"{' '.join(command)[:300]} failed:\n{launched.stderr[-3000:]}")
    return Run(**cost, said=_json(printed[-1]) if printed else None)


def alternate(
    ways: Mapping[str, Callable[[], Run]], runs: int, *, settle: bool = True
) -> dict[str, list[Run]]:
    """Every way in turn, ``runs`` times round; to settle, after one round that does not count.

    The time of each run is printed to stderr.
    """
    done: dict[str, list[Run]] = {name: [] for name in ways}
    for count in range(0 if settle else 1, 1 + runs):
        for name, way in ways.items():
            cost = way()
            sys.stderr.write(f"  {count or 'first'}  {name}  {cost.wall_s:.2f} s\n")
            if count:
                done[name].append(cost)
    return done


def costs(runs: Sequence[Run]) -> dict[str, list[float]]:
    """The kernel's figures for each run."""
    return {
        "wall_s": [each.wall_s for each in runs],
        "processor_s": [each.processor_s for each in runs],
        "peak_mb": [each.peak_mb for each in runs],
    }


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def product(home: Path, *arguments: str) -> list[str]:
    """The command that runs the product on a home."""
    return python("warehouse", "--home", str(home), *arguments)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """The machine and versions that the figures are for."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _first_of("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "load_1m": os.getloadavg()[0],
        "niceness": os.nice(0),
        "versions": versions,
    }


def _first_of(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
