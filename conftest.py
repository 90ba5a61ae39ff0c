"""The setting of every test: a time zone other than UTC, a bare environment, no network.

It is at the root so that it also applies to the examples in ``warehouse/``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# No deadline, because a busy machine is no fault of the code.
settings.register_profile("quick", deadline=None, max_examples=10)
settings.register_profile("long", deadline=None, max_examples=100)  # of make test-long
settings.load_profile("quick")

os.environ["TZ"] = os.environ.get("TEST_TZ", "America/New_York")
time.tzset()
for name in list(os.environ):
    if name.startswith(("APERIODIC_", "WAREHOUSE_", "DBT_")) and name != "WAREHOUSE_REAL_DATA":
        del os.environ[name]

# Children import the same modules hundreds of times, so they must find them compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what goes on behind it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Longest first, so that both workers end together. The first two files make the homes that many of
# the others read, each on a worker of its own.
_LONGEST = (
    "test_build.py", "test_user_models.py", "test_verify.py", "test_store.py", "test_audit.py",
    "test_notebooks.py", "test_small_tables.py", "test_simulated.py", "test_native.py",
    "test_late_bars.py", "test_kept_ticks.py", "test_cli.py", "test_ask.py", "test_mirror.py",
    "test_retention.py", "test_ticks.py", "test_numerics.py", "test_disk.py", "test_extras.py",
    "test_sync_faults.py", "test_crash.py", "test_fuzz_api.py", "test_readers_under_load.py",
    "test_fuzz_parquet.py", "test_kept_audits.py", "test_funding.py", "test_metrics.py",
    "test_client.py", "test_macros.py", "test_folders.py", "test_answers.py", "test_page.py",
    "test_ordinary_files.py", "test_models.py", "test_command_line.py", "test_month_tests.py",
)  # fmt: skip

_LOOPBACK = ("127.", "localhost", "::1")


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse connections to other machines, by Python's audit event before each connection."""
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and not str(host).startswith(_LOOPBACK):
        raise PermissionError(f"a test reached for the network: {host}")


sys.addaudithook(_refuse_network)


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the demo; run the longest files first."""
    for item in items:
        if "demo_run" in getattr(item, "fixturenames", ()):
            item.add_marker("demo")
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def demo_run(shared_folder: Path) -> dict[str, Any]:
    """``warehouse demo``, once for all workers: exit_code, stdout, stderr, home.

    The home is for reading only; a test that writes must use a copy (``tests.support.copy_home``).
    """
    from tests.support import once, run_warehouse

    def run() -> dict[str, Any]:
        home = shared_folder / "demo"
        return asdict(run_warehouse("demo", "--home", home, cwd=shared_folder, audits=False))

    return {**once(shared_folder / "demo.json", run), "home": shared_folder / "demo"}


@pytest.fixture(scope="session")
def demo_home(demo_run: dict[str, Any]) -> Path:
    """Home of the simulated demo market, synced and built; for reading only."""
    assert demo_run["exit_code"] == 0, demo_run["stderr"]
    home: Path = demo_run["home"]
    return home


@pytest.fixture(autouse=True)
def _example_names(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, Any], monkeypatch: Any
) -> None:
    """Examples in docstrings may use ``demo_home``; only those that do wait for it."""
    example = getattr(request.node, "dtest", None)
    if example is not None and any("demo_home" in part.source for part in example.examples):
        doctest_namespace["demo_home"] = request.getfixturevalue("demo_home")
