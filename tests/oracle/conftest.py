"""The compiled models, once for all workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.project import Models, compiled_models


@pytest.fixture(scope="session")
def target(shared_folder: Path) -> Path:
    """dbt's target folder with every model compiled."""
    return compiled_models(shared_folder)


@pytest.fixture(scope="session")
def models(target: Path) -> Models:
    return Models(target)
