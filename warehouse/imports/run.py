"""Import files of a foreign format into the lake: staged, checked, and written day by day.

Files are imported in batches, so that disk and memory do not grow with their number. Each batch
enters the lake as a whole or not at all, so the next run continues an interrupted one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warehouse.config import Settings
from warehouse.engine import NO_EXTENSIONS, connect, translating
from warehouse.errors import (
    ExitCode,
    FileRefusedError,
    UsageError,
)
from warehouse.home import Home
from warehouse.imports.day import Days
from warehouse.imports.importer import ContractSize, Importer
from warehouse.imports.source import SourceFile, source_files
from warehouse.imports.stage import Stage, Staged
from warehouse.lake import Admission, Lake, StoredFile
from warehouse.progress import Meter
from warehouse.sync import SyncReport, sync_run
from warehouse.vendor import FileKey, Period, SeriesKey, Symbol

_FILES_TOGETHER = 16
_BYTES_TOGETHER = 2 << 30
_TRIED_ROWS = 100_000
_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The report of an import.

    Attributes
    ----------
    sync
        Outcome of each UTC day, as for a sync.
    files
        Facts of each file that was read.
    unchanged
        Files that were imported before, with the same bytes and importer.
    refused
        Name of a file, or a UTC day, and why its rows were not imported.
    duplicates
        Rows that were left out because they repeat the id and the values of another.
    warnings
        Other messages for the user.
    """

    sync: SyncReport
    files: tuple[Staged, ...] = ()
    unchanged: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    duplicates: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.DATA_PROBLEMS if self.refused else self.sync.exit_code


