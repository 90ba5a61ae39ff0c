"""The dbt project of the last build of a home."""

from __future__ import annotations

import json
from pathlib import Path

from warehouse.errors import NotFoundError
from warehouse.files import open_atomic
from warehouse.home import Home
from warehouse.project.compiled import CompiledProject
from warehouse.project.project import Project, load_project
from warehouse.project.user_models import user_target


def built_project(home: Home) -> Project:
    """The models of the last build, the user's own included."""
    ours = home.build / "dbt" / "target"
    if not _manifest(ours).is_file():
        raise NotFoundError(
            f"{ours}: no models of a build", next_step="run: warehouse build --force"
        )
    project = load_project(ours)
    return with_user_models(home, project)


def keep_project(home: Home, compiled: CompiledProject) -> None:
    """Save the built-in models of this build for ``built_project``."""
    place = _manifest(home.build / "dbt" / "target")
    place.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(place) as sink:
        sink.write(json.dumps(compiled.manifest).encode())


def with_user_models(home: Home, project: Project) -> Project:
    """The built-in models, and the user's models that were compiled last."""
    theirs = user_target(home)
    return load_project(theirs, base=project) if _manifest(theirs).is_file() else project


def _manifest(target: Path) -> Path:
    return target / "manifest.json"
