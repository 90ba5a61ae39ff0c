"""A process that has imported the product, and forks for each command that it runs.

A command takes half a second less than in a new Python that imports everything. Otherwise it is
like one that a shell starts: it has its own arguments, folder, environment, streams and exit code.
Run as a program this is the server: a JSON object per line on stdin, an exit code per line on
stdout.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LIMIT_S = 900
_LOADED = ("duckdb", "numpy", "pyarrow.compute", "pyarrow.parquet", "rich.table", "sqlglot", "yaml")

_idle: list[subprocess.Popen[str]] = []


def run_forked(
    arguments: Sequence[str],
    *,
    cwd: Path,
    stdin: str,
    environment: Mapping[str, str],
    audits: bool,
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``warehouse …``; commands of several threads run at once."""
    server = _idle.pop() if _idle else _start()
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin, "utf-8")
        asked = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment),
                 "streams": [*map(str, streams)], "audits": audits}  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        said = [path.read_text("utf-8") for path in streams[1:]]
    _idle.append(server)
    return code, said[0], said[1]


def _start() -> subprocess.Popen[str]:
    """A server that ends when this process does, because its stdin is closed then."""
    return subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # a process with threads must not fork
    )  # fmt: skip


def _serve() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    cli = importlib.import_module("warehouse.cli")
    for module in pkgutil.iter_modules(cli.__path__, "warehouse.cli."):
        importlib.import_module(module.name)
    # Before 2.0, `import duckdb` opens a database, whose threads would be missing in a child: it
    # aborts as it ends (remove this when 2.0 is the oldest that is supported).
    importlib.import_module("duckdb").default_connection().close()
    gc.freeze()
    asking, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    while line := asking.readline():
        child = os.fork()
        if child == 0:
            asking.close()
            answers.close()
            _become(json.loads(line))
            cli.main()
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _become(asked: dict[str, Any]) -> None:
    """Run the requested commands; a command that hangs is killed."""
    signal.alarm(LIMIT_S)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    for number, path in enumerate(asked["streams"]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace")
    sys.argv = ["warehouse", *asked["arguments"]]
    if not asked["audits"]:
        gate: Any = importlib.import_module("warehouse.build.checks.lookahead_gate")
        gate._audit = own_models_audited(gate._audit)


def own_models_audited(whole: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
    """An audit that skips built-in models, which take half of a small home's build."""
    audit = importlib.import_module("warehouse.audit")

    def audited(settings: Any, project: Any, models: Any, *, seed: int) -> dict[Any, Any]:
        own = [model for model in models if model.relation.schema == "user"]
        verdict = audit.Verdict.CLEAN
        clean = {
            model.relation: audit.ModelAudit(model.relation, verdict, (), 1, ())
            for model in models
            if model not in own
        }
        return {**clean, **whole(settings, project, own, seed=seed)}

    return audited


if __name__ == "__main__":
    _serve()
