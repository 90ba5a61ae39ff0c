"""The compiled models, once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.project import Models, compile_models


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's target folder with every model compiled."""
    return compile_models(tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="session")
def models(target: Path) -> Models:
    return Models(target)
