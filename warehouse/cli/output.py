"""Output of a result: a table on the terminal, or a file written in batches."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from warehouse.cli.common import UNCUT, put, put_json, say, table_width
from warehouse.display import counted
from warehouse.errors import UsageError
from warehouse.files import open_atomic, path_in_errors
from warehouse.home import Home
from warehouse.interrupts import StoppedError, one_clock
from warehouse.query import quick_warnings, render, write_rows

if TYPE_CHECKING:
    from warehouse.query import Result

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "arrow")
_BY_SUFFIX = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "table",
    ".table": "table",
}
# Seconds for the remarks on a result if the query has used up its time limit.
_REMARKS_S = 1.0

_HINT = "name them, widen the terminal, or add --format csv"


def require_place(home: Home, target: Path | None) -> None:
    """Raise an error before the query runs if the file cannot or must not be written."""
    if target is None:
        return
    if home.owns(target):
        raise UsageError(
            f"{target} is a file of the warehouse itself",
            next_step="write it to another folder",
        )
    if target.is_dir():
        raise UsageError(f"{target} is a folder", next_step="name a file in it")
    folder = target.parent if target.exists() else Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        named = folder if target.is_symlink() else target.parent
        raise UsageError(
            f"{target}: there is no folder {named}", next_step=f"mkdir -p {shlex.quote(str(named))}"
        )


def format_of(target: Path | None, given: str | None) -> str:
    """The format of a result: ``--format``, else the one of the file's suffix.

    Examples
    --------
    >>> format_of(Path("bars.CSV.gz"), None), format_of(None, None)
    ('csv', 'table')
    """
    if target is None or (given is not None and not _suffix(target)):
        return given or "table"
    found = _BY_SUFFIX.get(_suffix(target))
    if found is None and given is None:
        raise UsageError(
            f"{target}: no output format has this suffix",
            next_step=f"end it in {', '.join(_BY_SUFFIX)}, or add --format {'|'.join(FORMATS)}",
        )
    if found is not None and given not in (None, found):
        raise UsageError(
            f"{target}: the suffix is that of {found}, but --format is {given}",
            next_step="omit --format, or give the file another suffix",
        )
    return given or str(found)


def _suffix(target: Path) -> str:
    """The suffix in lower case; for a compressed file with the one before it."""
    suffixes = [suffix.lower() for suffix in target.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def write_result(result: Result, form: str, target: Path | None, limit: int) -> None:
    """Write a result to stdout, or to ``target``, which appears complete or not at all.

    ``limit`` applies to tables only; the other formats contain every row.
    """
    if form in ("parquet", "arrow") and target is None:
        raise UsageError(
            f"{form} cannot be printed to the terminal", next_step=f"add -o FILE.{form}"
        )
    if form == "table" and target is None:
        put(render(result, limit, width=table_width(), hint=_HINT))
        if not result.head(1):
            say("0 rows")
        _say_cut(result, limit)
        _say_remarks(result, is_blank=True)
        return
    if target is None:
        with path_in_errors("stdout"):
            sys.stdout.flush()
            is_blank = write_rows(result, form, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        _say_remarks(result, is_blank=is_blank)
        return
    is_blank = form == "table"
    with open_atomic(target) as sink:
        if form == "table":
            sink.write((render(result, limit, width=UNCUT) + "\n").encode())
            _say_cut(result, limit)
        else:
            is_blank = _write_file(result, form, sink, _suffix(target).endswith(".gz"))
    say(f"wrote {target}")
    _say_remarks(result, is_blank=is_blank)


def _say_cut(result: Result, limit: int) -> None:
    """Warn on stderr that rows are left out when stdout is not a terminal."""
    if not sys.stdout.isatty() and len(result.head(limit + 1)) > limit:
        say(f"only the first {counted(limit, 'row')} of {len(result):,}; for all, add --format csv")


def _write_file(result: Result, form: str, sink: BinaryIO, is_compressed: bool) -> bool:
    if not is_compressed:
        return write_rows(result, form, sink)
    import gzip

    with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as packed:
        return write_rows(result, form, cast("BinaryIO", packed))


def _say_remarks(result: Result, *, is_blank: bool) -> None:
    """Print remarks to stderr: the reason for an empty result, look-ahead, missing bars."""
    from warehouse.analysis import AbsentColumn, Gap, warning_lines

    try:
        with one_clock(at_least_s=_REMARKS_S):
            for warning in quick_warnings(result):
                say(f"warning: {warning}")
            hint = result.hint if is_blank else None
            if hint is not None:
                say(f"hint: {hint}")
            missing = [w for w in result.warnings if isinstance(w, (AbsentColumn, Gap))]
            for line in warning_lines(missing, hint):
                say(line)
    except StoppedError:
        say("missing bars were not listed, because the time limit was reached")
        say("  next: raise --timeout, or query fewer tables")


def put_result(result: Result, as_json: bool) -> None:
    """Print rows as a table, or as JSON."""
    if as_json:
        put_json(result.arrow().to_pylist())
    else:
        put(render(result, 10_000, width=table_width(), wrap=True))
