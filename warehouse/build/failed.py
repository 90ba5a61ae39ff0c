"""The last build that failed, for ``warehouse status``: a file beside the build file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from warehouse.errors import WarehouseError
from warehouse.files import write
from warehouse.home import Home
from warehouse.lake import utc_now


@contextmanager
def noting_failure(home: Home) -> Iterator[None]:
    """Note an error of the build within, and forget an earlier one where there is none."""
    place = _place(home)
    try:
        yield
    except WarehouseError as error:
        with suppress(OSError):  # a full disk is what it failed by
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place, json.dumps({"at": utc_now(), "what": error.what}).encode())
        raise
    place.unlink(missing_ok=True)


def failed_build(home: Home) -> dict[str, str] | None:
    """When the last build failed (``at``, UTC) and by ``what``; None where it did not."""
    try:
        note = json.loads(_place(home).read_bytes())
        return {"at": str(note["at"]), "what": str(note["what"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place(home: Home) -> Path:
    return home.build / "failed.json"
