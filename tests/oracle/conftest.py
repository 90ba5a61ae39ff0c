"""The shipped models, once for each worker."""

from __future__ import annotations

import pytest

from tests.oracle.project import Models, shipped_project


@pytest.fixture(scope="session")
def models() -> Models:
    return Models(shipped_project())
