"""What SQLite says of the manifest, as errors of ours: disk, another writer, or damage."""

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

_OF_DISK = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
_OF_OTHERS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_TOLD = _OF_DISK | _OF_OTHERS | {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_told(error: BaseException | None) -> bool:
    """Whether an error is about the file, and no fault of the program."""
    is_of_schema = isinstance(error, sqlite3.OperationalError) and "no such" in str(error)
    return is_of_schema or (isinstance(error, sqlite3.Error) and _code(error) in _TOLD)


def told(path: Path, error: Exception) -> WarehouseError:
    """An error of SQLite in our words."""
    if _code(error) in _OF_DISK:
        return DiskError(
            f"{path}: cannot be read or written ({error})",
            next_step=ROOM_OR_RIGHTS,
        )
    if _code(error) in _OF_OTHERS:
        return LockedError(
            f"{path}: another process is writing to it", next_step="run the same command again"
        )
    return DamagedError(f"{path}: not a manifest ({error})", next_step=REPAIR)


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 where it gave none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
