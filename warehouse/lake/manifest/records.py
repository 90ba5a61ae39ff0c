"""Rows of the manifest's tables as values, and keys of files as rows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from warehouse.errors import REPAIR, DamagedError, UsageError
from warehouse.lake.imported import Imported
from warehouse.times import us_datetime
from warehouse.vendor import SERIES_COLUMNS, FileKey, Period, SeriesKey

KEY = ", ".join(("dataset", *SERIES_COLUMNS, "period"))
# Conditions on the values of flat_series and flat_key.
OF_SERIES = "dataset = ? and exchange = ? and symbol = ? and interval = ? and clock = ?"
OF_KEY = f"{OF_SERIES} and period = ?"
SELECT_FILES = (
    f"select file_id, {KEY}, series_id, object,"
    " size_bytes, iif(json_valid(facts), json_remove(facts, '$.columns'), facts),"
    " iif(json_valid(facts), json_extract(facts, '$.columns'), null),"
    " origin, origin_stamp, fetched_at, superseded_at"
    " from files join series using (series_id)"
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts of a file that passed its check.

    Attributes
    ----------
    rows
        Number of rows.
    first_us, last_us
        Smallest and largest time, microseconds since the epoch; ``None`` in an empty file.
    runs
        Runs of consecutive bars as half-open ``(start_us, end_us)``, in order; empty for raw data.
    columns
        Name and DuckDB type of every column, in file order.
    missing, unexpected
        Drift: columns that the contract expects but the file lacks, and those that only the file
        has.
    nulls
        Number of NULLs over all columns (NaN is a value, not NULL).
    is_sorted
        Whether the rows are ordered by time.
    simulated
        Whether the file is marked as simulated data.
    original
        sha256 of the vendor's file, if this one contains only its good rows (``--salvage``).
    left_out
        Number, time (microseconds or ``None``) and fault of each row of the vendor's file that was
        left out.
    notes
        Kind and text of unusual values, which are not a reason to refuse the file.
    imported
        Origin of the rows, if ``warehouse import`` wrote the file; None for a vendor file.
    in_order
        Clocks by which the ticks are in the order that bars need, each with its first and last time
        (microseconds); empty if unknown, as in older homes.
    """

    rows: int
    first_us: int | None
    last_us: int | None
    runs: tuple[tuple[int, int], ...]
    columns: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    nulls: int
    is_sorted: bool
    simulated: bool
    original: str | None = None
    left_out: tuple[tuple[int, int | None, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    imported: Imported | None = None
    in_order: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a vendor file that is not shown.

    Attributes
    ----------
    number
        Place in the file; the first row is 0.
    time_us
        Its time in microseconds since the epoch; ``None`` if it has none.
    reason
        Why it is bad, as text for the user.
    """

    number: int
    time_us: int | None
    reason: str

    def __str__(self) -> str:
        return f"row {self.number:,} ({moment_text(self.time_us)})"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One row of ``files``: a vendor file that is, or was, in the lake."""

    file_id: int
    key: FileKey
    series_id: int
    object: str
    size_bytes: int
    facts: FileFacts
    origin: str
    origin_stamp: str
    fetched_at: str
    superseded_at: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of ``quarantine``: a file that did not pass its check."""

    key: FileKey
    object: str
    size_bytes: int
    reason: str
    origin: str
    refused_at: str


@dataclass(frozen=True, slots=True)
class Restatement:
    """One row of ``restatements``: a file whose bytes changed at the vendor."""

    key: FileKey
    series_id: int
    kind: str
    old_object: str
    new_object: str
    difference: dict[str, Any]
    seen_at: str


def moment_text(microseconds: int | None) -> str:
    """A time as text, even if it is outside the range of datetimes.

    Examples
    --------
    >>> moment_text(0), moment_text(None), moment_text(1 << 62)
    ('1970-01-01 00:00:00', 'no time', '4,611,686,018,427,387,904 microseconds since 1970')
    """
    if microseconds is None:
        return "no time"
    try:
        return str(us_datetime(int(microseconds)))
    except OverflowError:
        return f"{int(microseconds):,} microseconds since 1970"


def plain_facts(facts: FileFacts) -> dict[str, Any]:
    """Facts as JSON values."""
    plain = {name: getattr(facts, name) for name in FileFacts.__slots__}
    if facts.imported is not None:
        plain["imported"] = asdict(facts.imported)
    return plain


def read_facts(text: str, columns: str) -> FileFacts:
    """The facts of a file, from the JSON of :func:`plain_facts` and that of its columns."""
    plain = json.loads(text)
    plain["runs"] = tuple((start, end) for start, end in plain["runs"])
    # Older homes lack the last three.
    for name in ("missing", "unexpected", "left_out", "notes", "in_order"):
        plain[name] = tuple(tuple(v) if isinstance(v, list) else v for v in plain.get(name, ()))
    plain["imported"] = Imported.of(plain.get("imported"))
    return FileFacts(columns=_columns(columns), **plain)


@cache
def _columns(text: str) -> tuple[tuple[str, str], ...]:
    """Share one tuple among files with the same columns, as most files of a dataset have."""
    return tuple((name, kind) for name, kind in json.loads(text))


def key_of_row(
    dataset: str, exchange: str, symbol: str, interval: str, clock: str, period: str
) -> FileKey:
    return FileKey(dataset, series_of_row(exchange, symbol, interval, clock), _period(period))


@cache
def series_of_row(exchange: str, symbol: str, interval: str, clock: str) -> SeriesKey:
    """Parse a key; each series key is checked once and shared by its rows."""
    return SeriesKey(exchange, symbol, interval or None, clock or None)


@cache
def _period(text: str) -> Period:
    return Period(text)


def flat_key(key: FileKey) -> tuple[str, ...]:
    return (*flat_series(key.dataset, key.series), key.period.text)


def flat_series(dataset: str, series: SeriesKey) -> tuple[str, ...]:
    return dataset, *series.flat


def stored_file(row: tuple[Any, ...]) -> StoredFile:
    try:
        return StoredFile(
            row[0],
            key_of_row(*row[1:7]),
            row[7],
            row[8],
            row[9],
            read_facts(row[10], row[11]),
            *row[12:],
        )
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise DamagedError(
            f"manifest.sqlite: the row of file {row[0]} cannot be read ({error})", next_step=REPAIR
        ) from error
