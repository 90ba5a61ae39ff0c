"""A folder of vendor files as a source: finds the key of each parquet file.

Each file is recognised by its path: in the lake's own layout, in that of the vendor's client
(``LAYOUTS``), or in a flat folder whose file names match a pattern.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from warehouse.errors import NotFoundError, UsageError
from warehouse.files import ends_of
from warehouse.vendor import (
    CLOCKS,
    INTERVALS,
    RAW_PREFIX,
    SERIES_COLUMNS,
    FileKey,
    Period,
    SeriesKey,
    Symbol,
    decode,
    is_raw,
    load_contracts,
    require_vendor_interval,
)

# Possible paths of a vendor file; ``timestamp`` is the clock.
LAYOUTS = (
    "DATASET/exchange=…/symbol=…/interval=…/timestamp=…/2025-09.parquet",
    "raw/DATASET/exchange=…/symbol=…/2025-06.parquet",
    "DATASET/exchange=…/symbol=…/year=2025/month=06[/day=01]/data.parquet",
    "2025-09.parquet or 2025-09-11.parquet, with all five options",
    "any names, with --pattern such as '{symbol}_{dataset}_{interval}_{period}'",
)

# Fields of a pattern; ``{}`` in a pattern matches anything.
FIELDS = ("dataset", *SERIES_COLUMNS, "period")

_ENDINGS = (".parquet", ".parq", ".pq")
_OTHER_DATA = (
    *(".csv", ".tsv", ".jsonl", ".ndjson", ".xlsx", ".feather", ".arrow", ".ipc"),
    *(".gz", ".zst", ".zip", ".bz2", ".xz", ".7z", ".tar", ".part", ".crdownload", ".tmp", ".npz"),
    *(".h5", ".hdf5", ".orc", ".avro", ".pkl", ".pickle"),
)
_MAGIC = (b"PAR1", b"PARE")
_LEAST_BYTES = 12
# Suffixes that browsers and file managers add to the name of a second copy.
_COPY = re.compile(r" ?\(\d+\)$| - copy(?: ?\(\d+\))?$| copy(?: \d+)?$|^copy of ", re.I)


@dataclass(frozen=True, slots=True)
class Naming:
    """Fields for all files of a folder whose paths lack them."""

    dataset: str | None = None
    exchange: str | None = None
    symbol: str | None = None
    interval: str | None = None
    clock: str | None = None
    pattern: str | None = None


class FolderFault(StrEnum):
    """Why a file of a folder has no key; in messages the text follows a number of files."""

    UNUSABLE = "for the reason shown"
    MISNAMED = "in parquet format whose name does not end in .parquet"
    UNNAMED = "whose path does not identify the vendor file"
    NO_PARQUET = "of other data"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file and its key; if it has none, ``problem`` is the reason and ``fault`` its kind."""

    path: Path
    key: FileKey | None
    problem: str | None = None
    fault: FolderFault = FolderFault.UNUSABLE

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.problem}"


def printable(path: Path) -> str:
    """A path on one line: line breaks, control characters and broken UTF-8 are escaped.

    Examples
    --------
    >>> printable(Path("a\\nb"))
    'a\\\\nb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path))


def scan_folder(folder: Path, naming: Naming | None = None) -> list[FoundFile]:
    """Every data file below ``folder`` except hidden ones, in the order of their paths.

    Raises
    ------
    NotFoundError
        There is no such folder.
    UsageError
        The pattern is invalid, or has a field that is also given by an option.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise NotFoundError(f"{folder}: {what}", next_step="give the folder of the files")
    root = folder.resolve()
    naming = naming or Naming()
    pattern = None if naming.pattern is None else _Pattern(naming.pattern, naming)
    every = (_found(path, root, naming, pattern) for path in _files(root))
    return [found for found in every if found is not None]


def _files(root: Path) -> list[Path]:
    """Files below a folder, and folders whose files cannot be seen, sorted, without hidden ones.

    The latter are folders that may not be read, links to folders elsewhere, which are not followed,
    and empty folders named like a file.
    """
    found = []
    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
        links = [path for name in folders if (path := Path(folder, name)).is_symlink()]
        found += [path for path in links if not path.resolve().is_relative_to(root)]
        holds_files = any(name.lower().endswith(_ENDINGS) for name in (*names, *folders))
        if folder.lower().endswith(_ENDINGS) and Path(folder) != root and not holds_files:
            found.append(Path(folder))
    return sorted([*found, *(Path(error.filename) for error in closed)])


