"""Translates errors of SQLite on the manifest: disk, another writer, or damage."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from warehouse.errors import (
    REPAIR,
    ROOM_OR_RIGHTS,
    DamagedError,
    DiskError,
    LockedError,
    WarehouseError,
)

DISK_CODES = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FILE_CODES = DISK_CODES | _BUSY_CODES | {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_sqlite_error(error: BaseException | None) -> bool:
    """Whether the file is the cause of an error of SQLite, not a bug in the program."""
    is_of_schema = isinstance(error, sqlite3.OperationalError) and "no such" in str(error)
    return is_of_schema or (isinstance(error, sqlite3.Error) and primary_code(error) in _FILE_CODES)


def translate_error(path: Path, error: Exception) -> WarehouseError:
    """Translate a sqlite3 error into a WarehouseError."""
    if primary_code(error) in DISK_CODES:
        return DiskError(f"{path}: cannot be read or written ({error})", next_step=ROOM_OR_RIGHTS)
    if primary_code(error) in _BUSY_CODES:
        return LockedError(
            f"{path}: another process is writing to it", next_step="run the same command again"
        )
    return DamagedError(f"{path}: not a manifest ({error})", next_step=REPAIR)


def primary_code(error: BaseException) -> int:
    """SQLite's primary result code; 0 if there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
