"""From the lake to a published catalog: prepare, create the models, store the marts, publish."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from signal import Signals
from typing import Any, TypeVar

import duckdb

from warehouse.build.build_file import BuildFile
from warehouse.build.build_log import note_build, noting_failure
from warehouse.build.catalog import prepare_catalog, write_catalog
from warehouse.build.catalog_change import begin_with_copy
from warehouse.build.checks.model_tests import test_models
from warehouse.build.marts.native_copy import Tables, aside, copy_marts, writing_tables
from warehouse.build.marts.spark import SparkMarts, spark_marts
from warehouse.build.marts.store import show_on_spark, store_marts
from warehouse.build.marts.views import comment_again
from warehouse.build.meta.inputs import Inputs, fingerprint, published_inputs
from warehouse.build.models import create_models, describe_models
from warehouse.build.months.stored import StoredMonth, stored_event
from warehouse.config import Settings, child_environment
from warehouse.engine import Opened, translated
from warehouse.errors import (
    BUILD,
    ROOM_OR_RIGHTS,
    BuildError,
    DiskError,
    WarehouseError,
    needing_extras,
)
from warehouse.generations import (
    WARNED,
    Published,
    next_generation,
    publish_build,
    require_catalog,
    require_unpublished,
)
from warehouse.home import Home, removed_meanwhile, writing
from warehouse.interrupts import run
from warehouse.progress import Phase, phase
from warehouse.project import (
    CompiledProject,
    forget_user_models,
    keep_project,
    shipped_or_kept,
    user_model_files,
    with_user_models,
)
from warehouse.times import utc_now_text
from warehouse.vendor import dbt_project_dir

T = TypeVar("T")

# Called with each event of the build: ``{"step": …}`` as ``dbt_process`` writes it.
OnEvent = Callable[[dict[str, Any]], None]

# Steps that begin a phase; a phase lasts until the next one begins.
_PHASES = {
    "inputs": "compare lake, models and settings with the catalog",
    "catalog": "gather months and write the catalog",
    "ticks": "compute bars from ticks",
    "dbt": "let dbt compile the edited models",
    "models": "create the models",
    "spark": "compute the marts on Spark",
    "store": "store the marts",
    "tests": "test",
    "user models": "build your own models",
    "audit": "audit for look-ahead",
    "publish": "publish",
    "native": "copy the marts into tables",
}


def build(
    settings: Settings, *, force: bool = False, progress: OnEvent | None = None
) -> Published | None:
    """Catalog and models from the lake, published as the next generation.

    Returns None if the published catalog has the same inputs and ``force`` is false.

    Raises
    ------
    BuildError
        A model or a structural test failed; the old catalog stays.
    LockedError
        Another process writes to this home.
    """
    home = Home.of(settings)
    home.require_lake()
    with (
        writing(home, "build") as lock,
        noting_failure(home),
        _freeing(home),
        BuildFile(settings) as file,
        _timed(home, progress) as tell,
    ):
        tell({"step": "inputs"})
        inputs = fingerprint(settings)
        before = None if force else _on_other_thread(file, lambda: published_inputs(file))
        published = tables = None
        if inputs == before:
            (warned,) = _on_other_thread(file, lambda: file.published(WARNED))
            tell({"step": "unchanged", "warnings": len(warned)})
        else:
            # imported here, because it loads the audit
            from warehouse.build.checks.lookahead_gate import audit_build

            compiled = _compiled_project(settings, tell, lock=lock)
            tell({"step": "catalog"})
            is_copy = _on_other_thread(file, lambda: _begin(file, inputs, before, tell))
            has_new_data = not is_copy or before is None or before.lake != inputs.lake
            with _explained(home):
                if not is_copy:
                    _on_other_thread(file, lambda: _create(file, compiled, tell))
                if has_new_data:
                    tables = _store_and_test(file, compiled, tell, lock=lock)
                if not is_copy:
                    _on_other_thread(file, lambda: describe_models(file, compiled))
                _add_own_models(file, compiled, tell, lock=lock)
                tell({"step": "audit"})
                project = with_user_models(home, compiled.project)
                counts = _on_other_thread(
                    file, lambda: audit_build(file, project, is_same_lake=not has_new_data)
                )
                tell({"step": "audited", "new": counts.audited, "reused": counts.reused})
            tell({"step": "publish"})
            published = _on_other_thread(file, lambda: _publish(file))
        _on_other_thread(file, lambda: _copy_published(file, tell, tables))
        return published


def _publish(file: BuildFile) -> Published:
    with _explained(file.home):
        file.close()
    return publish_build(file.home, file.engine)


def _begin(file: BuildFile, inputs: Inputs, before: Inputs | None, tell: OnEvent) -> bool:
    """Prepare the build file; returns whether it is a copy of the published catalog."""
    generation = next_generation(file.home)

    step = "catalog"

    def progress(month: StoredMonth, waiting: int) -> None:
        nonlocal step
        event = stored_event(month, waiting)
        of_month = "ticks" if event["is_day"] else "catalog"
        if of_month != step:
            step = of_month
            tell({"step": step})
        tell(event)

    if begin_with_copy(
        file, generation=generation, inputs=inputs, published=before, progress=progress
    ):
        return True
    write_catalog(file, generation=generation, inputs=inputs, progress=progress)
    return False


def _on_other_thread(file: BuildFile, act: Callable[[], T]) -> T:
    """Run DuckDB on another thread: on the main one it would miss a Ctrl-C during a long step."""
    opened = Opened()
    opened.add(file)
    return run(opened, lambda: opened.during(act))


def _compiled_project(settings: Settings, tell: OnEvent, *, lock: int) -> CompiledProject:
    """The compiled project; dbt compiles it now if it was edited."""
    home = Home.of(settings)
    if (compiled := shipped_or_kept(home)) is None:
        tell({"step": "dbt"})
        _run_child(settings, home, ["compile"], tell, lock=lock)
        compiled = shipped_or_kept(home)
    if compiled is None:
        raise BuildError(
            f"{dbt_project_dir()}: changed while dbt read it; the old catalog stays",
            next_step=BUILD,
        )
    return compiled


def _create(file: BuildFile, compiled: CompiledProject, tell: OnEvent) -> None:
    tell({"step": "models"})
    create_models(file, compiled)


def _store_and_test(
    file: BuildFile, compiled: CompiledProject, tell: OnEvent, *, lock: int
) -> Tables | None:
    """Store the marts' months, computed by DuckDB or by a Spark server, and run the tests.

    Returns the tables of the native copy, if they were written meanwhile.
    """
    home, settings = file.home, file.settings

    def run_dbt(marts: Sequence[str], remote: str) -> None:
        tell({"step": "spark"})
        _run_child(settings, home, ["spark", *marts], tell, lock=lock, SPARK_REMOTE=remote)
        tell({"step": "store"})

    def act(spark: SparkMarts | None) -> Tables | None:
        tell({"step": "store"})
        _, comments = store_marts(
            file,
            compiled.project,
            progress=lambda month, waiting: tell(stored_event(month, waiting)),
            spark=spark,
        )
        tell({"step": "tests"})
        with writing_tables(file) as tables:
            comment_again(file.open(), comments)
            tested = test_models(file, compiled, in_two_threads=tables is not None)
        reused = sum(month.reused for month in tested)
        tell({"step": "tested", "new": len(tested) - reused, "reused": reused})
        return None if tables is None else tables.result()

    with spark_marts(home, run_dbt) if settings.engine == "spark" else nullcontext() as spark:
        return _on_other_thread(file, lambda: act(spark))


def _add_own_models(
    file: BuildFile, compiled: CompiledProject, tell: OnEvent, *, lock: int
) -> None:
    home = file.home
    keep_project(home, compiled)
    if not user_model_files(home):
        forget_user_models(home)
        return
    # imported here, because they load jinja2
    from warehouse.project import NeedsDbt, build_rendered_models

    tell({"step": "user models"})
    has_dbt = _is_dbt_installed()
    try:
        left_out = _on_other_thread(
            file, lambda: build_rendered_models(file.open(), home, compiled, has_dbt=has_dbt)
        )
    except NeedsDbt as reason:
        tell({"step": "dbt builds", "message": str(reason).splitlines()[0]})
        _let_dbt_add(file, tell, lock=lock)
    else:
        for out in left_out:
            tell({"step": "left out", "model": str(out.path), "message": out.reason})


def _let_dbt_add(file: BuildFile, tell: OnEvent, *, lock: int) -> None:
    """Let dbt build the user's own models in the build file, which it opens itself."""
    file.close()
    _run_child(file.settings, file.home, ["user"], tell, lock=lock)


