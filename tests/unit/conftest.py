"""A home that several test files query, made once for all workers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_home(shared_folder: Path) -> Path:
    """The home of ``tests.asking`` with two symbols, for reading only."""
    # Imported here because the process that starts the workers reads this file too, and then waits.
    from tests.asking import ETH, write_small_home
    from tests.support import BTC, once

    home = shared_folder / "small" / "home"

    def make() -> dict[str, str]:
        return {"home": str(write_small_home(home, symbols=(BTC, ETH)))}

    once(shared_folder / "small.json", make)
    return home