@dataclass(frozen=True, slots=True)
class Trial:
    """The first rows of a file as an importer reads them, and facts of its beginning."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    staged: Staged
    is_whole: bool


def try_import(
    settings: Settings,
    importer: Importer,
    paths: Sequence[Path],
    *,
    symbol: str,
    contract_size: ContractSize | None = None,
) -> Trial:
    """Read the beginning of the first file without changing anything."""
    contract_size = _require_contract_size(importer, symbol, contract_size)
    sources, _ = source_files(paths[:1])
    with (
        tempfile.TemporaryDirectory(prefix="warehouse-import-") as folder,
        closing(
            Stage(
                settings,
                importer,
                sources,
                Path(folder).resolve(),
                symbol=symbol,
                contract_size=contract_size,
                limit=_TRIED_ROWS,
            )
        ) as stage,
    ):
        try:
            staged = stage.read(0, sources[0])
        except FileRefusedError as error:
            raise FileRefusedError(
                f"{sources[0].name}: {error.what}", next_step=after_refusal(importer, settings.home)
            ) from error
        values = ", ".join(
            f"timezone('UTC', {column.name})" if column.type == "TIMESTAMPTZ" else column.name
            for column in importer.columns
        )
        rows: list[tuple[Any, ...]] = []
        if staged.rows:
            rows = stage.connection.execute(
                f"select {values} from {stage.staged_files(0)}"
                f" order by source_row limit {_SHOWN_ROWS}"
            ).fetchall()
    columns = tuple(column.name for column in importer.columns)
    return Trial(columns, tuple(rows), staged, staged.rows < _TRIED_ROWS)


def after_refusal(importer: Importer, home: Path) -> str:
    """The next step after a file that an importer cannot read, or that has wrong rows."""
    is_own = importer.path.is_relative_to(home)
    copied = "" if is_own else "; copy it into importers/ of the home, and change the copy"
    return (
        "choose the importer of this format, from: warehouse import; or repair the file, or change"
        " the importer's SQL, which can leave out such rows or read other separators, such as"
        f" decimal commas. The importer is {importer.path}{copied}"
    )


def import_files(
    settings: Settings,
    importer: Importer,
    paths: Sequence[Path],
    *,
    exchange: str,
    symbol: str,
    contract_size: ContractSize | None = None,
    meter: Meter | None = None,
) -> ImportReport:
    """Import files as one raw series; the files are only read.

    Raises
    ------
    UsageError
        The symbol, the importer or the contract size is wrong, or the series has ticks of another
        kind.
    LockedError
        Another process writes to this home.
    DiskError
        The disk is full or not writable; batches that were already imported stay.
    """
    problem = Symbol.problem(symbol)
    if problem:
        raise UsageError(problem)
    series = SeriesKey(exchange, symbol)
    contract_size = _require_contract_size(importer, symbol, contract_size)
    sources, warnings = source_files(paths)
    home = Home.of(settings)
    with sync_run(home, salvage=False, verb="import") as (lake, finish):
        job = _Job(settings, home, lake, importer, series, contract_size, meter or Meter())
        job.warnings += warnings
        job.run(sources)
        return job.report(finish)


@dataclass
class _Job:
    """A running import."""

    settings: Settings
    home: Home
    lake: Lake
    importer: Importer
    series: SeriesKey
    contract_size: ContractSize | None
    meter: Meter
    admissions: list[Admission] = field(default_factory=list)
    files: list[Staged] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    duplicates: Counter[str] = field(default_factory=Counter)

    def run(self, sources: Sequence[SourceFile]) -> None:
        held = self._held()
        _require_one_kind(self.importer, self.series, held.values())
        wanted = [source for source in sources if not self._is_known(source, held)]
        self.meter.add(expected=len(wanted))
        for batch in _batches(wanted):
            with self._folder() as folder, translating(self.home.root):
                self._take_in(batch, folder)

    def report(self, finish: Any) -> ImportReport:
        sync = finish(SyncReport(tuple(self.admissions)))
        return ImportReport(
            sync,
            tuple(self.files),
            tuple(self.unchanged),
            tuple(self.refused),
            self.duplicates.total(),
            tuple(self.warnings),
        )

    def _held(self) -> dict[Period, StoredFile]:
        files = self.lake.manifest.files_of(self.importer.dataset, self.series)
        return {file.key.period: file for file in files}

    def _is_known(self, source: SourceFile, held: Mapping[Period, StoredFile]) -> bool:
        """Whether this importer has already imported all rows of a file."""
        checksum = self.importer.checksum(self.contract_size)
        found = [
            part
            for file in held.values()
            if file.facts.imported is not None and file.facts.imported.checksum == checksum
            for part in file.facts.imported.sources
            if part.sha256 == source.sha256
        ]
        is_known = bool(found) and sum(p.rows + p.duplicates for p in found) == found[0].total
        if is_known:
            self.unchanged.append(source.name)
        return is_known

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder for the files of a batch, on the disk of the home."""
        self.home.build.mkdir(parents=True, exist_ok=True)
        # from a killed run, because this one has the lock
        for leftover in self.home.build.glob("import-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = self.home.build.resolve() / f"import-{os.getpid()}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _take_in(self, batch: Sequence[SourceFile], folder: Path) -> None:
        with closing(
            Stage(
                self.settings,
                self.importer,
                batch,
                folder,
                symbol=self.series.symbol,
                contract_size=self.contract_size,
            )
        ) as stage:
            staged = dict(self._staged(stage, batch))
            if staged:
                self._write_days(stage, staged)

    def _staged(self, stage: Stage, batch: Sequence[SourceFile]) -> Iterator[tuple[int, Staged]]:
        """The files without fault; the others are refused."""
        for number, source in enumerate(batch):
            try:
                found = stage.read(number, source)
            except FileRefusedError as error:
                self.refused.append((source.name, error.what))
            else:
                self.files.append(found)
                self.refused += [(source.name, fault) for fault in found.faults]
                if not found.faults:
                    yield number, found
            self.meter.add(files=1, size_bytes=source.size_bytes)

    def _write_days(self, stage: Stage, staged: Mapping[int, Staged]) -> None:
        held = self._held()
        names = {found.source.name for found in staged.values()}
        days = {Period(day) for found in staged.values() for day in found.days}
        days |= {period for period, file in held.items() if _has_any(file, names)}
        session = self.settings.session
        with closing(connect(session, config=NO_EXTENSIONS)) as connection, self.lake.together():
            writer = Days(connection, self.importer, self.contract_size)
            for period in sorted(days):
                current = held.get(period)
                known = None if current is None else self.home.object_path(current.object)
                try:
                    written = writer.write(period, stage, staged, current, known)
                except FileRefusedError as error:
                    self.refused.append((period.text, error.what))
                    continue
                self.warnings += written.warnings
                self.duplicates[period.text] = sum(s.duplicates for s in written.sources)
                key = FileKey(self.importer.dataset, self.series, period)
                origin = ", ".join(source.name for source in written.sources[:3])
                admission = self.lake.admit(
                    key,
                    written.path,
                    origin=f"import {self.importer.name}: {origin}",
                    stamp="",
                    current=current,
                    consume=True,
                )
                self.admissions.append(admission)


def _require_contract_size(
    importer: Importer, symbol: str, given: ContractSize | None
) -> ContractSize | None:
    """The size of a contract, if amounts are numbers of contracts."""
    size = given or importer.contract_size
    parts = Symbol.parse(symbol)
    names = [column.name for column in importer.columns]
    if not any(name.endswith("amount") for name in names):
        if given is not None:
            raise UsageError(f"{importer.dataset} has no amounts, so no --contract-size")
        return None
    if size is None and parts.margin is not None and parts.margin == parts.base:
        raise UsageError(
            f"{symbol} is margined in {parts.base}: venues state its amounts in contracts",
            next_step="add --contract-size '100 USD', or '1 "
            f"{parts.base}' if these files have base units",
        )
    if size is not None:
        size.in_base("", "", symbol)
    return size


def _require_one_kind(importer: Importer, series: SeriesKey, held: Any) -> None:
    """Refuse to mix ticks of the vendor, or of another grain or clock, with these."""
    for file in held:
        imported = file.facts.imported
        if imported is None:
            other = "the vendor's own ticks"
        elif imported.grain != importer.grain:
            other = f"ticks of grain {imported.grain}, these are {importer.grain}"
        elif imported.receive_clock != importer.receive_clock:
            other = (
                f"ticks with receive_clock {imported.receive_clock}, these have"
                f" {importer.receive_clock}"
            )
        else:
            continue
        raise UsageError(
            f"{importer.dataset} {series} holds {other}, such as {file.key.period.text}; they are"
            " not mixed in one series",
            next_step=f"import under another exchange, such as {series.exchange}-{importer.name},"
            " or remove the series with: warehouse forget",
        )


def _has_any(file: StoredFile, names: set[str]) -> bool:
    imported = file.facts.imported
    return imported is not None and any(source.name in names for source in imported.sources)


def _batches(sources: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """Files in order, in batches for which the stage stays small."""
    batch: list[SourceFile] = []
    for source in sources:
        size = sum(one.size_bytes for one in batch) + source.size_bytes
        if batch and (len(batch) == _FILES_TOGETHER or size > _BYTES_TOGETHER):
            yield batch
            batch = []
        batch.append(source)
    if batch:
        yield batch
