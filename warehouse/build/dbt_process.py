"""The process in which dbt runs.

``python -m warehouse.build.dbt_process HOME compile|docs|user|spark`` is started by ``pipeline``,
and ends when its standard input does. It compiles the built-in models if they were edited, builds
the user's own models, writes the docs page, or builds marts on a Spark server. It writes one JSON
object per line to stdout (``{"step": …}``), and dbt's log to ``.build/dbt/dbt.log``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from warehouse.config import Settings, load_settings, variable
from warehouse.errors import DiskError, WarehouseError, disk_error_of
from warehouse.home import Home, removed_meanwhile
from warehouse.interrupts import exit_process
from warehouse.project import (
    kept_compiled,
    readable_project,
    run_user_models,
    user_model_files,
    write_compiled,
    write_page,
)
from warehouse.spark import new_session
from warehouse.vendor import dbt_project_dir


def compile_models(settings: Settings) -> bool:
    """Let dbt compile models and tests; store the SQL in the home or in the given file."""
    target, common = dbt_folders(settings)
    Home.of(settings).build.mkdir(parents=True, exist_ok=True)
    forget_other_projects(target, dbt_project_dir())
    compiled = invoke_dbt(["--quiet", "compile", *common])
    if not compiled.success:
        reason = compiled.exception or _failures(compiled)
        return _tell("failed", message=str(reason or "dbt could not read the models"))
    place = Path(sys.argv[3]) if sys.argv[3:] else kept_compiled(Home.of(settings))
    write_compiled(target, place)
    return _tell("done")


def transform_user(settings: Settings) -> bool:
    """Add the user's own models to a build file with the built-in ones."""
    for left_out in run_user_models(Home.of(settings), invoke_dbt):
        _tell("left out", model=str(left_out.path), message=left_out.reason)
    return _tell("done")


def document(settings: Settings) -> bool:
    """Write dbt's documentation of the build file as one static page into dbt's target folder.

    It includes the user's models that are in the build file, with their comments.
    """
    home = Home.of(settings)
    target, ours = dbt_folders(settings)
    page = target / "static_index.html"
    theirs: list[str] = []
    if user_model_files(home):
        theirs, left_out = readable_project(home, invoke_dbt, home.build / "dbt-docs" / "target")
        for out in left_out:
            _tell("left out", model=str(out.path), message=out.reason)
    written = invoke_dbt(["--quiet", "docs", "generate", *(theirs or ours)])
    if theirs and not written.success:  # one model that cannot be compiled must not stop the rest
        written = invoke_dbt(["--quiet", "docs", "generate", "--no-compile", *theirs])
    if not written.success:
        return _tell("failed", message=str(written.exception or _failures(written)))
    write_page(home, home.build / "dbt-docs" / "target" if theirs else target, page)
    return _tell("done")


def build_on_spark(settings: Settings) -> bool:
    """Build the given marts and the models that they read on the server SPARK_REMOTE."""
    target, _ = dbt_folders(settings)
    folder = target.with_name("spark")
    project = str(dbt_project_dir())
    new_session(variable("SPARK_REMOTE") or "")
    built = invoke_dbt(
        [
            *("--quiet", "build", "--fail-fast", "--target", "spark", "--project-dir", project),
            *("--profiles-dir", project, "--target-path", str(folder), "--log-path", str(folder)),
            *("--resource-type", "seed", "--resource-type", "model", "--select"),
            *(f"+{mart}" for mart in sys.argv[3:]),
        ]
    )
    return _tell("done") if built.success else _tell("failed", message=_failures(built))


def invoke_dbt(arguments: list[str]) -> Any:
    """Run one dbt command and close the build file afterwards.

    The file is opened once for all nodes of the command, because opening takes some 20 ms.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    done = dbtRunner().invoke(arguments)
    try:
        environment = DuckDBConnectionManager.env()
    except Exception:  # raised if the command needed no connection
        return done
    environment.close()
    return done


def dbt_folders(settings: Settings) -> tuple[Path, list[str]]:
    """dbt's target folder, and the options that name project, profile, target and log."""
    project, folder = str(dbt_project_dir()), Home.of(settings).build / "dbt"
    target = folder / "target"
    options = ["--project-dir", project, "--profiles-dir", project]
    return target, [*options, "--target-path", str(target), "--log-path", str(folder)]


def forget_other_projects(target: Path, project: Path) -> None:
    """Make dbt parse the project from scratch if it last parsed a project in another folder.

    Its partial parse contains the folders of seeds, and dbt does not notice
    when the product has moved: another environment, another version of Python. Remove when
    https://github.com/dbt-labs/dbt-core/issues/11550 is fixed in the oldest supported dbt.
    """
    place = target / "project_dir"
    if not place.is_file() or place.read_text(encoding="utf-8") != str(project):
        (target / "partial_parse.msgpack").unlink(missing_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        place.write_text(str(project), encoding="utf-8")


def _failures(built: Any) -> str:
    nodes = getattr(built.result, "results", None) or []
    failed = [
        f"{n.node.name}: {str(n.message).partition('JVM stacktrace')[0].strip()}"
        for n in nodes
        if n.status in ("error", "fail")
    ]
    return "\n".join(failed) or str(built.exception or "dbt stopped")


def _tell(step: str, **facts: object) -> bool:
    """Write one event; returns False for a failure."""
    sys.stdout.write(json.dumps({"step": step, **facts}) + "\n")
    sys.stdout.flush()
    return step != "failed"


def _run(act: Callable[[Settings], bool], settings: Settings) -> bool:
    """The message of an error; a traceback only for unexpected ones."""
    try:
        return act(settings)
    except WarehouseError as error:
        return _tell("failed", message=error.what, is_disk=isinstance(error, DiskError))
    except OSError as error:
        if (disk := disk_error_of(error)) is not None:
            return _tell("failed", message=disk.what, is_disk=True)
        if (removed := removed_meanwhile(Home.of(settings), error)) is not None:
            return _tell("failed", message=removed)
        raise
    except duckdb.Error as error:
        return _tell("failed", message=str(error).strip())


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, which holds the other end of stdin."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    acts = {"compile": compile_models, "docs": document, "user": transform_user}
    acts["spark"] = build_on_spark
    act = acts[sys.argv[2]]
    exit_process(0 if _run(act, load_settings(sys.argv[1])) else 1)
