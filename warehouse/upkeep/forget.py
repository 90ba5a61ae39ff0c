"""Remove series from the lake that were synced by mistake or are no longer wanted.

The bytes stay until ``prune`` finds that no kept generation, snapshot or former version needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from warehouse.errors import NotFoundError, did_you_mean
from warehouse.home import Home, writing
from warehouse.lake import Lake, Manifest, StoredFile
from warehouse.vendor import FileKey


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files: each part is a name or a pattern with ``*`` and ``?``, ``None`` is any."""

    dataset: str | None = None
    exchange: str | None = None
    symbol: str | None = None
    interval: str | None = None
    clock: str | None = None
    period: str | None = None

    def holds(self, key: FileKey) -> bool:
        series = key.series
        pairs = (
            (self.dataset, key.dataset),
            (self.exchange, series.exchange),
            (self.symbol, series.symbol),
            (self.interval, series.interval),
            (self.clock, series.clock),
            (self.period, key.period.text),
        )
        return all(
            wanted is None or (value is not None and fnmatchcase(value, wanted))
            for wanted, value in pairs
        )


def find_files(home: Home, selection: Selection) -> list[StoredFile]:
    """Current files of the lake that are selected, in the order of their keys.

    Raises
    ------
    NotFoundError
        There are none.
    """
    home.require_lake()
    with Manifest(home.manifest) as manifest:
        return _selected(manifest.files(), selection)


def _selected(files: Sequence[StoredFile], selection: Selection) -> list[StoredFile]:
    found = [file for file in files if selection.holds(file.key)]
    if not found:
        name, known = selection.dataset or "", sorted({file.key.dataset for file in files})
        guess = "" if name in known else did_you_mean(name, known)
        raise NotFoundError(
            f"no file in the lake is selected{guess}",
            next_step="list the series: warehouse symbols",
        )
    return found


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
        files = manifest.files()
        if not any(selection.holds(file.key) for file in files):
            Lake(home, manifest).settle_links()
        found = _selected(files, selection)
        with manifest.transaction():
            for file in found:
                manifest.supersede(file.key)
                manifest.record_settled(file.key.dataset, file.key.series, ())
        Lake(home, manifest).settle_links()
    return found
