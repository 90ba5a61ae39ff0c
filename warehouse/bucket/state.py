"""The content of HEAD, a home in a bucket: its generations, its journal and its manifest.

Large files are stored as parts that are named by their sha256, so that only the changed parts of a
manifest or catalog are sent. HEAD has the names of the parts.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Self

VERSION = 1


@dataclass(frozen=True, slots=True)
class Blob:
    """A file in parts."""

    sha256: str
    size_bytes: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptGeneration:
    """A generation: its catalog, and its snapshot names."""

    number: int
    catalog: Blob
    snapshots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """The state of a home that HEAD describes.

    Attributes
    ----------
    current
        The generation that readers open; None before the first build.
    journal
        The publications and rollbacks; None before the first.
    names
        The names of all vendor files and stored months that the generations and the manifest need,
        one per line.
    """

    current: int | None
    generations: tuple[KeptGeneration, ...]
    journal: Blob | None
    manifest: Blob
    names: Blob

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every file that is stored in parts."""
        journal = () if self.journal is None else (self.journal,)
        return (*(kept.catalog for kept in self.generations), *journal, self.manifest, self.names)

    def generation(self, number: int) -> KeptGeneration | None:
        """The generation of that number."""
        return next((kept for kept in self.generations if kept.number == number), None)

    def means(self, other: State) -> bool:
        """Whether readers see the same in both; manifests may differ in records of requests."""
        ours = (self.current, self.generations, self.names.sha256)
        return ours == (other.current, other.generations, other.names.sha256)

    def to_json(self, *, is_pruned: bool = False) -> bytes:
        """The content of HEAD, different each time, because servers derive the tag from it."""
        move = secrets.token_hex(8)
        facts = {"warehouse": VERSION, "move": move, "is_pruned": is_pruned, **asdict(self)}
        return json.dumps(facts, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> tuple[Self, bool]:
        """The state, and whether a prune is at work.

        Raises
        ------
        ValueError
            The content is something else, or a newer version wrote it.
        """
        try:
            facts = json.loads(content)
            if facts["warehouse"] != VERSION:
                raise ValueError(f"version {facts['warehouse']!r}")
            kept = (
                KeptGeneration(one["number"], _blob(one["catalog"]), tuple(one["snapshots"]))
                for one in facts["generations"]
            )
            journal = facts["journal"]
            return cls(
                facts["current"],
                tuple(kept),
                None if journal is None else _blob(journal),
                _blob(facts["manifest"]),
                _blob(facts["names"]),
            ), bool(facts["is_pruned"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


def _blob(facts: dict[str, Any]) -> Blob:
    return Blob(facts["sha256"], facts["size_bytes"], tuple(facts["parts"]))
