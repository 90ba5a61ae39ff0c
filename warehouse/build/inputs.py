"""What a build depends on, as hashes: a build compares them with those of the published catalog."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse._version import __version__
from warehouse.build.declared_ticks import wished_ticks
from warehouse.build.funding import declared_spans
from warehouse.config import Settings
from warehouse.errors import DamagedError
from warehouse.generations import read_catalog
from warehouse.home import Home
from warehouse.lake import Manifest
from warehouse.project import project_key
from warehouse.vendor import dbt_project_dir


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hashes of all inputs of a build.

    Attributes
    ----------
    lake
        The vendor's files, refused ones, restatements, declared funding schedules, and
        which bars of ticks are to be kept.
    project
        The built-in models, versions and settings.
    own_models
        The user's models and macros.
    """

    lake: str
    project: str
    own_models: str

    def __str__(self) -> str:
        """As ``meta.build`` has them."""
        return f"{self.lake} {self.project} {self.own_models}"


def fingerprint(settings: Settings) -> Inputs:
    """The inputs as they are now."""
    home = Home.of(settings)
    with Manifest(home.manifest) as manifest:
        lake = [
            manifest.tokens(),
            [str(span) for span in declared_spans(home.subscription)],
            [str(wish) for wish in wished_ticks(home.subscription)],
        ]
    versions = [__version__, duckdb.__version__, str(settings.home), settings.session]
    if settings.engine != "duckdb":
        versions.append(settings.engine)
    return Inputs(
        lake=_hash(lake),
        project=_hash([project_key(dbt_project_dir()), *versions]),
        own_models=own_models_key(home),
    )


def own_models_key(home: Home) -> str:
    """Hash of the user's models and macros, and of the files beside them."""
    return _hash(_texts([home.models, home.macros], home.root))


def published_inputs(home: Home) -> Inputs | None:
    """The inputs of the published catalog; None where it does not name them.

    That is so if nothing was published, or by an earlier version, or after dbt was run by hand.
    """
    if not home.catalog.is_file():
        return None
    try:
        ((inputs,),) = read_catalog(home, home.catalog, "select inputs from warehouse.meta.build")
        return Inputs(*str(inputs).split())
    except (DamagedError, ValueError, TypeError):
        return None


def _texts(folders: Iterable[Path], root: Path) -> dict[str, str]:
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def _hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
