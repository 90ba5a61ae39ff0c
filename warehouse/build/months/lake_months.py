"""The lake month by month; files are read from the manifest only when needed.

A token shows whether anything in a month of a dataset has changed since a catalog was written. For
unchanged months that catalog has what a build needs: the columns of their files (``meta.months``),
and the stored months (``meta.stored``). So time and memory depend on what is new.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from warehouse._version import __version__
from warehouse.build.months.late import LateSeries
from warehouse.build.months.stored import StoredMonth, month_damage
from warehouse.errors import DamagedError
from warehouse.files import hash_of
from warehouse.home import Home
from warehouse.lake import Manifest, OwnedFile, assign_ownership
from warehouse.sql import literal
from warehouse.vendor import Period, SeriesKey, is_raw

# Gives the rows of some queries on a catalog; raises DamagedError where it cannot be read.
Catalog = Callable[..., list[list[tuple[Any, ...]]]]

# Name and type of every column of a file.
Columns = tuple[tuple[str, str], ...]

_OF_VERSION = f"(select bool_and(product_version = {literal(__version__)}) from meta.build)"
_MONTHS = (
    "select dataset, month, shown, described, is_shown, columns, columns_shown"
    f" from meta.months where {_OF_VERSION}"
)
_STORED = (
    "select model, month, key, path, rows, size_bytes, engine"
    f" from meta.stored where key <> '' and {_OF_VERSION}"
)

# Files that are kept in memory, about 3 kB each.
_MOST_FILES = 100_000


@dataclass(frozen=True, slots=True)
class LakeMonth:
    """The files of a month of a dataset: a row of ``meta.months``.

    Attributes
    ----------
    shown, described
        Tokens, which change when the shown data changes, and when anything changes.
    is_shown
        Whether any file owns a span of time.
    columns, columns_shown
        The columns of its files, and of those that own a span; each combination once.
    """

    dataset: str
    month: str
    shown: str
    described: str
    is_shown: bool
    columns: frozenset[Columns]
    columns_shown: frozenset[Columns]

    def row(self) -> tuple[Any, ...]:
        lists = (json.dumps(sorted(some)) for some in (self.columns, self.columns_shown))
        return self.dataset, self.month, self.shown, self.described, self.is_shown, *lists


@dataclass(frozen=True, slots=True)
class Kept:
    """Facts of months in catalogs, by dataset, month and token, and stored months, by key."""

    months: dict[tuple[str, str, str], LakeMonth] = field(default_factory=dict)
    stored: dict[tuple[str, str, str], StoredMonth] = field(default_factory=dict)

    def found(self, model: str, month: str, key: str) -> StoredMonth | None:
        """A stored month with the same inputs, if its file can be read."""
        stored = self.stored.get((model, month, key))
        if stored is None or month_damage(stored.path, stored.rows, quick=True) is not None:
            return None
        return stored


def kept_in(home: Home, *catalogs: Catalog) -> Kept:
    """The facts in these catalogs; catalogs that are missing or of another version are ignored.

    Another version may read other facts from the same files.
    """
    kept = Kept()
    for rows_of in catalogs:
        try:
            months, stored = rows_of(_MONTHS, _STORED)
        except DamagedError:
            continue
        for dataset, text, shown, described, is_shown, *columns in months:
            kept.months[dataset, text, shown] = LakeMonth(
                dataset, text, shown, described, is_shown, *map(_columns, columns)
            )
        for model, text, key, path, rows, size_bytes, engine in stored:
            kept.stored[model, text, key] = StoredMonth(
                model, text, home.root / path, rows, size_bytes, True, engine, key
            )
    return kept


@cache
def _columns(text: str) -> frozenset[Columns]:
    return frozenset(tuple((name, kind) for name, kind in columns) for columns in json.loads(text))


class LakeByMonth:
    """The current lake; ``manifest`` must stay open while it is used."""

    def __init__(self, home: Home, manifest: Manifest, kept: Kept) -> None:
        self.home, self.kept = home, kept
        self._manifest = manifest
        self.tokens = {
            (dataset, month): (shown, described)
            for dataset, month, shown, described in manifest.months()
        }
        self._beside: dict[tuple[str, str], list[OwnedFile]] = {}
        self.replaced: set[tuple[str, int]] = set()
        self.late: dict[int, LateSeries] = {}
        self._facts: dict[tuple[str, str], LakeMonth] = {}
        self._files: OrderedDict[tuple[str, str], list[OwnedFile]] = OrderedDict()
        self._count = 0

    def show_beside(
        self, kept: Sequence[OwnedFile], late: Mapping[int, LateSeries] | None = None
    ) -> None:
        """Add kept bars as if they were files of the lake.

        A file of the lake owns nothing if they replace its series in the dataset. The tokens of all
        months of such datasets include the kept bars. In the series in ``late``, bars of any
        dataset wait for late ones.
        """
        self.late = dict(late or {})
        self._beside = defaultdict(list)
        for file in kept:
            self._beside[_place(file)].append(self._with_late(file))
        self.replaced = {(f.file.key.dataset, f.file.series_id) for f in kept}
        self._files.clear()
        self._facts.clear()
        self._count = 0
        datasets = {dataset for dataset, _ in self.replaced}
        for place in {*self._beside, *(p for p in self.tokens if p[0] in datasets)}:
            numbers = sorted(number for name, number in self.replaced if name == place[0])
            shown = [(str(file.file.key), file.path) for file in self._beside.get(place, ())]
            digest = stored_key([numbers, shown])
            one, other = self.tokens.get(place, ("", ""))
            self.tokens[place] = f"{one} {digest}", f"{other} {digest}"
        for place, (one, other) in self.tokens.items():
            if waits := self._late_of_month(*place):
                digest = stored_key(waits)
                self.tokens[place] = f"{one} {digest}", f"{other} {digest}"
        self.tokens = dict(sorted(self.tokens.items()))
        self.__dict__.pop("datasets", None)

    def _with_late(self, file: OwnedFile) -> OwnedFile:
        """The file with the late bars for which its own bars wait."""
        series = self.late.get(file.file.series_id)
        if series is None or file.file.key.is_raw:
            return file
        days = series.within(file.file.key.period.span)
        return replace(
            file, late=tuple(str(d.stored.path.relative_to(self.home.root)) for d in days)
        )

    def _late_of_month(self, dataset: str, month: str) -> list[str]:
        """The late bars for which some bars of a month may wait."""
        if is_raw(dataset):
            return []
        span = Period(month).span
        return [day.stored.path.name for s in self.late.values() for day in s.within(span)]

    @property
    def beside(self) -> Iterator[OwnedFile]:
        """The files that are shown in addition to those of the lake."""
        for files in self._beside.values():
            yield from files

    @cached_property
    def series(self) -> dict[int, SeriesKey]:
        """Every series by its number."""
        return dict(self._manifest.series())

    @cached_property
    def datasets(self) -> list[str]:
        return sorted({dataset for dataset, _ in self.tokens})

    def months(self, dataset: str) -> list[LakeMonth]:
        """The months of a dataset that have files, in order."""
        return [self._month(*place) for place in self.tokens if place[0] == dataset]

    def shown_months(self, dataset: str) -> list[LakeMonth]:
        """The months with a file that owns a span of time."""
        return [month for month in self.months(dataset) if month.is_shown]

    def columns(self, dataset: str) -> frozenset[Columns]:
        """The columns of all files of a dataset; each combination once."""
        return frozenset[Columns]().union(*(month.columns for month in self.months(dataset)))

    def columns_shown(self, dataset: str) -> frozenset[Columns]:
        """The columns of the files that own a span of time; each combination once."""
        return frozenset[Columns]().union(*(month.columns_shown for month in self.months(dataset)))

    def files(self, dataset: str, month: str) -> list[OwnedFile]:
        """Files of a month, in the order of their keys; the last ones read are kept."""
        place = dataset, month
        if place not in self._files:
            files = [
                replace(file, spans=(), runs=())
                if (dataset, file.file.series_id) in self.replaced
                else self._with_late(file)
                for file in assign_ownership(self._manifest.files_of_month(dataset, month))
            ]
            files += self._beside.get(place, ())
            self._files[place] = files
            self._count += len(files)
            while self._count > _MOST_FILES and len(self._files) > 1:
                _, dropped = self._files.popitem(last=False)
                self._count -= len(dropped)
        self._files.move_to_end(place)
        return self._files[place]

    def files_of(self, dataset: str, months: Iterable[str] | None = None) -> list[OwnedFile]:
        """Files of these months of a dataset, or of all, in the order of their keys."""
        texts = (m.month for m in self.months(dataset)) if months is None else months
        files = [file for text in texts for file in self.files(dataset, text)]
        return sorted(files, key=_in_order)

    def places(self) -> Iterator[tuple[str, str]]:
        """Every dataset and month with files, in order."""
        yield from self.tokens

    def _month(self, dataset: str, month: str) -> LakeMonth:
        place = dataset, month
        if place not in self._facts:
            shown, described = self.tokens[place]
            known = self.kept.months.get((dataset, month, shown))
            if known is None:
                files = self.files(dataset, month)
                showing = [file for file in files if file.spans]
                known = LakeMonth(
                    dataset, month, shown, described, bool(showing),
                    *(frozenset(f.file.facts.columns for f in some) for some in (files, showing)),
                )  # fmt: skip
            self._facts[place] = known
        return self._facts[place]

    def row(self, dataset: str, month: str) -> tuple[Any, ...]:
        """The row of a month in ``meta.months``, with current tokens."""
        name, text, _, _, *facts = self._month(dataset, month).row()
        return name, text, *self.tokens[dataset, month], *facts


def _place(owned: OwnedFile) -> tuple[str, str]:
    return owned.file.key.dataset, owned.file.key.period.month


def stored_key(facts: object) -> str:
    """Hash of the inputs of a stored month, with tokens in place of files."""
    return hash_of(facts)[:20]


def _in_order(owned: OwnedFile) -> tuple[str, ...]:
    key = owned.file.key
    return *key.series.flat, key.period.text