def _found(path: Path, root: Path, naming: Naming, pattern: _Pattern | None) -> FoundFile | None:
    """The key of a path, or why it has none; None for a file without data, such as a README."""
    if path.is_dir():
        return FoundFile(path, None, _folder_problem(path))
    if not path.exists():
        return FoundFile(path, None, f"is a broken link to {_target(path)}")
    if not path.name.lower().endswith(_ENDINGS):
        return _misnamed(path)
    if not path.is_file():
        return FoundFile(path, None, "is a pipe, socket or device, not a file")
    if not os.access(path, os.R_OK):
        return FoundFile(path, None, "may not be read: its permissions do not allow it")
    if pattern is not None:
        read = pattern.read(path.relative_to(root))
        if isinstance(read, str):
            return FoundFile(path, None, read, FolderFault.UNNAMED)
        naming, period = read
        return _recognise(path, naming, period)
    return _recognise(path, naming, None)


def _misnamed(path: Path) -> FoundFile | None:
    """Check by its first and last bytes whether a file without the suffix .parquet is one."""
    name = path.name.lower()
    begins, ends = _magic(path)
    if begins and ends:
        problem = "is a parquet file, but its name does not end in .parquet"
        return FoundFile(path, None, problem, FolderFault.MISNAMED)
    if begins:
        return FoundFile(path, None, "is the beginning of a parquet file: an unfinished download")
    if name.endswith(_OTHER_DATA) or ".parquet" in name:
        return FoundFile(path, None, "is not a parquet file", FolderFault.NO_PARQUET)
    return None


def _magic(path: Path) -> tuple[bool, bool]:
    """Whether a file begins, and ends, like parquet; False twice if it cannot be read."""
    if not path.is_file():
        return False, False
    try:
        first, last = ends_of(path, 4)
    except OSError:
        return False, False
    return first in _MAGIC, last in _MAGIC and path.stat().st_size >= _LEAST_BYTES


def _target(link: Path) -> str:
    return printable(link.readlink()) if link.is_symlink() else "it no longer exists"


def _folder_problem(path: Path) -> str:
    if path.is_symlink():
        return (
            f"is a link to the folder {_target(path)}, which is not followed: give that folder to "
            "--from"
        )
    if not os.access(path, os.R_OK | os.X_OK):
        return "is a folder that may not be read: its permissions do not allow it"
    return "is a folder without parquet files, though it is named like a file"


def _recognise(path: Path, naming: Naming, period: str | None) -> FoundFile:
    pairs, above = _pairs_of(path)
    match named := _completed(naming, pairs, above):
        case Naming(str(dataset), str(exchange), str(symbol), interval, clock):
            pass
        case _:
            problem = f"no {_missing(named, 'dataset', 'exchange', 'symbol')}"
            return FoundFile(path, None, problem, FolderFault.UNNAMED)
    if is_raw(dataset):
        interval = clock = None
    elif interval is None or clock is None:
        problem = f"no {_missing(named, 'interval', 'clock')}"
        return FoundFile(path, None, problem, FolderFault.UNNAMED)
    try:
        if interval is not None:
            require_vendor_interval(interval)
        series = SeriesKey(exchange, symbol, interval, clock)
        key = FileKey(dataset, series, Period(period or _period(path, pairs)))
    except UsageError as error:
        return _without_key(path, error)
    wrong = Symbol.problem(symbol)
    return FoundFile(path, None, wrong) if wrong else FoundFile(path, key)


