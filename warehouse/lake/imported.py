"""Origin of an imported file, which ``warehouse import`` writes into its metadata.

So the facts of a lake file always come from its own bytes, even if the manifest is lost.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from warehouse.errors import FileRefusedError

# Key of a parquet file's metadata: an :class:`Imported` as JSON.
IMPORTED = b"warehouse.imported"

GRAINS = ("trade", "order", "update")
RECEIVE_CLOCKS = ("measured", "none")

_LONGEST_TEXT = 4_096
_MOST_SOURCES = 100_000
_NUMBERS = ("rows", "duplicates", "total")


@dataclass(frozen=True, slots=True)
class ImportedSource:
    """A file of another format from which rows of an imported file come.

    Attributes
    ----------
    name
        Its path when it was imported.
    sha256
        Hash of its bytes.
    rows
        Rows of the imported file that come from this one.
    duplicates
        Its rows of this day that repeated the id of a kept row, and so were not written.
    total
        Rows of all its days; once all are imported, it need not be read again.
    """

    name: str
    sha256: str
    rows: int
    duplicates: int
    total: int


@dataclass(frozen=True, slots=True)
class Imported:
    """Facts of an imported file, other than its rows.

    Attributes
    ----------
    importer, checksum
        Name of the importer, and hash of its SQL.
    grain
        What a row is: one ``trade``, all trades of one ``order`` at a price, or one ``update``.
    receive_clock
        ``measured``, or ``none`` if ``local_timestamp`` is NULL.
    sources
        The files from which its rows come.
    """

    importer: str
    checksum: str
    grain: str
    receive_clock: str
    sources: tuple[ImportedSource, ...]

    def text(self) -> str:
        """The JSON text that :func:`imported_of` reads."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, plain: Any) -> Imported | None:
        """Parse the JSON value of :meth:`text`; None for None."""
        if plain is None:
            return None
        sources = tuple(
            ImportedSource(
                _text(s["name"]), _text(s["sha256"]), *(int(s[number]) for number in _NUMBERS)
            )
            for s in plain["sources"]
        )
        if len(sources) > _MOST_SOURCES or any(
            not 0 <= getattr(source, number) < 1 << 63 for source in sources for number in _NUMBERS
        ):
            raise ValueError("not a list of sources")
        if plain["grain"] not in GRAINS or plain["receive_clock"] not in RECEIVE_CLOCKS:
            raise ValueError(f"unknown {plain['grain']!r:.40} or {plain['receive_clock']!r:.40}")
        return cls(
            _text(plain["importer"]),
            _text(plain["checksum"]),
            plain["grain"],
            plain["receive_clock"],
            sources,
        )


def imported_of(metadata: dict[bytes, bytes] | None) -> Imported | None:
    """The origin of an imported file, from its metadata; None for a vendor file."""
    try:
        return Imported.of(json.loads((metadata or {}).get(IMPORTED, b"null")))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FileRefusedError(f"the metadata on its origin cannot be read ({error})") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError("a string is missing or too long")
    return value
