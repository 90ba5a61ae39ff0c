"""Rebuild a lost manifest from the objects, the links of the lake and the kept catalogs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from warehouse.display import counted
from warehouse.errors import FileRefusedError
from warehouse.files import copy, sha256_of
from warehouse.generations import generations, read_catalog
from warehouse.home import Home, generation_path
from warehouse.lake import Manifest, Refusal, Restatement, check_file
from warehouse.sync import scan_folder
from warehouse.upkeep.verify import readable
from warehouse.vendor import FileKey, Period, SeriesKey, load_contracts

_KEY = "dataset, exchange, symbol, interval, clock, period"


class _File(NamedTuple):
    """A file whose object is present and undamaged."""

    key: FileKey
    object: str
    origin: str
    is_current: bool


def rebuild_manifest(home: Home, path: Path) -> str:
    """Write a manifest of the home to ``path``; returns a description of what was done.

    A file counts as fetched at the time when its object was written, so that nothing unsettled
    seems settled. The numbers of series, restatements and refusals are those of the newest readable
    catalog.
    """
    kept = [home.catalog, *(generation_path(home, n) for n in reversed(generations(home)))]
    catalogs = [p for p in kept if p.is_file() and not isinstance(readable(home, p), str)]
    now, refused = "", 0
    with Manifest(path, create=True, clock=lambda: now) as manifest:
        columns = "series_id, exchange, symbol, interval, clock"
        series = _rows(home, catalogs[:1], "series", columns)
        manifest.restore_series({number: SeriesKey(*parts) for number, *parts in series})
        for file in _files(home, catalogs):
            object = home.object_path(file.object)
            status = object.stat()
            now = f"{datetime.fromtimestamp(status.st_mtime, UTC):%Y-%m-%d %H:%M:%S}"
            try:
                facts = check_file(object, file.key, load_contracts().get(file.key.dataset))
            except FileRefusedError:
                refused += 1
                continue
            manifest.record_file(
                file.key,
                object=file.object,
                size_bytes=status.st_size,
                facts=facts,
                origin=file.origin,
                stamp="",
            )
            if not file.is_current:
                manifest.supersede(file.key)
        manifest.restore_history(_restatements(home, catalogs[:1]), _refusals(home, catalogs[:1]))
        count = manifest.count_files()
    left_out = f"; {refused:,} did not pass their check" if refused else ""
    return f"rebuilt manifest.sqlite from {counted(count, 'file')} of the lake{left_out}"


def _files(home: Home, catalogs: list[Path]) -> list[_File]:
    """Former files in the order of the kept catalogs, then current ones by the links of the lake.

    For a file whose link is lost, the newest catalog that shows it decides.
    """
    known: dict[str, tuple[FileKey, str]] = {}  # key and origin by object, the oldest first
    for row in _rows(home, catalogs[::-1], "files", f"{_KEY}, object, origin"):
        known.pop(row[6], None)
        known[row[6]] = (_key(row), row[7])
    current: dict[FileKey, str] = {}
    for found in scan_folder(home.lake) if home.lake.is_dir() else ():
        if found.key is not None:
            object = sha256_of(found.path)
            if not home.object_path(object).is_file() and found.path.stat().st_nlink == 1:
                copy(found.path, home.object_path(object))
            if _is_sound(home, object):
                current[found.key] = object
    newest = {key: object for object, (key, _) in known.items()}
    current |= {k: o for k, o in newest.items() if k not in current and _is_sound(home, o)}
    former = [
        _File(key, object, origin, is_current=False)
        for object, (key, origin) in known.items()
        if current.get(key) != object and _is_sound(home, object)
    ]
    shown = [
        _File(key, object, known.get(object, (key, "lake"))[1], is_current=True)
        for key, object in sorted(current.items())
    ]
    return [*former, *shown]


def _restatements(home: Home, catalogs: list[Path]) -> list[Restatement]:
    older = "select null::varchar[] as columns_added, null::varchar[] as columns_removed"
    source = f"(from warehouse.meta.restatements union all by name ({older} where false))"
    facts = "rows_added, rows_removed, rows_changed, columns_added, columns_removed"
    columns = f"{_KEY}, series_id, kind, old_object, new_object, seen_at, {facts}"
    rows = _rows(home, catalogs, source, f"{columns}, largest_relative_change")
    return [
        Restatement(
            _key(row),
            row[6],
            row[7],
            row[8],
            row[9],
            dict(zip(facts.split(", "), row[11:16], strict=True))
            | {"largest_relative_change": {p["column"]: p["change"] for p in row[16] or ()}},
            str(row[10]),
        )
        for row in rows
    ]


def _refusals(home: Home, catalogs: list[Path]) -> list[Refusal]:
    columns = f"{_KEY}, object, size_bytes, reason, origin, refused_at"
    rows = _rows(home, catalogs, "quarantine", columns)
    return [Refusal(_key(row), row[6], row[7], row[8], row[9], str(row[10])) for row in rows]


def _rows(home: Home, catalogs: list[Path], source: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Columns of a table of ``meta``, or of a query in brackets, catalog after catalog."""
    table = source if source.startswith("(") else f"warehouse.meta.{source}"
    for catalog in catalogs:
        (rows,) = read_catalog(home, catalog, f"select {columns} from {table}")
        yield from rows


def _key(row: tuple[Any, ...]) -> FileKey:
    dataset, exchange, symbol, interval, clock, period = row[:6]
    return FileKey(dataset, SeriesKey(exchange, symbol, interval, clock), Period(period))


def _is_sound(home: Home, object: str) -> bool:
    path = home.object_path(object)
    return path.is_file() and sha256_of(path) == object