def _is_dbt_installed() -> bool:
    try:
        return find_spec("dbt.cli") is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def _freeing(home: Home) -> Iterator[None]:
    """Remove the build file if the disk is full, because the file may be what fills it.

    Tables of a native copy that no generation got are always removed.
    """
    try:
        yield
    except (DiskError, OSError) as error:
        if isinstance(error, DiskError) or error.errno in (errno.ENOSPC, errno.EDQUOT):
            for path in (home.build_catalog, home.build_wal):
                path.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(aside(home), ignore_errors=True)


@contextmanager
def _explained(home: Home) -> Iterator[None]:
    """Translate errors of DuckDB, and of a model that was removed, into ones with a next step."""
    try:
        yield
    except duckdb.Error as error:
        raise _failure(home, str(error).strip()) from error
    except FileNotFoundError as error:
        if (removed := removed_meanwhile(home, error)) is None:
            raise
        raise _failure(home, removed) from error


@contextmanager
def _timed(home: Home, progress: OnEvent | None) -> Iterator[OnEvent]:
    """Forward the events of a build, time the phases that they begin, and note the build."""
    began = utc_now_text()
    phases = [Phase("")]
    outcome = "failed"
    opened = ExitStack()

    def tell(event: dict[str, Any]) -> None:
        match event:
            case {"step": "stored", "reused": bool(reused), "is_day": bool(is_day)}:
                what = f"{'days' if is_day else 'months'} {'reused' if reused else 'computed'}"
                phases[-1].counts[what] += 1
            case {"step": "tested" | "audited" as step, "new": new, "reused": reused}:
                phases[-1].counts.update({step: new, "reused": reused})
            case {"step": str(step)} if step in _PHASES:
                opened.close()
                phases.append(opened.enter_context(phase(_PHASES[step])))
        if progress is not None:
            progress(event)

    try:
        with opened:
            yield tell
        outcome = "published"
    finally:
        if any(one.name == _PHASES["catalog"] for one in phases):
            note_build(home, began, outcome, phases[1:])


