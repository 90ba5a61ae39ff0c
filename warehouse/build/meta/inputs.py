"""Hashes of everything that a build depends on, for comparison with the published catalog."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import duckdb

from warehouse._version import __version__
from warehouse.build.build_file import BuildFile
from warehouse.build.declared_funding import declared_spans
from warehouse.build.declared_ticks import tick_settings
from warehouse.build.meta.tables import META
from warehouse.config import Settings
from warehouse.errors import DamagedError
from warehouse.files import hash_of, sha256_of
from warehouse.home import Home, own_files
from warehouse.lake import Manifest
from warehouse.project import project_key
from warehouse.vendor import dbt_project_dir


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hashes of all inputs of a build.

    Attributes
    ----------
    lake
        The vendor's files, refused ones, restatements, declared funding schedules, and settings of
        kept bars.
    project
        The built-in models, the tables of ``meta``, versions and settings.
    own_models
        The user's models and macros.
    own_files
        Their files, each with its hash; empty for a published catalog.
    """

    lake: str
    project: str
    own_models: str
    own_files: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        """The form that ``meta.build`` stores."""
        return f"{self.lake} {self.project} {self.own_models}"


def fingerprint(settings: Settings) -> Inputs:
    """The current inputs."""
    home = Home.of(settings)
    with Manifest(home.manifest) as manifest:
        lake = [
            manifest.tokens(),
            [str(span) for span in declared_spans(home.subscription)],
            [str(setting) for setting in tick_settings(home.subscription)],
        ]
    session = dict(settings.session)
    if (
        settings.store is not None
    ):  # because other machines may build the same home in other folders
        del session["temp_directory"]
    place = settings.store or str(settings.home)
    versions: list[object] = [__version__, duckdb.__version__, place, session]
    if settings.engine != "duckdb":
        versions.append(settings.engine)
    own_files = _own_files(home)
    return Inputs(
        lake=hash_of(lake),
        project=hash_of([project_key(dbt_project_dir()), META, *versions]),
        own_models=hash_of(own_files),
        own_files=own_files,
    )


def newer_own_files(home: Home, built: Mapping[str, str]) -> list[str]:
    """Files of the user's models and macros that differ from those that were ``built``."""
    now = _own_files(home)
    gone = (f"{path} (removed)" for path in built.keys() - now.keys())
    return sorted([*gone, *(path for path, digest in now.items() if built.get(path) != digest)])


def published_inputs(file: BuildFile) -> Inputs | None:
    """The inputs of the published catalog; None if it does not have them.

    This is the case if nothing was published, by an earlier version, or after dbt by hand.
    """
    if not file.home.catalog.is_file():
        return None
    try:
        (((inputs,),),) = file.published("select inputs from meta.build")
        lake, project, own_models = str(inputs).split()
        return Inputs(lake, project, own_models)
    except (DamagedError, ValueError, TypeError):
        return None


def _own_files(home: Home) -> dict[str, str]:
    """Hashes of the user's models and macros, and of the files beside them, by their paths."""
    found = {}
    for folder in (home.models, home.macros):
        for path in own_files(folder):
            with suppress(FileNotFoundError):  # an editor has just renamed it
                digest = sha256_of(path)
                found[path.relative_to(home.root).as_posix()] = digest
    return found
