"""A folder of vendor files as a source: which file of the vendor is each parquet file in it?

The layouts of ``LAYOUTS`` are recognised file by file from the path: the lake's own, and that of
the vendor's client; and ``2025-09.parquet`` with everything else said by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import NotFoundError, UsageError
from warehouse.keys import RAW_PREFIX, FileKey, Period, SeriesKey, decode

LAYOUTS = (
    "DATASET/exchange=…/symbol=…/interval=…/timestamp=…/2025-09.parquet",
    "raw/DATASET/exchange=…/symbol=…/2025-06.parquet",
    "DATASET/exchange=…/symbol=…/year=2025/month=06[/day=01]/data.parquet",
    "2025-09.parquet or 2025-09-11.parquet, with all five options",
)
"""Where a file of the vendor may lie; ``timestamp`` is the clock."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the caller says of files whose path does not say it."""

    dataset: str | None = None
    exchange: str | None = None
    symbol: str | None = None
    interval: str | None = None
    clock: str | None = None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A parquet file and its key; None where the path names none, and ``problem`` says why."""

    path: Path
    key: FileKey | None
    problem: str | None = None


def scan_folder(folder: Path, said: Said | None = None) -> list[FoundFile]:
    """Every ``*.parquet`` file below ``folder``, hidden ones apart, in the order of their paths.

    Raises
    ------
    NotFoundError
        There is no such folder.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise NotFoundError(f"{folder}: {what}", next_step="give the folder of the files")
    root = folder.resolve()
    found = []
    for path in sorted(root.rglob("*.parquet")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.is_file() and not hidden:
            found.append(_recognise(path, said or Said()))
    return found


def _recognise(path: Path, said: Said) -> FoundFile:
    parts: dict[str, str] = {}
    first_pair = None
    for index, segment in reversed(list(enumerate(path.parts[:-1]))):
        name, equals, value = segment.partition("=")
        if not (equals and value and name in _SEGMENTS):
            break
        parts.setdefault(name, value)
        first_pair = index
    dataset, is_raw = said.dataset, False
    if first_pair is not None and dataset is None:
        dataset = path.parts[first_pair - 1]
        is_raw = path.parts[first_pair - 2] == "raw" or "year" in parts or "interval" not in parts
        if is_raw and not dataset.startswith(RAW_PREFIX):
            dataset = RAW_PREFIX + dataset
    exchange = said.exchange or parts.get("exchange")
    symbol = said.symbol or (decode(parts["symbol"]) if "symbol" in parts else None)
    if dataset is None or exchange is None or symbol is None:
        return FoundFile(
            path, None, f"no {_listed(dataset=dataset, exchange=exchange, symbol=symbol)}"
        )
    interval, clock = said.interval or parts.get("interval"), said.clock or parts.get("timestamp")
    if dataset.startswith(RAW_PREFIX):
        interval = clock = None
    elif interval is None or clock is None:
        return FoundFile(path, None, f"no {_listed(interval=interval, clock=clock)}")
    try:
        series = SeriesKey(exchange, symbol, interval, clock)
        return FoundFile(path, FileKey(dataset, series, Period(_period(path, parts))))
    except UsageError as error:
        return FoundFile(path, None, error.what)


def _listed(**parts: str | None) -> str:
    missing = [name for name, value in parts.items() if value is None]
    return " and no ".join(missing)


_SEGMENTS = frozenset({"exchange", "symbol", "interval", "timestamp", "year", "month", "day"})


def _period(path: Path, parts: dict[str, str]) -> str:
    if "year" not in parts:
        return path.stem
    numbers = [parts["year"], parts.get("month", ""), *([parts["day"]] if "day" in parts else [])]
    return "-".join([numbers[0], *(number.zfill(2) for number in numbers[1:])])
