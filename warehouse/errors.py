"""The errors of this package, and the exit code of each.

Every error describes what happened, to which file, column or series, and what to do next. Code
raises the most precise class; ``cli.run`` prints it on stderr and returns the exit code of its
class.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit code of a command."""

    DONE = 0
    DATA_PROBLEMS = 1
    USAGE = 2
    VENDOR = 3
    DAMAGED = 4
    LOCKED = 5
    DISK = 6
    FAULT = 70
    INTERRUPTED = 130


class WarehouseError(Exception):
    """Root of all errors of this package.

    Parameters
    ----------
    what
        What happened, and to which file, column or series.
    next_step
        What the user can do about it; printed on a line of its own.
    in_shell
        The next step on the command line, if it differs from Python.
    **fields
        The facts of the case (dataset, symbol, path, status ...), kept in ``fields``.

    Examples
    --------
    >>> print(WarehouseError("no catalog in data", next_step="run: warehouse build"))
    no catalog in data
      next: run: warehouse build
    """

    exit_code: ExitCode = ExitCode.DATA_PROBLEMS

    def __init__(
        self,
        what: str,
        *,
        next_step: str | None = None,
        in_shell: str | None = None,
        **fields: object,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.in_shell = in_shell or next_step
        self.fields = fields

    def __str__(self) -> str:
        return _with_next_step(self.what, self.next_step)

    def for_shell(self) -> str:
        """The message for a user of the command line."""
        return _with_next_step(self.what, self.in_shell)


def _with_next_step(what: str, next_step: str | None) -> str:
    return what if next_step is None else f"{what}\n  next: {next_step}"


class UsageError(WarehouseError):
    """The call itself is wrong: an option, a value or an invalid name."""

    exit_code = ExitCode.USAGE


class QueryError(UsageError):
    """SQL that is wrong or not allowed, or parameters that do not fit it."""


class MemoryLimitError(QueryError):
    """A query or build needs more memory than its limit."""


class NotFoundError(UsageError):
    """A table, column, series or home that does not exist."""


class FileRefusedError(WarehouseError):
    """A data file failed a check; the message is stored as the reason in quarantine."""


class VendorError(WarehouseError):
    """The vendor or the network refused a request or did not answer."""

    exit_code = ExitCode.VENDOR


class StoreError(WarehouseError):
    """The bucket that holds a home refused a request or did not answer."""

    exit_code = ExitCode.VENDOR


class DamagedError(WarehouseError):
    """A file in the home is damaged or missing."""

    exit_code = ExitCode.DAMAGED


class CopyDamagedError(DamagedError):
    """The native copy of a catalog is damaged; queries can read its parquet files instead."""


class NewerHomeError(DamagedError):
    """A home written by a newer version, which this version must not change."""


class BuildError(WarehouseError):
    """A build failed; the published catalog is unchanged."""

    exit_code = ExitCode.DAMAGED


class LockedError(WarehouseError):
    """Another process is writing to this home."""

    exit_code = ExitCode.LOCKED


class OvertakenError(LockedError):
    """Another machine has published to the bucket since this home last pulled from it."""


class DiskError(WarehouseError):
    """The disk is full, or a folder is not writable."""

    exit_code = ExitCode.DISK


# Errors of the disk or of permissions, not of the program.
_OF_DISK = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EROFS", "EACCES", "EPERM", "EDQUOT"),
        *("EFBIG", "EIO", "EISDIR", "ENOTDIR", "ENAMETOOLONG"),
    )
)


def disk_error_of(error: OSError) -> DiskError | None:
    """The error of this package for one of the disk, with the file's name; None for others."""
    if error.errno not in _OF_DISK:
        return None
    # if a copy fails because the disk is full, the second file is the one that was written
    name = error.filename2 or error.filename or "a file that was being written"
    return DiskError(f"{name}: {error.strerror}", next_step=ROOM_OR_RIGHTS)


class FaultError(WarehouseError):
    """A bug in the program, which no input should be able to cause."""

    exit_code = ExitCode.FAULT


# Libraries that only an extra installs, and the extra.
_EXTRAS = {
    "dbt": "dbt",
    "matplotlib": "charts",
    "obstore": "bucket",
    "pandas": "pandas",
    "polars": "polars",
    "pyspark": "spark",
    "starlette": "serve",
    "uvicorn": "serve",
}


@contextmanager
def needing_extras() -> Iterator[None]:
    """Name the pip command if the code inside imports a library that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _EXTRAS:
            raise
        raise UsageError(
            f"{library} is not installed",
            next_step=how_to_install(library),
        ) from error


def how_to_install(library: str) -> str:
    """The next step for a library that only an extra installs."""
    return f"run: pip install 'microstructure-warehouse[{_EXTRAS[library]}]'"


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.5) -> list[str]:
    """Up to three of ``names`` that are spelt similarly to ``name``, the nearest first."""
    from difflib import get_close_matches

    return get_close_matches(name, list(dict.fromkeys(names)), n=3, cutoff=cutoff)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name; empty if no known name is near.

    Examples
    --------
    >>> did_you_mean("buidl", ["build", "sync"])
    '; did you mean build?'
    """
    near = nearest(name, names)
    return f"; did you mean {' or '.join(near)}?" if near else ""


# Next steps that many errors share.
BUILD = "run: warehouse build"
CORRECT = "correct the file, then run: warehouse build"
TICKS = (
    "fetch some with warehouse sync raw_trades, or import them with warehouse import; then run:"
    " warehouse build"
)
REPAIR = "run: warehouse verify --repair"
ROOM_OR_RIGHTS = "free disk space or fix permissions, then run the same command again"
MORE_MEMORY = (
    "read fewer series or a shorter span, or raise the limit: memory=, --memory or WAREHOUSE_MEMORY"
)


def how_to_begin(home: Path) -> str:
    """The next step in a folder without data: the commands that fill it."""
    program = f"warehouse --home {shlex.quote(str(home))}"
    return f"run: {program} demo, or: {program} sync --from FOLDER and {program} build"


@contextmanager
def disk_errors(what: str, outcome: str = "", *, next_step: str = ROOM_OR_RIGHTS) -> Iterator[None]:
    """Translate an error of the disk: ``what`` failed, the reason, and the ``outcome``."""
    try:
        yield
    except OSError as error:
        raise DiskError(f"{what} ({error.strerror}){outcome}", next_step=next_step) from error
