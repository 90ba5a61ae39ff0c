"""Records of earlier builds, for ``warehouse status`` and the page: files beside the build file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from warehouse.errors import WarehouseError
from warehouse.files import write
from warehouse.home import Home
from warehouse.progress import Phase
from warehouse.times import utc_now_text

_KEPT = 5
_BUILDS, _FAILED = "builds.json", "failed.json"


@contextmanager
def noting_failure(home: Home) -> Iterator[None]:
    """Record an error raised in the block, or else remove the record of an earlier one."""
    try:
        yield
    except (WarehouseError, OSError) as error:
        what = error.what if isinstance(error, WarehouseError) else str(error)
        _write(home, _FAILED, {"at": utc_now_text(), "what": what})
        raise
    (home.build / _FAILED).unlink(missing_ok=True)


def failed_build(home: Home) -> dict[str, str] | None:
    """Time (``at``, UTC) and error (``what``) of the last build; None if it did not fail."""
    match _read(home, _FAILED):
        case {"at": at, "what": what}:
            return {"at": str(at), "what": str(what)}
    return None


def note_build(home: Home, began: str, outcome: str, phases: Sequence[Phase]) -> None:
    """Add a build with the seconds of its phases to the last ones."""
    entry = {
        "began": began,
        "outcome": outcome,
        "phases": [[str(phase), round(phase.seconds, 3)] for phase in phases],
    }
    _write(home, _BUILDS, [entry, *_noted(home)][:_KEPT])


def last_builds(home: Home) -> list[dict[str, Any]]:
    """Phases of the last builds that had something to do, one row each, the latest build first."""
    return [
        {"began": one["began"], "outcome": one["outcome"], "phase": name, "seconds": seconds}
        for one in _noted(home)
        for name, seconds in one["phases"]
    ]


def _noted(home: Home) -> list[dict[str, Any]]:
    match _read(home, _BUILDS):
        case [*entries]:
            wanted = {"began", "outcome", "phases"}
            return [one for one in entries if isinstance(one, dict) and wanted <= one.keys()]
    return []


def _read(home: Home, name: str) -> object:
    """The contents of a record; None if it is missing or damaged."""
    try:
        return json.loads((home.build / name).read_bytes())
    except (OSError, ValueError):
        return None


def _write(home: Home, name: str, note: object) -> None:
    with suppress(OSError):  # a full disk may be the reason of the failure, and must not hide it
        home.build.mkdir(parents=True, exist_ok=True)
        write(home.build / name, json.dumps(note).encode())