def _pairs_of(path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """The pairs such as ``symbol=…`` that end a path's folders, and the folders above them."""
    folders = path.parts[:-1]
    pairs: dict[str, str] = {}
    while folders:
        name, equals, value = folders[-1].partition("=")
        if not (equals and value and name in _SEGMENTS):
            break
        pairs.setdefault(name, value)
        folders = folders[:-1]
    return pairs, folders


def _completed(naming: Naming, pairs: dict[str, str], above: tuple[str, ...]) -> Naming:
    """Add what the path gives to what the options give."""
    dataset = naming.dataset
    if pairs and dataset is None:
        *_, parent, dataset = ("", *above)
        of_raw = parent == "raw" or "year" in pairs or "interval" not in pairs
        if of_raw and not is_raw(dataset):
            dataset = RAW_PREFIX + dataset
    return replace(
        naming,
        dataset=dataset,
        exchange=naming.exchange or pairs.get("exchange"),
        symbol=naming.symbol or (decode(pairs["symbol"]) if "symbol" in pairs else None),
        interval=naming.interval or pairs.get("interval"),
        clock=naming.clock or pairs.get("timestamp"),
    )


def _missing(naming: Naming, *names: str) -> str:
    missing = [name for name in names if getattr(naming, name) is None]
    return " or ".join(filter(None, (", ".join(missing[:-1]), *missing[-1:])))


def _without_key(path: Path, error: UsageError) -> FoundFile:
    """A file whose name is that of a second copy, or whose fields are invalid."""
    original = _COPY.sub("", path.stem)
    if original == path.stem:
        return FoundFile(path, None, error.what, FolderFault.UNNAMED)
    what = f"is named like a copy of {original}{path.suffix}: rename it, or leave it out"
    return FoundFile(path, None, what)


_SEGMENTS = frozenset({"exchange", "symbol", "interval", "timestamp", "year", "month", "day"})


def _period(path: Path, parts: dict[str, str]) -> str:
    if "year" not in parts:
        return path.stem
    numbers = [parts["year"], parts.get("month", ""), *([parts["day"]] if "day" in parts else [])]
    return "-".join([numbers[0], *(number.zfill(2) for number in numbers[1:])])


# -- patterns ------------------------------------------------------------------------------------


class _Pattern:
    """A pattern of file names, such as ``{symbol}_{dataset}_{period}``.

    Without ``/`` it matches the name of a file without its suffix, else that many folders too. A
    name that it matches in two ways is refused.
    """

    def __init__(self, text: str, naming: Naming) -> None:
        self.text = text
        self._naming = naming
        names = re.findall(r"\{([^{}]*)\}", text)
        named = [name for name in names if name]
        unknown = [name for name in named if name not in FIELDS]
        if not named or unknown or "{" in re.sub(r"\{[^{}]*\}", "", text):
            what = f"no field {unknown[0]!r}" if unknown else "no field"
            raise UsageError(
                f"--pattern {text!r}: {what}",
                next_step=f"write {', '.join(f'{{{name}}}' for name in FIELDS)}, each once, and "
                "{} for anything else",
            )
        for name in named:
            if named.count(name) > 1 or getattr(naming, name, None) is not None:
                raise UsageError(
                    f"--pattern {text!r}: {name} is given twice",
                    next_step="give it either in the pattern or as an option",
                )
        if "period" not in named:
            raise UsageError(
                f"--pattern {text!r}: no {{period}}", next_step="add it where names have 2025-09"
            )
        ending = next(filter(text.lower().endswith, _ENDINGS), "")
        self._stem = text[: len(text) - len(ending)]
        self._depth = text.count("/") + 1
        datasets = "|".join(sorted(load_contracts(), key=len, reverse=True))
        # a name that matches in two ways is read differently from the left and from the right
        self._ways = [
            [re.compile(self._regex(quantifier, dataset or f"[a-z0-9_]{quantifier}"))
             for quantifier in ("+", "+?")]
            for dataset in (datasets, "")  # known datasets come first
        ]  # fmt: skip

    def read(self, path: Path) -> tuple[Naming, str] | str:
        """The fields of a path and its period, or why it does not fit."""
        inner = "/".join(path.with_suffix("").parts[-self._depth :])
        for ways in self._ways:
            first, second = (way.fullmatch(inner) for way in ways)
            if first is not None and second is not None:
                break
        else:
            return f"does not fit --pattern {self.text!r}"
        if first.groupdict() != second.groupdict():
            return (
                f"fits --pattern {self.text!r} in two ways, as {_shown(first.groupdict())} and as "
                f"{_shown(second.groupdict())}"
            )
        parts = first.groupdict()
        period = parts.pop("period")
        if "symbol" in parts:
            parts["symbol"] = decode(parts["symbol"])
        return replace(self._naming, pattern=None, **parts), period

    def _regex(self, quantifier: str, dataset: str) -> str:
        pieces = re.split(r"\{([^{}]*)\}", self._stem)
        return "".join(
            re.escape(piece) if place % 2 == 0 else self._field(piece, quantifier, dataset)
            for place, piece in enumerate(pieces)
        )

    def _field(self, name: str, quantifier: str, dataset: str) -> str:
        allowed = {
            "": f"[^/]{quantifier.replace('+', '*')}",
            "dataset": dataset,
            "interval": "|".join(sorted(INTERVALS, key=len, reverse=True)),
            "clock": "|".join(CLOCKS),
            "period": r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?",
        }.get(name, f"[^/]{quantifier}")
        return f"(?P<{name}>{allowed})" if name else f"(?:{allowed})"


def _shown(parts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def same_key(found: list[FoundFile]) -> Iterator[tuple[FileKey, list[Path]]]:
    """The keys that several files have, with their paths."""
    paths: dict[FileKey, list[Path]] = {}
    for file in found:
        if file.key is not None:
            paths.setdefault(file.key, []).append(file.path)
    yield from ((key, several) for key, several in paths.items() if len(several) > 1)