def _copy_published(
    file: BuildFile, progress: OnEvent | None, tables: Tables | None = None
) -> None:
    """Make the native copy of the published catalog, which is optional."""
    tell = progress or (lambda _: None)
    reason = copy_marts(
        file.settings,
        engine=file.engine,
        tables=tables,
        begins=lambda: tell({"step": "native"}),
    )
    if reason is not None:
        tell({"step": "no native copy", "message": reason})


def prepare(settings: Settings) -> Path:
    """Prepare only the private build file, to run dbt by hand (``warehouse build --no-dbt``).

    With the engine Spark, also prepare the tables of the vendor's data on its server.
    """
    home = Home.of(settings)
    home.require_lake()
    with writing(home, "build") as lock:
        path = prepare_catalog(settings, generation=next_generation(home))
        if settings.engine == "spark":
            compiled = _compiled_project(settings, lambda _: None, lock=lock)
            with BuildFile(settings) as file, spark_marts(home, lambda *_: None) as spark:
                show_on_spark(file, compiled.project, spark)
        return path


def publish_by_hand(
    settings: Settings, target: Path, *, progress: OnEvent | None = None
) -> Published:
    """Publish a build file that dbt has filled by hand; ``target`` is the folder of its files.

    Raises
    ------
    NotFoundError
        There is no build file.
    BuildError
        The build file is a copy of a published catalog; a model failed, was not built or has
        changed since; dbt could not run for the user's own models; a structural test failed. The
        old catalog stays.
    """
    from warehouse.build.checks.lookahead_gate import audit_build, project_by_hand

    home = Home.of(settings)
    with writing(home, "publish") as lock:
        require_unpublished(home)
        with noting_failure(home), BuildFile(settings) as file:
            project = project_by_hand(file, target)
            _, comments = store_marts(file, project)
            comment_again(file.open(), comments)
            if user_model_files(home):
                compiled = shipped_or_kept(home)
                tell = progress or (lambda _: None)
                if compiled is None:
                    _let_dbt_add(file, tell, lock=lock)
                else:
                    with _explained(home):
                        _add_own_models(file, compiled, tell, lock=lock)
                project = with_user_models(home, project)
            audit_build(file, project)
            published = _publish(file)
            _copy_published(file, progress)
            return published


