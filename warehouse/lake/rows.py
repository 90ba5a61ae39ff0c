"""Rows of the manifest's tables as values, and keys as rows."""

from __future__ import annotations

from functools import cache
from typing import Any

from warehouse.errors import REPAIR, DamagedError, UsageError
from warehouse.lake.records import StoredFile, read_facts
from warehouse.vendor import SERIES_COLUMNS, FileKey, Period, SeriesKey

KEY = ", ".join(("dataset", *SERIES_COLUMNS, "period"))
SELECT_FILES = (
    f"select file_id, {KEY}, series_id, object,"
    " size_bytes, iif(json_valid(facts), json_remove(facts, '$.columns'), facts),"
    " iif(json_valid(facts), json_extract(facts, '$.columns'), null),"
    " origin, origin_stamp, fetched_at, superseded_at"
    " from files join series using (series_id)"
)


def key_of_row(
    dataset: str, exchange: str, symbol: str, interval: str, clock: str, period: str
) -> FileKey:
    return FileKey(dataset, series_of_row(exchange, symbol, interval, clock), _period(period))


@cache
def series_of_row(exchange: str, symbol: str, interval: str, clock: str) -> SeriesKey:
    """Parse a key; the key of a series is checked once and shared by its rows."""
    return SeriesKey(exchange, symbol, interval or None, clock or None)


@cache
def _period(text: str) -> Period:
    return Period(text)


def flat_key(key: FileKey) -> tuple[str, ...]:
    return (*flat_series(key.dataset, key.series), key.period.text)


def flat_series(dataset: str, series: SeriesKey) -> tuple[str, ...]:
    return (dataset, series.exchange, series.symbol, series.interval or "", series.clock or "")


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
