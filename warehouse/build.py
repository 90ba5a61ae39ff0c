"""From the lake to a published catalog: prepare, let dbt fill it and store the marts, publish."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warehouse.catalog import prepare_catalog
from warehouse.config import Settings, child_environment
from warehouse.errors import BuildError
from warehouse.home import Home, writing
from warehouse.publish import Published, next_generation, publish, require_catalog

Progress = Callable[[dict[str, Any]], None]
"""Called with each event of the build: ``{"step": …}`` as ``warehouse.transform`` writes it."""


def build(settings: Settings, *, progress: Progress | None = None) -> Published:
    """Catalog and models from the lake, published as the next generation.

    Raises
    ------
    BuildError
        A model or a structural test did not pass; the old catalog stays.
    LockedError
        Another process writes to this home.
    """
    home = Home(settings.home)
    home.require_lake()
    with writing(home, "build"):
        prepare_catalog(settings, generation=next_generation(home))
        _run_child(settings, home, [], progress)
        return publish(home)


def write_docs(settings: Settings) -> Path:
    """dbt's documentation of the published models as one static page; returns its path.

    Raises
    ------
    NotFoundError
        Nothing was published yet.
    """
    home = Home(settings.home)
    require_catalog(home)
    page = home.root / "docs.html"
    with writing(home, "docs"):
        home.build.mkdir(exist_ok=True)
        home.build_catalog.unlink(missing_ok=True)
        shutil.copyfile(home.catalog, home.build_catalog)
        try:
            _run_child(settings, home, ["docs"], None)
            (home.build / "dbt" / "target" / "static_index.html").replace(page)
        finally:
            home.build_catalog.unlink(missing_ok=True)
    return page


def prepare(settings: Settings) -> Path:
    """The private build file alone, for dbt to be run by hand (``warehouse build --no-dbt``)."""
    home = Home(settings.home)
    home.require_lake()
    with writing(home, "build"):
        return prepare_catalog(settings, generation=next_generation(home))


def _run_child(
    settings: Settings, home: Home, arguments: list[str], progress: Progress | None
) -> None:
    """Run ``warehouse.transform`` as a child; dbt stays out of this process."""
    log = home.build / "dbt" / "dbt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (home.build / "transform.err").open("w+", encoding="utf-8") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "warehouse.transform", str(home.root), *arguments],
            env=child_environment(settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        failure = None
        try:
            for line in child.stdout or ():
                event = _event(line)
                if event.get("step") == "failed":
                    failure = str(event["message"])
                if progress is not None and event:
                    progress(event)
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        if code and failure is None:
            errors.seek(0)
            failure = errors.read().strip()[-2000:] or f"the child process ended with {code}"
    if failure is not None:
        raise BuildError(
            f"the models could not be built; the old catalog stays\n{failure}",
            next_step=f"read {log}, mend what it names, then run: warehouse build",
        )


def _event(line: str) -> dict[str, Any]:
    """One line of the child; anything that dbt or a library prints besides is passed over."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}