def write_docs(settings: Settings, progress: OnEvent | None = None) -> Path:
    """dbt's documentation of the published models as one static page; returns its path.

    The user's models are included, except those that dbt cannot read, which ``progress`` names.

    Raises
    ------
    NotFoundError
        No catalog was published yet.
    """
    home = Home.of(settings)
    require_catalog(home)
    page = home.root / "docs.html"
    with writing(home, "docs") as lock:
        home.build.mkdir(exist_ok=True)
        home.build_catalog.unlink(missing_ok=True)
        try:
            shutil.copyfile(home.catalog, home.build_catalog)
            _run_child(settings, home, ["docs"], progress, lock=lock)
            (home.build / "dbt" / "target" / "static_index.html").replace(page)
        finally:
            home.build_catalog.unlink(missing_ok=True)
    return page


def _run_child(
    settings: Settings,
    home: Home,
    arguments: list[str],
    progress: OnEvent | None,
    *,
    lock: int,
    **environment: str,
) -> None:
    """Run ``dbt_process`` as a child process, so that dbt is not loaded in this one.

    The child holds the home's lock as long as it lives, and ends when this process does. So a child
    of a killed build cannot write into the next one.
    """
    with needing_extras():
        find_spec("dbt.cli")
    log = home.build / "dbt" / "dbt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (home.build / "transform.err").open("w+", encoding="utf-8") as errors:
        failure, is_disk = None, False
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "warehouse.build.dbt_process", str(home.root), *arguments],
            env=child_environment(settings) | environment,
            pass_fds=(lock,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child:
            try:
                for line in child.stdout or ():
                    event = _event(line)
                    if event.get("step") == "failed":
                        failure = str(event["message"])
                        is_disk = event.get("is_disk") is True
                    if progress is not None and event:
                        progress(event)
                code = child.wait()
            except BaseException:
                child.kill()
                raise
        if code and failure is None:
            errors.seek(0)
            ended = f"was killed by {Signals(-code).name}" if code < 0 else f"ended with {code}"
            failure = f"the process of dbt {ended}\n{errors.read().strip()[-2000:]}".strip()
    if is_disk and failure is not None:
        raise DiskError(f"{_NOT_BUILT}\n{failure}", next_step=ROOM_OR_RIGHTS)
    if failure is not None:
        raise _failure(home, failure, log)


_NOT_BUILT = "the models could not be built; the old catalog stays"


def _failure(home: Home, message: str, log: Path | None = None) -> WarehouseError:
    if (ours := translated(message, home.root, context=_NOT_BUILT)) is not None:
        return ours
    correct = "correct the error above" + (f" (more in {log})" if log else "")
    return BuildError(f"{_NOT_BUILT}\n{message}", next_step=f"{correct}, then run: warehouse build")


def _event(line: str) -> dict[str, Any]:
    """Parse one line of the child; anything else that dbt or a library prints is ignored."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}
