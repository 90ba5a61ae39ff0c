"""The content of HEAD, a home in a bucket: its generations, its journal and its manifest.

A file of any size is kept as parts that are named by their sha256, so that a manifest or catalog
that grew by little is sent in little. HEAD has the names of the parts.
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
    """A generation: its catalog, and the names that snapshots gave it."""

    number: int
    catalog: Blob
    snapshots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a HEAD stands for.

    Attributes
    ----------
    current
        The generation that readers open; None before the first build.
    journal
        The publications and rollbacks; None before the first.
    names
        The names of all vendor files and stored months that the generations and the manifest need,
        a line each.
    """

    current: int | None
    generations: tuple[KeptGeneration, ...]
    journal: Blob | None
    manifest: Blob
    names: Blob

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every file that is kept in parts."""
        journal = () if self.journal is None else (self.journal,)
        return (*(kept.catalog for kept in self.generations), *journal, self.manifest, self.names)

    def generation(self, number: int) -> KeptGeneration | None:
        """The generation of that number."""
        return next((kept for kept in self.generations if kept.number == number), None)

    def means(self, other: State) -> bool:
        """Whether a reader of both finds the same; manifests also record what was looked for."""
        ours = (self.current, self.generations, self.names.sha256)
        return ours == (other.current, other.generations, other.names.sha256)

    def to_json(self, *, is_pruned: bool = False) -> bytes:
        """The content of HEAD, never twice the same, because servers make the tag from it."""
        move = secrets.token_hex(8)
        facts = {"warehouse": VERSION, "move": move, "is_pruned": is_pruned, **asdict(self)}
        return json.dumps(facts, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> tuple[Self, bool]:
        """The state, and whether a prune is at work.

        Raises
        ------
        ValueError
            The content is of something else or of a newer version.
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
