"""The last builds with the seconds of their phases, for the page: a file beside the build file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from warehouse.files import write
from warehouse.home import Home
from warehouse.progress import Phase

_KEPT = 5


def note_build(home: Home, began: str, outcome: str, phases: Sequence[Phase]) -> None:
    """Add a build to the file, which keeps the last ones."""
    entry = {
        "began": began,
        "outcome": outcome,
        "phases": [[str(phase), round(phase.seconds, 3)] for phase in phases],
    }
    with suppress(OSError):  # a full disk must not fail a build that is published
        place = _place(home)
        place.parent.mkdir(parents=True, exist_ok=True)
        write(place, json.dumps([entry, *_noted(home)][:_KEPT]).encode())


def last_builds(home: Home) -> list[dict[str, Any]]:
    """Phases of the last builds that had something to do, a row each, the latest build first."""
    return [
        {"began": one["began"], "outcome": one["outcome"], "phase": name, "seconds": seconds}
        for one in _noted(home)
        for name, seconds in one["phases"]
    ]


def _noted(home: Home) -> list[dict[str, Any]]:
    try:
        noted: list[dict[str, Any]] = json.loads(_place(home).read_bytes())
        return [one for one in noted if {"began", "outcome", "phases"} <= one.keys()]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _place(home: Home) -> Path:
    return home.build / "builds.json"
