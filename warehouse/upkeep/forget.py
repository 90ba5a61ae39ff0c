"""Remove series from the lake that were synced by mistake or are no longer wanted.

The bytes stay until ``prune`` finds that no kept generation, snapshot or former version needs them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NoReturn

from warehouse.errors import NotFoundError, did_you_mean
from warehouse.home import Home, writing
from warehouse.lake import Lake, Manifest, StoredFile


@dataclass(frozen=True, slots=True)
class Selection:
    """Selected files: each part is a name or a pattern with ``*`` and ``?``; ``None`` means any."""

    dataset: str | None = None
    exchange: str | None = None
    symbol: str | None = None
    interval: str | None = None
    clock: str | None = None
    period: str | None = None

    def files(self, manifest: Manifest) -> list[StoredFile]:
        """The files in the order of their keys."""
        chosen = {part: text for part, text in asdict(self).items() if text is not None}
        return manifest.files_fitting(chosen)


def find_files(home: Home, selection: Selection) -> list[StoredFile]:
    """Current files of the lake that are selected, in the order of their keys.

    Raises
    ------
    NotFoundError
        There are none.
    """
    home.require_lake()
    with Manifest(home.manifest) as manifest:
        return selection.files(manifest) or _refuse(manifest, selection)


def _refuse(manifest: Manifest, selection: Selection) -> NoReturn:
    name, known = selection.dataset or "", sorted({dataset for dataset, *_ in manifest.months()})
    guess = "" if name in known else did_you_mean(name, known)
    raise NotFoundError(
        f"no file in the lake is selected{guess}",
        next_step="list the series: warehouse symbols",
    )


def forget_files(home: Home, selection: Selection) -> list[StoredFile]:
    """Remove the selected files from the lake, all or none; they disappear with the next build.

    Kept generations and snapshots still contain them. A later sync may import them again. If
    an interrupted run has left links of such files in the lake, the same command removes them.

    Raises
    ------
    NotFoundError
        There are none.
    """
    home.require_lake()
    with writing(home, "forget"), Manifest(home.manifest) as manifest:
        found = selection.files(manifest)
        if not found:
            Lake(home, manifest).settle_links()
            _refuse(manifest, selection)
        with manifest.transaction():
            for file in found:
                manifest.supersede(file.key)
                manifest.record_settled(file.key.dataset, file.key.series, ())
        Lake(home, manifest).settle_links()
    return found
